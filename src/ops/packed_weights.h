#pragma once

#include <memory>

#include "core/memory.h"
#include "kernels/gemm/gemm.h"
#include "ops/op.h"

namespace slipway {

/// A constant right-hand matrix in the form that the kernel reads, with its memory.
class PackedWeights {
 public:
  /// Packs [k, n], whose element (i, j) lies at b[i * row_stride + j * col_stride].
  void Pack(const float* b, int64_t k, int64_t n, int64_t row_stride, int64_t col_stride,
            const kernels::Packing& packing) {
    block_ = packing.store.Block(kernels::PackedBytes(k, n), [&](std::byte* out) {
      kernels::PackMatrix(b, k, n, row_stride, col_stride, reinterpret_cast<float*>(out), packing.threads);
    });
    matrix_ = {.k = k, .n = n, .data = reinterpret_cast<const float*>(block_.get())};
  }
  explicit operator bool() const { return block_ != nullptr; }
  const kernels::PackedMatrix& matrix() const { return matrix_; }

 private:
  std::shared_ptr<const std::byte> block_;
  kernels::PackedMatrix matrix_;
};

}  // namespace slipway
