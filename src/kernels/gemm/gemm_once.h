#pragma once

#include <cstdint>

#include "kernels/epilogue.h"
#include "thread/pool.h"

namespace slipway::kernels {

/// c[m, n] (rows ldc apart) = epilogue(a[m, k] (rows lda apart) x b) for a large b that is multiplied once and comes from
/// memory; its element (i, j) lies at b[i * row_stride + j * col_stride]. Some columns at a time are packed in scratch
/// memory that threads keep, and multiplied while they are in the cache.
void GemmOnce(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t row_stride,
              int64_t col_stride, float* c, int64_t ldc, const Epilogue& epilogue, const Threads& threads);

}  // namespace slipway::kernels
