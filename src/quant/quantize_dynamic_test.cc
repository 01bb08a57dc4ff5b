#include "quant/quantize_dynamic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "graph/graph_builder.h"
#include "ops/evaluate.h"
#include "ops/op.h"
#include "quant/weights.h"

namespace slipway {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;

TEST(QuantizeWeight, ScalesAndZeroPoints) {
  const Tensor w = Tensor::From<float>({2, 3}, {-1.27f, 0, 0.5f, 0.02f, 2.54f, -0.01f});
  const auto q = QuantizeWeight(w, {.is_signed = true, .symmetric = true, .reduced = false}, 0);
  EXPECT_THAT(std::vector<float>(q.scale.data<float>(), q.scale.data<float>() + 2),
              ElementsAre(::testing::FloatEq(0.01f), ::testing::FloatEq(0.02f)));
  EXPECT_THAT(std::vector<int8_t>(q.values.data<int8_t>(), q.values.data<int8_t>() + 6),
              ElementsAre(-127, 0, 50, 1, 127, 0));
  const auto u = QuantizeWeight(w, {.is_signed = false, .symmetric = false, .reduced = false}, -1);
  EXPECT_FLOAT_EQ(*u.scale.data<float>(), 3.81f / 255);
  EXPECT_EQ(*u.zero.data<uint8_t>(), 85);
  EXPECT_EQ(u.values.data<uint8_t>()[0], 0);
  EXPECT_EQ(u.values.data<uint8_t>()[4], 255);
  const auto zeros = QuantizeWeight(Tensor::From<float>({2}, {0, 0}), {true, true, true}, -1);
  EXPECT_EQ(*zeros.scale.data<float>(), 1);
}

Tensor Wave(Shape shape, float step) {
  Tensor t(DType::kFloat, std::move(shape));
  for (int64_t i = 0; i < t.size(); ++i) t.data<float>()[i] = std::sin(static_cast<float>(i) * step);
  return t;
}

std::vector<std::string> OpTypes(const Graph& graph) {
  std::vector<std::string> types;
  for (const NodeId id : graph.order()) types.push_back(graph.node(id).op_type);
  return types;
}

/// x -> MatMul -> Gemm (B transposed) with a bias, and a Gather beside them.
Model Sample() {
  GraphBuilder b;
  const ValueId x = b.Input("x", {4, 8}), i = b.Input("i", {2}, DType::kInt64);
  const ValueId h = b.Add("MatMul", {x, b.Constant(Wave({8, 6}, 0.7f))});
  b.graph.node(0).name = "first";
  const ValueId y =
      b.Add("Gemm", {h, b.Constant(Wave({5, 6}, 0.3f)), b.Constant(Wave({5}, 1))}, {{"transB", int64_t{1}}});
  b.graph.node(1).name = "second";
  b.Output(y, "y");
  b.Output(b.Add("Gather", {b.Constant(Wave({10, 3}, 0.2f)), i}), "e");
  Model model;
  model.graph = std::make_unique<Graph>(std::move(b.graph));
  return model;
}

std::vector<Value> RunSample(const Graph& graph) {
  const Threads threads(1);
  std::vector<Value> values(graph.num_values());
  for (size_t v = 0; v < values.size(); ++v) {
    if (const Tensor* t = graph.Constant(static_cast<ValueId>(v))) values[v] = *t;
  }
  values[graph.inputs[0]] = Wave({4, 8}, 0.9f);
  values[graph.inputs[1]] = Tensor::From<int64_t>({2}, {7, 0});
  for (const NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    std::vector<Value*> in;
    for (const ValueId v : node.inputs) in.push_back(v == kNone ? nullptr : &values[v]);
    std::vector<Value> out = Evaluate(graph, node, *MakeOp(graph, node), in, threads);
    for (size_t i = 0; i < out.size(); ++i) values[node.outputs[i]] = std::move(out[i]);
  }
  return {values[graph.outputs[0]], values[graph.outputs[1]]};
}

TEST(QuantizeDynamic, StaysNearFloat) {
  Model model = Sample();
  InferTypes(*model.graph);
  const std::vector<Value> want = RunSample(*model.graph);
  for (const bool is_signed : {true, false}) {
    for (const bool per_channel : {true, false}) {
      Model quantized = Sample();
      EXPECT_EQ(
          QuantizeDynamic(quantized, {.signed_weights = is_signed, .symmetric = is_signed, .per_channel = per_channel}),
          3);
      EXPECT_EQ(quantized.graph->value(quantized.graph->outputs[0]).name, "y");
      const std::vector<Value> got = RunSample(*quantized.graph);
      for (size_t i = 0; i < want.size(); ++i) {
        const Tensor &a = got[i].tensor(), &b = want[i].tensor();
        ASSERT_EQ(a.shape(), b.shape());
        for (int64_t j = 0; j < a.size(); ++j) EXPECT_NEAR(a.data<float>()[j], b.data<float>()[j], 0.05) << i;
      }
    }
  }
}

TEST(QuantizeDynamic, WhatIsAskedFor) {
  Model model = Sample();
  EXPECT_EQ(QuantizeDynamic(model, {.op_types = {"MatMul"}}), 1);
  EXPECT_THAT(OpTypes(*model.graph),
              ElementsAre("DynamicQuantizeLinear", "MatMulInteger", "Cast", "Mul", "Mul", "Gemm", "Gather"));
  model = Sample();
  EXPECT_EQ(QuantizeDynamic(model, {.nodes = {"second"}}), 1);
  EXPECT_THAT(OpTypes(*model.graph),
              ElementsAre("MatMul", "DynamicQuantizeLinear", "MatMulInteger", "Cast", "Mul", "Mul", "Add", "Gather"));
  model = Sample();
  EXPECT_EQ(QuantizeDynamic(model, {.exclude_nodes = {"first", "second"}}), 1);
  EXPECT_THROW(QuantizeDynamic(model, {.op_types = {"Softmax"}}), Error);
}

}  // namespace
}  // namespace slipway
