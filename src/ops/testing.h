#pragma once

#include <string>
#include <vector>

#include "ops/evaluate.h"
#include "ops/op.h"

namespace slipway::testing {

/// An operator on its own, for table tests: RunOp("Trilu", {x, k}, {{"upper", int64_t{0}}}).
struct OpCall {
  std::string op_type;
  std::vector<Value> inputs;  ///< an empty value: input left out
  std::vector<std::pair<std::string, Attribute>> attributes = {};
  int outputs = 1;
  std::string domain = {};
  int threads = 2;
};

inline std::vector<Value> RunOp(OpCall call) {
  Graph graph;
  Node node{.name = "test", .op_type = call.op_type, .domain = call.domain};
  std::vector<Value*> inputs;
  for (Value& v : call.inputs) {
    const std::string name = "in" + std::to_string(inputs.size());
    node.inputs.push_back(v.empty() ? kNone : graph.AddValue(name, TypeOf(v)));
    inputs.push_back(v.empty() ? nullptr : &v);
  }
  for (int i = 0; i < call.outputs; ++i) node.outputs.push_back(graph.AddValue("out" + std::to_string(i)));
  for (auto& [name, value] : call.attributes) node.attributes.Set(name, value);
  const std::unique_ptr<Op> op = MakeOp(graph, node);
  return Evaluate(graph, node, *op, inputs, Threads(call.threads));
}

/// The first output as a tensor.
inline Tensor RunOp1(OpCall call) { return RunOp(std::move(call))[0].tensor(); }

template <class T>
std::vector<T> ToVector(const Tensor& t) {
  const auto span = t.span<T>();
  return std::vector<T>(span.begin(), span.end());
}

}  // namespace slipway::testing
