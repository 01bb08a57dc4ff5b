#include "session/convert.h"

#include <cstring>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph/graph_builder.h"
#include "onnx/downgrade/downgrade.h"
#include "onnx/reader.h"
#include "onnx/upgrade/upgrade.h"
#include "onnx/writer.h"
#include "slipway/session.h"

namespace slipway {
namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

Model ModelOf(const std::function<void(GraphBuilder&)>& build) {
  GraphBuilder b;
  build(b);
  Model model{.graph = std::make_unique<Graph>(std::move(b.graph)), .ir_version = 10};
  return model;
}

std::vector<std::string> OpsOf(const Graph& g) {
  std::vector<std::string> ops;
  for (NodeId id : g.order()) ops.push_back(g.node(id).op_type);
  return ops;
}

Tensor Filled(const ValueInfo& info) {
  Shape shape;
  for (const AxisInfo& axis : info.shape) shape.push_back(axis.size >= 0 ? axis.size : 3);
  Tensor t(info.type == "tensor(int64)"  ? DType::kInt64
           : info.type == "tensor(int8)" ? DType::kInt8
                                         : DType::kFloat,
           shape);
  for (int64_t i = 0; i < t.size(); ++i) {
    const auto value = static_cast<float>((i * 37 + 11) % 23) / 4 - 2.5f;
    if (t.dtype() == DType::kFloat) t.data<float>()[i] = value;
    if (t.dtype() == DType::kInt64) t.data<int64_t>()[i] = static_cast<int64_t>(i % 3);
    if (t.dtype() == DType::kInt8) t.data<int8_t>()[i] = static_cast<int8_t>(i * 53 + 60);
  }
  return t;
}

std::vector<Value> Outputs(const std::string& bytes) {
  const Session session = Session::FromBytes(bytes);
  Inputs inputs;
  for (const ValueInfo& info : session.inputs()) inputs.emplace_back(info.name, Filled(info));
  return session.Run(inputs);
}

void ExpectSame(const std::vector<Value>& a, const std::vector<Value>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    const Tensor &x = a[i].tensor(), &y = b[i].tensor();
    ASSERT_EQ(x.dtype(), y.dtype());
    ASSERT_EQ(x.shape(), y.shape());
    if (x.dtype() != DType::kFloat) {
      EXPECT_EQ(std::memcmp(x.raw(), y.raw(), x.bytes()), 0);
      continue;
    }
    for (int64_t k = 0; k < x.size(); ++k) EXPECT_NEAR(x.data<float>()[k], y.data<float>()[k], 1e-4) << k;
  }
}

using Ops = std::vector<std::string>;

TEST(ConvertOpset, GivesTheSameNumbersInOlderForms) {
  const auto unary = [](const char* op) {
    return [=](GraphBuilder& b) { b.Output(b.Add(op, {b.Input("x", {2, 6})})); };
  };
  const struct {
    const char* name;
    std::function<void(GraphBuilder&)> build;
    int64_t opset;
    Ops want;
  } cases[] = {
      {"kept", unary("Relu"), 7, {"Relu"}},
      {"gelu", unary("Gelu"), 20, {"Gelu"}},
      {"gelu", unary("Gelu"), 19, {"Div", "Erf", "Add", "Mul", "Mul"}},
      {"mish", unary("Mish"), 17, {"Softplus", "Tanh", "Mul"}},
      {"hard swish", unary("HardSwish"), 13, {"HardSigmoid", "Mul"}},
      {"swish", unary("Swish"), 23, {"Sigmoid", "Mul"}},
      {"softmax over the last axis", unary("Softmax"), 12, {"Softmax"}},
      {"softmax over another axis",
       [](GraphBuilder& b) {
         b.Output(b.Add("Softmax", {b.Input("x", {2, 3, 4})}, {{"axis", int64_t{1}}}));
       },
       11,
       {"Transpose", "Softmax", "Transpose"}},
      {"axes to an attribute",
       [](GraphBuilder& b) {
         b.Output(b.Add("ReduceMean", {b.Input("x", {2, 3}), b.Ints({-1})}));
       },
       17,
       {"ReduceMean"}},
      {"negative axes before opset 11",
       [](GraphBuilder& b) {
         b.Output(b.Add("ReduceSum", {b.Input("x", {2, 3}), b.Ints({-1})}));
       },
       9,
       {"ReduceSum"}},
      {"no axes, nothing reduced",
       [](GraphBuilder& b) {
         b.Output(b.Add("ReduceSumSquare", {b.Input("x", {2, 3})}, {{"noop_with_empty_axes", int64_t{1}}}));
       },
       13,
       {"Mul"}},
      {"layer normalization",
       [](GraphBuilder& b) {
         const ValueId x = b.Input("x", {2, 4}), scale = b.Floats({4}, {1, 2, 3, 4});
         b.Output(b.Add("LayerNormalization", {x, scale, scale}));
       },
       16,
       {"ReduceMean", "Sub", "Mul", "ReduceMean", "Add", "Sqrt", "Div", "Mul", "Add"}},
      {"group normalization",
       [](GraphBuilder& b) {
         const ValueId x = b.Input("x", {2, 4, 3}), scale = b.Floats({4}, {1, 2, 3, 4});
         b.Output(b.Add("GroupNormalization", {x, scale, scale}, {{"num_groups", int64_t{2}}}));
       },
       18,
       {"Reshape", "InstanceNormalization", "Reshape", "Unsqueeze", "Unsqueeze", "Mul", "Add"}},
      {"attention",
       [](GraphBuilder& b) {
         const ValueId q = b.Input("q", {1, 2, 3, 4}), k = b.Input("k", {1, 2, 5, 4}), v = b.Input("v", {1, 2, 5, 4});
         b.Output(b.Add("Attention", {q, k, v}));
       },
       17,
       {"Mul", "Transpose", "MatMul", "Softmax", "MatMul"}},
      {"split that says how many parts, unevenly",
       [](GraphBuilder& b) {
         const auto parts = b.AddMany("Split", {b.Input("x", {7})}, 2, {{"num_outputs", int64_t{2}}});
         for (ValueId v : parts) b.Output(v);
       },
       13,
       {"Split"}},
      {"clip of integers",
       [](GraphBuilder& b) {
         const ValueId low = b.Constant(Tensor::From<int64_t>({}, {1}));
         b.Output(b.Add("Clip", {b.Input("x", {5}, DType::kInt64), low}));
       },
       11,
       {"Greater", "Where"}},
      {"sums of bytes",
       [](GraphBuilder& b) {
         const ValueId x = b.Input("x", {9}, DType::kInt8);
         b.Output(b.Add("Add", {x, x}));
       },
       13,
       {"Cast", "Cast", "Add", "Cast"}},
      {"part of a shape",
       [](GraphBuilder& b) {
         const ValueId x = b.Input("x", {Dim::Symbol("n"), 4});
         b.Output(b.Add("Shape", {x}, {{"start", int64_t{1}}}));
       },
       14,
       {"Shape", "Slice"}},
      {"sizes for resizing, without a region",
       [](GraphBuilder& b) {
         b.Output(b.Add("Resize", {b.Input("x", {1, 1, 2, 2}), kNone, kNone, b.Ints({1, 1, 4, 6})},
                        {{"mode", std::string("linear")}}));
       },
       11,
       {"Resize"}},
      {"resizing by products",
       [](GraphBuilder& b) {
         b.Output(b.Add("Resize", {b.Input("x", {1, 1, 2, 2}), kNone, kNone, b.Ints({1, 1, 4, 6})},
                        {{"mode", std::string("linear")}}));
       },
       10,
       {"MatMul", "Transpose", "MatMul"}},
      {"trilu",
       [](GraphBuilder& b) {
         b.Output(b.Add("Trilu", {b.Input("x", {Dim::Symbol("n"), 4})}));
       },
       13,
       {"Shape", "Gather", "Squeeze", "Range", "Unsqueeze", "Unsqueeze", "Sub", "Less", "Not", "Where"}},
      {"einsum",
       [](GraphBuilder& b) {
         b.Output(
             b.Add("Einsum", {b.Input("x", {2, 3}), b.Input("y", {4, 3})}, {{"equation", std::string("ij,kj->ik")}}));
       },
       11,
       {"Transpose", "MatMul"}},
      {"running products",
       [](GraphBuilder& b) {
         b.Output(b.Add("CumProd", {b.Input("x", {3, 2}), b.Constant(Tensor::From<int64_t>({}, {0}))}));
       },
       25,
       {"Concat", "ConstantOfShape", "Scan"}},
      {"bits",
       [](GraphBuilder& b) {
         const ValueId x = b.Input("x", {9}, DType::kInt8);
         b.Output(b.Add("BitwiseXor", {x, b.Constant(Tensor::From<int8_t>({}, {int8_t{-75}}))}));
       },
       14,
       {}},
      {"scattered sums",
       [](GraphBuilder& b) {
         b.Output(b.Add(
             "ScatterElements",
             {b.Input("x", {3, 2}), b.Constant(Tensor::From<int64_t>({2, 1}, {2, 2})), b.Floats({2, 1}, {1.5f, 2})},
             {{"reduction", std::string("add")}}));
       },
       15,
       {}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(std::string(c.name) + " at opset " + std::to_string(c.opset));
    Model model = ModelOf(c.build);
    const std::string newest = WriteModel(model);
    ConvertOpset(model, c.opset);
    if (!c.want.empty()) {
      EXPECT_THAT(OpsOf(*model.graph), ElementsAreArray(c.want));
    }
    const std::string older = WriteModel(model, c.opset);
    EXPECT_EQ(ReadModel(older, "").opsets.at(""), c.opset);
    ExpectSame(Outputs(newest), Outputs(older));
  }
}

TEST(ConvertOpset, GoesIntoBodies) {
  const auto build = [](GraphBuilder& b) {
    const ValueId x = b.Input("x", {4});
    const ValueId test = b.Add("Less", {b.Add("ReduceSum", {x, kNone}, {{"keepdims", int64_t{0}}}), b.Scalar(0)});
    const auto branch = [&](const char* op) {
      auto sub = std::make_shared<Graph>();
      const ValueId inside = sub->AddValue("inside");
      const ValueId out = sub->AddValue("out");
      sub->captures = {inside};
      sub->AddNode({.op_type = op, .inputs = {inside}, .outputs = {out}});
      sub->outputs = {out};
      return sub;
    };
    const ValueId y = b.graph.AddValue("y");
    b.graph.AddNode({.op_type = "If",
                     .inputs = {test},
                     .outputs = {y},
                     .attributes = {{"then_branch", branch("Gelu")}, {"else_branch", branch("Mish")}},
                     .captures = {x}});
    b.Output(y);
  };
  Model model = ModelOf(build);
  const std::string newest = WriteModel(model);
  ConvertOpset(model, 13);
  ExpectSame(Outputs(newest), Outputs(WriteModel(model, 13)));
}

TEST(ConvertOpset, SaysWhatCannotBeExpressed) {
  const struct {
    std::function<void(GraphBuilder&)> build;
    int64_t opset;
    std::string want;
  } cases[] = {
      {[](GraphBuilder& b) {
         b.Output(b.Add("Det", {b.Input("x", {2, 2})}));
       },
       10, "came with opset 11"},
      {[](GraphBuilder& b) { b.Output(b.Add("Relu", {b.Input("x", {2}, DType::kBFloat16)})); }, 12, "opset 13"},
      {[](GraphBuilder& b) {
         b.Output(b.Add("ReduceMean", {b.Input("x", {2, 3}), b.Input("axes", {1}, DType::kInt64)}));
       },
       17, "must be constant"},
      {[](GraphBuilder& b) { b.Output(b.Add("Relu", {b.Input("x", {2})})); }, 6, "only 7 to"},
      {[](GraphBuilder& b) { b.Output(b.Add("Relu", {b.Input("x", {2})})); }, 99, "only 7 to"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.want);
    Model model = ModelOf(c.build);
    try {
      ConvertOpset(model, c.opset);
      ADD_FAILURE() << "nothing thrown";
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), HasSubstr(c.want));
    }
  }
}

TEST(ConvertOpset, NamesTheIrVersionOfAnOpset) {
  EXPECT_EQ(onnx::IrVersionOf(7), 4);
  EXPECT_EQ(onnx::IrVersionOf(11), 6);
  EXPECT_EQ(onnx::IrVersionOf(17), 8);
  EXPECT_EQ(onnx::IrVersionOf(onnx::kNewestOpset), 14);
}

}  // namespace
}  // namespace slipway
