#pragma once

// What the kernels' tests share.

#include <cstdint>
#include <vector>

namespace slipway::kernels {

/// Numbers in [-within, within], the same on every run.
template <class T = float>
std::vector<T> Numbers(int64_t count, uint32_t seed, T within = 1) {
  std::vector<T> v(static_cast<size_t>(count));
  for (T& x : v) {
    seed = seed * 1664525 + 1013904223;
    x = (static_cast<T>(seed >> 8) * static_cast<T>(0x1p-23) - 1) * within;
  }
  return v;
}

}  // namespace slipway::kernels
