#include <utility>

#include "passes/epilogue.h"
#include "passes/passes.h"
#include "passes/queries.h"

namespace slipway {

/// A product with a constant matrix transposed: the kernel packs constants anyway, and reads them either way round.
Result FuseMatMulTranspose(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const bool fused = node.Is(kFusedMatMul, kSlipwayDomain);
  if (!fused && !node.Is("MatMul")) return kNoMatch;
  const Node* transpose = graph.Producer(node.input(1));
  if (!transpose || !transpose->Is("Transpose") || !FloatConstant(graph, transpose->input(0))) return kNoMatch;
  if (Rank(graph, transpose->input(0)) != 2 || !HasRank(graph, node.input(0)) || Rank(graph, node.input(0)) < 2)
    return kNoMatch;
  if (transpose->attributes.Ints("perm", {1, 0}) != std::vector<int64_t>{1, 0}) return kNoMatch;
  std::vector<ValueId> inputs = node.inputs;
  inputs[1] = transpose->input(0);
  Attributes attributes = node.attributes;
  attributes.Set("transB", int64_t{1} - node.attributes.Int("transB", 0));
  Patch patch(graph);
  patch.Replace(node.output(0), patch.Add(kFusedMatMul, std::move(inputs), std::move(attributes), kSlipwayDomain));
  return patch;
}

}  // namespace slipway
