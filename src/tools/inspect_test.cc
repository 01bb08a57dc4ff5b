#include "tools/inspect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/check.h"
#include "tools/flops.h"
#include "tools/planned.h"

namespace slipway {
namespace {

/// One node over a float input of this shape and a constant of that one.
Graph OneNode(const std::string& op, const Shape& x, const Shape& w) {
  Graph g;
  g.inputs = {g.AddValue("x", Type::TensorOf(DType::kFloat, x))};
  const ValueId weights = g.AddConstant("w", RandomTensor(DType::kFloat, w, {}));
  g.outputs = {g.AddValue("y")};
  g.AddNode({.name = "n", .op_type = op, .inputs = {g.inputs[0], weights}, .outputs = {g.outputs[0]}});
  return g;
}

TEST(Flops, AreTwoForEachProduct) {
  const struct {
    std::string op;
    Shape x, w;
    int64_t want;
  } cases[] = {
      {"MatMul", {5, 2, 3}, {3, 4}, 2 * 5 * 2 * 3 * 4},
      {"Gemm", {2, 3}, {3, 4}, 2 * 2 * 3 * 4},
      {"Conv", {1, 3, 8, 8}, {6, 3, 3, 3}, 2 * 6 * 6 * 6 * 27},
      {"Add", {2, 3}, {3}, 0},
  };
  for (const auto& c : cases) {
    if (!FindOp(kOnnxDomain, c.op)) continue;
    const Graph g = OneNode(c.op, c.x, c.w);
    const Planned planned = PlanFor(g, {}, Threads(1));
    EXPECT_EQ(Flops(g, *planned.plan), c.want) << c.op;
  }
}

TEST(Bytes, AreThoseOfTheTensorsReadAndWritten) {
  const struct {
    std::string op;
    Shape x, w;
    int64_t floats;
  } cases[] = {
      {"MatMul", {5, 2, 3}, {3, 4}, 5 * 2 * 3 + 3 * 4 + 5 * 2 * 4},
      {"Add", {2, 3}, {3}, 6 + 3 + 6},
      {"Add", {2, 0}, {1}, 1},
  };
  for (const auto& c : cases) {
    const Graph g = OneNode(c.op, c.x, c.w);
    const Planned planned = PlanFor(g, {}, Threads(1));
    ASSERT_EQ(planned.plan->steps.size(), 1u);
    EXPECT_EQ(Bytes(g, *planned.plan, planned.plan->steps[0]), c.floats * 4) << c.op;
  }
}

TEST(Bytes, OfAGatherAreTheRowsAlone) {
  Graph g;
  g.inputs = {g.AddValue("ids", Type::TensorOf(DType::kInt64, Shape{2}))};
  const ValueId table = g.AddConstant("w", RandomTensor(DType::kFloat, {100, 8}, {}));
  g.outputs = {g.AddValue("y")};
  g.AddNode({.name = "n", .op_type = "Gather", .inputs = {table, g.inputs[0]}, .outputs = {g.outputs[0]}});
  const Planned planned = PlanFor(g, {}, Threads(1));
  EXPECT_EQ(Bytes(g, *planned.plan, planned.plan->steps[0]), 2 * 8 + 2 * 2 * 8 * 4);
}

TEST(Check, NamesTheFileThatCannotBeRead) {
  const auto findings = Check(testing::TempDir() + "absent.onnx");
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].code, Code::kBadFile);
  EXPECT_THAT(findings[0].message, testing::HasSubstr("absent.onnx"));
  EXPECT_THROW(Inspect(testing::TempDir() + "absent.onnx"), Error);
}

}  // namespace
}  // namespace slipway
