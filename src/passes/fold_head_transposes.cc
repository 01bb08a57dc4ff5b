#include <array>
#include <optional>

#include "passes/passes.h"
#include "passes/queries.h"

namespace slipway {
namespace {

const std::vector<int64_t> kExchangeHeads = {0, 2, 1, 3};

/// The [batch, rows, heads, size] value that is transposed to `v`; kNone where there is none.
ValueId BeforeTranspose(const Graph& graph, ValueId v) {
  const Node* n = graph.Producer(v);
  return n && n->Is("Transpose") && n->attributes.Ints("perm") == kExchangeHeads ? n->input(0) : kNone;
}

ValueId ReshapeTo(Patch& patch, ValueId v, std::vector<int64_t> shape) {
  const auto rank = static_cast<int64_t>(shape.size());
  return patch.Add("Reshape", {v, patch.Constant(Tensor::From<int64_t>({rank}, shape), "shape")});
}

}  // namespace

/// Attention reads [batch, rows, heads * size] in place, so that no Transpose to [batch, heads, rows, size] is needed,
/// nor one back. The Reshapes and the pair of Transposes that this leaves cancel with those around them.
Result FoldHeadTransposes(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (!node.Is("Attention") || !HasRank(graph, node.input(0)) || Rank(graph, node.input(0)) != 4) return kNoMatch;
  Patch patch(graph);
  std::vector<ValueId> inputs = node.inputs;
  std::array<int64_t, 3> heads, sizes;
  for (const int i : {0, 1, 2}) {
    const ValueId rows_first = BeforeTranspose(graph, node.input(i));
    if (rows_first == kNone) return Skip{"a Transpose is not of heads and rows"};
    const SymbolicShape& shape = ShapeOf(graph, rows_first);
    if (!shape.has_rank() || !shape[2].is_const() || !shape[3].is_const()) {
      return Skip{"the number of heads or their size is not known"};
    }
    heads[i] = shape[2].value();
    sizes[i] = shape[3].value();
    if (heads[i] < 1 || sizes[i] < 1) return Skip{"there are no heads"};
    inputs[i] = ReshapeTo(patch, rows_first, {0, 0, heads[i] * sizes[i]});
  }
  Attributes attributes = node.attributes;
  attributes.Set("q_num_heads", heads[0]);
  attributes.Set("kv_num_heads", heads[1]);
  std::vector<bool> wanted;
  for (const ValueId v : node.outputs) wanted.push_back(v != kNone);
  if (wanted.empty() || !wanted[0]) return kNoMatch;
  const auto outputs = patch.AddMany("Attention", std::move(inputs), wanted, std::move(attributes));
  const ValueId rows_first = ReshapeTo(patch, outputs[0], {0, 0, heads[0], sizes[2]});
  patch.Replace(node.output(0), patch.Add("Transpose", {rows_first}, {{"perm", kExchangeHeads}}));
  for (size_t i = 1; i < outputs.size(); ++i) {
    if (wanted[i]) patch.Replace(node.outputs[i], outputs[i]);
  }
  return patch;
}

}  // namespace slipway
