#include "pt2/aten/shared.h"

namespace slipway::pt2 {
namespace {

/// Whole numbers of a type, from `low` to `high`, and what they stand for.
struct Grid {
  DType type;
  int64_t low, high;
  ValueId scale, zero;  // zero: float
  int64_t axis;         // of one scale each; -1: one scale
  bool stored;          // whether QuantizeLinear has the type
};

bool IsByte(DType type) { return type == DType::kInt8 || type == DType::kUint8; }

/// A number or a tensor of one element as a scalar; along an axis as a vector.
ValueId Parameter(Call& c, std::string_view name, DType type, bool vector) {
  const Operand given = c.Operand(name);
  if (given.number) return c.Scalar(*given.number, type);
  const ValueId v = c.Cast(given.tensor.id, type);
  return vector || given.tensor.rank() == 0 ? v : c.Reshape(v, given.tensor.shape, {});
}

Grid ReadGrid(Call& c, const TensorRef& x, DType type, std::string_view scale, std::string_view zero) {
  const bool vector = c.detail() == "channel";
  Grid g{.type = type,
         .low = c.Int("quant_min"),
         .high = c.Int("quant_max"),
         .scale = Parameter(c, scale, DType::kFloat, vector),
         .axis = vector ? x.Axis(c.Int("axis")) : -1,
         .stored = IsByte(type)};
  g.zero = c.Has(zero) ? Parameter(c, zero, g.stored ? type : DType::kFloat, vector) : kNone;
  return g;
}

Attributes Axis(const Grid& g) { return g.axis < 0 ? Attributes{} : Attributes{{"axis", g.axis}}; }

/// A vector along the axis against a tensor of this rank.
ValueId Along(Call& c, const Grid& g, ValueId v, int rank) {
  if (g.axis < 0) return v;
  std::vector<int64_t> rest;
  for (int i = 0; i < rank; ++i) {
    if (i != g.axis) rest.push_back(i);
  }
  return rest.empty() ? v : c.Unsqueeze(v, rest);
}

ValueId ToGrid(Call& c, const Grid& g, const TensorRef& x) {
  const ValueId v = c.Cast(x.id, DType::kFloat);
  if (g.stored) {
    const ValueId zero = g.zero != kNone ? g.zero : c.Scalar(0, g.type);
    const ValueId q = c.Add("QuantizeLinear", {v, g.scale, zero}, Axis(g));
    const bool whole = g.type == DType::kInt8 ? g.low <= -128 && g.high >= 127 : g.low <= 0 && g.high >= 255;
    return whole ? q : c.Add("Clip", {q, c.Scalar(g.low, g.type), c.Scalar(g.high, g.type)});
  }
  ValueId q = c.Add("Round", {c.Add("Div", {v, Along(c, g, g.scale, x.rank())})});
  if (g.zero != kNone) q = c.Add("Add", {q, Along(c, g, g.zero, x.rank())});
  q = c.Add("Clip", {q, c.Scalar(g.low, DType::kFloat), c.Scalar(g.high, DType::kFloat)});
  return c.Cast(q, g.type);
}

ValueId FromGrid(Call& c, const Grid& g, ValueId q, int rank) {
  if (g.stored) {
    std::vector<ValueId> inputs = {q, g.scale};
    if (g.zero != kNone) inputs.push_back(g.zero);
    return c.Add("DequantizeLinear", std::move(inputs), Axis(g));
  }
  ValueId v = c.Cast(q, DType::kFloat);
  if (g.zero != kNone) v = c.Add("Sub", {v, Along(c, g, g.zero, rank)});
  return c.Add("Mul", {v, Along(c, g, g.scale, rank)});
}

std::pair<std::string_view, std::string_view> Names(Call& c) {
  if (c.detail() == "channel") return {"scales", "zero_points"};
  return {"scale", "zero_point"};
}

/// quantized_decomposed.quantize_per_tensor and _per_channel.
void Quantize(Call& c) {
  const TensorRef x = c.Tensor("input");
  const auto [scale, zero] = Names(c);
  c.Out(ToGrid(c, ReadGrid(c, x, c.OutDtype(), scale, zero), x));
}

void Dequantize(Call& c) {
  const TensorRef x = c.Tensor("input");
  const auto [scale, zero] = Names(c);
  c.Out(FromGrid(c, ReadGrid(c, x, x.dtype, scale, zero), x.id, x.rank()));
}

/// Rounded to the grid and back, as training with quantization in mind does.
void FakeQuantize(Call& c) {
  const TensorRef x = c.Tensor("self");
  const int64_t low = c.Int("quant_min"), high = c.Int("quant_max");
  const DType type = low >= -128 && high <= 127 ? DType::kInt8
                     : low >= 0 && high <= 255  ? DType::kUint8
                                                : DType::kInt32;
  const Grid g = ReadGrid(c, x, type, "scale", "zero_point");
  if (c.Wants(1)) c.Fail("which elements were cut has no form in ONNX.");
  c.Out(0, FromGrid(c, g, ToGrid(c, g, x), x.rank()));
}

/// Scale and zero point for a tensor's own range: from its smallest to its largest element, 0 within.
void ChooseParameters(Call& c) {
  const TensorRef x = c.Tensor("input");
  const bool symmetric = c.detail() == "symmetric";
  const int64_t low = c.Int("quant_min"), high = c.Int("quant_max");
  const auto number = [&](double value) { return c.Scalar(value, DType::kFloat); };
  const ValueId v = c.Cast(x.id, DType::kFloat);
  const auto extreme = [&](std::string_view reduce, std::string_view with) {
    return c.Add(with, {c.Add(reduce, {v}, {{"keepdims", int64_t{0}}}), number(0)});
  };
  const ValueId smallest = extreme("ReduceMin", "Min"), largest = extreme("ReduceMax", "Max");
  const auto steps = static_cast<double>(high - low);
  const ValueId least = number(c.Float("eps", 0));
  if (symmetric) {
    const ValueId reach = c.Add("Max", {c.Add("Neg", {smallest}), largest});
    c.Out(0, c.Unsqueeze(c.Add("Max", {c.Add("Div", {reach, number(steps / 2)}), least}), {0}));
    // Of unsigned numbers the middle stands for 0.
    return c.Out(1, c.IntsConstant({c.Dtype("dtype") == DType::kUint8 ? 128 : 0}));
  }
  const ValueId scale = c.Add("Max", {c.Add("Div", {c.Add("Sub", {largest, smallest}), number(steps)}), least});
  const ValueId zero =
      c.Add("Sub", {number(static_cast<double>(low)), c.Add("Round", {c.Add("Div", {smallest, scale})})});
  c.Out(0, c.Unsqueeze(scale, {0}));
  const ValueId cut = c.Add("Clip", {zero, number(static_cast<double>(low)), number(static_cast<double>(high))});
  c.Out(1, c.Unsqueeze(c.Cast(cut, DType::kInt64), {0}));
}

constexpr Conversion kConversions[] = {
    {"aten.fake_quantize_per_channel_affine", FakeQuantize, "channel"},
    {"aten.fake_quantize_per_channel_affine_cachemask", FakeQuantize, "channel"},
    {"aten.fake_quantize_per_tensor_affine", FakeQuantize},
    {"aten.fake_quantize_per_tensor_affine_cachemask", FakeQuantize},
    {"quantized_decomposed.choose_qparams", ChooseParameters},
    {"quantized_decomposed.choose_qparams_symmetric", ChooseParameters, "symmetric"},
    {"quantized_decomposed.dequantize_per_channel", Dequantize, "channel"},
    {"quantized_decomposed.dequantize_per_tensor", Dequantize},
    {"quantized_decomposed.quantize_per_channel", Quantize, "channel"},
    {"quantized_decomposed.quantize_per_tensor", Quantize},
};

}  // namespace

extern const ConversionTable kQuantizeTable = {std::begin(kConversions), std::end(kConversions)};

}  // namespace slipway::pt2
