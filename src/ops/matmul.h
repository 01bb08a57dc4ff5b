#pragma once

#include "kernels/epilogue.h"
#include "ops/packed_weights.h"

namespace slipway {

/// One product of m x k and k x n for each of `batch`; a vector counts as a matrix of one row or column.
struct ProductSizes {
  Shape a, b, out;  ///< with at least two axes each
  int64_t m = 1, n = 1, k = 1, batch = 1;

  ProductSizes(const Shape& a, const Shape& b, bool trans_a, bool trans_b);
  /// One B meets all rows of A: then the product is a single one, of batch * m rows.
  bool one_b() const { return b.SizeTo(b.rank() - 2) == 1 && a.SizeTo(a.rank() - 2) == batch; }
};

/// Elements from the first matrix of an operand, of `matrix` elements each, to that for the `batch`-th of the output.
int64_t MatrixOffset(const Shape& shape, const Shape& out, int64_t batch, int64_t matrix);

/// The shape of inputs a and b's product; Fail()s where they do not meet.
SymbolicShape ProductShape(const InferContext& c, int a, int b, bool trans_a = false, bool trans_b = false);

/// Y = A B over the last two axes, the ones before them broadcast, each operand's last two exchanged where asked.
/// Shared by MatMul, FusedMatMul and Gemm.
class MatrixProduct {
 public:
  bool trans_a = false;
  bool trans_b = false;

  /// The shape of the product; Fail()s where the operands do not meet.
  SymbolicShape Infer(const InferContext& c) const;
  /// Packs a float B of two axes.
  bool Prepack(const Tensor& b, const kernels::Packing& packing);
  /// y = epilogue(a b) in float. c is asked for scratch memory where A is transposed.
  void RunFloat(RunContext& c, const Tensor& a, const Tensor& b, Tensor& y, const kernels::Epilogue& epilogue) const;
  /// y = a b in double or an integer type; integers wrap round.
  void RunPlain(RunContext& c, const Tensor& a, const Tensor& b, Tensor& y) const;

 private:
  void RunDouble(RunContext& c, const Tensor& a, const Tensor& b, Tensor& y) const;
  template <class T>
  void RunTyped(RunContext& c, const Tensor& a, const Tensor& b, Tensor& y) const;

  std::shared_ptr<LazyWeights> packed_;
};

}  // namespace slipway
