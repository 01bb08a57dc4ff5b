#pragma once

#include "kernels/attention/attention.h"
#include "slipway/dtypes.h"

namespace slipway::kernels {

/// What half precision adds to a call. Its numbers come and go as floats that the type holds.
struct HalfSteps {
  DType type = DType::kFloat16;     ///< or bfloat16: what each step's result is rounded to
  DType softmax = DType::kFloat16;  ///< what the softmax is computed in: the same, or another float type
  float* kept = nullptr;            ///< [batch, heads, queries, keys]: the scores after `stage`; null: not wanted
  int64_t stage = 0;                ///< 0: the products, 1: softcapped, 2: masked, 3: their softmax
};

/// Attention as ONNX defines it by other operators, each of which rounds its result: queries and keys times the scale's
/// root, their products, the mask's sum, the softmax. The result is for the caller to round. Holds a tile of queries'
/// scores, all keys of them, for the greatest is wanted before the first is rounded. `sinks` and
/// `masked_rows_are_zero` are not read: such rows are zero.
void AttentionInHalves(const AttentionArgs& args, const HalfSteps& steps, const Threads& threads);

}  // namespace slipway::kernels
