#pragma once

#include "kernels/epilogue.h"
#include "ops/packed_weights.h"

namespace slipway {

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
  struct Sizes;
  Sizes SizesOf(const Shape& a, const Shape& b) const;
  template <class T>
  void RunTyped(RunContext& c, const Tensor& a, const Tensor& b, Tensor& y) const;

  PackedWeights packed_;
};

}  // namespace slipway
