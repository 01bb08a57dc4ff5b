#include <unordered_map>

#include <fmt/format.h>

#include "onnx/reader.h"
#include "pt2/converter.h"

namespace slipway::pt2 {

/// Puts the nodes of a translation, which is a model of its own, where the node stands.
bool Converter::Translate(const TorchNode& node) {
  const auto given = options_.translations.find(node.target);
  if (given == options_.translations.end()) return false;
  Model model;
  try {
    model = ReadModel(given->second, "", true);
  } catch (const Error& e) {
    const std::string line = node.SourceLine();
    throw Error(e.code(), fmt::format("the translation of node '{}' is no valid graph: {}{}{}", node.name, e.what(),
                                      line.empty() ? "" : "\n  used at ", line));
  }
  const Graph& from = *model.graph;
  if (from.inputs.size() != node.inputs.size() || from.outputs.size() != node.outputs.size()) {
    throw Error(
        Code::kInvalidArgument,
        fmt::format("the translation of node '{}' has {} inputs and {} outputs, the node has {} and {}.", node.name,
                    from.inputs.size(), from.outputs.size(), node.inputs.size(), node.outputs.size()));
  }
  std::unordered_map<ValueId, ValueId> ours;
  for (size_t i = 0; i < from.inputs.size(); ++i) {
    const Argument& a = node.inputs[i].second;
    const DType type = a.is(Argument::Kind::kSymFloat)  ? DType::kDouble
                       : a.is(Argument::Kind::kSymBool) ? DType::kBool
                                                        : DType::kInt64;
    ours[from.inputs[i]] = a.is(Argument::Kind::kTensor) ? Read(a.text).id : Number(Symbolic(a), type);
  }
  const auto value = [&](ValueId v) {
    if (v == kNone) return kNone;
    const auto known = ours.find(v);
    if (known != ours.end()) return known->second;
    return ours[v] = Constant(*from.Constant(v));
  };
  for (const NodeId id : from.order()) {
    Node copy = from.node(id);
    const std::vector<ValueId> outputs = std::move(copy.outputs);
    copy.outputs.clear();
    copy.name.clear();
    for (ValueId& v : copy.inputs) v = value(v);
    for (ValueId& v : copy.captures) v = value(v);
    const std::string domain = copy.domain;
    const auto made = AddNode(std::move(copy), static_cast<int>(outputs.size()), node.name);
    for (size_t i = 0; i < outputs.size(); ++i) ours[outputs[i]] = made[i];
    const auto opset = model.opsets.find(domain);
    if (!domain.empty() && opset != model.opsets.end()) opsets_[domain] = opset->second;
  }
  Call call(*this, node, "");
  for (size_t i = 0; i < from.outputs.size(); ++i) call.Out(static_cast<int>(i), value(from.outputs[i]));
  for (size_t i = 0; i < call.results_.size(); ++i) {
    if (call.results_[i] != kNone && !call.names_()[i].empty()) Bind(call.names_()[i], call.results_[i]);
  }
  return true;
}

}  // namespace slipway::pt2
