#pragma once

#include "kernels/quant/int_gemm.h"

namespace slipway::kernels {

/// A product of bytes as the targets' code takes it. Per-column numbers have memory for whole panels.
struct IntJob {
  int64_t m;
  const ByteRows* a;
  bool a_is_signed;
  const PackedIntMatrix* b;
  const IntResult* result;
  const int32_t* add;        ///< to each column
  const int32_t* times_a;    ///< less a row's zero point times this; null: the rows' zero points are all in `add`
  const int32_t* times_sum;  ///< less a row's sum times this; null: zero
};

}  // namespace slipway::kernels
