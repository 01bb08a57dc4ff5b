#pragma once

#include "thread/pool.h"

namespace slipway::kernels {

/// What this machine can do at most, a second, with these threads: measured, in a few hundred milliseconds.
struct Peaks {
  double flops = 0;  ///< fused multiply-adds of float in registers, each counted as two
  double bytes = 0;  ///< read from memory, well past the caches
};
Peaks MeasurePeaks(const Threads& threads);

}  // namespace slipway::kernels
