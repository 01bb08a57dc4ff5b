#include "passes/apply.h"

#include <algorithm>
#include <unordered_map>

#include "ops/infer.h"

namespace slipway {
namespace {

bool IsUsed(const Graph& graph, const Node& node) {
  return std::any_of(node.outputs.begin(), node.outputs.end(),
                     [&](ValueId v) { return v != kNone && (!graph.value(v).users.empty() || graph.IsOutput(v)); });
}

class Applier {
 public:
  Applier(Graph& graph, NodeId root, Patch patch)
      : graph_(graph), root_(root), place_(root), patch_(std::move(patch)) {}

  std::string_view Apply() {
    if (!patch_.nodes().empty() && !FindPlace()) return "the new nodes would come before what they read";
    first_new_ = static_cast<ValueId>(graph_.num_values());
    Detach();
    ids_.resize(patch_.num_new(), kNone);
    AddConstants();
    AddNodes();
    for (const Patch::Replacement& r : patch_.replacements()) Rewire(r.old_value, Real(r.with));
    for (const NodeId id : left_over_) {
      if (graph_.alive(id)) RemoveUnused(graph_, id);
    }
    return {};
  }

 private:
  /// Finds the node before which the new ones go.
  bool FindPlace() {
    const std::vector<NodeId>& order = graph_.order();
    std::vector<size_t> position(static_cast<size_t>(*std::max_element(order.begin(), order.end())) + 1);
    for (size_t i = 0; i < order.size(); ++i) position[order[i]] = i;
    for (const Patch::Replacement& r : patch_.replacements()) {
      for (const NodeId user : graph_.value(r.old_value).users) {
        if (position[user] < position[place_]) place_ = user;
      }
    }
    for (const Node& n : patch_.nodes()) {
      for (const ValueId v : n.inputs) {
        if (v == kNone || patch_.IsNew(v)) continue;
        const NodeId producer = graph_.value(v).producer;
        if (producer != kNone && position[producer] >= position[place_]) return false;
      }
    }
    return true;
  }

  /// A new node's output that replaces a value takes over its id; so the value first loses its producer.
  void Detach() {
    for (const Patch::Replacement& r : patch_.replacements()) {
      const NodeId producer = graph_.value(r.old_value).producer;
      if (producer != kNone) left_over_.push_back(producer);
      if (!patch_.IsNew(r.with) || taken_over_.contains(r.with)) continue;
      taken_over_.emplace(r.with, r.old_value);
      Orphan(r.old_value);
    }
  }

  void AddConstants() {
    for (const Patch::NewConstant& c : patch_.constants()) {
      const auto old_value = taken_over_.find(c.id);
      if (old_value != taken_over_.end()) {
        graph_.MakeConstant(old_value->second, c.value);
        Real(c.id, old_value->second);
      } else {
        Real(c.id, graph_.AddConstant(c.name, c.value));
      }
    }
  }

  void AddNodes() {
    const std::string base = BaseName();
    for (Node node : patch_.nodes()) {
      for (ValueId& v : node.inputs) v = v == kNone ? kNone : Real(v);
      for (ValueId& v : node.outputs) {
        if (v == kNone) continue;
        const auto old_value = taken_over_.find(v);
        const ValueId id = old_value != taken_over_.end()
                               ? old_value->second
                               : graph_.AddValue(base + "/" + node.op_type + "_" + std::to_string(graph_.num_values()));
        Real(v, id);
        v = id;
      }
      node.name = base;
      const bool known = FindOp(node.domain, node.op_type) != nullptr;
      const NodeId id = graph_.AddNode(std::move(node), place_);
      if (known) InferNode(graph_, id);
    }
  }

  std::string BaseName() const {
    const Node& root = graph_.node(root_);
    if (!root.name.empty()) return root.name;
    return patch_.replacements().empty() ? std::string() : graph_.value(patch_.replacements()[0].old_value).name;
  }

  void Rewire(ValueId old_value, ValueId with) {
    if (old_value == with) return;
    if (!graph_.IsOutput(old_value)) return graph_.ReplaceUses(old_value, with);
    // A graph output keeps its name: what stands in for it takes the name over where it is free to, and is copied where
    // not.
    if (const Tensor* constant = graph_.Constant(with)) return graph_.MakeConstant(old_value, *constant);
    if (graph_.value(with).producer != kNone && !graph_.IsOutput(with)) {
      graph_.ReplaceUses(old_value, with);
      return std::swap(graph_.value(old_value).name, graph_.value(with).name);
    }
    const std::vector<ValueId> outputs = graph_.outputs;
    graph_.ReplaceUses(old_value, with);
    graph_.outputs = outputs;
    Orphan(old_value);
    graph_.AddNode({.name = BaseName(), .op_type = "Identity", .inputs = {with}, .outputs = {old_value}}, root_);
  }

  void Orphan(ValueId v) {
    const NodeId producer = std::exchange(graph_.value(v).producer, kNone);
    auto& outputs = graph_.node(producer).outputs;
    std::replace(outputs.begin(), outputs.end(), v, kNone);
  }

  ValueId Real(ValueId v) const { return patch_.IsNew(v) ? ids_[v - first_new_] : v; }
  void Real(ValueId v, ValueId id) { ids_[v - first_new_] = id; }

  Graph& graph_;
  NodeId root_;
  NodeId place_;
  Patch patch_;
  ValueId first_new_ = 0;
  std::vector<ValueId> ids_;
  std::unordered_map<ValueId, ValueId> taken_over_;
  std::vector<NodeId> left_over_;
};

}  // namespace

std::string_view ApplyPatch(Graph& graph, NodeId root, Patch patch) {
  return Applier(graph, root, std::move(patch)).Apply();
}

int RemoveUnused(Graph& graph, NodeId id) {
  int removed = 0;
  std::vector<NodeId> candidates = {id};
  while (!candidates.empty()) {
    const NodeId next = candidates.back();
    candidates.pop_back();
    if (!graph.alive(next) || IsUsed(graph, graph.node(next))) continue;
    std::vector<ValueId> read = graph.node(next).inputs;
    read.insert(read.end(), graph.node(next).captures.begin(), graph.node(next).captures.end());
    graph.RemoveNode(next);
    ++removed;
    for (const ValueId v : read) {
      if (v != kNone && graph.value(v).producer != kNone) candidates.push_back(graph.value(v).producer);
    }
  }
  return removed;
}

}  // namespace slipway
