#include "kernels/epilogue.h"

#include <algorithm>
#include <cmath>

namespace slipway::kernels {

double Activate(const Epilogue& e, double x) {
  auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  switch (e.activation) {
    case Activation::kNone:
      return x;
    case Activation::kRelu:
      return x < 0 ? 0 : x;
    case Activation::kClip:
      return x < e.alpha ? e.alpha : x > e.beta ? e.beta : x;
    case Activation::kLeakyRelu:
      return x < 0 ? e.alpha * x : x;
    case Activation::kGelu:
      return x * std::erfc(-x * std::sqrt(0.5)) / 2;
    case Activation::kGeluTanh:
      return x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))) / 2;
    case Activation::kSilu:
      return x * sigmoid(x);
    case Activation::kSigmoid:
      return sigmoid(x);
    case Activation::kTanh:
      return std::tanh(x);
    case Activation::kHardSwish:
      return x * std::clamp(x / 6 + 0.5, 0.0, 1.0);
    case Activation::kHardSigmoid:
      return std::clamp(e.alpha * x + e.beta, 0.0, 1.0);
  }
  return x;
}

}  // namespace slipway::kernels
