#pragma once

#include "kernels/conv/pool.h"

namespace slipway::kernels {

/// MaxPool and AveragePool over images that are planes, [n * c, h, w] (shape.c is not read): a plane's rows are brought
/// together first, then the columns.
void MaxPoolPlanes(const float* x, int64_t planes, const PoolShape& shape, float* y, const Threads& threads);
void AveragePoolPlanes(const float* x, int64_t planes, const PoolShape& shape, bool count_padding, float* y,
                       const Threads& threads);

}  // namespace slipway::kernels
