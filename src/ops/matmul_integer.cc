#include "ops/int_product.h"

namespace slipway {

/// The product of matrices of 8-bit integers less their zero points. ONNX MatMulInteger, since 10.
struct MatMulInteger {
  IntProduct product;

  void Infer(InferContext& c) const {
    constexpr TypeSet kBytes = {DType::kInt8, DType::kUint8};
    c.ExpectElem(1, kBytes);
    for (int i = 0; i < 2; ++i) {
      if (!c.Has(i + 2)) continue;
      c.ExpectSameElem(i + 2, i);
      IntProduct::CheckPerLine(c, i + 2, i, i == 0);
    }
    c.Out(0, DType::kInt32, ProductShape(c, 0, 1));
  }
  bool Prepack(int input, const InferContext& c, const kernels::Packing& packing) {
    return input == 1 && product.Prepack(*c.Constant(1), packing);
  }
  void Run(RunContext& c) const {
    product.Run(c, c.In(0), c.In(1), c.Has(2) ? &c.In(2) : nullptr, c.Has(3) ? &c.In(3) : nullptr, c.Out(0), {});
  }
};
extern const OpDef kMatMulInteger = Define<MatMulInteger>(
    {.name = "MatMulInteger", .since = 10, .min_inputs = 2, .max_inputs = 4, .types = {DType::kInt8, DType::kUint8}});

}  // namespace slipway
