#include "ops/quant_ops.h"
#include "ops/conv_shape.h"
#include "ops/int_conv.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

constexpr TypeSet kBytes = {DType::kInt8, DType::kUint8};

void ExpectOne(const InferContext& c, int i) {
  if (c.Has(i) && c.HasRank(i) && Product(c.Shape(i), 0, c.Shape(i).rank()).Differs(Dim(1)))
    c.Fail("{} has shape {}, but must be one number.", c.InputName(i), c.Shape(i).ToString());
}

/// One number, or one for each output channel of the weights.
void ExpectPerChannel(const InferContext& c, int i, int w) {
  if (!c.Has(i) || !c.HasRank(i) || !c.HasRank(w) || c.Shape(w).rank() < 1) return;
  const SymbolicShape& z = c.Shape(i);
  const Dim count = Product(z, 0, z.rank());
  if (z.rank() > 1 || (count.Differs(Dim(1)) && count.Differs(c.Shape(w)[0])))
    c.Fail("{} has shape {}, but must be one number or one for each of {} output channels.", c.InputName(i),
           z.ToString(), c.Shape(w)[0].ToString());
}

}  // namespace

/// The convolution of 8-bit integers less their zero points. ONNX ConvInteger, since 10.
struct ConvInteger {
  IntConv conv;
  static ConvInteger Parse(const Attributes& a) { return {IntConv::Parse(a)}; }

  void Infer(InferContext& c) const {
    c.ExpectElem(1, kBytes);
    if (c.Has(2)) c.ExpectSameElem(2, 0);
    if (c.Has(3)) c.ExpectSameElem(3, 1);
    ExpectOne(c, 2);
    ExpectPerChannel(c, 3, 1);
    c.Out(0, DType::kInt32, ConvOutput(c, conv.window, conv.group, false, 1));
  }
  bool Prepack(int input, const InferContext& c, const Threads& threads) {
    return input == 1 && conv.Prepack(*c.Constant(1), threads);
  }
  void Run(RunContext& c) const {
    conv.Run(c, c.In(0), c.In(1), c.Has(2) ? &c.In(2) : nullptr, c.Has(3) ? &c.In(3) : nullptr, c.Out(0), {});
  }
};
const OpDef kConvInteger = Define<ConvInteger>(
    {.name = "ConvInteger", .since = 10, .min_inputs = 2, .max_inputs = 4, .types = {DType::kInt8, DType::kUint8}});

/// A quantized convolution: saturate(round((sum + bias) * x_scale * w_scale / y_scale) + y_zero_point), ties to even.
/// ONNX QLinearConv, since 10; com.microsoft's adds channels_last.
struct QLinearConv {
  IntConv conv;
  static QLinearConv Parse(const Attributes& a) { return {IntConv::Parse(a)}; }

  void Infer(InferContext& c) const {
    for (const int i : {3, 7}) c.ExpectElem(i, kBytes);
    for (const int i : {1, 4, 6}) c.ExpectElem(i, {DType::kFloat});
    c.ExpectSameElem(2, 0);
    c.ExpectSameElem(5, 3);
    for (const int i : {1, 2, 6, 7}) ExpectOne(c, i);
    for (const int i : {4, 5}) ExpectPerChannel(c, i, 3);
    if (c.Has(8)) {
      c.ExpectElem(8, {DType::kInt32});
      CheckConvBias(c, 8, 3);
    }
    c.Out(0, c.Elem(7), ConvOutput(c, conv.window, conv.group, conv.channels_last, 3));
  }
  bool Prepack(int input, const InferContext& c, const Threads& threads) {
    return input == 3 && conv.Prepack(*c.Constant(3), threads);
  }
  void Run(RunContext& c) const {
    if (c.Out(0).size() == 0) return;
    std::vector<float> scales(c.In(4).size());
    const float x_scale = *c.In(1).data<float>(), y_scale = *c.In(6).data<float>();
    for (size_t i = 0; i < scales.size(); ++i) scales[i] = x_scale * c.In(4).data<float>()[i] / y_scale;
    const bool is_signed = c.In(7).dtype() == DType::kInt8;
    conv.Run(c, c.In(0), c.In(3), &c.In(2), &c.In(5), c.Out(0),
             {.kind = is_signed ? kernels::IntResult::Kind::kInt8 : kernels::IntResult::Kind::kUint8,
              .bias = c.Has(8) ? c.In(8).data<int32_t>() : nullptr,
              .scale = {scales.data(), scales.size() > 1},
              .zero = ToInt32s(&c.In(7))[0]});
  }
};
const OpDef kQLinearConv =
    Define<QLinearConv>({.name = "QLinearConv", .since = 10, .min_inputs = 8, .max_inputs = 9, .types = kBytes});
const OpDef kMicrosoftQLinearConv = Define<QLinearConv>(
    {.name = "QLinearConv", .domain = kMicrosoftDomain, .min_inputs = 8, .max_inputs = 9, .types = kBytes});

}  // namespace slipway
