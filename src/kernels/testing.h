#pragma once

// What the kernels' tests share.

#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/epilogue.h"

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

/// The epilogue's activation of x, plainly.
inline double Activate(const Epilogue& e, double x) {
  const auto clip = [](double v, double low, double high) { return v < low ? low : v > high ? high : v; };
  switch (e.activation) {
    case Activation::kNone:
      return x;
    case Activation::kRelu:
      return x > 0 ? x : 0;
    case Activation::kClip:
      return clip(x, e.alpha, e.beta);
    case Activation::kLeakyRelu:
      return x < 0 ? e.alpha * x : x;
    case Activation::kGelu:
      return 0.5 * x * std::erfc(-x * M_SQRT1_2);
    case Activation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    case Activation::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case Activation::kTanh:
      return std::tanh(x);
    case Activation::kHardSwish:
      return x * clip(x / 6 + 0.5, 0, 1);
    case Activation::kHardSigmoid:
      return clip(e.alpha * x + e.beta, 0, 1);
  }
  return x;
}

}  // namespace slipway::kernels
