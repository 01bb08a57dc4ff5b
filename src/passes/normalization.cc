#include "passes/normalization.h"

#include <algorithm>

#include "passes/queries.h"

namespace slipway {
namespace {

/// A scale or bias of `size` elements along the last axis, as a tensor of one axis.
std::optional<Tensor> AlongLastAxis(const Graph& graph, ValueId v, int64_t size) {
  const Tensor* t = graph.Constant(v);
  if (!t || t->size() != size || t->shape().rank() == 0 || t->shape().Back(0) != size) return std::nullopt;
  return t->Reshaped({size});
}

Tensor Filled(DType type, int64_t size, float number) {
  Tensor t(type, {size});
  const auto fill = [&]<class T>() { std::fill_n(t.data<T>(), size, static_cast<T>(number)); };
  switch (type) {
    case DType::kDouble:
      fill.operator()<double>();
      break;
    case DType::kFloat16:
      fill.operator()<Float16>();
      break;
    case DType::kBFloat16:
      fill.operator()<BFloat16>();
      break;
    default:
      fill.operator()<float>();
      break;
  }
  return t;
}

}  // namespace

Result Normalization(const Graph& graph, NodeId id, const Match& match, std::initializer_list<std::string_view> means,
                     const char* op_type) {
  const ValueId x = match["x"], output = graph.node(id).output(0);
  for (const std::string_view name : means) {
    if (!ReducesLastAxis(graph, *graph.Producer(match[name]))) return Skip{"the means are not over the last axis"};
  }
  const auto epsilon = ScalarConstant(graph, match["eps"]);
  if (!epsilon) return Skip{"epsilon is not one number"};
  if (!SameShape(graph, x, output)) return Skip{"the scale or bias changes the shape"};
  const Dim& last = ShapeOf(graph, x).dims().back();
  if (!last.is_const()) return Skip{"the last axis is not a number"};
  const ValueId gamma = match["gamma"], beta = match["beta"];
  const auto scale =
      gamma == kNone ? Filled(ElemOf(graph, x), last.value(), 1) : AlongLastAxis(graph, gamma, last.value());
  const auto bias = beta == kNone ? std::nullopt : AlongLastAxis(graph, beta, last.value());
  if (!scale || (beta != kNone && !bias))
    return Skip{"the scale or bias is not one number an element of the last axis"};
  Patch patch(graph);
  std::vector<ValueId> inputs = {x, patch.Constant(*scale, "scale")};
  if (bias) inputs.push_back(patch.Constant(*bias, "bias"));
  patch.Replace(output, patch.Add(op_type, std::move(inputs),
                                  {{"axis", int64_t{-1}}, {"epsilon", static_cast<float>(*epsilon)}}));
  return patch;
}

bool MayEndNormalization(const Node& node) { return node.Is("Add") || node.Is("Mul") || node.Is("Div"); }

}  // namespace slipway
