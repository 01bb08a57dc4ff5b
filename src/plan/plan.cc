#include "plan/plan.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "ops/evaluate.h"

namespace slipway {
namespace {

/// Results up to this size, from no more than so much, are computed when the plan is made where their inputs are known
/// by then: masks and indices that depend on shapes alone, not weights. Each plan holds its own: larger ones cost more
/// memory than they save time.
constexpr size_t kMaxPlanConstant = 64 << 10;
constexpr size_t kMaxPlanReads = 4 << 20;

class Planner {
 public:
  explicit Planner(const PlanSource& source)
      : graph_(source.graph),
        ops_(source.ops),
        threads_(source.threads),
        plan_(std::make_shared<Plan>()),
        ints_(source.graph.num_values()),
        seen_(source.graph.num_values(), kNone) {
    plan_->slots.resize(graph_.num_values());
  }

  std::shared_ptr<const Plan> Make(std::span<const Type> inputs) {
    PlaceGiven(inputs);
    CountUses();
    for (NodeId id : graph_.order()) {
      const Node& node = graph_.node(id);
      Naming(graph_, node, [&] { AddNode(id); });
      for (ValueId v : node.inputs) --Uses(v);
      for (ValueId v : node.captures) --Uses(v);
    }
    Finish();
    return plan_;
  }

 private:
  Plan::Slot& slot(ValueId v) { return plan_->slots[v]; }
  Storage& storage(ValueId v) { return plan_->storages[slot(v).storage]; }
  Place place(ValueId v) { return slot(v).storage == kNone ? Place::kNowhere : storage(v).place; }
  int now() const { return static_cast<int>(plan_->steps.size()); }

  void NewStorage(ValueId v, Place place, size_t bytes = 0) {
    slot(v).storage = static_cast<int>(plan_->storages.size());
    plan_->storages.push_back({.place = place, .bytes = bytes, .first = now(), .last = now()});
    sharers_.push_back({v});
  }

  void PlaceGiven(std::span<const Type> inputs) {
    for (size_t v = 0; v < graph_.num_values(); ++v) {
      const auto id = static_cast<ValueId>(v);
      const Graph::ValueInfo& info = graph_.value(id);
      if (!info.constant || info.users.empty()) continue;
      SetConstant(id, Value(*info.constant));
    }
    size_t i = 0;
    auto give = [&](ValueId v) {
      const Type& type = inputs[i++];
      if (v == kNone) return;
      slot(v).type = type;
      if (type.kind == Type::Kind::kTensor && type.shape.has_rank()) {
        if (auto shape = type.shape.Concrete()) slot(v).shape = *shape;
      }
      NewStorage(v, Place::kInput);
    };
    std::for_each(graph_.inputs.begin(), graph_.inputs.end(), give);
    std::for_each(graph_.captures.begin(), graph_.captures.end(), give);
    for (ValueId v : graph_.outputs) {
      if (graph_.Constant(v) && slot(v).storage == kNone) SetConstant(v, Value(*graph_.Constant(v)));
    }
  }

  void SetConstant(ValueId v, Value value) {
    slot(v).type = TypeOf(value);
    if (value.is_tensor()) slot(v).shape = value.tensor().shape();
    slot(v).constant = std::move(value);
    NewStorage(v, Place::kConstant);
  }

  bool Wanted(const Node& node, size_t i) const {
    const ValueId v = node.outputs[i];
    return v != kNone && (i == 0 || !graph_.value(v).users.empty() || graph_.IsOutput(v));
  }

  /// The known contents of a value: null where they are not known, or are packed away in an operator.
  const Tensor* Known(ValueId v) {
    if (v == kNone || !slot(v).constant.is_tensor()) return nullptr;
    const Tensor& t = slot(v).constant.tensor();
    return t.raw() || t.size() == 0 ? &t : nullptr;
  }

  void AddNode(NodeId id) {
    const Node& node = graph_.node(id);
    const OpDef* def = FindOp(node.domain, node.op_type);
    if (EvaluateNow(id, node, *def)) return;

    InferContext c(graph_, node);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId v = node.inputs[i];
      if (v == kNone) continue;
      c.in_types[i] = &slot(v).type;
      c.in_constants[i] = Known(v);
      if (ints_[v]) c.in_ints[i] = &*ints_[v];
    }
    ops_[id]->Infer(c);
    if (TakeKnownInts(node, c)) return;
    AddStep(id, node, *def, c);
  }

  /// Computes the node now, where everything that it reads is known and what it gives is small.
  bool EvaluateNow(NodeId id, const Node& node, const OpDef& def) {
    if (def.impure || HasSubgraph(node) || node.inputs.empty()) return false;
    std::vector<Value> held(node.inputs.size());
    std::vector<Value*> in(node.inputs.size(), nullptr);
    size_t bytes = 0;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId v = node.inputs[i];
      if (v == kNone) continue;
      const bool only_shape = def.shape_only && i == 0 && slot(v).type.kind == Type::Kind::kTensor &&
                              slot(v).type.known() && slot(v).type.shape.Concrete();
      if (only_shape) {
        held[i] = Tensor(slot(v).type.elem, slot(v).shape, nullptr);
      } else if (const Tensor* t = Known(v)) {
        held[i] = *t;
        bytes += t->bytes();
      } else {
        return false;
      }
      in[i] = &held[i];
    }
    if (bytes > kMaxPlanReads) return false;
    InferContext c(graph_, node);
    std::vector<Type> types(in.size());
    for (size_t i = 0; i < in.size(); ++i) {
      if (!in[i]) continue;
      types[i] = TypeOf(*in[i]);
      c.in_types[i] = &types[i];
      c.in_constants[i] = &held[i].tensor();
    }
    ops_[id]->Infer(c);
    for (const Type& t : c.out_types) {
      if (t.kind != Type::Kind::kTensor) return false;
      const auto shape = t.shape.Concrete();
      if (shape && static_cast<size_t>(shape->size()) * SizeOf(t.elem) > kMaxPlanConstant) return false;
    }
    std::vector<Value> out = Evaluate(graph_, node, *ops_[id], in, threads_);
    for (size_t i = 0; i < out.size(); ++i) {
      if (Wanted(node, i)) SetConstant(node.outputs[i], std::move(out[i]));
    }
    return true;
  }

  /// Keeps contents that the shape rule found; true where they are all that the node gives.
  bool TakeKnownInts(const Node& node, const InferContext& c) {
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i] != kNone) ints_[node.outputs[i]] = c.out_ints[i];
    }
    if (node.outputs.size() != 1 || !c.out_ints[0]) return false;
    const SymbolicInts& ints = *c.out_ints[0];
    const Type& type = c.out_types[0];
    const auto shape = type.shape.Concrete();
    if (!shape || !std::all_of(ints.begin(), ints.end(), [](const Dim& d) { return d.is_const(); })) return false;
    if (static_cast<size_t>(shape->size()) != ints.size()) return false;
    Tensor t(type.elem, *shape);
    for (size_t i = 0; i < ints.size(); ++i) {
      if (type.elem == DType::kInt64) {
        t.data<int64_t>()[i] = ints[i].value();
      } else if (type.elem == DType::kInt32) {
        t.data<int32_t>()[i] = static_cast<int32_t>(ints[i].value());
      } else {
        return false;
      }
    }
    SetConstant(node.outputs[0], std::move(t));
    return true;
  }

  void AddStep(NodeId id, const Node& node, const OpDef& def, InferContext& c) {
    Step step{.node = id, .op = ops_[id].get()};
    std::vector<std::optional<Shape>> shapes(node.outputs.size());
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (!Wanted(node, i)) continue;
      const Type& type = c.out_types[i];
      if (type.kind == Type::Kind::kTensor && type.known()) shapes[i] = type.shape.Concrete();
      step.late |= !shapes[i];
    }
    const bool alias =
        def.alias && !step.late && slot(node.inputs[0]).storage != kNone && place(node.inputs[0]) != Place::kLate;
    step.late |= def.alias && !alias;
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (!Wanted(node, i)) continue;
      const ValueId v = node.outputs[i];
      slot(v).type = std::move(c.out_types[i]);
      if (shapes[i]) slot(v).shape = *shapes[i];
      if (alias) {
        ShareStorage(v, node.inputs[0]);
      } else if (step.late) {
        NewStorage(v, Place::kLate);
        if (def.alias) ViewInRun(v, node.inputs[0]);
      } else {
        PlaceOutput(v, i, node, def);
      }
    }
    if (alias) return;
    for (ValueId v : node.inputs) Touch(v);
    for (ValueId v : node.captures) Touch(v);
    plan_->steps.push_back(std::move(step));
  }

  void ShareStorage(ValueId v, ValueId from) {
    slot(v).storage = slot(from).storage;
    sharers_[slot(v).storage].push_back(v);
    if (place(from) == Place::kInput) plan_->input_views.emplace_back(v, from);
    if (place(from) == Place::kConstant) slot(v).constant = slot(from).constant.tensor().Reshaped(slot(v).shape);
  }

  /// `v` will be a view of `of` whose shape only the run tells: what it looks at has to live as long as it is read.
  void ViewInRun(ValueId v, ValueId of) {
    const int seen = place(of) == Place::kArena ? slot(of).storage : seen_[of];
    seen_[v] = seen;
    if (seen != kNone) late_views_[seen].push_back(v);
  }

  void PlaceOutput(ValueId v, size_t i, const Node& node, const OpDef& def) {
    const size_t bytes = static_cast<size_t>(slot(v).shape.size()) * SizeOf(slot(v).type.elem);
    const ValueId source = i == 0 && def.in_place != kNone ? node.input(def.in_place) : kNone;
    if (source != kNone && place(source) == Place::kArena && storage(source).bytes == bytes &&
        LastReader(source, node) && SizeOf(slot(source).type.elem) == SizeOf(slot(v).type.elem)) {
      ShareStorage(v, source);
      return;
    }
    // Strings have constructors, which arena memory has not seen.
    if (slot(v).type.elem == DType::kString) {
      NewStorage(v, Place::kOutput, bytes);
    } else {
      NewStorage(v, Place::kArena, bytes);
    }
  }

  void CountUses() {
    uses_.resize(graph_.num_values() + 1);
    for (size_t v = 0; v < graph_.num_values(); ++v)
      uses_[v] = static_cast<int>(graph_.value(static_cast<ValueId>(v)).users.size());
    for (ValueId v : graph_.outputs) ++uses_[v];
  }
  /// Uses by nodes not yet planned, and by the caller; kNone has a counter that nobody looks at.
  int& Uses(ValueId v) { return v == kNone ? uses_.back() : uses_[v]; }

  /// True where nothing after this node reads the storage that holds `source`, and the node reads it once.
  bool LastReader(ValueId source, const Node& node) {
    if (std::count(node.inputs.begin(), node.inputs.end(), source) != 1) return false;
    const auto& sharers = sharers_[slot(source).storage];
    const auto views = late_views_.find(slot(source).storage);
    if (views != late_views_.end()) {
      if (std::any_of(views->second.begin(), views->second.end(), [&](ValueId v) { return Uses(v) > 0; })) return false;
    }
    return std::all_of(sharers.begin(), sharers.end(), [&](ValueId v) { return Uses(v) == (v == source ? 1 : 0); });
  }

  void Touch(ValueId v) {
    if (v == kNone) return;
    if (slot(v).storage != kNone) storage(v).last = now();
    if (seen_[v] != kNone) plan_->storages[seen_[v]].last = now();
  }

  void Finish() {
    for (ValueId v : graph_.outputs) {
      Touch(v);
      if (place(v) == Place::kArena) storage(v).place = Place::kOutput;
    }
    plan_->arena_bytes = AssignOffsets(plan_->storages);
    for (size_t s = 0; s < plan_->storages.size(); ++s) {
      if (plan_->storages[s].place == Place::kOutput) plan_->fresh.push_back(sharers_[s]);
    }
    std::vector<int> last(graph_.num_values(), kNone);
    for (int i = 0; i < now(); ++i) {
      const Node& node = graph_.node(plan_->steps[i].node);
      for (ValueId v : node.inputs) {
        if (v != kNone) last[v] = i;
      }
      for (ValueId v : node.captures) last[v] = i;
    }
    for (size_t v = 0; v < last.size(); ++v) {
      const auto id = static_cast<ValueId>(v);
      if (place(id) == Place::kLate && last[v] != kNone && !graph_.IsOutput(id))
        plan_->steps[last[v]].free_after.push_back(id);
    }
  }

  const Graph& graph_;
  std::span<const std::shared_ptr<Op>> ops_;
  const Threads& threads_;
  std::shared_ptr<Plan> plan_;
  std::vector<std::optional<SymbolicInts>> ints_;
  std::vector<int> uses_;
  std::vector<std::vector<ValueId>> sharers_;  // by storage: the values in it
  std::vector<int> seen_;  // by value: the storage in the arena that a view made in the run looks at
  std::unordered_map<int, std::vector<ValueId>> late_views_;  // by storage: those views
};

}  // namespace

std::shared_ptr<const Plan> MakePlan(const PlanSource& source, std::span<const Type> inputs) {
  return Planner(source).Make(inputs);
}

}  // namespace slipway
