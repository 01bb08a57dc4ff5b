
#include "pt2/aten/shared.h"

namespace slipway::pt2 {
namespace {

/// torch names pads from the last axis backwards, begin and end of each.
void Pad(Call& c) {
  const TensorRef x = First(c);
  const Exprs given = c.Sizes(c.Has("pad") ? "pad" : "padding");
  if (given.empty()) return c.Out(x.id);
  std::string mode(c.detail());
  if (mode.empty()) mode = c.String("mode", "constant");
  if (mode == "replicate") mode = "edge";
  if (mode == "circular") mode = "wrap";
  Exprs pads(2 * x.shape.size(), Expr(0));
  for (size_t i = 0; i + 1 < given.size(); i += 2) {
    const size_t axis = x.shape.size() - 1 - i / 2;
    pads.at(axis) = given[i];
    pads.at(x.shape.size() + axis) = given[i + 1];
  }
  ValueId value = kNone;
  if (mode == "constant" && c.Has("value")) {
    const slipway::pt2::Operand operand = c.Operand("value");
    if (!(operand.number && operand.number->is_number() && operand.number->value() == 0))
      value = c.Use(operand, x.dtype);
  }
  c.Out(c.Add("Pad", {x.id, c.SizeVector(pads), value}, {{"mode", mode}}));
}

/// Each element less the one before it, n times.
void Difference(Call& c) {
  const TensorRef x = First(c);
  const int axis = x.Axis(c.Int("dim", -1));
  std::vector<ValueId> parts;
  for (const char* name : {"prepend", "self", "append"}) {
    const TensorRef part = std::string_view(name) == "self" ? x : c.OptionalTensor(name);
    if (part.defined()) parts.push_back(c.Cast(part.id, x.dtype));
  }
  ValueId v = parts.size() == 1 ? parts[0] : c.Concat(parts, axis);
  for (int64_t i = 0; i < c.Int("n", 1); ++i) {
    const ValueId later = c.Slice(v, axis, 1, kEnd), earlier = c.Slice(v, axis, 0, -1);
    v = x.dtype == DType::kBool ? c.Add("Xor", {later, earlier}) : c.Add("Sub", {later, earlier});
  }
  c.Out(v);
}

/// The vector product along an axis of three.
void Cross(Call& c) {
  TensorRef x = First(c), y = c.Tensor("other");
  const DType type = c.OutDtype();
  const Exprs shape = c.OutShape();
  x.id = c.Expand(c.Cast(x.id, type), x.shape, shape);
  y.id = c.Expand(c.Cast(y.id, type), y.shape, shape);
  int axis = -1;
  if (c.Has("dim") || c.detail() == "last") {
    axis = static_cast<int>(c.Int("dim", -1));
    if (axis < 0) axis += static_cast<int>(shape.size());
  } else {
    for (size_t i = 0; i < shape.size() && axis < 0; ++i) {
      if (shape[i] == Expr(3)) axis = static_cast<int>(i);
    }
  }
  if (axis < 0) c.Fail("none of its axes has size 3.");
  const auto turned = [&](ValueId v, std::vector<int64_t> order) {
    return c.Add("Gather", {v, c.IntsConstant(order)}, {{"axis", int64_t{axis}}});
  };
  const ValueId first = c.Add("Mul", {turned(x.id, {1, 2, 0}), turned(y.id, {2, 0, 1})});
  const ValueId second = c.Add("Mul", {turned(x.id, {2, 0, 1}), turned(y.id, {1, 2, 0})});
  c.Out(c.Add("Sub", {first, second}));
}

void Kronecker(Call& c) {
  TensorRef x = First(c), y = c.Tensor("other");
  const DType type = c.OutDtype();
  const size_t rank = std::max(x.shape.size(), y.shape.size());
  Exprs a = x.shape, b = y.shape;
  a.insert(a.begin(), rank - a.size(), Expr(1));
  b.insert(b.begin(), rank - b.size(), Expr(1));
  Exprs left, right, both;
  for (size_t i = 0; i < rank; ++i) {
    left.insert(left.end(), {a[i], Expr(1)});
    right.insert(right.end(), {Expr(1), b[i]});
    both.insert(both.end(), {a[i], b[i]});
  }
  const ValueId product =
      c.Add("Mul", {c.Reshape(c.Cast(x.id, type), x.shape, left), c.Reshape(c.Cast(y.id, type), y.shape, right)});
  c.Out(c.Reshape(product, both, c.OutShape()));
}

constexpr Conversion kConversions[] = {
    {"aten._pad_circular", Pad, "wrap"},
    {"aten.constant_pad_nd", Pad, "constant"},
    {"aten.cross", Cross},
    {"aten.diff", Difference},
    {"aten.kron", Kronecker},
    {"aten.linalg_cross", Cross, "last"},
    {"aten.pad", Pad},
    {"aten.reflection_pad1d", Pad, "reflect"},
    {"aten.reflection_pad2d", Pad, "reflect"},
    {"aten.reflection_pad3d", Pad, "reflect"},
    {"aten.replication_pad1d", Pad, "edge"},
    {"aten.replication_pad2d", Pad, "edge"},
    {"aten.replication_pad3d", Pad, "edge"},
};

}  // namespace

const ConversionTable kPaddingTable = {std::begin(kConversions), std::end(kConversions)};

}  // namespace slipway::pt2
