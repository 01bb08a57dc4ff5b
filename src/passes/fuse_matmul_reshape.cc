#include "passes/epilogue.h"
#include "passes/passes.h"
#include "passes/queries.h"

namespace slipway {
namespace {

/// True where `shape` is that of `x` but for the last axis, which is `last`.
bool SameButLast(const SymbolicShape& shape, const SymbolicShape& x, const Dim& last) {
  if (shape.rank() != x.rank() || !(shape.dims().back() == last)) return false;
  for (int i = 0; i + 1 < shape.rank(); ++i) {
    if (!(shape[i] == x[i])) return false;
  }
  return true;
}

}  // namespace

/// Axes put together for a product with a matrix and taken apart after it: the fused product does with any number of
/// axes, and what follows the second Reshape comes next to it.
Result FuseMatMulReshape(const Graph& graph, NodeId id) {
  const Node& after = graph.node(id);
  if (!after.Is("Reshape")) return kNoMatch;
  const auto producer = FindOpenProducer(graph, after.input(0));
  if (!producer || producer->is_conv() || producer->residual() != kNone) return kNoMatch;
  const Node& product = *producer->node;
  const Node* before = graph.Producer(product.input(0));
  if (!before || !(before->Is("Reshape") || before->Is("Flatten"))) return kNoMatch;
  if (product.attributes.Int("transA", 0) != 0) return Skip{"the first matrix is transposed"};
  const ValueId x = before->input(0);
  if (!HasRank(graph, x) || !HasRank(graph, after.output(0)) || Rank(graph, x) < 2) return kNoMatch;
  if (Rank(graph, product.input(0)) != 2 || Rank(graph, product.input(1)) != 2) return kNoMatch;
  if (!(ShapeOf(graph, x).dims().back() == ShapeOf(graph, product.input(0))[1]))
    return Skip{"the last axis does not stay"};
  if (!SameButLast(ShapeOf(graph, after.output(0)), ShapeOf(graph, x), ShapeOf(graph, after.input(0)).dims().back())) {
    return Skip{"the axes are not known to be taken apart as they were"};
  }
  std::vector<ValueId> inputs = producer->Inputs();
  inputs[0] = x;
  Patch patch(graph);
  patch.Replace(after.output(0),
                patch.Add(producer->fused_type(), Trimmed(std::move(inputs)), product.attributes, kSlipwayDomain));
  return patch;
}

}  // namespace slipway
