#pragma once

#include <memory>
#include <vector>

#include "kernels/quant/int_gemm.h"
#include "ops/matmul.h"

namespace slipway {

/// A right-hand matrix of bytes in the form that the kernel reads, with its memory.
class PackedIntWeights {
 public:
  /// Packs [k, n], whose byte (i, j) lies at b[i * row_stride + j * col_stride].
  void Pack(const void* b, bool is_signed, int64_t k, int64_t n, int64_t row_stride, int64_t col_stride,
            const kernels::Packing& packing);
  explicit operator bool() const { return block_ != nullptr; }
  const kernels::PackedIntMatrix& matrix() const { return matrix_; }

 private:
  std::shared_ptr<const std::byte> block_;
  kernels::PackedIntMatrix matrix_;
};

/// The numbers of a tensor of integers of up to 32 bits; one zero where it is left out.
std::vector<int32_t> ToInt32s(const Tensor* t);

/// Y = (A - a_zero)(B - b_zero) of 8-bit integers over the last two axes, the ones before them broadcast. A zero point
/// is one number, or one for each row of A or column of B, in all matrices or in each.
class IntProduct {
 public:
  bool trans_a = false;
  bool trans_b = false;

  /// Fail()s where the zero point (or scale) input `i` fits neither a whole operand nor its rows (columns).
  static void CheckPerLine(const InferContext& c, int i, int operand, bool rows);
  bool Prepack(const Tensor& b, const kernels::Packing& packing);
  /// `result` says what the sums become; its data, stride and zero points are set here. A row's residual is where y is.
  void Run(RunContext& c, const Tensor& a, const Tensor& b, const Tensor* a_zero, const Tensor* b_zero, Tensor& y,
           kernels::IntResult result) const;

 private:
  PackedIntWeights packed_;
};

}  // namespace slipway
