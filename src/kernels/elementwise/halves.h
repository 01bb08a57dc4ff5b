#pragma once

#include <cstdint>

#include "slipway/dtypes.h"
#include "thread/pool.h"

namespace slipway::kernels {

/// y[i] = x[i] for n numbers of float16 or bfloat16, which a float holds exactly.
void HalvesToFloats(DType half, const void* x, float* y, int64_t n, const Threads& threads);
/// y[i] = x[i] rounded to nearest, ties to even.
void FloatsToHalves(DType half, const float* x, void* y, int64_t n, const Threads& threads);

}  // namespace slipway::kernels
