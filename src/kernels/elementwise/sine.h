#pragma once

#include <cstdint>

#include "thread/pool.h"

namespace slipway::kernels {

/// y[i] = sin(x[i]), or cos(x[i]), for i in [0, n). x may be y.
void SineFloat(bool cosine, const float* x, float* y, int64_t n, const Threads& threads);

}  // namespace slipway::kernels
