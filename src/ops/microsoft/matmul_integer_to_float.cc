#include <cmath>

#include "core/dtype_visit.h"
#include "kernels/quant/quantize.h"
#include "ops/dynamic_quantization.h"
#include "ops/epilogue.h"
#include "ops/int_product.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

constexpr TypeSet kBytes = {DType::kInt8, DType::kUint8};

/// Of input 1, which is ranked and no scalar.
Dim Columns(const InferContext& c, bool trans_b) {
  const SymbolicShape& b = c.Shape(1);
  return b[trans_b && b.rank() > 1 ? b.rank() - 2 : b.rank() - 1];
}

/// Fail()s where the input is not one number or, with `many`, one for each column of input 1.
void ExpectScale(const InferContext& c, int i, bool many, bool trans_b = false) {
  if (!c.Has(i) || !c.HasRank(i)) return;
  const SymbolicShape& s = c.Shape(i);
  const Dim count = Product(s, 0, s.rank());
  const bool column = many && c.HasRank(1) && c.Shape(1).rank() > 0 && !count.Differs(Columns(c, trans_b));
  if (count.Differs(Dim(1)) && !column)
    c.Fail("{} has shape {}, but must be one number{}.", c.InputName(i), s.ToString(),
           many ? " or one for each column" : "");
}

void ExpectBias(const InferContext& c, int i, bool trans_b = false) {
  if (!c.Has(i)) return;
  c.ExpectElem(i, {DType::kFloat});
  c.ExpectRank(i, 1, 1);
  if (c.HasRank(i) && c.HasRank(1) && c.Shape(1).rank() > 0 && c.Shape(i)[0].Differs(Columns(c, trans_b)))
    c.Fail("{} has shape {}, but the product has {} columns.", c.InputName(i), c.Shape(i).ToString(),
           Columns(c, trans_b).ToString());
}

const Tensor* Optional(const RunContext& c, int i) { return c.Has(i) ? &c.In(i) : nullptr; }

/// sums * a_scale * b_scale + bias, and what the epilogue adds, in float.
void RunScaled(RunContext& c, const IntProduct& product, const Tensor& a, const Tensor* a_zero, float a_scale,
               int b_scale, int b_zero, int bias, kernels::Epilogue epilogue) {
  const Tensor& scale = c.In(b_scale);
  std::vector<float> scales(scale.data<float>(), scale.data<float>() + scale.size());
  for (float& s : scales) s *= a_scale;
  if (c.Has(bias)) epilogue.bias = c.In(bias).data<float>();
  product.Run(
      c, a, c.In(1), a_zero, Optional(c, b_zero), c.Out(0),
      {.kind = kernels::IntResult::Kind::kFloat, .scale = {scales.data(), scales.size() > 1}, .epilogue = epilogue});
}

}  // namespace

/// A product of 8-bit matrices as float: sums * a_scale * b_scale + bias. com.microsoft MatMulIntegerToFloat;
/// ai.slipway FusedMatMulInteger adds transB, a residual of Y's shape and an activation.
struct MatMulIntegerToFloat {
  IntProduct product;
  kernels::Epilogue epilogue;

  static MatMulIntegerToFloat Parse(const Attributes& a) {
    MatMulIntegerToFloat op;
    op.epilogue = ParseEpilogue(a);
    op.product.trans_b = a.Int("transB", 0) != 0;
    return op;
  }
  void Infer(InferContext& c) const {
    c.ExpectElem(1, kBytes);
    c.ExpectElem(2, {DType::kFloat});
    c.ExpectElem(3, {DType::kFloat});
    ExpectScale(c, 2, false);
    ExpectScale(c, 3, true, product.trans_b);
    for (int i = 0; i < 2; ++i) {
      if (!c.Has(i + 4)) continue;
      c.ExpectSameElem(i + 4, i);
      ExpectScale(c, i + 4, i == 1, product.trans_b);
    }
    ExpectBias(c, 6, product.trans_b);
    const SymbolicShape out = ProductShape(c, 0, 1, false, product.trans_b);
    CheckResidual(c, 7, out);
    c.Out(0, DType::kFloat, out);
  }
  bool Prepack(int input, const InferContext& c, const kernels::Packing& packing) {
    return input == 1 && product.Prepack(*c.Constant(1), packing);
  }
  void Run(RunContext& c) const {
    kernels::Epilogue e = epilogue;
    if (c.Has(7)) e.residual = c.In(7).data<float>();
    RunScaled(c, product, c.In(0), Optional(c, 4), *c.In(2).data<float>(), 3, 5, 6, e);
  }
};
extern const OpDef kMicrosoftMatMulIntegerToFloat = Define<MatMulIntegerToFloat>(
    {.name = "MatMulIntegerToFloat", .domain = kMicrosoftDomain, .min_inputs = 4, .max_inputs = 7, .types = kBytes});
extern const OpDef kSlipwayFusedMatMulInteger = Define<MatMulIntegerToFloat>(
    {.name = "FusedMatMulInteger", .domain = kSlipwayDomain, .min_inputs = 4, .max_inputs = 8, .types = kBytes});

/// A float matrix, quantized as DynamicQuantizeLinear does it, times an 8-bit one. com.microsoft DynamicQuantizeMatMul.
struct DynamicQuantizeMatMul {
  IntProduct product;

  void Infer(InferContext& c) const {
    c.ExpectElem(1, kBytes);
    c.ExpectElem(2, {DType::kFloat});
    ExpectScale(c, 2, true);
    if (c.Has(3)) {
      c.ExpectSameElem(3, 1);
      ExpectScale(c, 3, true, product.trans_b);
    }
    ExpectBias(c, 4);
    c.Out(0, DType::kFloat, ProductShape(c, 0, 1));
  }
  bool Prepack(int input, const InferContext& c, const kernels::Packing& packing) {
    return input == 1 && product.Prepack(*c.Constant(1), packing);
  }
  void Run(RunContext& c) const {
    const Tensor& a = c.In(0);
    const DynamicScale q = ChooseScale(a, c.threads());
    auto* bytes = static_cast<uint8_t*>(c.Scratch(std::max<int64_t>(1, a.size())));
    kernels::QuantizeToBytes(a.data<float>(), a.size(), q.scale, q.zero, bytes, c.threads());
    const Tensor quantized(DType::kUint8, a.shape(), bytes);
    const Tensor zero = Tensor::From<uint8_t>({}, {q.zero});
    RunScaled(c, product, quantized, &zero, q.scale, 2, 3, 4, {});
  }
};
extern const OpDef kMicrosoftDynamicQuantizeMatMul = Define<DynamicQuantizeMatMul>({.name = "DynamicQuantizeMatMul",
                                                                                    .domain = kMicrosoftDomain,
                                                                                    .min_inputs = 3,
                                                                                    .max_inputs = 5,
                                                                                    .types = {DType::kFloat}});

}  // namespace slipway
