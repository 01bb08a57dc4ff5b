#pragma once

#include <cstdint>

#include "thread/pool.h"

namespace slipway::kernels {

struct Extent {
  float low;
  float high;
};
/// The least and the largest of n floats and zero; NaN does not count.
Extent MinMaxWithZero(const float* x, int64_t n, const Threads& threads);

/// y = saturate(round(x / scale) + zero), ties to even; zero in [0, 255]. NaN gives 0.
void QuantizeToBytes(const float* x, int64_t n, float scale, int32_t zero, uint8_t* y, const Threads& threads);

}  // namespace slipway::kernels
