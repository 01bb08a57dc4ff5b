#pragma once

#include <algorithm>
#include <cstdint>

namespace slipway {

/// Turns the first 2 * half of a head's `size` numbers, in pairs, by angles with those cosines and sines: neighbours
/// where `interleaved`, else numbers that lie `half` apart. y may be x.
inline void TurnHead(const float* x, float* y, const float* cosines, const float* sines, int64_t half, int64_t size,
                     bool interleaved) {
  const auto turn = [&](int64_t step, int64_t apart) {
  // y may be x, but no step touches what another reads.
#pragma GCC ivdep
    for (int64_t i = 0; i < half; ++i) {
      const float a = x[step * i], b = x[step * i + apart];
      y[step * i] = cosines[i] * a - sines[i] * b;
      y[step * i + apart] = sines[i] * a + cosines[i] * b;
    }
  };
  interleaved ? turn(2, 1) : turn(1, half);
  if (x != y) std::copy(x + 2 * half, x + size, y + 2 * half);
}

}  // namespace slipway
