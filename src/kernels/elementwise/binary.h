#pragma once

#include "kernels/elementwise/broadcast.h"

namespace slipway::kernels {

enum class BinaryOp : uint8_t {
  kAdd,
  kSub,
  kMul,
  kDiv,
  kMax,    ///< NaN where either is
  kMin,    ///< NaN where either is
  kPRelu,  ///< a < 0 ? a b : a
};

/// y = a op b over the plan's broadcast, as the IEEE operation gives it. y may be an operand of the output's shape.
void BinaryFloat(BinaryOp op, const BroadcastPlan& plan, const float* a, const float* b, float* y,
                 const Threads& threads);

}  // namespace slipway::kernels
