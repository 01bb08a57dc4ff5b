#pragma once

#include <cstdint>

#include "thread/pool.h"

namespace slipway::kernels {

/// Elementwise functions of one float; alpha and beta are the parameters that ONNX gives them.
enum class UnaryOp : uint8_t {
  kAbs,
  kNeg,
  kExp,
  kLog,
  kSin,
  kCos,
  kSqrt,
  kReciprocal,
  kSquare,
  kRelu,
  kLeakyRelu,        ///< x < 0 ? alpha x : x
  kThresholdedRelu,  ///< x > alpha ? x : 0
  kElu,              ///< x < 0 ? alpha (exp(x) - 1) : x
  kSelu,             ///< x <= 0 ? beta alpha (exp(x) - 1) : beta x
  kCelu,             ///< max(0, x) + min(0, alpha (exp(x / alpha) - 1))
  kSigmoid,
  kHardSigmoid,  ///< max(0, min(1, alpha x + beta))
  kHardSwish,    ///< x * max(0, min(1, x / 6 + 1 / 2))
  kTanh,
  kErf,
  kGelu,      ///< exact, by erf
  kGeluTanh,  ///< the tanh approximation
  kSilu,      ///< x * sigmoid(alpha x): alpha is 1 for SiLU, 1.702 for the quick GELU
  kMish,      ///< x * tanh(softplus(x))
  kSoftplus,  ///< log(1 + exp(x))
  kSoftsign,  ///< x / (1 + |x|)
  kFloor,
  kCeil,
  kRound,   ///< to nearest, ties to even
  kSign,    ///< -1, 0 or 1; NaN gives NaN
  kClip,    ///< min(beta, max(alpha, x)); NaN stays
  kLinear,  ///< alpha x + beta
};

/// y[i] = op(x[i]) for i in [0, n). x may be y. NaN gives NaN.
void UnaryFloat(UnaryOp op, const float* x, float* y, int64_t n, float alpha, float beta, const Threads& threads);

}  // namespace slipway::kernels
