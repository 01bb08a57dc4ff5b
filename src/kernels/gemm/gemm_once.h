#pragma once

#include <cstdint>
#include <optional>

#include "kernels/epilogue.h"
#include "thread/pool.h"

namespace slipway::kernels {

/// c[m, n] (rows ldc apart) = epilogue(a[m, k] (rows lda apart) x b) for a b that is multiplied but once and comes from
/// memory, or from a file; its element (i, j) lies at b[i * row_stride + j * col_stride], one of the two strides
/// being 1. Some columns at a time are packed in scratch memory that threads keep, and multiplied while they are in the
/// cache. The result is Gemm's with the same b packed; `strassen` as in PackedMatrix.
void GemmOnce(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t row_stride,
              int64_t col_stride, float* c, int64_t ldc, const Epilogue& epilogue, const Threads& threads,
              std::optional<bool> strassen = {});

/// How many of n columns, k long, are best packed at a time: they fit a core's cache, are a multiple of every panel's
/// width, and give `threads` threads the same to do. n where the whole is as little.
int64_t ColumnsAtOnce(int64_t k, int64_t n, int threads);

}  // namespace slipway::kernels
