#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "ops/infer.h"
#include "passes/apply.h"
#include "passes/layout_rules.h"
#include "passes/min_cut.h"
#include "passes/passes.h"
#include "passes/queries.h"

namespace slipway {
namespace {

/// What putting the channels of a value elsewhere costs: nothing to speak of where it is a reshape, else by its size.
/// Batches and places of unknown number are taken for 1 and 32.
int64_t RelayoutPrice(const SymbolicShape& shape) {
  if (LayoutsAgree(shape)) return 1;
  constexpr int64_t kMost = int64_t{1} << 30;
  int64_t size = 16;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const int64_t n = shape[axis].is_const() ? std::max<int64_t>(shape[axis].value(), 1) : axis == 0 ? 1 : 32;
    size = n > kMost / size ? kMost : size * n;
  }
  return size;
}

/// Decides for every node that can work either way whether it is to have the channels last, so that the Transposes left
/// are the fewest by size. A vertex of the cut is a node, on the sink's side where its channels are last.
class Chooser {
 public:
  explicit Chooser(const Graph& graph) : graph_(graph), uses_(graph.num_values()) {}

  /// The nodes that become channels last, with their rules.
  std::unordered_map<NodeId, LayoutRule> Choose() {
    bool any_wanted = false;
    for (const NodeId id : graph_.order()) any_wanted |= AddNode(id);
    if (!any_wanted && !any_to_first_) return {};
    for (const ValueId v : graph_.outputs) Use(v, MinCut::kSource);
    for (size_t v = 0; v < uses_.size(); ++v) Price(static_cast<ValueId>(v));
    const std::vector<bool> last = cut_.SinkSide();
    std::unordered_map<NodeId, LayoutRule> chosen;
    for (auto& [id, rule] : rules_) {
      if (last[vertex_.at(id)]) chosen.emplace(id, std::move(rule));
    }
    return chosen;
  }

 private:
  bool AddNode(NodeId id) {
    const Node& n = graph_.node(id);
    if (n.Is("Transpose")) {
      AddTranspose(n);
      return false;
    }
    auto rule = FindLayoutRule(graph_, n);
    for (const ValueId v : n.captures) Use(v, MinCut::kSource);
    if (!rule) {
      for (const ValueId v : n.inputs) Use(v, MinCut::kSource);
      return false;
    }
    const bool wanted = rule->wanted;
    const int vertex = wanted ? MinCut::kSink : cut_.AddVertex();
    bool last = wanted;
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      Use(n.inputs[i], rule->inputs[i] ? vertex : MinCut::kSource);
      last = last || (rule->inputs[i] && maybe_last_.contains(n.inputs[i]));
    }
    for (size_t i = 0; i < n.outputs.size(); ++i) {
      if (!rule->outputs[i] || n.outputs[i] == kNone) continue;
      given_by_[n.outputs[i]] = vertex;
      if (last) maybe_last_.insert(n.outputs[i]);
    }
    vertex_[id] = vertex;
    rules_.emplace_back(id, *std::move(rule));
    return wanted;
  }

  void AddTranspose(const Node& n) {
    if (!HasRank(graph_, n.input(0)) || Rank(graph_, n.input(0)) < 3) return;
    const int rank = Rank(graph_, n.input(0));
    const std::vector<int64_t> perm = n.attributes.Ints("perm");
    // With three axes the two are the same: what came from channels last would go back.
    if (perm == ToLast(rank) && (rank > 3 || maybe_last_.contains(n.input(0)))) return Use(n.input(0), MinCut::kSink);
    if (perm == ToFirst(rank)) {
      any_to_first_ = true;
      given_by_[n.output(0)] = MinCut::kSink;
      maybe_last_.insert(n.output(0));
      return Use(n.input(0), MinCut::kSource);
    }
    // Any other becomes one with whatever Transpose comes before it.
  }

  void Use(ValueId v, int vertex) {
    if (v != kNone) uses_[v].push_back(vertex);
  }

  void Price(ValueId v) {
    std::vector<int>& uses = uses_[v];
    std::sort(uses.begin(), uses.end());
    uses.erase(std::unique(uses.begin(), uses.end()), uses.end());
    if (uses.empty() || graph_.Constant(v) || !HasRank(graph_, v) || Rank(graph_, v) < 3) return;
    const auto given = given_by_.find(v);
    const int from = given == given_by_.end() ? MinCut::kSource : given->second;
    const int64_t price = RelayoutPrice(ShapeOf(graph_, v));
    // One Transpose serves all uses: a vertex that has to go along with any of them stands for it.
    const int to_last = cut_.AddVertex(), to_first = cut_.AddVertex();
    cut_.AddEdge(from, to_last, price);
    cut_.AddEdge(to_first, from, price);
    for (const int use : uses) {
      cut_.AddEdge(to_last, use, MinCut::kNever);
      cut_.AddEdge(use, to_first, MinCut::kNever);
    }
  }

  const Graph& graph_;
  MinCut cut_;
  std::vector<std::vector<int>> uses_;
  std::unordered_map<ValueId, int> given_by_;
  std::unordered_set<ValueId> maybe_last_;
  bool any_to_first_ = false;
  std::unordered_map<NodeId, int> vertex_;
  std::vector<std::pair<NodeId, LayoutRule>> rules_;
};

/// Turns the chosen nodes round, in order. A value keeps its id with the channels first, given by a Transpose of the
/// new one where anything still wants it so.
class Turner {
 public:
  explicit Turner(Graph& graph) : graph_(graph) {}

  void Turn(NodeId id, const LayoutRule& rule) {
    std::vector<ValueId> inputs = graph_.node(id).inputs;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (rule.inputs[i]) inputs[i] = Last(inputs[i], id);
    }
    Node node = ToChannelsLast(graph_, id, std::move(inputs));
    const std::vector<ValueId> old = graph_.node(id).outputs;
    node.outputs = old;
    for (size_t i = 0; i < old.size(); ++i) {
      if (old[i] == kNone || !rule.outputs[i]) continue;
      node.outputs[i] = graph_.AddValue(graph_.value(old[i]).name + "/channels_last");
      last_.emplace(old[i], node.outputs[i]);
    }
    const std::vector<ValueId> given = node.outputs;
    InferNode(graph_, graph_.AddNode(std::move(node), id));
    for (size_t i = 0; i < old.size(); ++i) {
      if (given[i] == old[i]) continue;
      AddRelayout(graph_, given[i], ToFirst(Rank(graph_, given[i])), id, old[i]);
      added_.push_back(graph_.value(old[i]).producer);
    }
    graph_.RemoveNode(id);
  }

  /// A Transpose of the graph's own that asks for what there is now.
  void Bypass(NodeId id) {
    const Node& n = graph_.node(id);
    const auto last = last_.find(n.input(0));
    if (!n.Is("Transpose") || last == last_.end() || graph_.IsOutput(n.output(0))) return;
    if (n.attributes.Ints("perm") != ToLast(Rank(graph_, n.input(0)))) return;
    graph_.ReplaceUses(n.output(0), last->second);
    added_.push_back(id);
  }

  void RemoveUnused() {
    for (const NodeId id : added_) {
      if (graph_.alive(id)) slipway::RemoveUnused(graph_, id);
    }
  }

 private:
  ValueId Last(ValueId v, NodeId before) {
    if (const auto known = last_.find(v); known != last_.end()) return known->second;
    const Node* producer = graph_.Producer(v);
    const int rank = Rank(graph_, v);
    const bool undone = producer && producer->Is("Transpose") && producer->attributes.Ints("perm") == ToFirst(rank);
    const ValueId last = undone ? producer->input(0) : AddRelayout(graph_, v, ToLast(rank), before);
    if (undone) added_.push_back(graph_.value(v).producer);
    return last_[v] = last;
  }

  Graph& graph_;
  std::unordered_map<ValueId, ValueId> last_;
  std::vector<NodeId> added_;
};

}  // namespace

/// Convolutions and pools work with the channels last, and so does what lies between them where that saves Transposes.
/// Each time that this changes anything there are fewer channels-first convolutions and pools, or Transposes of less in
/// all, so that it comes to an end.
int ChannelsLast(Graph& graph, SweepContext&) {
  const auto chosen = Chooser(graph).Choose();
  if (chosen.empty()) return 0;
  Turner turner(graph);
  const std::vector<NodeId> order = graph.order();
  for (const NodeId id : order) {
    if (const auto rule = chosen.find(id); rule != chosen.end()) {
      turner.Turn(id, rule->second);
    } else {
      turner.Bypass(id);
    }
  }
  turner.RemoveUnused();
  return static_cast<int>(chosen.size());
}

}  // namespace slipway
