#pragma once

#include "slipway/tensor.h"
#include "thread/pool.h"

namespace slipway {

struct DynamicScale {
  float scale;
  uint8_t zero;
};
/// What a float tensor's extent, zero included, gives for uint8.
DynamicScale ChooseScale(const Tensor& x, const Threads& threads);

}  // namespace slipway
