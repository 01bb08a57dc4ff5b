#pragma once

#include <cstdint>

#include "kernels/gemm/gemm.h"

namespace slipway::kernels {

/// A product as the targets' code takes it: one of a and source gives the left-hand matrix.
struct GemmJob {
  int64_t m;
  const float* a;
  int64_t lda;
  const RowSource* source;
  PackedMatrix b;
  bool packed;  ///< else b.data is a matrix with these strides
  int64_t b_row_stride;
  int64_t b_col_stride;
  float* c;
  int64_t ldc;
  const Epilogue* epilogue;
  int64_t segments = 1;  ///< runs that a row of a has
  int64_t segment_stride = 0;
};

inline int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t RoundUp(int64_t a, int64_t b) { return DivideUp(a, b) * b; }

}  // namespace slipway::kernels
