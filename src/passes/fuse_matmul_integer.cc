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

/// One element, or one for each channel of `like`, [n, channels, spatial...], as which it is broadcast; the same as a
/// vector then. Nothing where it is neither.
std::optional<ValueId> OneOrChannels(const Graph& graph, Patch& patch, ValueId v, ValueId like) {
  if (IsOne(graph, v)) return v;
  const Tensor* t = FloatConstant(graph, v);
  if (!t || !HasRank(graph, like)) return std::nullopt;
  const int rank = Rank(graph, like), at = t->shape().rank() - rank + 1;
  if (at < 0 || at >= t->shape().rank() || !(Dim(t->shape()[at]) == ShapeOf(graph, like)[1]) ||
      t->size() != t->shape()[at])
    return std::nullopt;
  const Tensor shared = *t;
  return patch.Constant(
      Tensor(DType::kFloat, {t->size()}, const_cast<void*>(shared.raw()), std::make_shared<const Tensor>(shared)),
      graph.value(v).name);
}

/// An integer operator's result, cast to float and used by nothing else.
const Node* FindCast(const Graph& graph, ValueId number) {
  const Node* cast = graph.Producer(number);
  if (!cast || !cast->Is("Cast") || !graph.HasOneUse(number) || !IsFloat(graph, number)) return nullptr;
  const Node* sums = graph.Producer(cast->input(0));
  return sums && (sums->Is("MatMulInteger") || sums->Is("ConvInteger")) && graph.HasOneUse(cast->input(0)) ? sums
                                                                                                           : nullptr;
}

Result FromConv(const Graph& graph, const Node& mul, const Node& conv, int side) {
  const ValueId number = mul.input(side), scale = mul.input(1 - side);
  Patch patch(graph);
  ValueId x_scale = kNone;
  std::optional<ValueId> w_scale;
  const Node* both = graph.Producer(scale);
  for (const int first : {0, 1}) {
    if (w_scale || !both || !both->Is("Mul") || !graph.HasOneUse(scale) || !IsOne(graph, both->input(first))) continue;
    x_scale = both->input(first);
    w_scale = OneOrChannels(graph, patch, both->input(1 - first), number);
  }
  if (!w_scale) {
    x_scale = patch.Constant(Tensor::From<float>({}, {1.0f}), "one");
    w_scale = OneOrChannels(graph, patch, scale, number);
  }
  if (!w_scale) return Skip{"the scale is neither one number nor the channels'"};
  std::vector<ValueId> inputs = {conv.input(0), conv.input(1), x_scale, *w_scale, conv.input(2), conv.input(3)};
  patch.Replace(mul.output(0),
                patch.Add(kFusedConvInteger, Trimmed(std::move(inputs)), conv.attributes, kSlipwayDomain));
  return patch;
}

/// Adding a number for each channel to a convolution of bytes.
Result FromConvBias(const Graph& graph, const Node& add) {
  for (const int side : {0, 1}) {
    const ValueId result = add.input(side), other = add.input(1 - side);
    const auto producer = FindOpenProducer(graph, result);
    if (!producer || producer->kind != OpenProducer::Kind::kConvInteger || producer->bias() != kNone ||
        producer->residual() != kNone || !SameShape(graph, result, add.output(0)))
      continue;
    Patch patch(graph);
    if (IsOne(graph, other)) continue;
    const auto bias = OneOrChannels(graph, patch, other, result);
    if (!bias) continue;
    std::vector<ValueId> inputs = producer->Inputs();
    inputs[producer->bias_input()] = *bias;
    patch.Replace(add.output(0),
                  patch.Add(kFusedConvInteger, Trimmed(std::move(inputs)), producer->node->attributes, kSlipwayDomain));
    return patch;
  }
  return kNoMatch;
}

}  // namespace

/// MatMulInteger and ConvInteger, cast to float and scaled, become FusedMatMulInteger and FusedConvInteger; so does
/// com.microsoft's MatMulIntegerToFloat, which has no epilogue. The arithmetic is that of the graph as written.
Result FuseMatMulInteger(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  Patch patch(graph);
  if (node.Is("MatMulIntegerToFloat", kMicrosoftDomain)) {
    patch.Replace(node.output(0), patch.Add(kFusedMatMulInteger, node.inputs, {}, kSlipwayDomain));
    return patch;
  }
  if (node.Is("Add")) return FromConvBias(graph, node);
  if (!node.Is("Mul")) return kNoMatch;
  for (const int side : {0, 1}) {
    const ValueId number = node.input(side);
    const Node* product = FindCast(graph, number);
    if (!product) continue;
    if (!SameShape(graph, number, node.output(0))) return Skip{"the scale changes the shape"};
    if (product->Is("ConvInteger")) return FromConv(graph, node, *product, side);
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
