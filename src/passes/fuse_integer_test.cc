// Products and convolutions of bytes: what exporters and quantizers take apart is put together.
#include "passes/testing.h"

namespace slipway {
namespace {

using testing::CheckPasses;

const PassOptions kLevel2 = {.level = 2};

ValueId Bytes(GraphBuilder& b, Shape shape, bool is_signed = true) {
  Tensor t(is_signed ? DType::kInt8 : DType::kUint8, std::move(shape));
  for (int64_t i = 0; i < t.size(); ++i) t.data<uint8_t>()[i] = static_cast<uint8_t>(i * 37);
  return b.Constant(t);
}
ValueId Zero(GraphBuilder& b, Shape shape, int8_t value) {
  Tensor t(DType::kInt8, std::move(shape));
  std::fill_n(t.data<int8_t>(), t.size(), value);
  return b.Constant(t);
}
const Attributes kToFloat = {{"to", static_cast<int64_t>(DType::kFloat)}};

/// MatMulInteger of a quantized x and bytes, as float, times both scales.
ValueId Product(GraphBuilder& b, ValueId x, Shape weights, ValueId scale, ValueId zero) {
  const auto q = b.AddMany("DynamicQuantizeLinear", {x}, 3);
  const ValueId sums = b.Add("MatMulInteger", {q[0], Bytes(b, std::move(weights)), q[2], zero});
  return b.Add("Mul", {b.Add("Cast", {sums}, kToFloat), b.Add("Mul", {q[1], scale})});
}

TEST(FuseMatMulInteger, ScaleBiasResidualActivation) {
  CheckPasses(
      {
          {"one scale, bias and activation",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {Dim::Symbol("batch"), 8});
             const ValueId y = Product(b, x, {8, 5}, b.Scalar(0.01f), Zero(b, {}, 0));
             const ValueId sum = b.Add("Add", {y, b.Floats({5}, {1, 2, 3, 4, 5})});
             b.Output(b.Add("Relu", {sum}), "y");
           },
           {"DynamicQuantizeLinear", "FusedMatMulInteger"}},
          {"a scale for each column, residual",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {2, 3, 8}), r = b.Input("r", {2, 3, 3});
             const ValueId y = Product(b, x, {8, 3}, b.Floats({3}, {0.01f, 0.02f, 0.03f}), Zero(b, {3}, 4));
             b.Output(b.Add("Add", {y, r}), "y");
           },
           {"DynamicQuantizeLinear", "FusedMatMulInteger"}},
          {"a scale for each row",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {2, 8});
             const ValueId y = Product(b, x, {8, 3}, b.Floats({2, 1}, {0.01f, 0.02f}), Zero(b, {}, 0));
             b.Output(y, "y");
           },
           {"DynamicQuantizeLinear", "MatMulInteger", "Cast", "Mul", "Mul"}},
          {"integers that are an output",
           [](GraphBuilder& b) {
             const auto q = b.AddMany("DynamicQuantizeLinear", {b.Input("x", {2, 8})}, 3);
             const ValueId sums = b.Add("MatMulInteger", {q[0], Bytes(b, {8, 3}), q[2]});
             b.Output(b.Add("Mul", {b.Add("Cast", {sums}, kToFloat), q[1]}), "y");
             b.Output(sums, "sums");
           },
           {"DynamicQuantizeLinear", "MatMulInteger", "Cast", "Mul"}},
          {"convolution with bias",
           [](GraphBuilder& b) {
             const auto q = b.AddMany("DynamicQuantizeLinear", {b.Input("x", {1, 2, 5, 5})}, 3);
             const ValueId sums = b.Add("ConvInteger", {q[0], Bytes(b, {3, 2, 3, 3}), q[2]});
             const ValueId scale = b.Add("Mul", {q[1], b.Floats({3, 1, 1}, {0.01f, 0.02f, 0.03f})});
             const ValueId y = b.Add("Mul", {b.Add("Cast", {sums}, kToFloat), scale});
             b.Output(b.Add("Relu", {b.Add("Add", {y, b.Floats({1, 3, 1, 1}, {1, 2, 3})})}), "y");
           },
           {"DynamicQuantizeLinear", "FusedConvInteger"}},
      },
      kLevel2);
}

/// x in bytes and back.
ValueId Rounded(GraphBuilder& b, ValueId x) {
  const ValueId scale = b.Scalar(0.02f), zero = b.Constant(Tensor::From<uint8_t>({}, {100}));
  return b.Add("DequantizeLinear", {b.Add("QuantizeLinear", {x, scale, zero}), scale, zero});
}
ValueId Weights(GraphBuilder& b, Shape shape, const std::vector<float>& scales, int64_t axis) {
  const Shape many = scales.size() == 1 ? Shape{} : Shape{static_cast<int64_t>(scales.size())};
  return b.Add("DequantizeLinear", {Bytes(b, std::move(shape)), b.Floats(many, scales), Zero(b, many, 3)},
               {{"axis", axis}});
}

TEST(FuseDequantize, ProductsAndConvolutions) {
  CheckPasses(
      {
          {"MatMul",
           [](GraphBuilder& b) {
             const ValueId x = Rounded(b, b.Input("x", {2, 3, 8}));
             b.Output(b.Add("MatMul", {x, Weights(b, {8, 3}, {0.01f, 0.02f, 0.03f}, 1)}), "y");
           },
           {"QuantizeLinear", "FusedMatMulInteger"}},
          {"Gemm",
           [](GraphBuilder& b) {
             const ValueId x = Rounded(b, b.Input("x", {4, 8}));
             const ValueId w = Weights(b, {3, 8}, {0.01f, 0.02f, 0.03f}, 0);
             b.Output(b.Add("Gemm", {x, w, b.Floats({3}, {1, 2, 3})}, {{"transB", int64_t{1}}}), "y");
           },
           {"QuantizeLinear", "FusedMatMulInteger"}},
          {"scales along the rows",
           [](GraphBuilder& b) {
             const ValueId x = Rounded(b, b.Input("x", {4, 2}));
             b.Output(b.Add("MatMul", {x, Weights(b, {2, 3}, {0.01f, 0.02f}, 0)}), "y");
           },
           {"QuantizeLinear", "DequantizeLinear", "DequantizeLinear", "MatMul"}},
          {"Conv",
           [](GraphBuilder& b) {
             const ValueId x = Rounded(b, b.Input("x", {1, 2, 6, 5}));
             const ValueId w = Weights(b, {3, 2, 3, 3}, {0.01f, 0.02f, 0.03f}, 0);
             b.Output(b.Add("Conv", {x, w, b.Floats({3}, {1, 2, 3})}, {{"pads", std::vector<int64_t>{1, 1, 1, 1}}}),
                      "y");
           },
           {"QuantizeLinear", "FusedConvInteger"}},
      },
      kLevel2);
}

}  // namespace
}  // namespace slipway
