#include "graph/graph.h"

#include <algorithm>
#include <unordered_set>

#include <fmt/format.h>

namespace slipway {

namespace {

/// Searches from the back: a graph that is being built changes there, and must not take quadratic time.
std::vector<int32_t>::iterator LastOf(std::vector<int32_t>& list, int32_t wanted) {
  return std::find(list.rbegin(), list.rend(), wanted).base() - 1;
}

}  // namespace

std::string Type::ToString() const {
  switch (kind) {
    case Kind::kTensor:
      return fmt::format("{} {}", Name(elem), shape.ToString());
    case Kind::kSequence:
      return fmt::format("seq({})", element->ToString());
    case Kind::kOptional:
      return fmt::format("optional({})", element->ToString());
    case Kind::kMap:
      return fmt::format("map({}, {})", Name(elem), element->ToString());
  }
  return "?";
}

std::string Node::Describe(const Graph& graph) const {
  const std::string_view dot = domain.empty() ? "" : ".";
  std::string shown = name;
  for (size_t i = 0; shown.empty() && i < outputs.size(); ++i) {
    if (outputs[i] != kNone) shown = graph.value(outputs[i]).name;
  }
  return fmt::format("node '{}' ({}{}{})", shown, domain, dot, op_type);
}

ValueId Graph::AddValue(std::string value_name, Type type) {
  values_.push_back({.name = std::move(value_name), .type = std::move(type)});
  return static_cast<ValueId>(values_.size() - 1);
}

ValueId Graph::AddConstant(std::string value_name, Tensor value) {
  const ValueId id = AddValue(std::move(value_name), Type::TensorOf(value.dtype(), SymbolicShape(value.shape())));
  values_[id].constant = std::move(value);
  return id;
}

NodeId Graph::AddNode(Node node, NodeId before) {
  const auto id = static_cast<NodeId>(nodes_.size());
  nodes_.push_back(std::make_unique<Node>(std::move(node)));
  if (before == kNone) {
    order_.push_back(id);
  } else {
    order_.insert(LastOf(order_, before), id);
  }
  Link(id);
  return id;
}

void Graph::Link(NodeId id) {
  const Node& n = *nodes_[id];
  for (ValueId v : n.inputs) {
    if (v != kNone) values_[v].users.push_back(id);
  }
  for (ValueId v : n.captures) values_[v].users.push_back(id);
  for (ValueId v : n.outputs) {
    if (v != kNone) values_[v].producer = id;
  }
}

void Graph::Unlink(NodeId id) {
  const Node& n = *nodes_[id];
  auto drop = [&](ValueId v) {
    if (v == kNone) return;
    auto& users = values_[v].users;
    users.erase(LastOf(users, id));
  };
  std::for_each(n.inputs.begin(), n.inputs.end(), drop);
  std::for_each(n.captures.begin(), n.captures.end(), drop);
  for (ValueId v : n.outputs) {
    if (v != kNone && values_[v].producer == id) values_[v].producer = kNone;
  }
}

void Graph::RemoveNode(NodeId id) {
  Unlink(id);
  nodes_[id].reset();
  order_.erase(LastOf(order_, id));
}

void Graph::ReplaceUses(ValueId from, ValueId to) {
  auto users = std::move(values_[from].users);
  values_[from].users.clear();
  for (NodeId id : users) {
    Node& n = *nodes_[id];
    std::replace(n.inputs.begin(), n.inputs.end(), from, to);
    std::replace(n.captures.begin(), n.captures.end(), from, to);
    values_[to].users.push_back(id);
  }
  std::replace(outputs.begin(), outputs.end(), from, to);
}

void Graph::SetInput(NodeId node_id, size_t index, ValueId value) {
  Unlink(node_id);
  Node& n = *nodes_[node_id];
  if (n.inputs.size() <= index) n.inputs.resize(index + 1, kNone);
  n.inputs[index] = value;
  Link(node_id);
}

void Graph::MakeConstant(ValueId id, Tensor value) {
  ValueInfo& info = values_[id];
  if (info.producer != kNone) {
    auto& outs = nodes_[info.producer]->outputs;
    std::replace(outs.begin(), outs.end(), id, kNone);
    info.producer = kNone;
  }
  info.type = Type::TensorOf(value.dtype(), SymbolicShape(value.shape()));
  info.constant = std::move(value);
}

const Node* Graph::Producer(ValueId id) const {
  if (id == kNone || values_[id].producer == kNone) return nullptr;
  return nodes_[values_[id].producer].get();
}

const Tensor* Graph::Constant(ValueId id) const {
  return id != kNone && values_[id].constant ? &*values_[id].constant : nullptr;
}

bool Graph::IsOutput(ValueId id) const { return std::find(outputs.begin(), outputs.end(), id) != outputs.end(); }

bool Graph::HasOneUse(ValueId id) const {
  return values_[id].users.size() + std::count(outputs.begin(), outputs.end(), id) == 1;
}

namespace {

class Verifier {
 public:
  explicit Verifier(const Graph& graph) : graph_(graph), ready_(graph.num_values(), false) {}

  void Check() {
    for (ValueId v : graph_.inputs) Start(v, "input");
    for (ValueId v : graph_.captures) {
      if (v != kNone) Start(v, "capture");
    }
    for (size_t v = 0; v < graph_.num_values(); ++v) {
      if (graph_.value(static_cast<ValueId>(v)).constant) Start(static_cast<ValueId>(v), "constant");
    }
    for (NodeId id : graph_.order()) CheckNode(id);
    for (ValueId v : graph_.outputs) {
      if (!InRange(v) || !ready_[v]) Fail(fmt::format("graph output {} is given by nothing", NameOf(v)));
    }
  }

 private:
  [[noreturn]] static void Fail(const std::string& what) { throw Error(Code::kBadGraph, what); }
  bool InRange(ValueId v) const { return v >= 0 && static_cast<size_t>(v) < graph_.num_values(); }
  std::string NameOf(ValueId v) const { return InRange(v) ? "'" + graph_.value(v).name + "'" : fmt::format("#{}", v); }

  void Start(ValueId v, const char* kind) {
    if (!InRange(v)) Fail(fmt::format("{} {} is not a value of the graph", kind, v));
    if (ready_[v]) Fail(fmt::format("{} {} is given twice", kind, NameOf(v)));
    if (graph_.value(v).producer != kNone) Fail(fmt::format("{} {} is a node's output too", kind, NameOf(v)));
    ready_[v] = true;
  }

  void CheckNode(NodeId id) {
    const Node& n = graph_.node(id);
    auto read = [&](ValueId v) {
      if (!InRange(v) || !ready_[v])
        Fail(fmt::format("{}: reads {} before anything gives it", n.Describe(graph_), NameOf(v)));
      const auto& users = graph_.value(v).users;
      if (std::find(users.begin(), users.end(), id) == users.end()) {
        Fail(fmt::format("{}: is not listed as a user of {}", n.Describe(graph_), NameOf(v)));
      }
    };
    for (ValueId v : n.inputs) {
      if (v != kNone) read(v);
    }
    std::for_each(n.captures.begin(), n.captures.end(), read);
    for (ValueId v : n.outputs) {
      if (v == kNone) continue;
      if (!InRange(v) || ready_[v])
        Fail(fmt::format("{}: gives {}, which is given already", n.Describe(graph_), NameOf(v)));
      if (graph_.value(v).producer != id)
        Fail(fmt::format("{}: is not the producer of {}", n.Describe(graph_), NameOf(v)));
      ready_[v] = true;
    }
    for (const auto& [key, attribute] : n.attributes) {
      const auto* sub = std::get_if<std::shared_ptr<Graph>>(&attribute);
      if (!sub) continue;
      if ((*sub)->captures.size() != n.captures.size())
        Fail(fmt::format("{}: captures of '{}' do not match", n.Describe(graph_), key));
      Verify(**sub);
    }
  }

  const Graph& graph_;
  std::vector<bool> ready_;
};

}  // namespace

void Verify(const Graph& graph) { Verifier(graph).Check(); }

}  // namespace slipway
