#include "session/convert.h"

#include <algorithm>
#include <map>

#include "onnx/downgrade/downgrade.h"
#include "onnx/reader.h"
#include "onnx/writer.h"
#include "ops/infer.h"

namespace slipway {
namespace {

/// Shape rules, and the contents of integer values that they found, graph by graph.
class Rules {
 public:
  /// Types of all values. Operators that are not known, as those of other domains, keep what the file says.
  void InferAll(Graph& graph) {
    for (NodeId id : graph.order()) Infer(graph, id);
  }

  void Infer(Graph& graph, NodeId id) {
    try {
      InferNode(graph, id, &ints_[&graph]);
    } catch (const Error& e) {
      if (e.code() != Code::kUnsupported) throw;
    }
  }

  std::optional<std::vector<int64_t>> Ints(const Graph& graph, ValueId value) const {
    if (const Tensor* t = graph.Constant(value)) return OfTensor(*t);
    const auto found = ints_.find(&graph);
    if (found == ints_.end() || static_cast<size_t>(value) >= found->second.size()) return std::nullopt;
    const auto& known = found->second[value];
    if (!known || !std::all_of(known->begin(), known->end(), [](const Dim& d) { return d.is_const(); }))
      return std::nullopt;
    std::vector<int64_t> out;
    for (const Dim& d : *known) out.push_back(d.value());
    return out;
  }

 private:
  static std::optional<std::vector<int64_t>> OfTensor(const Tensor& t) {
    if (t.shape().rank() > 1) return std::nullopt;
    if (t.dtype() == DType::kInt64) return std::vector<int64_t>(t.data<int64_t>(), t.data<int64_t>() + t.size());
    if (t.dtype() == DType::kInt32) return std::vector<int64_t>(t.data<int32_t>(), t.data<int32_t>() + t.size());
    return std::nullopt;
  }

  std::map<const Graph*, KnownInts> ints_;
};

int64_t CountNodes(const Graph& graph) {
  auto sum = static_cast<int64_t>(graph.order().size());
  for (NodeId id : graph.order()) {
    for (const auto& [name, value] : graph.node(id).attributes) {
      if (const auto* body = std::get_if<std::shared_ptr<Graph>>(&value)) sum += CountNodes(**body);
    }
  }
  return sum;
}

}  // namespace

void ConvertOpset(Model& model, int64_t opset) {
  Rules rules;
  rules.InferAll(*model.graph);
  onnx::ConvertOpset(model, opset,
                     {.infer = [&](Graph& graph, NodeId id) { rules.Infer(graph, id); },
                      .ints = [&](const Graph& graph, ValueId value) { return rules.Ints(graph, value); }});
  Verify(*model.graph);
}

ConversionReport ConvertFile(const std::string& from, const std::string& to, int64_t opset) {
  Model model = ReadModel(from);
  ConversionReport report{.to = opset, .nodes_before = CountNodes(*model.graph)};
  if (const auto given = model.opsets.find(""); given != model.opsets.end()) report.from = given->second;
  ConvertOpset(model, opset);
  report.nodes_after = CountNodes(*model.graph);
  WriteModel(model, to, int64_t{2000} << 20, opset);
  return report;
}

std::string ConvertFile(const std::string& from, int64_t opset) {
  Model model = ReadModel(from);
  ConvertOpset(model, opset);
  return WriteModel(model, opset);
}

std::string ConvertBytes(std::string_view bytes, int64_t opset) {
  Model model = ReadModel(bytes, "");
  ConvertOpset(model, opset);
  return WriteModel(model, opset);
}

}  // namespace slipway
