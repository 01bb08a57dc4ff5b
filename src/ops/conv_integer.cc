#include "ops/conv_shape.h"
#include "ops/epilogue.h"
#include "ops/int_conv.h"
#include "ops/one_number.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

constexpr TypeSet kBytes = {DType::kInt8, DType::kUint8};

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
  bool Prepack(int input, const InferContext& c, const kernels::Packing& packing) {
    return input == 1 && conv.Prepack(*c.Constant(1), packing);
  }
  void Run(RunContext& c) const {
    conv.Run(c, c.In(0), c.In(1), c.Has(2) ? &c.In(2) : nullptr, c.Has(3) ? &c.In(3) : nullptr, c.Out(0), {});
  }
};
extern const OpDef kConvInteger = Define<ConvInteger>(
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
  bool Prepack(int input, const InferContext& c, const kernels::Packing& packing) {
    return input == 3 && conv.Prepack(*c.Constant(3), packing);
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
extern const OpDef kQLinearConv =
    Define<QLinearConv>({.name = "QLinearConv", .since = 10, .min_inputs = 8, .max_inputs = 9, .types = kBytes});
extern const OpDef kMicrosoftQLinearConv = Define<QLinearConv>(
    {.name = "QLinearConv", .domain = kMicrosoftDomain, .min_inputs = 8, .max_inputs = 9, .types = kBytes});

/// A convolution of bytes as float: activation(sums * x_scale * w_scale + bias + residual), the residual of Y's shape.
/// ai.slipway FusedConvInteger.
struct FusedConvInteger {
  IntConv conv;
  kernels::Epilogue epilogue;
  static FusedConvInteger Parse(const Attributes& a) { return {IntConv::Parse(a), ParseEpilogue(a)}; }

  void Infer(InferContext& c) const {
    c.ExpectElem(1, kBytes);
    for (const int i : {2, 3}) c.ExpectElem(i, {DType::kFloat});
    for (const int i : {4, 5}) {
      if (c.Has(i)) c.ExpectSameElem(i, i - 4);
    }
    for (const int i : {2, 4}) ExpectOne(c, i);
    for (const int i : {3, 5}) ExpectPerChannel(c, i, 1);
    if (c.Has(6)) {
      c.ExpectElem(6, {DType::kFloat});
      CheckConvBias(c, 6, 1);
    }
    const SymbolicShape out = ConvOutput(c, conv.window, conv.group, false, 1);
    CheckResidual(c, 7, out);
    c.Out(0, DType::kFloat, out);
  }
  bool Prepack(int input, const InferContext& c, const kernels::Packing& packing) {
    return input == 1 && conv.Prepack(*c.Constant(1), packing);
  }
  void Run(RunContext& c) const {
    if (c.Out(0).size() == 0) return;
    std::vector<float> scales(c.In(3).data<float>(), c.In(3).data<float>() + c.In(3).size());
    for (float& s : scales) s *= *c.In(2).data<float>();
    kernels::Epilogue e = epilogue;
    if (c.Has(6)) e.bias = c.In(6).data<float>();
    // The kernel's rows are pixels; a residual in another order is added after it.
    Tensor& y = c.Out(0);
    const bool adds = c.Has(7);
    if (adds) e.activation = kernels::Activation::kNone;
    conv.Run(c, c.In(0), c.In(1), c.Has(4) ? &c.In(4) : nullptr, c.Has(5) ? &c.In(5) : nullptr, y,
             {.kind = kernels::IntResult::Kind::kFloat, .scale = {scales.data(), scales.size() > 1}, .epilogue = e});
    if (!adds) return;
    const float* residual = c.In(7).data<float>();
    float* out = y.data<float>();
    c.threads().ParallelFor(y.size(), 16384, [&](int64_t begin, int64_t end) {
      if (epilogue.activation == kernels::Activation::kNone) {
        for (int64_t i = begin; i < end; ++i) out[i] += residual[i];
      } else if (epilogue.activation == kernels::Activation::kRelu) {
        for (int64_t i = begin; i < end; ++i) out[i] = out[i] + residual[i] < 0 ? 0 : out[i] + residual[i];
      } else {
        for (int64_t i = begin; i < end; ++i) out[i] = static_cast<float>(Activate(epilogue, out[i] + residual[i]));
      }
    });
  }
};
extern const OpDef kSlipwayFusedConvInteger = Define<FusedConvInteger>(
    {.name = "FusedConvInteger", .domain = kSlipwayDomain, .min_inputs = 4, .max_inputs = 8, .types = kBytes});

}  // namespace slipway
