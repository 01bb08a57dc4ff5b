#pragma once

#include <cstdint>

#include "thread/pool.h"

namespace slipway::kernels {

/// A matrix of doubles whose element (i, j) lies at data[i * row_stride + j * col_stride].
struct DoubleMatrix {
  const double* data = nullptr;
  int64_t row_stride = 0;
  int64_t col_stride = 1;
};

/// c[m, n] (rows ldc apart) = a[m, k] x b[k, n]; k = 0 gives zeros. c overlaps neither. Splits over threads by itself.
void DoubleGemm(int64_t m, int64_t n, int64_t k, const DoubleMatrix& a, const DoubleMatrix& b, double* c, int64_t ldc,
                const Threads& threads);

}  // namespace slipway::kernels
