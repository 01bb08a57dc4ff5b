#include "slipway/session.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <unordered_map>

#include <fmt/format.h>

#include "core/mapped_file.h"
#include "core/memory.h"
#include "onnx/reader.h"
#include "ops/evaluate.h"
#include "passes/pipeline.h"
#include "plan/program.h"
#include "session/compiled.h"
#include "session/describe.h"
#include "session/packed_runs.h"

namespace slipway {

struct Session::State {
  State(Model from, const SessionOptions& options) : State({std::move(from), nullptr}, options) {}
  State(CompiledModel from, const SessionOptions& options);

  ModelInfo info;
  std::vector<ValueInfo> inputs, outputs, overridable;
  std::unordered_map<std::string, size_t> input_index, output_index;
  std::vector<Value> defaults;  // by position among the graph's inputs; empty for those that must be fed
  std::vector<Type> types;      // of the graph's inputs
  std::string label;            // "bert.onnx: " or ""
  Threads threads;
  size_t max_plans;
  std::unique_ptr<Program> program;

  std::once_flag packing_made;
  std::unique_ptr<PackedRuns> packed_runs;
  PackingInfo packing;

  const PackedRuns& Packed();
  [[noreturn]] void Fail(const std::string& message) const { throw Error(Code::kInvalidArgument, label + message); }
  std::vector<Value> Arrange(const Inputs& given) const;
  std::vector<size_t> Wanted(std::span<const std::string> names) const;
  void CheckInput(const ValueInfo& info, const Value& value) const;
  Value Adapt(const std::string& name, const Type& want, const Value& value) const;
};

namespace {

std::string FileName(const std::string& path) { return path.substr(path.find_last_of('/') + 1); }

/// Messages of everything under a load name the model, so that a log line stands alone.
template <class F>
auto Labelled(const std::string& label, F&& f) {
  try {
    return f();
  } catch (const Error& e) {
    throw Error(e.code(), label + e.what());
  } catch (const std::bad_alloc&) {
    throw Error(Code::kOutOfMemory, label + "not enough memory");
  }
}

/// A map's value in the type that is wanted, where it is one or goes there without loss of kind: float, double and
/// int64 become floats, nothing else changes.
std::optional<Value> AdaptNumber(const Type& want, const Value& v) {
  if (!v.is_tensor() || want.kind != Type::Kind::kTensor) return std::nullopt;
  const Tensor& t = v.tensor();
  if (t.dtype() == want.elem) return v;
  const bool to_float = want.elem == DType::kFloat || want.elem == DType::kDouble;
  if (t.size() != 1 || !to_float) return std::nullopt;
  double number = 0;
  if (t.dtype() == DType::kDouble) {
    number = *t.data<double>();
  } else if (t.dtype() == DType::kFloat) {
    number = *t.data<float>();
  } else if (t.dtype() == DType::kInt64) {
    number = static_cast<double>(*t.data<int64_t>());
  } else {
    return std::nullopt;
  }
  if (want.elem == DType::kDouble) return Value(Tensor::From<double>({}, {number}));
  return Value(Tensor::From<float>({}, {static_cast<float>(number)}));
}

/// Since IR version 4 an initializer that is listed as an input is a default, not a constant. Makes inputs of them, and
/// gives the defaults by position among the graph's inputs.
std::vector<Value> TakeDefaults(Model& model) {
  Graph& graph = *model.graph;
  std::vector<Value> defaults(graph.inputs.size());
  if (model.ir_version < 4) model.overridable.clear();
  for (const std::string& name : model.overridable) {
    for (size_t v = 0; v < graph.num_values(); ++v) {
      Graph::ValueInfo& value = graph.value(static_cast<ValueId>(v));
      if (value.name != name || !value.constant) continue;
      defaults.emplace_back(std::move(*value.constant));
      value.constant.reset();
      graph.inputs.push_back(static_cast<ValueId>(v));
    }
  }
  return defaults;
}

/// Makes constants of the defaults again, as they are written.
void PutDefaults(Graph& graph, const std::vector<Value>& defaults) {
  for (size_t i = defaults.size(); i-- > 0 && !defaults[i].empty();) {
    graph.value(graph.inputs[i]).constant = defaults[i].tensor();
    graph.inputs.pop_back();
  }
}

}  // namespace

Session::State::State(CompiledModel from, const SessionOptions& options)
    : threads(options.intra_op_threads, options.spin), max_plans(options.max_plans) {
  Model& model = from.model;
  Graph& graph = *model.graph;
  defaults = TakeDefaults(model);
  Verify(graph);
  InferTypes(graph);
  info = InfoOf(model);
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    const Graph::ValueInfo& value = graph.value(graph.inputs[i]);
    (defaults[i].empty() ? inputs : overridable).push_back(ToValueInfo(value.name, value.type));
    types.push_back(value.type);
    input_index[value.name] = i;
  }
  for (size_t i = 0; i < graph.outputs.size(); ++i) {
    const Graph::ValueInfo& value = graph.value(graph.outputs[i]);
    outputs.push_back(ToValueInfo(value.name, value.type));
    output_index[value.name] = i;
  }
  if (!from.store) {
    Optimize(graph, {.level = options.optimization_level, .disabled = options.disabled_passes}, threads);
    from.store = std::make_shared<MemoryStore>(options.pack_at_load);
  }
  program = std::make_unique<Program>(std::move(model.graph), threads, options.max_plans, std::move(from.store),
                                      [](const Tensor& t) { ReleasePages(t); });
}

void Session::State::CheckInput(const ValueInfo& want, const Value& value) const {
  const std::string_view kind = want.type;
  if (value.empty()) {
    if (kind.starts_with("optional")) return;
    Fail(fmt::format("input '{}' wants {}, got nothing.", want.name, DescribeValue(want)));
  }
  if (!value.is_tensor()) {
    if (!kind.starts_with("tensor")) return;
    Fail(fmt::format("input '{}' wants {}, got a {}.", want.name, DescribeValue(want),
                     value.is_map() ? "map" : "sequence"));
  }
  if (kind.starts_with("optional(seq") || kind.starts_with("seq") || kind.starts_with("map")) {
    Fail(fmt::format("input '{}' wants {}, got a tensor.", want.name, want.type));
  }
  const Tensor& t = value.tensor();
  bool fits = want.elem == DType::kUndefined || t.dtype() == want.elem;
  if (want.has_rank) {
    fits = fits && t.shape().rank() == static_cast<int>(want.shape.size());
    for (size_t i = 0; fits && i < want.shape.size(); ++i)
      fits = want.shape[i].size < 0 || want.shape[i].size == t.shape()[i];
  }
  if (!fits) {
    Fail(fmt::format("input '{}' wants {}, got {} {}.", want.name, DescribeValue(want), Name(t.dtype()),
                     t.shape().ToString()));
  }
}

/// A map as the model declares it, wherever one stands in the value: plain numbers take the type of its values, and an
/// empty map the type of its keys.
Value Session::State::Adapt(const std::string& name, const Type& want, const Value& value) const {
  if (value.is_sequence() && want.kind == Type::Kind::kSequence && want.element) {
    if (want.element->kind != Type::Kind::kMap) return value;
    Sequence out;
    for (const Value& v : value.sequence()) out.push_back(Adapt(name, *want.element, v));
    return out;
  }
  if (want.kind != Type::Kind::kMap) return value;
  const auto fail = [&] {
    Fail(fmt::format("input '{}' wants {}, got {}.", name, TypeName(want), TypeName(TypeOf(value))));
  };
  if (!value.is_map()) fail();
  return std::visit(
      [&](const auto& map) -> Value {
        using Key = typename std::decay_t<decltype(map)>::key_type;
        if (map.empty()) return want.elem == DType::kString ? Map(std::map<std::string, Value>()) : Map();
        if (want.elem != kDTypeOf<Key>) fail();
        std::decay_t<decltype(map)> out;
        for (const auto& [key, item] : map) out.emplace(key, AdaptNumber(*want.element, item).value_or(Value()));
        for (const auto& [key, item] : out) {
          if (item.empty()) fail();
        }
        return Map(std::move(out));
      },
      value.map());
}

std::vector<Value> Session::State::Arrange(const Inputs& given) const {
  std::vector<Value> values = defaults;
  std::vector<bool> have(values.size());
  for (const auto& [name, value] : given) {
    const auto found = input_index.find(name);
    if (found == input_index.end()) {
      Fail(fmt::format("there is no input '{}'. The inputs are {}.", name, ListNames(inputs)));
    }
    const size_t i = found->second;
    if (have[i]) Fail(fmt::format("input '{}' is given twice.", name));
    have[i] = true;
    CheckInput(i < inputs.size() ? inputs[i] : overridable[i - inputs.size()], value);
    values[i] = Adapt(name, types[i], value);
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!have[i] && !inputs[i].type.starts_with("optional"))
      Fail(fmt::format("input '{}' ({}) is missing.", inputs[i].name, DescribeValue(inputs[i])));
  }
  return values;
}

Session::Session(const std::string& path, const SessionOptions& options) {
  const std::string label = FileName(path) + ": ";
  state_ = Labelled(label, [&] {
    const auto file = MappedFile::Open(path);
    return IsCompiled(*file) ? std::make_unique<State>(ReadCompiled(file, path), options)
                             : std::make_unique<State>(ReadModel(path), options);
  });
  state_->label = label;
}

Session Session::FromBytes(std::string_view bytes, const SessionOptions& options, const std::string& folder) {
  return Session(Labelled("", [&] { return std::make_unique<State>(ReadModel(bytes, folder), options); }));
}

Session::Session(std::unique_ptr<State> state) : state_(std::move(state)) {}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

const std::vector<ValueInfo>& Session::inputs() const { return state_->inputs; }
const std::vector<ValueInfo>& Session::outputs() const { return state_->outputs; }
const std::vector<ValueInfo>& Session::overridable_initializers() const { return state_->overridable; }
const ModelInfo& Session::info() const { return state_->info; }

std::vector<size_t> Session::State::Wanted(std::span<const std::string> names) const {
  std::vector<size_t> wanted;
  for (const std::string& name : names) {
    const auto found = output_index.find(name);
    if (found == output_index.end())
      Fail(fmt::format("there is no output '{}'. The outputs are {}.", name, ListNames(outputs)));
    wanted.push_back(found->second);
  }
  return wanted;
}

const PackedRuns& Session::State::Packed() {
  std::call_once(packing_made, [&] {
    packed_runs = std::make_unique<PackedRuns>(*program, threads, inputs.size(), max_plans);
    const PackedGraph& graph = packed_runs->graph();
    packing = {.packed = graph.why_not.empty(), .reason = graph.why_not, .apart = graph.apart};
  });
  return *packed_runs;
}

namespace {

std::vector<Value> Pick(std::vector<Value> all, const std::vector<size_t>& wanted) {
  if (wanted.empty()) return all;
  std::vector<Value> some;
  for (const size_t i : wanted) some.push_back(all[i]);
  return some;
}

}  // namespace

std::vector<Value> Session::Run(const Inputs& inputs, std::span<const std::string> names,
                                const RunOptions& options) const {
  std::vector<Value> values = state_->Arrange(inputs);
  const std::vector<size_t> wanted = state_->Wanted(names);
  return Labelled(state_->label, [&] {
    const KeepWorkersAwake awake(state_->threads);
    return Pick(state_->program->Run(std::move(values), options), wanted);
  });
}

std::vector<std::vector<Value>> Session::RunMany(std::span<const Inputs> requests, std::span<const std::string> names,
                                                 const RunOptions& options) const {
  const std::vector<size_t> wanted = state_->Wanted(names);
  std::vector<std::vector<Value>> values;
  for (size_t i = 0; i < requests.size(); ++i) {
    values.push_back(Labelled(fmt::format("request {}: ", i), [&] { return state_->Arrange(requests[i]); }));
  }
  return Labelled(state_->label, [&] {
    const KeepWorkersAwake awake(state_->threads);
    std::vector<std::vector<Value>> answers = state_->Packed().Run(std::move(values), options);
    for (std::vector<Value>& answer : answers) answer = Pick(std::move(answer), wanted);
    return answers;
  });
}

const PackingInfo& Session::packing() const {
  state_->Packed();
  return state_->packing;
}

void CompileModel(const std::string& path, const std::string& out, const SessionOptions& options) {
  Labelled(FileName(path) + ": ", [&] {
    if (IsCompiled(*MappedFile::Open(path))) throw Error(Code::kInvalidArgument, "the model is compiled already.");
    Model model = ReadModel(path);
    const std::vector<Value> defaults = TakeDefaults(model);
    Verify(*model.graph);
    InferTypes(*model.graph);
    const Threads threads(options.intra_op_threads, options.spin);
    Optimize(*model.graph, {.level = options.optimization_level, .disabled = options.disabled_passes}, threads);
    const auto store = std::make_shared<RecordingStore>();
    const Program program(model.graph, threads, 1, store);
    PutDefaults(*model.graph, defaults);
    WriteCompiled(model, *store, out);
  });
}

size_t Session::ArenaBytes(const Inputs& inputs) const {
  return state_->program->PlanFor(state_->Arrange(inputs))->arena_bytes;
}

std::string Session::Describe() const { return DescribeGraph(state_->program->graph()); }

}  // namespace slipway
