#include "pt2/convert.h"

#include <algorithm>
#include <chrono>
#include <unordered_map>
#include <unordered_set>

#include <fmt/format.h>

#include "passes/pipeline.h"
#include "pt2/converter.h"
#include "pt2/program.h"

namespace slipway::pt2 {
namespace {

/// Passes whose results only Slipway knows, or that undo what the converter chose.
const std::vector<std::string> kLeftOut = {"FuseMatMulTranspose", "FuseMatMulBias",     "FuseMatMulScale",
                                           "FuseMatMulReshape",   "FuseResidual",       "FuseActivation",
                                           "FuseSkipLayerNorm",   "FoldHeadTransposes", "FuseConvBias",
                                           "FuseAttention",       "MergeProjections"};

class Watch {
 public:
  explicit Watch(double& seconds) : seconds_(seconds), start_(std::chrono::steady_clock::now()) {}
  ~Watch() { seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  double& seconds_;
  std::chrono::steady_clock::time_point start_;
};

/// What the outputs are called: as asked for, else as the program calls them.
std::vector<std::string> OutputNames(const TorchProgram& torch, const ConvertOptions& options) {
  std::vector<std::string> names;
  for (const OutputSpec& spec : torch.outputs) {
    const Argument& a = spec.argument;
    const bool given = a.is(Argument::Kind::kTensor) || a.is(Argument::Kind::kSymInt) ||
                       a.is(Argument::Kind::kSymFloat) || a.is(Argument::Kind::kSymBool);
    if (spec.kind != OutputSpec::Kind::kUser || !given) continue;
    const size_t i = names.size();
    const bool asked = i < options.output_names.size() && !options.output_names[i].empty();
    names.push_back(asked ? options.output_names[i] : a.text);
  }
  return names;
}

/// A weight that was turned round is written in the place of the original, under its name; where the original is read
/// elsewhere too, or `stays`, it is the only one, and a Transpose turns it.
void SettleTurned(Graph& graph, const std::unordered_map<ValueId, ValueId>& turned, bool stays) {
  for (const auto& [original, other] : turned) {
    if (graph.value(other).users.empty()) continue;
    if (!stays && graph.value(original).users.empty() && !graph.IsOutput(original)) {
      std::swap(graph.value(other).name, graph.value(original).name);
      continue;
    }
    const std::unordered_set<NodeId> users(graph.value(other).users.begin(), graph.value(other).users.end());
    const auto& order = graph.order();
    const NodeId first = *std::find_if(order.begin(), order.end(), [&](NodeId id) { return users.contains(id); });
    const std::string name = graph.value(other).name;
    const ValueId out = graph.AddValue(name, graph.value(other).type);
    graph.value(other).name.clear();
    graph.ReplaceUses(other, out);
    graph.AddNode({.name = name,
                   .op_type = "Transpose",
                   .inputs = {original},
                   .outputs = {out},
                   .attributes = {{"perm", std::vector<int64_t>{1, 0}}}},
                  first);
  }
}

/// Every output a value of its own, made by a node, under the name asked for and with the axes' names.
void NameOutputs(Graph& graph, const std::vector<std::string>& names, const ConvertOptions& options,
                 std::vector<std::string>& warnings) {
  std::unordered_set<ValueId> seen;
  std::unordered_set<std::string> input_axes;
  for (const ValueId v : graph.inputs) {
    seen.insert(v);
    if (!graph.value(v).type.shape.has_rank()) continue;
    for (const Dim& d : graph.value(v).type.shape.dims()) {
      if (!d.is_const()) input_axes.insert(d.ToString());
    }
  }
  for (size_t i = 0; i < graph.outputs.size(); ++i) {
    ValueId& v = graph.outputs[i];
    if (!seen.insert(v).second || graph.value(v).producer == kNone) {
      const ValueId copy = graph.AddValue("", graph.value(v).type);
      graph.AddNode({.name = fmt::format("output_{}", i), .op_type = "Identity", .inputs = {v}, .outputs = {copy}});
      v = copy;
      seen.insert(v);
    }
    graph.value(v).name = names[i];
    SymbolicShape& shape = graph.value(v).type.shape;
    if (i >= options.output_axes.size() || !shape.has_rank()) continue;
    for (const auto& [axis, name] : options.output_axes[i]) {
      const int a = axis < 0 ? axis + shape.rank() : axis;
      if (a < 0 || a >= shape.rank() || name.empty() || shape[a].ToString() == name) continue;
      if (shape[a].is_const()) {
        warnings.push_back(fmt::format("axis {} of output '{}' is asked to be '{}', but is {} whatever is fed", a,
                                       names[i], name, shape[a].value()));
      } else if (input_axes.contains(name)) {
        warnings.push_back(fmt::format("axis {} of output '{}' is asked to be '{}' as an input's is, but is {}", a,
                                       names[i], name, shape[a].ToString()));
      } else {
        shape[a] = Dim::Symbol(name);
      }
    }
  }
}

/// Parameters and buffers become inputs.
void TakeWeightsOut(Graph& graph, const TorchProgram& torch) {
  std::unordered_set<std::string> weights;
  for (const InputSpec& spec : torch.inputs) {
    if (spec.kind == InputSpec::Kind::kParameter || spec.kind == InputSpec::Kind::kBuffer) weights.insert(spec.target);
  }
  for (size_t i = 0; i < graph.num_values(); ++i) {
    const auto v = static_cast<ValueId>(i);
    Graph::ValueInfo& value = graph.value(v);
    if (!value.constant || !weights.contains(value.name) || (value.users.empty() && !graph.IsOutput(v))) continue;
    value.constant.reset();
    graph.inputs.push_back(v);
  }
}

}  // namespace

Model Convert(const Program& program, const ConvertOptions& options, Report* report) {
  Report scratch;
  Report& r = report ? *report : scratch;
  TorchProgram torch;
  {
    Watch watch(r.seconds["read"]);
    torch = ReadProgram(program.json);
  }
  Model model;
  std::unordered_map<ValueId, ValueId> turned;
  {
    Watch watch(r.seconds["convert"]);
    Converter converter(program, torch, options, r);
    model.graph = converter.Run();
    model.opsets = converter.opsets();
    turned = converter.turned();
  }
  Graph& graph = *model.graph;
  const std::vector<std::string> names = OutputNames(torch, options);
  if (!options.weights) {
    // Before the passes, so that none relies on what weights hold.
    SettleTurned(graph, turned, true);
    TakeWeightsOut(graph, torch);
  }
  {
    Watch watch(r.seconds["simplify"]);
    PassOptions passes{.level = 2, .disabled = kLeftOut};
    if (!options.fold_constants) passes.disabled.insert(passes.disabled.end(), {"FoldConstants", "FuseConvBatchNorm"});
    Optimize(graph, passes, Threads(0));
  }
  if (options.weights) SettleTurned(graph, turned, false);
  NameOutputs(graph, names, options, r.warnings);
  Verify(graph);
  r.nodes = static_cast<int>(graph.order().size());
  graph.name = "main_graph";
  model.path = program.path;
  model.producer_name = "slipway";
  model.metadata = options.metadata;
  if (!torch.torch_version.empty()) model.metadata.try_emplace("slipway.torch_version", torch.torch_version);
  return model;
}

}  // namespace slipway::pt2
