#pragma once

#include <cstdint>

namespace slipway::kernels {

/// What a matrix product or convolution does to a result before storing it, in this order.
enum class Activation : uint8_t {
  kNone,
  kRelu,
  kClip,       ///< to [alpha, beta]; Relu6 is Clip(0, 6)
  kLeakyRelu,  ///< slope alpha below 0
  kGelu,       ///< exact, by erf
  kGeluTanh,   ///< the tanh approximation
  kSilu,       ///< x * sigmoid(x)
  kSigmoid,
  kTanh,
  kHardSwish,    ///< x * clip(x / 6 + 1 / 2, 0, 1)
  kHardSigmoid,  ///< clip(alpha x + beta, 0, 1)
};

/// y = activation(scale * scales[column] * xy + bias[column] + residual[row, column])
struct Epilogue {
  float scale = 1;
  const float* bias = nullptr;      ///< one a column; null: none
  const float* residual = nullptr;  ///< shaped as the output; may be the output itself; null: none
  int64_t residual_stride = 0;      ///< elements from a row to the next
  Activation activation = Activation::kNone;
  float alpha = 0;
  float beta = 0;
  const float* scales = nullptr;  ///< one a column; null: none. Of matrix products alone

  /// What is done to the columns from `column` on.
  Epilogue From(int64_t column) const {
    Epilogue e = *this;
    if (bias != nullptr) e.bias += column;
    if (residual != nullptr) e.residual += column;
    if (scales != nullptr) e.scales += column;
    return e;
  }
};

/// The activation of one number, plainly.
double Activate(const Epilogue& e, double x);

}  // namespace slipway::kernels
