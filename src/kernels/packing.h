#pragma once

#include "core/memory.h"
#include "thread/pool.h"

namespace slipway::kernels {

/// What constants are packed with, and where what is packed goes.
struct Packing {
  Threads threads;
  WeightStore& store;
};

}  // namespace slipway::kernels
