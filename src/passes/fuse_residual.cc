#include <algorithm>

#include "passes/epilogue.h"
#include "passes/passes.h"
#include "passes/queries.h"

namespace slipway {
namespace {

/// True where `a` comes after `b`: of two producers the later one takes the sum, as its own result is the fresher in the cache.
bool ComesLater(const Graph& graph, ValueId a, ValueId b) {
  for (const NodeId id : graph.order()) {
    if (id == graph.value(a).producer) return false;
    if (id == graph.value(b).producer) return true;
  }
  return false;
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
  if (!is_free(producer)) return kNoMatch;
  if (!SameShape(graph, result, other)) return Skip{"the summands are not known to be of one shape"};
  std::vector<ValueId> inputs = producer->Inputs();
  inputs[3] = other;
  Patch patch(graph);
  patch.Replace(node.output(0), patch.Add(producer->fused_type(), std::move(inputs), producer->node->attributes, kSlipwayDomain));
  return patch;
}

}  // namespace slipway
