#include "plan/program.h"

#include <algorithm>
#include <atomic>
#include <chrono>

#include "core/memory.h"
#include "ops/evaluate.h"
#include "ops/infer.h"

namespace slipway {

/// Memory that a run works in; kept between runs, and shared by all plans, so that many shapes need no more than the
/// largest.
struct Program::Workspace {
  RunContext::ScratchBuffer arena;
  RunContext::ScratchBuffer scratch;
};

/// The values of one run at a time, and the operators' contexts that point at them.
struct Program::Instance {
  std::vector<Value> values;
  std::vector<RunContext> contexts;
  const std::byte* base = nullptr;  // of the arena that the values point into
  bool bound = false;               // they do
  RunOptions options;
  RunContext::ScratchBuffer* scratch = nullptr;
};

/// A plan and its idle instances.
struct Program::Entry {
  Key key;
  std::shared_ptr<const Plan> plan;
  std::vector<std::unique_ptr<Instance>> idle;
};

/// An instance and a workspace for the length of a run.
struct Program::Lease {
  Lease(const Program& owner, std::shared_ptr<Entry> from) : program(owner), entry(std::move(from)) {
    {
      std::lock_guard lock(program.mutex_);
      if (!entry->idle.empty()) {
        instance = std::move(entry->idle.back());
        entry->idle.pop_back();
      }
      if (!program.workspaces_.empty()) {
        workspace = std::move(program.workspaces_.back());
        program.workspaces_.pop_back();
      }
    }
    if (!workspace) workspace = std::make_unique<Workspace>();
    if (!instance) instance = program.MakeInstance(*entry->plan);
  }
  ~Lease() {
    for (const auto* list : {&program.graph_->inputs, &program.graph_->captures}) {
      for (ValueId v : *list) {
        if (v != kNone) instance->values[v] = {};
      }
    }
    std::lock_guard lock(program.mutex_);
    entry->idle.push_back(std::move(instance));
    program.workspaces_.push_back(std::move(workspace));
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  const Program& program;
  std::shared_ptr<Entry> entry;
  std::unique_ptr<Instance> instance;
  std::unique_ptr<Workspace> workspace;
};

Program::Program(std::shared_ptr<Graph> graph, const Threads& threads, size_t max_plans,
                 std::shared_ptr<WeightStore> store, const std::function<void(const Tensor&)>& release)
    : graph_(std::move(graph)),
      threads_(threads),
      store_(std::move(store)),
      max_plans_(std::max<size_t>(max_plans, 1)) {
  MakeOps(release);
}

Program::Program(std::shared_ptr<Graph> graph, const Program& donor, const SameNodes& same, size_t max_plans,
                 size_t max_sub_plans)
    : graph_(std::move(graph)),
      threads_(donor.threads_),
      store_(donor.store_),
      max_plans_(std::max<size_t>(max_plans, 1)) {
  for (NodeId id : graph_->order()) {
    ops_.resize(std::max<size_t>(ops_.size(), id + 1));
    const Node& node = graph_->node(id);
    const auto found = same.find(&node);
    ops_[id] = found == same.end() ? MakeOp(*graph_, node) : donor.ops_[found->second];
    for (const auto& [name, attribute] : node.attributes) {
      if (const auto* sub = std::get_if<std::shared_ptr<Graph>>(&attribute))
        subprograms_[sub->get()] = std::make_unique<Program>(*sub, donor, same, max_sub_plans, max_sub_plans);
    }
  }
}

Program::~Program() = default;

void Program::MakeOps(const std::function<void(const Tensor&)>& release) {
  Graph& g = *graph_;
  for (NodeId id : g.order()) {
    ops_.resize(std::max<size_t>(ops_.size(), id + 1));
    const Node& node = g.node(id);
    ops_[id] = MakeOp(g, node);
    for (const auto& [name, attribute] : node.attributes) {
      if (const auto* sub = std::get_if<std::shared_ptr<Graph>>(&attribute)) {
        subprograms_[sub->get()] = std::make_unique<Program>(*sub, threads_, max_plans_, store_, release);
      }
    }
  }
  const std::vector<int> readers = PackConstants(release);
  for (size_t v = 0; v < readers.size(); ++v) {
    const Graph::ValueInfo& value = g.value(static_cast<ValueId>(v));
    if (readers[v] > 0 && value.constant && !value.constant->raw()) {
      throw Error(Code::kBadFile,
                  fmt::format("the compiled model lacks the data of '{}'.\n  Compile it again.", value.name));
    }
  }
}

std::vector<int> Program::PackConstants(const std::function<void(const Tensor&)>& release) {
  Graph& g = *graph_;
  std::vector<int> readers(g.num_values());
  for (size_t v = 0; v < readers.size(); ++v)
    readers[v] = static_cast<int>(g.value(static_cast<ValueId>(v)).users.size());
  for (ValueId v : g.outputs) ++readers[v];

  std::vector<NodeId> nodes;
  std::unordered_map<NodeId, size_t> sizes;
  for (NodeId id : g.order()) {
    const auto& inputs = g.node(id).inputs;
    if (std::none_of(inputs.begin(), inputs.end(), [&](ValueId v) { return g.Constant(v); })) continue;
    nodes.push_back(id);
    for (ValueId v : inputs) sizes[id] += g.Constant(v) ? g.Constant(v)->bytes() : 0;
  }
  std::mutex mutex;  // guards readers, and constants that change
  const auto pack = [&](NodeId id) {
    const Node& node = g.node(id);
    std::vector<ValueId> packed;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const Tensor* constant = g.Constant(node.inputs[i]);
      if (!constant) continue;
      InferContext known(g, node);
      FillInferInputs(known, nullptr);
      known.in_constants[i] = constant;
      if (ops_[id]->Prepack(static_cast<int>(i), known, {threads_, *store_})) packed.push_back(node.inputs[i]);
    }
    // Not before: until the last of a value's readers is done, others may look at it.
    std::lock_guard lock(mutex);
    for (ValueId v : packed) {
      std::optional<Tensor>& constant = g.value(v).constant;
      // Whatever else reads it (the rows of an embedding) needs few of its pages, and faults those in again.
      if (release) release(*constant);
      if (--readers[v] == 0 && constant->raw()) constant = Tensor(constant->dtype(), constant->shape(), nullptr);
    }
  };
  if (store_->in_order()) {
    for (NodeId id : nodes) pack(id);
    return readers;
  }
  // A node a thread, the largest first: the peak of memory is then early, and at the end small ones fill up.
  std::stable_sort(nodes.begin(), nodes.end(), [&](NodeId a, NodeId b) { return sizes[a] > sizes[b]; });
  std::atomic<size_t> next = 0;
  threads_.ParallelFor(threads_.count(), 1, [&](int64_t, int64_t) {
    for (size_t i; (i = next.fetch_add(1)) < nodes.size();) pack(nodes[i]);
  });
  return readers;
}

namespace {

void AppendKey(const Value& value, std::vector<int64_t>& key) {
  if (!value.is_tensor()) {
    key.push_back(-1 - value.is_sequence() - 2 * value.is_map());
    return;
  }
  const Tensor& t = value.tensor();
  key.push_back(static_cast<int64_t>(t.dtype()) << 32 | t.shape().rank());
  key.insert(key.end(), t.shape().begin(), t.shape().end());
}

}  // namespace

size_t Program::KeyHash::operator()(const Key& key) const {
  uint64_t hash = 14695981039346656037u;
  for (const int64_t k : key) hash = (hash ^ static_cast<uint64_t>(k)) * 0x9E3779B97F4A7C15u, hash ^= hash >> 29;
  return hash;
}

std::shared_ptr<Program::Entry> Program::Find(std::span<const Value> inputs) const {
  thread_local Key key;
  key.clear();
  for (const Value& v : inputs) AppendKey(v, key);
  {
    std::lock_guard lock(mutex_);
    if (!entries_.empty() && entries_.front()->key == key) return entries_.front();
    if (const auto found = by_key_.find(key); found != by_key_.end()) {
      entries_.splice(entries_.begin(), entries_, found->second);
      return entries_.front();
    }
  }
  auto entry = std::make_shared<Entry>();
  entry->key = key;
  std::vector<Type> types;
  types.reserve(inputs.size());
  size_t i = 0;
  auto add = [&](ValueId v) {
    const Value& value = inputs[i++];
    // An empty optional or sequence has only its declared type.
    types.push_back(value.is_tensor() || v == kNone ? TypeOf(value) : graph_->value(v).type);
  };
  std::for_each(graph_->inputs.begin(), graph_->inputs.end(), add);
  std::for_each(graph_->captures.begin(), graph_->captures.end(), add);
  entry->plan = MakePlan({.graph = *graph_, .ops = ops_, .threads = threads_}, types);
  std::lock_guard lock(mutex_);
  if (const auto found = by_key_.find(entry->key); found != by_key_.end()) return *found->second;  // made meanwhile
  entries_.push_front(entry);
  by_key_.emplace(entry->key, entries_.begin());
  if (entries_.size() > max_plans_) {
    by_key_.erase(entries_.back()->key);
    entries_.pop_back();
  }
  return entry;
}

std::shared_ptr<const Plan> Program::PlanFor(std::span<const Value> inputs) const { return Find(inputs)->plan; }

std::unique_ptr<Program::Instance> Program::MakeInstance(const Plan& plan) const {
  auto instance = std::make_unique<Instance>();
  Instance& self = *instance;
  self.values.resize(graph_->num_values());
  for (size_t v = 0; v < plan.slots.size(); ++v) {
    const Plan::Slot& slot = plan.slots[v];
    if (!slot.constant.empty()) self.values[v] = slot.constant;
    // An arena of no bytes is never bound: its tensors are empty.
    if (slot.storage != kNone && plan.storages[slot.storage].place == Place::kArena)
      self.values[v] = Tensor(slot.type.elem, slot.shape, nullptr);
  }
  self.contexts.resize(plan.steps.size());
  for (size_t s = 0; s < plan.steps.size(); ++s) {
    const Node& node = graph_->node(plan.steps[s].node);
    RunContext& c = self.contexts[s];
    c.graph = graph_.get();
    c.node = &node;
    c.pool = &threads_;
    for (ValueId v : node.inputs) c.in.push_back(v == kNone ? nullptr : &self.values[v]);
    for (ValueId v : node.outputs) {
      c.out.push_back(v == kNone || plan.slots[v].storage == kNone ? nullptr : &self.values[v]);
    }
    if (node.captures.empty() && subprograms_.empty()) continue;
    c.run_subgraph = [this, &self, &node](std::string_view attribute, std::vector<Value> inputs) {
      const Graph* sub = node.attributes.GetGraph(attribute).get();
      for (size_t i = 0; i < node.captures.size(); ++i) {
        inputs.push_back(sub->captures[i] == kNone ? Value() : self.values[node.captures[i]]);
      }
      return subprograms_.at(sub)->Run(std::move(inputs), self.options);
    };
  }
  return instance;
}

void Program::FailArena(const Plan& plan, size_t bytes) const {
  ValueId largest = kNone;
  const auto size = [&](ValueId v) { return plan.storages[plan.slots[v].storage].bytes; };
  for (size_t i = 0; i < plan.slots.size(); ++i) {
    const auto v = static_cast<ValueId>(i);
    if (plan.slots[v].storage == kNone || !graph_->Producer(v)) continue;
    if (plan.storages[plan.slots[v].storage].place != Place::kArena) continue;
    if (largest == kNone || size(v) > size(largest)) largest = v;
  }
  const Error error(Code::kOutOfMemory, fmt::format("there are no {} bytes for intermediate values.", bytes));
  if (largest == kNone) throw error;
  ThrowNaming(*graph_, *graph_->Producer(largest),
              Error(error.code(), fmt::format("{}\n  '{}' is the largest, with {} bytes.", error.what(),
                                              graph_->value(largest).name, size(largest))));
}

void Program::Bind(Instance& instance, const Plan& plan, std::vector<Value>& inputs, Workspace& workspace) const {
  auto& values = instance.values;
  if (workspace.arena.bytes < plan.arena_bytes) {
    workspace.arena = {};
    // Rounded up so that shapes that grow a little do not each allocate anew.
    const size_t bytes = (plan.arena_bytes + (plan.arena_bytes >> 4) + 4095) / 4096 * 4096;
    auto memory = AllocateWorkspace(bytes);
    if (!memory) FailArena(plan, bytes);
    workspace.arena = {.data = std::move(memory), .bytes = bytes};
  }
  auto* base = static_cast<std::byte*>(workspace.arena.data.get());
  // An arena for empty values alone is null; they are to be bound all the same.
  const bool moved = base != instance.base || !instance.bound;
  instance.base = base;
  instance.bound = true;
  size_t i = 0;
  auto give = [&](ValueId v) {
    if (v != kNone) values[v] = std::move(inputs[i]);
    ++i;
  };
  std::for_each(graph_->inputs.begin(), graph_->inputs.end(), give);
  std::for_each(graph_->captures.begin(), graph_->captures.end(), give);
  for (size_t v = 0; v < plan.slots.size(); ++v) {
    const Plan::Slot& slot = plan.slots[v];
    if (slot.storage == kNone) continue;
    const Storage& storage = plan.storages[slot.storage];
    if (storage.place == Place::kArena && moved) values[v] = Tensor(slot.type.elem, slot.shape, base + storage.offset);
  }
  for (const auto& [view, of] : plan.input_views) values[view] = values[of].tensor().Reshaped(plan.slots[view].shape);
  for (const auto& sharers : plan.fresh) {
    const Plan::Slot& first = plan.slots[sharers[0]];
    Tensor made;
    const Node* node = graph_->Producer(sharers[0]);
    const auto make = [&] { made = Tensor(first.type.elem, first.shape); };
    node ? Naming(*graph_, *node, make) : make();
    for (size_t k = 1; k < sharers.size(); ++k) {
      const Plan::Slot& slot = plan.slots[sharers[k]];
      values[sharers[k]] = Tensor(slot.type.elem, slot.shape, made.raw(), made.keep());
    }
    values[sharers[0]] = std::move(made);
  }
}

void Program::RunStep(const Step& step, Instance& instance, size_t index) const {
  RunContext& c = instance.contexts[index];
  c.scratch = instance.scratch;
  Naming(*graph_, *c.node, [&] {
    if (!step.late) {
      step.op->Run(c);
    } else {
      RunLate(c, *step.op);
    }
  });
  for (ValueId v : step.free_after) instance.values[v] = {};
}

std::vector<Value> Program::Collect(Instance& instance, const Plan& plan) const {
  std::vector<Value> out;
  out.reserve(graph_->outputs.size());
  std::vector<const void*> given;
  for (ValueId v : graph_->outputs) {
    const Value& value = instance.values[v];
    const int storage = plan.slots[v].storage;
    const Place place = storage == kNone ? Place::kNowhere : plan.storages[storage].place;
    // What the caller gets must be the caller's alone: not the weights, not the input or the arena under another name,
    // and not another output's memory.
    bool shared = place == Place::kConstant || place == Place::kInput;
    if (const Node* node = graph_->Producer(v); place == Place::kLate && node)
      shared |= FindOp(node->domain, node->op_type)->alias;
    if (value.is_tensor()) {
      shared |= std::find(given.begin(), given.end(), value.tensor().raw()) != given.end();
      given.push_back(value.tensor().raw());
    }
    out.push_back(shared && value.is_tensor() ? Value(value.tensor().Clone()) : value);
  }
  for (const auto& sharers : plan.fresh) {
    for (ValueId v : sharers) instance.values[v] = {};
  }
  for (const Step& step : plan.steps) {
    if (!step.late) continue;
    for (ValueId v : graph_->node(step.node).outputs) {
      if (v != kNone) instance.values[v] = {};
    }
  }
  return out;
}

namespace {

/// Subgraphs may run side by side.
void Note(const RunOptions& options, NodeTime time) {
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  options.profile->push_back(std::move(time));
}

}  // namespace

std::vector<Value> Program::Run(std::vector<Value> inputs, const RunOptions& options) const {
  Lease lease(*this, Find(inputs));
  const Plan& plan = *lease.entry->plan;
  Instance& instance = *lease.instance;
  Bind(instance, plan, inputs, *lease.workspace);
  instance.options = options;
  instance.scratch = &lease.workspace->scratch;
  for (size_t s = 0; s < plan.steps.size(); ++s) {
    if (options.terminate && options.terminate->load(std::memory_order_relaxed)) {
      ThrowNaming(*graph_, graph_->node(plan.steps[s].node), Error(Code::kCancelled, "the run was cancelled here."));
    }
    if (!options.profile) {
      RunStep(plan.steps[s], instance, s);
      continue;
    }
    const auto start = std::chrono::steady_clock::now();
    RunStep(plan.steps[s], instance, s);
    const auto took = std::chrono::steady_clock::now() - start;
    const Node& node = graph_->node(plan.steps[s].node);
    Note(options, {.name = node.name,
                   .op_type = node.op_type,
                   .nanoseconds = std::chrono::duration_cast<std::chrono::nanoseconds>(took).count()});
  }
  return Collect(instance, plan);
}

}  // namespace slipway
