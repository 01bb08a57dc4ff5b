#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "graph/graph_builder.h"
#include "ops/evaluate.h"
#include "passes/pipeline.h"

namespace slipway::testing {

/// Runs the graph node by node.
inline std::vector<Value> RunGraph(const Graph& graph, const std::vector<Value>& inputs) {
  const Threads threads(1);
  std::vector<Value> values(graph.num_values());
  for (size_t v = 0; v < values.size(); ++v) {
    if (const Tensor* t = graph.Constant(static_cast<ValueId>(v))) values[v] = *t;
  }
  for (size_t i = 0; i < inputs.size(); ++i) values[graph.inputs[i]] = inputs[i];
  for (const NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    std::vector<Value*> in;
    for (const ValueId v : node.inputs) in.push_back(v == kNone ? nullptr : &values[v]);
    std::vector<Value> out = Evaluate(graph, node, *MakeOp(graph, node), in, threads);
    for (size_t i = 0; i < out.size(); ++i) {
      if (node.outputs[i] != kNone) values[node.outputs[i]] = std::move(out[i]);
    }
  }
  std::vector<Value> outputs;
  for (const ValueId v : graph.outputs) outputs.push_back(values[v]);
  return outputs;
}

/// Numbers for the graph's inputs, whose ranks are known, with 3 for every symbol: floats in [-2, 2], integers 0 to 2.
inline std::vector<Value> RandomInputs(const Graph& graph) {
  std::mt19937 random(7);
  std::vector<Value> inputs;
  for (const ValueId v : graph.inputs) {
    const Type& type = graph.value(v).type;
    Shape shape;
    for (const Dim& d : type.shape.dims()) shape.push_back(d.is_const() ? d.value() : 3);
    Tensor t(type.elem, shape);
    for (int64_t i = 0; i < t.size(); ++i) {
      switch (type.elem) {
        case DType::kFloat:
          t.data<float>()[i] = std::uniform_real_distribution<float>(-2, 2)(random);
          break;
        case DType::kInt64:
          t.data<int64_t>()[i] = static_cast<int64_t>(random() % 3);
          break;
        default:
          t.data<bool>()[i] = random() % 2 == 0;
      }
    }
    inputs.push_back(t);
  }
  return inputs;
}

inline void ExpectClose(const Value& got, const Value& want) {
  const Tensor &a = got.tensor(), &b = want.tensor();
  ASSERT_EQ(a.dtype(), b.dtype());
  ASSERT_EQ(a.shape(), b.shape());
  for (int64_t i = 0; i < a.size(); ++i) {
    if (a.dtype() == DType::kFloat) {
      const float x = a.data<float>()[i], y = b.data<float>()[i];
      ASSERT_NEAR(x, y, 2e-5f * std::max(1.0f, std::abs(y))) << "at " << i;
    } else {
      const size_t size = SizeOf(a.dtype());
      const auto* p = static_cast<const char*>(a.raw());
      const auto* q = static_cast<const char*>(b.raw());
      ASSERT_TRUE(std::equal(p + i * size, p + (i + 1) * size, q + i * size)) << "at " << i;
    }
  }
}

/// A graph, and the nodes that are to be left of it.
struct PassCase {
  const char* name;
  std::function<void(GraphBuilder&)> build;
  std::vector<std::string> want;
};

/// Optimizes each graph: the nodes left must be those wanted, in order, and the results and output names what they
/// were.
inline void CheckPasses(const std::vector<PassCase>& cases, const PassOptions& options) {
  for (const PassCase& c : cases) {
    SCOPED_TRACE(c.name);
    GraphBuilder b;
    c.build(b);
    InferTypes(b.graph);
    const std::vector<Value> inputs = RandomInputs(b.graph);
    const std::vector<Value> before = RunGraph(b.graph, inputs);
    const auto names = [&] {
      std::vector<std::string> out;
      for (const ValueId v : b.graph.outputs) out.push_back(b.graph.value(v).name);
      return out;
    };
    const std::vector<std::string> names_before = names();
    Optimize(b.graph, options, Threads(1));
    Verify(b.graph);
    std::vector<std::string> got;
    for (const NodeId id : b.graph.order()) got.push_back(b.graph.node(id).op_type);
    EXPECT_EQ(got, c.want);
    EXPECT_EQ(names(), names_before);
    const std::vector<Value> after = RunGraph(b.graph, inputs);
    for (size_t i = 0; i < before.size(); ++i) ExpectClose(after[i], before[i]);
  }
}

}  // namespace slipway::testing
