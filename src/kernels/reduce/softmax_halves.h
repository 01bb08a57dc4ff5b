#pragma once

#include <cstdint>

#include "slipway/dtypes.h"
#include "thread/pool.h"

namespace slipway::kernels {

/// x[i] = scale * x[i] rounded to float16 or bfloat16, as a float.
void ScaleInHalves(DType half, float scale, const float* x, float* y, int64_t n);

/// The softmax of each row of n floats, in place, with each step's result rounded to float16 or bfloat16, as ONNX's
/// definition by other operators has it: x - max, its exponential, their sum, the quotient. Sums are of floats, but for
/// bfloat16 rows of no more than kRoundedSums, where each addition is rounded, as NumPy does; over long rows such a sum
/// would stop growing. A row of -inf gives zeros.
void SoftmaxInHalves(DType half, float* x, int64_t rows, int64_t n);
inline constexpr int64_t kRoundedSums = 16;

/// The same of rows that are in that type.
void SoftmaxOfHalves(DType half, const void* x, void* y, int64_t rows, int64_t n, const Threads& threads);

}  // namespace slipway::kernels
