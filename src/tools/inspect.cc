#include "tools/inspect.h"

#include "passes/pipeline.h"
#include "session/describe.h"
#include "tools/flops.h"
#include "tools/planned.h"

namespace slipway {
namespace {

void Count(const Graph& graph, GraphSummary& summary) {
  for (size_t v = 0; v < graph.num_values(); ++v) {
    const Graph::ValueInfo& value = graph.value(static_cast<ValueId>(v));
    if (!value.constant || (value.users.empty() && !graph.IsOutput(static_cast<ValueId>(v)))) continue;
    summary.parameters += value.constant->size();
    summary.parameter_bytes += static_cast<int64_t>(value.constant->bytes());
  }
  for (const NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    ++summary.nodes;
    ++summary.operators[node.domain.empty() ? node.op_type : node.domain + "." + node.op_type];
    for (const auto& [name, attribute] : node.attributes) {
      if (const auto* body = std::get_if<std::shared_ptr<Graph>>(&attribute)) Count(**body, summary);
    }
  }
}

/// Fills what a plan tells.
void Measure(const Graph& graph, const std::map<std::string, Shape>& shapes, const Threads& threads,
             GraphSummary& summary) {
  const Planned planned = PlanFor(graph, shapes, threads);
  summary.flops = Flops(graph, *planned.plan);
  summary.arena_bytes = planned.plan->arena_bytes;
}

}  // namespace

Inspection Inspect(const std::string& path, const InspectOptions& options) {
  Inspection found;
  Model model = ReadNamed(path, &found.compiled);
  Graph& graph = *model.graph;
  found.info = InfoOf(model);
  found.inputs = InputInfos(graph);
  found.shapes = InputShapes(found.inputs, options.sizes);
  Count(graph, found.before);
  const Threads threads;
  GraphSummary* stage = &found.before;
  try {
    Verify(graph);
    InferTypes(graph);
    Measure(graph, found.shapes, threads, found.before);
    stage = &found.after;
    if (!found.compiled) Optimize(graph, {.level = options.level}, threads);
    Count(graph, found.after);
    Measure(graph, found.shapes, threads, found.after);
  } catch (const Error& e) {
    stage->no_plan = e.what();
    if (stage == &found.before) found.after = found.before;
  }
  for (const ValueId v : graph.outputs) found.outputs.push_back(ToValueInfo(graph.value(v).name, graph.value(v).type));
  return found;
}

}  // namespace slipway
