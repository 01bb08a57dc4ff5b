#include <algorithm>

#include "onnx/downgrade/rules.h"

namespace slipway::onnx {
namespace {

struct Limits {
  double low, high;
};

/// What an integer type holds.
std::optional<Limits> LimitsOf(DType type) {
  switch (type) {
    case DType::kInt8:
      return Limits{-128, 127};
    case DType::kUint8:
      return Limits{0, 255};
    case DType::kInt16:
      return Limits{-32768, 32767};
    case DType::kUint16:
      return Limits{0, 65535};
    case DType::kInt4:
      return Limits{-8, 7};
    case DType::kUint4:
      return Limits{0, 15};
    case DType::kInt2:
      return Limits{-2, 1};
    case DType::kUint2:
      return Limits{0, 3};
    default:
      return std::nullopt;
  }
}

/// The byte-sized type in which an integer of 2 or 4 bits is kept by opsets that lack it.
DType Held(DType type) {
  if (type == DType::kInt4 || type == DType::kInt2) return DType::kInt8;
  if (type == DType::kUint4 || type == DType::kUint2) return DType::kUint8;
  return type;
}

bool OneScale(Rewrite& r, ValueId scale) {
  const auto shape = r.HasRank(scale) ? r.g.value(scale).type.shape.Concrete() : std::nullopt;
  return shape && shape->size() == 1 && shape->rank() <= 1;
}

/// A scale or zero point in the axes of x: a number, one an axis, or one a block.
ValueId Spread(Rewrite& r, ValueId v, ValueId x) {
  if (v == kNone || OneScale(r, v)) return v == kNone || r.Rank(v) == 0 ? v : r.ReshapeBy(v, r.Ints({}));
  const int64_t rank = r.Rank(x);
  const int64_t block = r.attributes().Int("block_size", 0), axis = r.Axis(x, r.attributes().Int("axis", 1));
  if (block == 0) {
    std::vector<int64_t> others;
    for (int64_t i = axis + 1; i < rank; ++i) others.push_back(i - axis);
    return r.Rank(v) != 1 || others.empty() ? v : r.Unsqueeze(v, others);
  }
  const ValueId blocks = r.Div(r.Count(r.SizeOf(x, axis)), r.Ints({block}));
  return r.Op("Gather", {v, blocks}, {{"axis", axis}});
}

/// A constant of a type that the opset lacks, in the type that holds it.
ValueId Widened(Rewrite& r, ValueId v) {
  const DType type = r.Elem(v), held = Held(type);
  if (held == type || Takes("Cast", r.target, type)) return v;
  const Tensor* t = r.g.Constant(v);
  if (!t) return v;
  // Small integers take a byte each in memory, with their sign.
  return r.Constant(Tensor(held, t->shape(), const_cast<void*>(t->raw()), t->keep()));
}

/// The values that follow from a value by moving it about get its new type.
void Retype(Rewrite& r, ValueId v, DType to) {
  static constexpr std::string_view kMoves[] = {"Reshape", "Transpose", "Identity", "Squeeze", "Unsqueeze",
                                                "Flatten", "Slice",     "Gather",   "Concat"};
  if (r.g.IsOutput(v))
    r.Fail(fmt::format("'{}' is an output of a type that this opset does not have.", r.g.value(v).name));
  r.g.value(v).type.elem = to;
  for (NodeId user : r.g.value(v).users) {
    const Node& n = r.g.node(user);
    if (n.Is("DequantizeLinear")) continue;
    if (std::find(std::begin(kMoves), std::end(kMoves), n.op_type) == std::end(kMoves))
      r.Fail(fmt::format("'{}' is of a type that this opset does not have.", r.g.value(v).name));
    if (r.g.value(n.output(0)).type.elem != to) Retype(r, n.output(0), to);
  }
}

/// (x - zero point) * scale in floats.
void Dequantize(Rewrite& r) {
  const ValueId x = Widened(r, r.In(0));
  const DType scale_type = r.Elem(r.In(1));
  const auto type = static_cast<DType>(r.attributes().Int("output_dtype", static_cast<int64_t>(scale_type)));
  const DType given = type == DType::kUndefined ? scale_type : type;
  const DType wide = given == DType::kDouble ? given : DType::kFloat;
  ValueId y = r.Cast(x, wide);
  if (r.Has(2)) y = r.Sub(y, r.Cast(Spread(r, Widened(r, r.In(2)), x), wide));
  r.Become({r.Cast(r.Mul(y, r.Cast(Spread(r, r.In(1), x), wide)), given)});
}

/// The type that QuantizeLinear gives.
DType QuantizedType(Rewrite& r) {
  const auto named = static_cast<DType>(r.attributes().Int("output_dtype", 0));
  if (named != DType::kUndefined) return named;
  return r.Has(2) ? r.Elem(r.In(2)) : DType::kUint8;
}

/// round(x / scale) + zero point, clipped.
void Quantize(Rewrite& r) {
  const DType type = QuantizedType(r), held = Takes("Cast", r.target, type) ? type : Held(type);
  const auto limits = LimitsOf(type);
  if (!limits) r.Fail(fmt::format("quantizing to {} came later.", Name(type)));
  const ValueId x = r.In(0);
  const auto asked = static_cast<DType>(r.attributes().Int("precision", 0));
  DType wide = asked != DType::kUndefined ? asked : r.Elem(r.In(1));
  if (wide != DType::kDouble) wide = DType::kFloat;
  ValueId y = r.Op("Round", {r.Div(r.Cast(x, wide), r.Cast(Spread(r, r.In(1), x), wide))});
  if (r.Has(2)) y = r.Add(y, r.Cast(Spread(r, Widened(r, r.In(2)), x), wide));
  y = r.Op("Clip", {y, r.Num(limits->low, wide), r.Num(limits->high, wide)});
  if (held != type) Retype(r, r.node().output(0), held);
  r.Become({r.Cast(y, held)});
}

}  // namespace

void DequantizeByProduct(Rewrite& r) { Dequantize(r); }

/// Results of another type than the scales'.
void DequantizeTypes(Rewrite& r) {
  const auto type = static_cast<DType>(r.attributes().Int("output_dtype", 0));
  if (type == DType::kUndefined || type == r.Elem(r.In(1))) return r.attributes().Remove("output_dtype");
  Dequantize(r);
}

/// Before opset 21 there were no blocks, and integers of one or four bytes.
void DequantizeBlocks(Rewrite& r) {
  const DType type = r.Elem(r.In(0));
  if (r.attributes().Int("block_size", 0) != 0 || type == DType::kInt16 || type == DType::kUint16) return Dequantize(r);
  r.attributes().Remove("block_size");
  for (size_t i : {0, 2}) {
    if (r.Has(i)) r.g.SetInput(r.id, i, Widened(r, r.In(i)));
  }
  const DType scale = r.Elem(r.In(1));
  if (r.target < 19 && scale != DType::kFloat) Dequantize(r);
}

void DequantizeAxis(Rewrite& r) {
  if (!OneScale(r, r.In(1))) return Dequantize(r);
  r.attributes().Remove("axis");
}

/// `output_dtype` was told by the zero point; the division had the precision of x.
void QuantizePrecision(Rewrite& r) {
  Attributes& a = r.attributes();
  const auto precision = static_cast<DType>(a.Int("precision", 0));
  const bool same = r.Elem(r.In(0)) == r.Elem(r.In(1));
  if (!same || (precision != DType::kUndefined && precision != r.Elem(r.In(1)))) return Quantize(r);
  a.Remove("precision");
}

void QuantizeBlocks(Rewrite& r) {
  Attributes& a = r.attributes();
  const DType type = QuantizedType(r);
  if (a.Int("block_size", 0) != 0 || (type != DType::kUint8 && type != DType::kInt8 && LimitsOf(type)))
    return Quantize(r);
  const DType x = r.Elem(r.In(0));
  if (r.target < 19 && x != DType::kFloat && x != DType::kInt32) return Quantize(r);
  if (r.Elem(r.In(1)) != x && x != DType::kInt32) return Quantize(r);
  a.Remove("block_size");
  a.Remove("output_dtype");
  if (!r.Has(2) && type != DType::kUint8) {
    const ValueId zero = r.Full(r.ShapeOf(r.In(1)), 0, type);
    r.g.SetInput(r.id, 2, zero);
  }
}

void QuantizeAxis(Rewrite& r) {
  if (!OneScale(r, r.In(1))) return Quantize(r);
  r.attributes().Remove("axis");
}

void QuantizeByRound(Rewrite& r) { Quantize(r); }

void DynamicQuantize(Rewrite& r) {
  const ValueId x = r.In(0), zero = r.Num(0, DType::kFloat), top = r.Num(255, DType::kFloat);
  const auto extreme = [&](std::string_view reduce, std::string_view op) {
    return r.Op(op, {r.Op(reduce, {x}, {{"keepdims", int64_t{0}}}), zero});
  };
  const ValueId low = extreme("ReduceMin", "Min"), high = extreme("ReduceMax", "Max");
  const ValueId scale = r.Div(r.Sub(high, low), top);
  const ValueId place = r.Op("Clip", {r.Op("Round", {r.Div(r.Sub(zero, low), scale)}), zero, top});
  const ValueId y = r.Op("Clip", {r.Add(r.Op("Round", {r.Div(x, scale)}), place), zero, top});
  r.Become({r.Cast(y, DType::kUint8), scale, r.Cast(place, DType::kUint8)});
}

}  // namespace slipway::onnx
