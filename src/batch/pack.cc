#include "batch/pack.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "ops/evaluate.h"
#include "ops/op.h"
#include "passes/queries.h"

namespace slipway {
namespace {

constexpr int64_t kListed = -1;
constexpr size_t kMaxClasses = 12;

/// True where nothing but itself equals the size.
bool IsUnknown(const Dim& d) { return d.ToString().starts_with("?"); }
bool IsSymbol(const Dim& d) { return !d.is_const() && !IsUnknown(d) && Dim::Symbol(d.ToString()) == d; }

enum class Axes : uint8_t {
  kAsNamed,    ///< axes of inputs are the same size where they have the same name
  kAsOrdered,  ///< so are all first axes, and all second ones, whatever their names
};

/// The same graph under the same value ids, with a name for every axis of an input. Axes without a name in the file are
/// taken to agree where they stand in the same place; whoever runs the graph checks that they do.
Graph WithNamedAxes(const Graph& from, Axes axes, std::vector<NodeId>& origins) {
  std::vector<Type> given;
  bool renamed = false;
  for (const ValueId v : from.inputs) {
    given.push_back(from.value(v).type);
    SymbolicShape& shape = given.back().shape;
    for (int axis = 0; HasRank(from, v) && axis < shape.rank(); ++axis) {
      if (shape[axis].is_const() || !(IsUnknown(shape[axis]) || (axes == Axes::kAsOrdered && axis < 2))) continue;
      shape[axis] = Dim::Symbol(fmt::format("axis_{}", axis));
      renamed = true;
    }
  }
  Graph g;
  for (size_t i = 0; i < from.num_values(); ++i) {
    const auto v = static_cast<ValueId>(i);
    const Graph::ValueInfo& value = from.value(v);
    if (value.constant) {
      g.AddConstant(value.name, *value.constant);
      continue;
    }
    const auto input = std::find(from.inputs.begin(), from.inputs.end(), v);
    g.AddValue(value.name, input != from.inputs.end() ? given[input - from.inputs.begin()]
                           : renamed                  ? Type()
                                                      : value.type);
  }
  g.inputs = from.inputs;
  g.outputs = from.outputs;
  for (const NodeId id : from.order()) {
    g.AddNode(from.node(id));
    origins.push_back(id);
  }
  if (renamed) InferTypes(g);
  return g;
}

class Packer {
 public:
  Packer(const Graph& from, size_t fed, Axes axes)
      : fed_(fed), g_(WithNamedAxes(from, axes, origins_)), state_{.graph = g_} {}

  PackedGraph Pack() {
    out_.why_not = Explore();
    if (!out_.why_not.empty()) return std::move(out_);
    FindNeeded();
    SetLevels();
    Build();
    out_.why_not = Check();
    return std::move(out_);
  }

 private:
  /// How a value of the packed graph holds what a value of the original does: in a list, or in rows of a class with a
  /// number of axes.
  using Held = std::tuple<ValueId, int64_t, int>;

  bool IsConstant(ValueId v) const { return g_.Constant(v) != nullptr; }
  const RowForm* FormOf(NodeId id) const {
    const auto found = forms_.find(id);
    return found == forms_.end() ? nullptr : &found->second;
  }
  std::string NameOf(NodeId id) const { return g_.node(id).Describe(g_); }

  // ---- What runs on rows.

  std::string Explore() {
    FindClasses();
    if (state_.classes.empty()) return "no input has an axis along which requests could lie one after the other.";
    state_.of.assign(g_.num_values(), RowState::kEach);
    for (size_t v = 0; v < g_.num_values(); ++v) {
      if (IsConstant(static_cast<ValueId>(v))) state_.of[v] = RowState::kConstant;
    }
    for (const ValueId v : g_.inputs) {
      if (fed_together_.contains(v)) state_.of[v] = state_.Longest(v);
    }
    NodeId first_lost = kNone;
    for (const NodeId id : g_.order()) {
      const Node& node = g_.node(id);
      auto form = FindRowForm(state_, node);
      if (auto* found = std::get_if<RowForm>(&form)) {
        for (const ValueId v : node.outputs) {
          if (v != kNone) state_.of[v] = found->out;
        }
        forms_.emplace(id, std::move(*found));
      } else {
        reasons_[id] = std::get<std::string>(form);
      }
      if (!IsWeighty(node) || !ReadsConstant(node)) continue;
      (FormOf(id) ? out_.together : out_.in_turn) += 1;
      if (!FormOf(id) && first_lost == kNone) first_lost = id;
    }
    Tell();
    if (out_.together > 0) return {};
    if (first_lost == kNone) return "it has no products with constant weights.";
    const NodeId cause = CauseOf(first_lost);
    return fmt::format("{} runs request by request: {}.", NameOf(cause), reasons_[cause]);
  }

  bool ReadsConstant(const Node& node) const {
    return std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId v) { return g_.Constant(v); });
  }

  /// Goes up from a node that does not run on rows to the first one to blame.
  NodeId CauseOf(NodeId id) const {
    for (const ValueId v : g_.node(id).inputs) {
      if (v == kNone || state_.of[v] != RowState::kEach) continue;
      const NodeId producer = g_.value(v).producer;
      if (producer != kNone && g_.node(id).input(0) == v) return CauseOf(producer);
    }
    for (const ValueId v : g_.node(id).inputs) {
      if (v != kNone && state_.of[v] == RowState::kEach && g_.value(v).producer != kNone)
        return CauseOf(g_.value(v).producer);
    }
    return id;
  }

  void Tell() {
    for (const NodeId id : g_.order()) {
      const Node& node = g_.node(id);
      const bool reads_rows = std::any_of(node.inputs.begin(), node.inputs.end(),
                                          [&](ValueId v) { return v != kNone && state_.of[v] >= 0; });
      if (!FormOf(id) && reads_rows && !FindOp(node.domain, node.op_type)->shape_only)
        out_.apart.emplace_back(NameOf(id), reasons_[id]);
    }
  }

  void AddClass(std::vector<Dim> lead) {
    const auto same = [&](const RowClass& c) { return c.lead == lead; };
    if (state_.classes.size() >= kMaxClasses || std::any_of(state_.classes.begin(), state_.classes.end(), same)) return;
    state_.classes.push_back({std::move(lead)});
  }

  int SymbolOf(const Dim& d) {
    const std::string name = d.ToString();
    const auto found = std::find(out_.symbols.begin(), out_.symbols.end(), name);
    if (found != out_.symbols.end()) return static_cast<int>(found - out_.symbols.begin());
    out_.symbols.push_back(name);
    return static_cast<int>(out_.symbols.size()) - 1;
  }

  /// The inputs give the classes: [batch, ...], and where the second axis varies [batch, seq, ...], with both in one
  /// axis or the other way round too.
  void FindClasses() {
    for (const ValueId v : g_.inputs) {
      std::vector<int> axes;
      if (HasRank(g_, v)) {
        for (const Dim& d : ShapeOf(g_, v).dims()) axes.push_back(IsSymbol(d) ? SymbolOf(d) : -1);
      }
      out_.axes.push_back(std::move(axes));
      if (out_.axes.size() > fed_) continue;
      if (!HasRank(g_, v) || Rank(g_, v) < 1 || ElemOf(g_, v) == DType::kString) continue;
      const std::vector<Dim>& dims = ShapeOf(g_, v).dims();
      if (!IsSymbol(dims[0]) && !(dims[0].is_const() && dims[0].value() > 0)) continue;
      fed_together_.insert(v);
      AddClass({dims[0]});
      if (dims.size() < 2 || !IsSymbol(dims[1])) continue;
      AddClass({dims[0], dims[1]});
      AddClass({dims[0] * dims[1]});
      AddClass({dims[1], dims[0]});
    }
    for (const RowClass& c : state_.classes) {
      std::vector<RequestSize> sizes;
      for (const Dim& d : c.lead) sizes.push_back(SizeOf(d));
      out_.classes.push_back(std::move(sizes));
    }
  }

  RequestSize SizeOf(const Dim& d) {
    if (d.is_const()) return {.factor = d.value()};
    if (IsSymbol(d)) return {.symbols = {SymbolOf(d)}};
    for (const RowClass& c : state_.classes) {
      if (c.lead.size() != 2 || !(c.rows() == d)) continue;
      RequestSize out = SizeOf(c.lead[0]);
      const RequestSize other = SizeOf(c.lead[1]);
      out.factor *= other.factor;
      out.symbols.insert(out.symbols.end(), other.symbols.begin(), other.symbols.end());
      return out;
    }
    throw Error(Code::kRuntime, "a class of rows has a size of no known factors");
  }

  // ---- What is needed, and in which order.

  /// Calls f(input, what it is) for each value that the node reads once its form is chosen.
  template <class F>
  void ForEachRead(NodeId id, F&& f) const {
    const Node& node = g_.node(id);
    const RowForm* form = FormOf(id);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const RowInput::Kind kind = form ? form->inputs[i].kind : RowInput::Kind::kAsIs;
      if (node.inputs[i] != kNone && kind != RowInput::Kind::kGone) f(i, node.inputs[i]);
    }
  }

  void FindNeeded() {
    needed_.assign(g_.num_values(), false);
    for (const ValueId v : g_.outputs) needed_[v] = true;
    for (auto it = g_.order().rbegin(); it != g_.order().rend(); ++it) {
      if (NodeNeeded(*it)) ForEachRead(*it, [&](size_t, ValueId v) { needed_[v] = true; });
    }
  }
  bool NodeNeeded(NodeId id) const {
    const std::vector<ValueId>& outputs = g_.node(id).outputs;
    return std::any_of(outputs.begin(), outputs.end(), [&](ValueId v) { return v != kNone && needed_[v]; });
  }

  /// Nodes on rows of level l run before the requests' own nodes of level l, and those before rows of level l + 1.
  void SetLevels() {
    level_.assign(g_.num_values(), 0);
    for (const NodeId id : g_.order()) {
      if (!NodeNeeded(id)) continue;
      const bool on_rows = FormOf(id) != nullptr;
      int level = 0;
      ForEachRead(id, [&](size_t, ValueId v) {
        if (IsConstant(v) || !g_.Producer(v)) return;
        level = std::max(level, level_[v] + (on_rows && state_.of[v] == RowState::kEach ? 1 : 0));
      });
      for (const ValueId v : g_.node(id).outputs) {
        if (v != kNone) level_[v] = level;
      }
      auto& stages = on_rows ? on_rows_ : on_requests_;
      stages.resize(std::max<size_t>(stages.size(), level + 1));
      stages[level].push_back(id);
    }
  }

  // ---- The graph.

  void Build() {
    to_ = std::make_shared<Graph>();
    to_->name = g_.name;
    const Dim requests = Dim::Symbol("requests");
    int64_t columns = 0;
    std::vector<Dim> totals;
    for (const RowClass& c : state_.classes) {
      columns += c.axes();
      totals.push_back(Dim::Symbol(fmt::format("rows({})", c.rows().ToString())));
    }
    totals_ = totals;
    totals.emplace_back(0);
    AddInput("layout", Type::TensorOf(DType::kInt64, {requests, columns}));
    AddInput("totals", Type::TensorOf(DType::kInt64, totals));
    for (const ValueId v : g_.inputs) {
      const int of = state_.of[v];
      const Type type = of >= 0 ? RowsType(v, of, Rank(g_, v)) : Type::SequenceOf(WithoutShape(g_.value(v).type));
      held_[{v, of, of >= 0 ? Rank(g_, v) : 0}] = AddInput(g_.value(v).name, type);
      out_.inputs.push_back(of);
    }
    for (size_t level = 0; level < std::max(on_rows_.size(), on_requests_.size()); ++level) {
      if (level < on_rows_.size()) {
        for (const NodeId id : on_rows_[level]) AddOnRows(id);
      }
      if (level < on_requests_.size() && !on_requests_[level].empty()) AddOnRequests(on_requests_[level]);
    }
    for (const ValueId v : g_.outputs) {
      const int of = state_.of[v];
      out_.outputs.push_back(of);
      to_->outputs.push_back(IsConstant(v) ? ConstantIn(*to_, constants_, v)
                                           : held_.at({v, of, of >= 0 ? Rank(g_, v) : 0}));
    }
    out_.graph = to_;
  }

  static Type WithoutShape(Type type) {
    type.shape = {};
    return type;
  }

  ValueId AddInput(const std::string& name, Type type) {
    const ValueId v = to_->AddValue(name, std::move(type));
    to_->inputs.push_back(v);
    return v;
  }

  /// Rows of a class: what lies behind the leading axes as in the original, with ones in front where it has fewer axes.
  Type RowsType(ValueId v, int of, int rank) const {
    const int lead = state_.classes[of].axes();
    std::vector<Dim> dims(rank, Dim(1));
    dims[lead - 1] = totals_[of];
    const SymbolicShape& shape = ShapeOf(g_, v);
    for (int axis = lead; axis < rank; ++axis) {
      if (const int from = axis - (rank - shape.rank()); from >= 0) dims[axis] = shape[from];
    }
    return Type::TensorOf(ElemOf(g_, v), std::move(dims));
  }

  ValueId ConstantIn(Graph& graph, std::unordered_map<ValueId, ValueId>& known, ValueId v) const {
    const auto [it, fresh] = known.try_emplace(v, kNone);
    if (fresh) it->second = graph.AddConstant(g_.value(v).name, *g_.Constant(v));
    return it->second;
  }

  void AddOnRows(NodeId id) {
    const Node& node = g_.node(id);
    const RowForm& form = *FormOf(id);
    Node copy{.name = node.name, .op_type = node.op_type, .domain = node.domain, .attributes = node.attributes};
    if (form.target) {
      copy = {.name = node.name, .op_type = node.op_type == "Expand" ? "Expand" : "Reshape"};
    }
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId v = node.inputs[i];
      const RowInput& input = form.inputs[i];
      if (input.kind == RowInput::Kind::kRows) {
        copy.inputs.push_back(held_.at({v, form.in, input.rank}));
      } else if (input.kind == RowInput::Kind::kAsIs) {
        copy.inputs.push_back(v == kNone ? kNone : ConstantIn(*to_, constants_, v));
      }
    }
    if (form.target) {
      const Tensor target = Tensor::From<int64_t>({static_cast<int64_t>(form.target->size())}, *form.target);
      copy.inputs.push_back(to_->AddConstant(fmt::format("{}/rows", node.name), target));
    }
    for (const ValueId v : node.outputs) {
      copy.outputs.push_back(v == kNone ? kNone : to_->AddValue(g_.value(v).name));
      if (v == kNone) continue;
      held_[{v, form.out, Rank(g_, v)}] = copy.outputs.back();
      expected_.emplace_back(copy.outputs.back(), RowsType(v, form.out, Rank(g_, v)));
    }
    const NodeId added = to_->AddNode(std::move(copy));
    if (!form.target) out_.same[&to_->node(added)] = origins_[id];
  }

  /// In which ways a value that the requests' own nodes give is read elsewhere.
  std::set<Held> ReadAs(ValueId v, const std::set<NodeId>& inside) const {
    std::set<Held> ways;
    if (g_.IsOutput(v)) ways.insert({v, kListed, 0});
    for (const NodeId user : g_.value(v).users) {
      if (inside.contains(user) || !NodeNeeded(user)) continue;
      const RowForm* form = FormOf(user);
      ForEachRead(user, [&](size_t i, ValueId read) {
        if (read != v) return;
        ways.insert(form ? Held{v, form->in, form->inputs[i].rank} : Held{v, kListed, 0});
      });
    }
    return ways;
  }

  void AddOnRequests(const std::vector<NodeId>& nodes) {
    auto body = std::make_shared<Graph>();
    std::unordered_map<ValueId, ValueId> constants, values;
    Node region{.name = g_.node(nodes.back()).name, .op_type = "PerRequest", .domain = std::string(kSlipwayDomain)};
    region.inputs = {to_->inputs[0], to_->inputs[1]};
    std::vector<int64_t> in, out, source, ranks, classes;
    for (const RowClass& c : state_.classes) classes.push_back(c.axes());
    for (const NodeId id : nodes) {
      Node copy = g_.node(id);
      for (ValueId& v : copy.inputs) {
        if (v == kNone) continue;
        if (IsConstant(v)) {
          v = ConstantIn(*body, constants, v);
          continue;
        }
        const auto [it, fresh] = values.try_emplace(v, kNone);
        if (fresh) {
          it->second = body->AddValue(g_.value(v).name, g_.value(v).type);
          body->inputs.push_back(it->second);
          const int of = state_.of[v];
          region.inputs.push_back(held_.at({v, of, of >= 0 ? Rank(g_, v) : 0}));
          in.push_back(of >= 0 ? of : kListed);
        }
        v = it->second;
      }
      for (ValueId& v : copy.outputs) {
        if (v == kNone) continue;
        const ValueId inner = body->AddValue(g_.value(v).name, g_.value(v).type);
        values[v] = inner;
        v = inner;
      }
      const NodeId added = body->AddNode(std::move(copy));
      out_.same[&body->node(added)] = origins_[id];
    }
    const std::set<NodeId> inside(nodes.begin(), nodes.end());
    for (const NodeId id : nodes) {
      for (const ValueId v : g_.node(id).outputs) {
        if (v == kNone) continue;
        const std::set<Held> ways = ReadAs(v, inside);
        if (ways.empty()) continue;
        for (const Held& way : ways) {
          const auto [_, of, rank] = way;
          const ValueId outer = to_->AddValue(g_.value(v).name);
          held_[way] = outer;
          region.outputs.push_back(outer);
          out.push_back(of);
          ranks.push_back(rank);
          source.push_back(static_cast<int64_t>(body->outputs.size()));
        }
        body->outputs.push_back(values.at(v));
      }
    }
    region.attributes = {{"body", body}, {"classes", classes}, {"in", in},
                         {"out", out},   {"source", source},   {"ranks", ranks}};
    to_->AddNode(std::move(region));
  }

  /// The rows that each node gives must be those of the requests, by its own shape rule: "" where they are.
  std::string Check() {
    try {
      Verify(*to_);
      InferTypes(*to_);
    } catch (const Error& e) {
      return fmt::format("on rows {}", e.what());
    }
    for (const auto& [v, type] : expected_) {
      const Type& found = to_->value(v).type;
      if (found.elem == type.elem && found.shape == type.shape) continue;
      return fmt::format("{} gives {} for rows {}.", to_->Producer(v)->Describe(*to_), found.ToString(),
                         type.ToString());
    }
    return {};
  }

  size_t fed_;
  std::vector<NodeId> origins_;  // by node of g_: the node of the graph it is a copy of
  Graph g_;
  RowState state_;
  PackedGraph out_;
  std::set<ValueId> fed_together_;
  std::unordered_map<NodeId, RowForm> forms_;
  std::unordered_map<NodeId, std::string> reasons_;
  std::vector<bool> needed_;
  std::vector<int> level_;                                  // by value
  std::vector<std::vector<NodeId>> on_rows_, on_requests_;  // by level
  std::shared_ptr<Graph> to_;
  std::vector<Dim> totals_;  // by class
  std::map<Held, ValueId> held_;
  std::unordered_map<ValueId, ValueId> constants_;
  std::vector<std::pair<ValueId, Type>> expected_;
};

PackedGraph Pack(const Graph& graph, size_t fed, Axes axes) {
  try {
    return Packer(graph, fed, axes).Pack();
  } catch (const Error& e) {
    return {.why_not = e.what()};  // axes taken to be the same cannot be
  }
}

}  // namespace

PackedGraph PackRequests(const Graph& graph, size_t fed) {
  for (const NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    if (HasSubgraph(node)) return {.why_not = fmt::format("{} has a graph inside.", node.Describe(graph))};
  }
  PackedGraph named = Pack(graph, fed, Axes::kAsNamed);
  if (named.why_not.empty() && named.in_turn == 0) return named;
  // Exporters may give each input's axes names of their own.
  PackedGraph ordered = Pack(graph, fed, Axes::kAsOrdered);
  return ordered.why_not.empty() && ordered.together > named.together ? std::move(ordered) : std::move(named);
}

}  // namespace slipway
