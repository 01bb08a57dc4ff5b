#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ops/testing.h"

namespace slipway {
namespace {

using ::testing::ElementsAre;
using testing::RunOp;
using testing::RunOp1;
using testing::ToVector;

Tensor Scalar(int64_t v) { return Tensor::From<int64_t>({}, {v}); }

/// Runs a node whose subgraphs are the function given.
std::vector<Value> RunWith(std::string op_type, Attributes attributes, std::vector<Value> inputs, int outputs,
                           std::function<std::vector<Value>(std::string_view, std::vector<Value>)> run) {
  Graph graph;
  Node node{.name = "test", .op_type = std::move(op_type), .attributes = std::move(attributes)};
  RunContext c;
  for (Value& v : inputs) {
    node.inputs.push_back(graph.AddValue("in" + std::to_string(c.in.size()), TypeOf(v)));
    c.in.push_back(v.empty() ? nullptr : &v);
  }
  std::vector<Value> out(outputs);
  for (Value& v : out) {
    node.outputs.push_back(graph.AddValue("out" + std::to_string(c.out.size())));
    c.out.push_back(&v);
  }
  const Threads threads(2);
  RunContext::ScratchBuffer scratch;
  c.graph = &graph;
  c.node = &node;
  c.pool = &threads;
  c.scratch = &scratch;
  c.run_subgraph = std::move(run);
  RunLate(c, *MakeOp(graph, node));
  return out;
}

/// A graph of `inputs` inputs and as many outputs as types, each made by some node.
std::shared_ptr<Graph> Body(int inputs, const std::vector<Type>& outputs) {
  auto g = std::make_shared<Graph>();
  for (int i = 0; i < inputs; ++i) g->inputs.push_back(g->AddValue("i" + std::to_string(i)));
  Node node{.op_type = "Made"};
  for (const Type& t : outputs) {
    node.outputs.push_back(g->AddValue("o" + std::to_string(node.outputs.size()), t));
    g->outputs.push_back(node.outputs.back());
  }
  g->AddNode(std::move(node));
  return g;
}

TEST(If, TakesOneBranch) {
  Attributes a;
  a.Set("then_branch", Body(0, {Type::TensorOf(DType::kInt64)}));
  a.Set("else_branch", Body(0, {Type::TensorOf(DType::kInt64)}));
  for (bool condition : {false, true}) {
    const auto out =
        RunWith("If", a, {Tensor::From<bool>({1}, {condition})}, 1, [](std::string_view branch, std::vector<Value>) {
          return std::vector<Value>{Scalar(branch == "then_branch" ? 1 : 2)};
        });
    EXPECT_EQ(*out[0].tensor().data<int64_t>(), condition ? 1 : 2);
  }
}

TEST(Loop, CarriesAndStacks) {
  const Type i64 = Type::TensorOf(DType::kInt64, SymbolicShape(Shape{}));
  Attributes a;
  a.Set("body", Body(3, {Type::TensorOf(DType::kBool), i64, i64}));
  auto sum = [](std::string_view, std::vector<Value> in) {
    const int64_t turn = *in[0].tensor().data<int64_t>(), carried = *in[2].tensor().data<int64_t>();
    return std::vector<Value>{Tensor::From<bool>({}, {carried + turn < 5}), Scalar(carried + turn), Scalar(turn * 10)};
  };
  auto out = RunWith("Loop", a, {Scalar(100), Value(), Scalar(1)}, 2, sum);
  EXPECT_EQ(*out[0].tensor().data<int64_t>(), 7);
  EXPECT_THAT(ToVector<int64_t>(out[1].tensor()), ElementsAre(0, 10, 20, 30));
  out = RunWith("Loop", a, {Scalar(0), Value(), Scalar(1)}, 2, sum);
  EXPECT_EQ(*out[0].tensor().data<int64_t>(), 1);
  EXPECT_EQ(out[1].tensor().shape(), Shape({0}));
}

TEST(Scan, BothDirections) {
  const Type i64 = Type::TensorOf(DType::kInt64, SymbolicShape(Shape{}));
  Attributes a;
  a.Set("body", Body(2, {i64, i64}));
  a.Set("num_scan_inputs", int64_t{1});
  a.Set("scan_input_directions", std::vector<int64_t>{1});
  auto sum = [](std::string_view, std::vector<Value> in) {
    const int64_t total = *in[0].tensor().data<int64_t>() + *in[1].tensor().data<int64_t>();
    return std::vector<Value>{Scalar(total), Scalar(total)};
  };
  const auto out = RunWith("Scan", a, {Scalar(0), Tensor::From<int64_t>({3}, {1, 2, 3})}, 2, sum);
  EXPECT_EQ(*out[0].tensor().data<int64_t>(), 6);
  EXPECT_THAT(ToVector<int64_t>(out[1].tensor()), ElementsAre(3, 5, 6));
}

TEST(Sequence, Operators) {
  const Value two = RunOp({"SequenceConstruct", {Scalar(4), Scalar(5)}})[0];
  EXPECT_EQ(*RunOp1({"SequenceLength", {two}}).data<int64_t>(), 2);
  EXPECT_EQ(*RunOp1({"SequenceAt", {two, Scalar(-1)}}).data<int64_t>(), 5);
  const Value three = RunOp({"SequenceInsert", {two, Scalar(9), Scalar(0)}})[0];
  EXPECT_THAT(
      ToVector<int64_t>(RunOp1({"ConcatFromSequence", {three}, {{"axis", int64_t{0}}, {"new_axis", int64_t{1}}}})),
      ElementsAre(9, 4, 5));
  EXPECT_EQ(RunOp({"SequenceErase", {three}})[0].sequence().size(), 2u);
  EXPECT_THROW(RunOp({"SequenceAt", {two, Scalar(2)}}), Error);
  EXPECT_EQ(RunOp({"SequenceEmpty", {}})[0].sequence().size(), 0u);
  const Value parts = RunOp({"SplitToSequence", {Tensor::From<int64_t>({3}, {1, 2, 3}), Scalar(2)}})[0];
  ASSERT_EQ(parts.sequence().size(), 2u);
  EXPECT_THAT(ToVector<int64_t>(parts.sequence()[0].tensor()), ElementsAre(1, 2));
  EXPECT_EQ(*RunOp1({"OptionalHasElement", {two}}).data<bool>(), true);
  EXPECT_EQ(*RunOp1({"OptionalGetElement", {Scalar(3)}}).data<int64_t>(), 3);
}

}  // namespace
}  // namespace slipway
