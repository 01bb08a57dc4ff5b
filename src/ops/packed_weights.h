#pragma once

#include <cstdlib>
#include <memory>

#include "kernels/gemm/gemm.h"
#include "ops/op.h"

namespace slipway {

/// A constant right-hand matrix in the form that the kernel reads, with its memory.
class PackedWeights {
 public:
  /// Packs [k, n], whose element (i, j) lies at b[i * row_stride + j * col_stride].
  void Pack(const float* b, int64_t k, int64_t n, int64_t row_stride, int64_t col_stride, const Threads& threads) {
    const size_t bytes = (kernels::PackedBytes(k, n) + 63) / 64 * 64;
    memory_.reset(static_cast<float*>(std::aligned_alloc(64, std::max<size_t>(bytes, 64))));
    if (!memory_) throw Error(Code::kOutOfMemory, fmt::format("no memory for {} bytes of packed weights", bytes));
    matrix_ = kernels::PackMatrix(b, k, n, row_stride, col_stride, memory_.get(), threads);
  }
  explicit operator bool() const { return memory_ != nullptr; }
  const kernels::PackedMatrix& matrix() const { return matrix_; }

 private:
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  std::unique_ptr<float, Free> memory_;
  kernels::PackedMatrix matrix_;
};

}  // namespace slipway
