#include "graph/patch.h"

namespace slipway {

ValueId Patch::Constant(Tensor value, std::string name_hint) {
  constants_.push_back({.id = next_, .name = std::move(name_hint), .value = std::move(value)});
  return next_++;
}

ValueId Patch::Add(std::string_view op_type, std::vector<ValueId> inputs, Attributes attributes,
                   std::string_view domain) {
  return AddMany(op_type, std::move(inputs), {true}, std::move(attributes), domain)[0];
}

std::vector<ValueId> Patch::AddMany(std::string_view op_type, std::vector<ValueId> inputs,
                                    const std::vector<bool>& outputs, Attributes attributes, std::string_view domain) {
  Node node{.op_type = std::string(op_type),
            .domain = std::string(domain),
            .inputs = std::move(inputs),
            .attributes = std::move(attributes)};
  for (const bool wanted : outputs) node.outputs.push_back(wanted ? next_++ : kNone);
  nodes_.push_back(std::move(node));
  return nodes_.back().outputs;
}

}  // namespace slipway
