#include "passes/apply.h"
#include "passes/passes.h"

namespace slipway {
namespace {

/// A captured constant becomes one inside; what no subgraph reads is captured no more.
int TidyCaptures(Graph& graph, NodeId id) {
  Node& node = graph.node(id);
  std::vector<Graph*> subs;
  for (auto& [name, attribute] : node.attributes) {
    if (auto* sub = std::get_if<std::shared_ptr<Graph>>(&attribute)) subs.push_back(sub->get());
  }
  std::vector<bool> keep(node.captures.size());
  bool all = true;
  for (size_t i = 0; i < node.captures.size(); ++i) {
    const Tensor* constant = graph.Constant(node.captures[i]);
    for (Graph* sub : subs) {
      const ValueId inside = sub->captures[i];
      if (inside == kNone) continue;
      if (constant) {
        sub->MakeConstant(inside, *constant);
      } else if (!sub->value(inside).users.empty() || sub->IsOutput(inside)) {
        keep[i] = true;
      }
    }
    all = all && keep[i];
  }
  if (all) return 0;
  // The node is put back with fewer captures, so that users stay linked.
  Node copy = node;
  size_t kept = 0;
  for (size_t i = 0; i < keep.size(); ++i) {
    if (!keep[i]) continue;
    copy.captures[kept] = copy.captures[i];
    for (Graph* sub : subs) sub->captures[kept] = sub->captures[i];
    ++kept;
  }
  copy.captures.resize(kept);
  for (Graph* sub : subs) sub->captures.resize(kept);
  graph.AddNode(std::move(copy), id);
  graph.RemoveNode(id);
  return 1;
}

}  // namespace

/// Removes nodes that nothing uses, and captures that no subgraph reads.
int EliminateDeadCode(Graph& graph, SweepContext&) {
  int changes = 0;
  const std::vector<NodeId> order = graph.order();
  for (size_t i = order.size(); i-- > 0;) {
    if (graph.alive(order[i])) changes += RemoveUnused(graph, order[i]);
  }
  for (const NodeId id : order) {
    if (graph.alive(id) && !graph.node(id).captures.empty()) changes += TidyCaptures(graph, id);
  }
  return changes;
}

}  // namespace slipway
