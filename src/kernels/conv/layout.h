#pragma once

#include <cstdint>

#include "thread/pool.h"

namespace slipway::kernels {

/// out[n][columns][rows] = in[n][rows][columns] transposed; in may not overlap out.
void TransposeMatrices(const float* in, int64_t n, int64_t rows, int64_t columns, float* out, const Threads& threads);

/// [n, c, pixels] to [n, pixels, c].
inline void ToChannelsLast(const float* in, int64_t n, int64_t c, int64_t pixels, float* out, const Threads& threads) {
  TransposeMatrices(in, n, c, pixels, out, threads);
}

/// [n, pixels, c] to [n, c, pixels].
inline void ToChannelsFirst(const float* in, int64_t n, int64_t c, int64_t pixels, float* out, const Threads& threads) {
  TransposeMatrices(in, n, pixels, c, out, threads);
}

}  // namespace slipway::kernels
