#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "graph/graph.h"

namespace slipway {

/// Builds a graph in a few lines, for tests: `const ValueId x = b.Input("x", {2, 3}); b.Output(b.Add("Relu", {x}));`
/// Values are float where nothing else is said; those that nodes give have no type until it is inferred.
class GraphBuilder {
 public:
  ValueId Input(std::string name, SymbolicShape shape, DType elem = DType::kFloat) {
    const ValueId v = graph.AddValue(std::move(name), Type::TensorOf(elem, std::move(shape)));
    graph.inputs.push_back(v);
    return v;
  }
  ValueId Constant(Tensor value) { return graph.AddConstant(fmt::format("c{}", graph.num_values()), std::move(value)); }
  ValueId Scalar(float value) { return Constant(Tensor::From<float>({}, {value})); }
  ValueId Floats(Shape shape, const std::vector<float>& values) {
    return Constant(Tensor::From<float>(std::move(shape), values));
  }
  ValueId Ints(const std::vector<int64_t>& values) {
    return Constant(Tensor::From<int64_t>({static_cast<int64_t>(values.size())}, values));
  }
  ValueId Add(std::string_view op_type, std::vector<ValueId> inputs, Attributes attributes = {},
              std::string_view domain = kOnnxDomain) {
    return AddMany(op_type, std::move(inputs), 1, std::move(attributes), domain)[0];
  }
  std::vector<ValueId> AddMany(std::string_view op_type, std::vector<ValueId> inputs, int outputs,
                               Attributes attributes = {}, std::string_view domain = kOnnxDomain) {
    Node node{.op_type = std::string(op_type),
              .domain = std::string(domain),
              .inputs = std::move(inputs),
              .attributes = std::move(attributes)};
    for (int i = 0; i < outputs; ++i) node.outputs.push_back(graph.AddValue(fmt::format("v{}", graph.num_values())));
    const std::vector<ValueId> out = node.outputs;
    graph.AddNode(std::move(node));
    return out;
  }
  void Output(ValueId v, std::string name = {}) {
    if (!name.empty()) graph.value(v).name = std::move(name);
    graph.outputs.push_back(v);
  }

  Graph graph;
};

}  // namespace slipway
