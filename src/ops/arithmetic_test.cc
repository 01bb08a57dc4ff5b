#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ops/testing.h"

namespace slipway::testing {
namespace {

using ::testing::ElementsAreArray;

TEST(Arithmetic, Integers) {
  constexpr int32_t kMin = std::numeric_limits<int32_t>::min(), kMax = std::numeric_limits<int32_t>::max();
  struct Case {
    const char* op;
    std::vector<int32_t> a, b, want;
    int64_t fmod = 0;
  };
  const Case cases[] = {
      {"Add", {1, kMax}, {2, 1}, {3, kMin}},
      {"Sub", {1, kMin}, {2, 1}, {-1, kMax}},
      {"Mul", {-3, kMin}, {4, -1}, {-12, kMin}},
      {"Div", {7, -7, 7, kMin}, {2, 2, -2, -1}, {3, -3, -3, kMin}},
      {"Mod", {7, -7, 7, -7, kMin}, {3, 3, -3, -3, -1}, {1, 2, -2, -1, 0}},
      {"Mod", {7, -7, 7, -7}, {3, 3, -3, -3}, {1, -1, 1, -1}, 1},
      {"Max", {1, 5}, {3, 2}, {3, 5}},
      {"Min", {1, 5}, {3, 2}, {1, 2}},
      {"Pow", {2, -2, 1, 3, -1, 7}, {10, 3, -5, 0, -3, -1}, {1024, -8, 1, 1, -1, 0}},
  };
  for (const Case& k : cases) {
    SCOPED_TRACE(k.op);
    const Shape shape{static_cast<int64_t>(k.a.size())};
    OpCall call{.op_type = k.op, .inputs = {Tensor::From<int32_t>(shape, k.a), Tensor::From<int32_t>(shape, k.b)}};
    if (k.fmod) call.attributes = {{"fmod", k.fmod}};
    EXPECT_THAT(ToVector<int32_t>(RunOp1(call)), ElementsAreArray(k.want));
  }
}

TEST(Arithmetic, ZeroDivisorIsAnError) {
  for (const char* op : {"Div", "Mod"}) {
    EXPECT_THROW(RunOp1({op, {Tensor::From<int64_t>({2}, {1, 2}), Tensor::From<int64_t>({2}, {1, 0})}}), Error) << op;
    EXPECT_EQ(RunOp1({op, {Tensor::From<int64_t>({0}, {}), Tensor::From<int64_t>({1}, {0})}}).size(), 0) << op;
  }
}

TEST(Arithmetic, BroadcastsAndKeepsTypes) {
  const Tensor a = Tensor::From<float>({2, 1}, {10, 20}), b = Tensor::From<float>({3}, {1, 2, 3});
  EXPECT_THAT(ToVector<float>(RunOp1({"Add", {a, b}})), ElementsAreArray({11, 12, 13, 21, 22, 23}));
  EXPECT_THAT(ToVector<float>(RunOp1({"Max", {a, b, Tensor::From<float>({}, {15})}})),
              ElementsAreArray({15, 15, 15, 20, 20, 20}));
  EXPECT_THAT(ToVector<float>(RunOp1({"Mean", {b, b, a}})),
              ::testing::Pointwise(::testing::FloatEq(), {4.f, 14 / 3.f, 16 / 3.f, 22 / 3.f, 8.f, 26 / 3.f}));
  EXPECT_THAT(ToVector<float>(RunOp1({"Sum", {b}})), ElementsAreArray({1, 2, 3}));
  EXPECT_THAT(ToVector<double>(RunOp1({"Sub", {Tensor::From<double>({2}, {1, 2}), Tensor::From<double>({}, {0.5})}})),
              ElementsAreArray({0.5, 1.5}));
  const Tensor half = RunOp1(
      {"Mul", {Tensor::From<Float16>({2}, {Float16(1.5f), Float16(2)}), Tensor::From<Float16>({1}, {Float16(3)})}});
  EXPECT_EQ(static_cast<float>(half.data<Float16>()[0]), 4.5f);
}

TEST(Arithmetic, KnownContentsWrapLikeTheRun) {
  const Tensor most = Tensor::From<int64_t>({1}, {std::numeric_limits<int64_t>::max()}),
               one = Tensor::From<int64_t>({1}, {1});
  EXPECT_THAT(ToVector<int64_t>(RunOp1({"Add", {most, one}})), ElementsAreArray({std::numeric_limits<int64_t>::min()}));
}

TEST(Arithmetic, SizesStaySymbols) {
  Graph graph;
  Node node{.name = "n", .op_type = "Div"};
  const Type type = Type::TensorOf(DType::kInt64, Shape{1});
  node.inputs = {graph.AddValue("a", type), graph.AddValue("b", type)};
  node.outputs = {graph.AddValue("y")};
  const SymbolicInts a = {Dim::Symbol("seq") * Dim(12)}, b = {Dim(4)};
  InferContext c(graph, node);
  c.in_types = {&type, &type};
  c.in_ints = {&a, &b};
  MakeOp(graph, node)->Infer(c);
  ASSERT_TRUE(c.out_ints[0]);
  EXPECT_EQ((*c.out_ints[0])[0], Dim::Symbol("seq") * Dim(3));
}

TEST(Arithmetic, Floats) {
  const float inf = std::numeric_limits<float>::infinity();
  const Tensor x = Tensor::From<float>({5}, {-5, 5, -5, 3, -3}), y = Tensor::From<float>({5}, {3, -3, -3, inf, inf});
  EXPECT_THAT(ToVector<float>(RunOp1({"Mod", {x, y}})), ElementsAreArray({1.f, -1.f, -2.f, 3.f, inf}));
  for (float e : {2.f, 0.5f, -1.f, 3.f, 1.f, 2.5f}) {
    const Tensor z = RunOp1({"Pow", {Tensor::From<float>({3}, {0.5, 2, 3}), Tensor::From<float>({}, {e})}});
    EXPECT_NEAR(z.data<float>()[2], std::pow(3.f, e), 1e-5f) << e;
  }
  EXPECT_THAT(ToVector<float>(
                  RunOp1({"PRelu", {Tensor::From<float>({2, 2}, {-1, 2, -3, 4}), Tensor::From<float>({2}, {0.5, 2})}})),
              ElementsAreArray({-0.5f, 2.f, -1.5f, 4.f}));
}

}  // namespace
}  // namespace slipway::testing
