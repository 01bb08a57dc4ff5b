#include "passes/epilogue.h"
#include "passes/passes.h"
#include "passes/queries.h"

namespace slipway {
namespace {

/// The value has one element, whatever its rank.
bool IsOne(const Graph& graph, ValueId v) { return HasRank(graph, v) && ShapeOf(graph, v).size() == Dim(1); }

/// One element, or one for each of the last axis of `like`, as which it is broadcast.
bool IsOneOrRow(const Graph& graph, ValueId v, ValueId like) {
  if (IsOne(graph, v)) return true;
  if (!HasRank(graph, v) || !HasRank(graph, like)) return false;
  const SymbolicShape& s = ShapeOf(graph, v);
  return s.rank() > 0 && s.rank() <= Rank(graph, like) && s.dims().back() == ShapeOf(graph, like).dims().back() &&
         s.size() == s.dims().back();
}

struct Scales {
  ValueId a;
  ValueId b;
};

/// The scales of both operands in what their product is multiplied by; kNone stands for 1.
std::optional<Scales> SplitScale(const Graph& graph, ValueId scale, ValueId product) {
  const Node* mul = graph.Producer(scale);
  if (mul && mul->Is("Mul") && graph.HasOneUse(scale)) {
    for (const int side : {0, 1}) {
      const ValueId a = mul->input(side), b = mul->input(1 - side);
      if (IsOne(graph, a) && IsOneOrRow(graph, b, product)) return Scales{a, b};
    }
  }
  if (IsOne(graph, scale)) return Scales{scale, kNone};
  if (IsOneOrRow(graph, scale, product)) return Scales{kNone, scale};
  return std::nullopt;
}

}  // namespace

/// MatMulInteger, cast to float and scaled, becomes FusedMatMulInteger; so does com.microsoft's MatMulIntegerToFloat,
/// which has no epilogue. The arithmetic is that of the graph as written.
Result FuseMatMulInteger(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  Patch patch(graph);
  if (node.Is("MatMulIntegerToFloat", kMicrosoftDomain)) {
    patch.Replace(node.output(0), patch.Add(kFusedMatMulInteger, node.inputs, {}, kSlipwayDomain));
    return patch;
  }
  if (!node.Is("Mul")) return kNoMatch;
  for (const int side : {0, 1}) {
    const ValueId number = node.input(side);
    const Node* cast = graph.Producer(number);
    if (!cast || !cast->Is("Cast") || !graph.HasOneUse(number) || !IsFloat(graph, number)) continue;
    const Node* product = graph.Producer(cast->input(0));
    if (!product || !product->Is("MatMulInteger")) continue;
    if (!graph.HasOneUse(cast->input(0))) return Skip{"the integers are used elsewhere"};
    if (!SameShape(graph, number, node.output(0))) return Skip{"the scale changes the shape"};
    for (const size_t i : {size_t{2}, size_t{3}}) {
      const ValueId zero = product->input(i);
      if (zero != kNone && !(i == 2 ? IsOne(graph, zero) : IsOneOrRow(graph, zero, number)))
        return Skip{"a zero point is neither one number nor a row"};
    }
    const auto scales = SplitScale(graph, node.input(1 - side), number);
    if (!scales) return Skip{"the scale is neither one number nor a row"};
    const auto or_one = [&](ValueId v) {
      return v == kNone ? patch.Constant(Tensor::From<float>({}, {1.0f}), "one") : v;
    };
    std::vector<ValueId> inputs = {product->input(0), product->input(1), or_one(scales->a),
                                   or_one(scales->b), product->input(2), product->input(3)};
    patch.Replace(node.output(0), patch.Add(kFusedMatMulInteger, Trimmed(std::move(inputs)), {}, kSlipwayDomain));
    return patch;
  }
  return kNoMatch;
}

}  // namespace slipway
