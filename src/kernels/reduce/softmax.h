#pragma once

#include <cstdint>

#include "thread/pool.h"

namespace slipway::kernels {

/// y = softmax(x), or log(softmax(x)), along the middle axis of [outer, size, inner]. x may be y. NaN in a row, a row
/// of -inf and +inf in a row give NaN, as the definition does.
void SoftmaxFloat(const float* x, float* y, int64_t outer, int64_t size, int64_t inner, bool log,
                  const Threads& threads);

}  // namespace slipway::kernels
