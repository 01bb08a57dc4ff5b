#include "tools/planned.h"

#include <algorithm>

#include "onnx/reader.h"
#include "session/compiled.h"
#include "session/describe.h"

namespace slipway {

Planned PlanFor(const Graph& graph, const std::map<std::string, Shape>& shapes, const Threads& threads) {
  Planned planned;
  const auto& order = graph.order();
  planned.ops.resize(order.empty() ? 0 : *std::max_element(order.begin(), order.end()) + 1);
  for (const NodeId id : order) planned.ops[id] = MakeOp(graph, graph.node(id));
  std::vector<Type> inputs;
  for (const ValueId v : graph.inputs) {
    const Graph::ValueInfo& value = graph.value(v);
    inputs.push_back(value.type);
    const auto found = shapes.find(value.name);
    if (found != shapes.end() && value.type.kind == Type::Kind::kTensor) inputs.back().shape = found->second;
  }
  planned.plan = MakePlan({graph, planned.ops, threads}, inputs);
  return planned;
}

Model ReadNamed(const std::string& path, std::optional<Compiled>* compiled) {
  try {
    const auto file = MappedFile::Open(path);
    if (!IsCompiled(*file)) return ReadModel(path);
    CompiledModel from = ReadCompiled(file, path);
    if (compiled) *compiled = {from.version, from.isa, static_cast<int64_t>(from.packed_bytes)};
    return std::move(from.model);
  } catch (const Error& e) {
    throw Error(e.code(), path.substr(path.find_last_of('/') + 1) + ": " + e.what());
  }
}

std::vector<ValueInfo> InputInfos(const Graph& graph) {
  std::vector<ValueInfo> infos;
  for (const ValueId v : graph.inputs) infos.push_back(ToValueInfo(graph.value(v).name, graph.value(v).type));
  return infos;
}

}  // namespace slipway
