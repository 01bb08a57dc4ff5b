#include "session/describe.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace slipway {

std::string TypeName(const Type& type) {
  switch (type.kind) {
    case Type::Kind::kTensor:
      return fmt::format("tensor({})", Name(type.elem));
    case Type::Kind::kSequence:
      return fmt::format("seq({})", TypeName(*type.element));
    case Type::Kind::kOptional:
      return fmt::format("optional({})", TypeName(*type.element));
    case Type::Kind::kMap:
      return fmt::format("map({},{})", Name(type.elem), TypeName(*type.element));
  }
  return "";
}

ValueInfo ToValueInfo(const std::string& name, const Type& type) {
  ValueInfo info{.name = name, .type = TypeName(type)};
  const Type& inner = type.kind == Type::Kind::kOptional ? *type.element : type;
  if (inner.kind != Type::Kind::kTensor) return info;
  info.elem = inner.elem;
  info.has_rank = inner.shape.has_rank();
  if (!info.has_rank) return info;
  for (const Dim& d : inner.shape.dims()) {
    if (d.is_const()) {
      info.shape.push_back({.size = d.value()});
    } else {
      const std::string text = d.ToString();
      info.shape.push_back({.symbol = text.starts_with('?') ? "" : text});
    }
  }
  return info;
}

ModelInfo InfoOf(const Model& model) {
  return {.producer_name = model.producer_name,
          .producer_version = model.producer_version,
          .domain = model.domain,
          .description = model.doc,
          .graph_name = model.graph->name,
          .graph_description = model.graph->doc,
          .ir_version = model.ir_version,
          .model_version = model.model_version,
          .opsets = model.opsets,
          .metadata = model.metadata};
}

std::string DescribeValue(const ValueInfo& info) {
  if (!info.type.starts_with("tensor")) return info.type;
  if (!info.has_rank) return fmt::format("{} of any shape", Name(info.elem));
  std::vector<std::string> axes;
  for (const AxisInfo& axis : info.shape) {
    axes.push_back(axis.size >= 0 ? std::to_string(axis.size) : axis.symbol.empty() ? "?" : axis.symbol);
  }
  return fmt::format("{} [{}]", Name(info.elem), fmt::join(axes, ", "));
}

std::string ListNames(const std::vector<ValueInfo>& infos) {
  if (infos.empty()) return "none";
  std::string out;
  for (size_t i = 0; i < infos.size(); ++i) {
    if (i > 0) out += i + 1 == infos.size() ? " and " : ", ";
    out += "'" + infos[i].name + "'";
  }
  return out;
}

std::string DescribeGraph(const Graph& graph) {
  std::string out;
  auto show = [&](ValueId v) {
    if (v == kNone) return std::string("-");
    const auto& info = graph.value(v);
    return fmt::format("{}{}: {}", info.constant ? "=" : "", info.name, info.type.ToString());
  };
  for (NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    std::vector<std::string> in, result;
    for (ValueId v : node.inputs) in.push_back(show(v));
    for (ValueId v : node.outputs) result.push_back(show(v));
    out += fmt::format("{} {}({}) -> {}\n", node.name, node.op_type, fmt::join(in, ", "), fmt::join(result, ", "));
  }
  return out;
}

}  // namespace slipway
