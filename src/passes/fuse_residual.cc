#include <algorithm>

#include "passes/epilogue.h"
#include "passes/passes.h"
#include "passes/queries.h"

namespace slipway {
namespace {

/// True where `a` comes after `b`: of two producers the later one takes the sum, as its own result is the fresher in
/// the cache.
bool ComesLater(const Graph& graph, ValueId a, ValueId b) {
  for (const NodeId id : graph.order()) {
    if (id == graph.value(a).producer) return false;
    if (id == graph.value(b).producer) return true;
  }
  return false;
}

/// A product of two matrices under another shape, plus a value of that shape: the value is read under the product's
/// shape instead. Reshaping costs nothing.
Result ThroughReshape(const Graph& graph, const Node& add) {
  for (const int side : {0, 1}) {
    const ValueId reshaped = add.input(side), other = add.input(1 - side);
    const Node* reshape = graph.Producer(reshaped);
    if (!reshape || !reshape->Is("Reshape") || !graph.HasOneUse(reshaped)) continue;
    const auto producer = FindOpenProducer(graph, reshape->input(0));
    if (!producer || producer->is_conv() || producer->residual() != kNone) continue;
    if (!SameShape(graph, reshaped, other)) return Skip{"the summands are not known to be of one shape"};
    const SymbolicShape& flat = ShapeOf(graph, reshape->input(0));
    if (!flat.has_rank() || flat.rank() != 2 || !flat[1].is_const() || flat[1] == Dim(0)) continue;
    Patch patch(graph);
    std::vector<ValueId> inputs = producer->Inputs();
    const ValueId shape = patch.Constant(Tensor::From<int64_t>({2}, {-1, flat[1].value()}), "shape");
    inputs[producer->residual_input()] = patch.Add("Reshape", {other, shape});
    const ValueId sum =
        patch.Add(producer->fused_type(), std::move(inputs), producer->node->attributes, kSlipwayDomain);
    patch.Replace(add.output(0), patch.Add("Reshape", {sum, reshape->input(1)}, reshape->attributes));
    return patch;
  }
  return kNoMatch;
}

}  // namespace

/// Adding a value of the same shape to a convolution's or matrix product's result joins it.
Result FuseResidual(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (!node.Is("Add")) return kNoMatch;
  ValueId result = node.input(0), other = node.input(1);
  auto producer = FindOpenProducer(graph, result);
  const auto second = FindOpenProducer(graph, other);
  const auto is_free = [](const auto& p) { return p && p->residual() == kNone; };
  if (is_free(second) && (!is_free(producer) || ComesLater(graph, other, result))) {
    producer = second;
    std::swap(result, other);
  }
  if (!is_free(producer)) return ThroughReshape(graph, node);
  if (!SameShape(graph, result, other)) return Skip{"the summands are not known to be of one shape"};
  std::vector<ValueId> inputs = producer->Inputs();
  inputs[producer->residual_input()] = other;
  Patch patch(graph);
  patch.Replace(node.output(0),
                patch.Add(producer->fused_type(), std::move(inputs), producer->node->attributes, kSlipwayDomain));
  return patch;
}

}  // namespace slipway
