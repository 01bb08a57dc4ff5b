#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "ops/testing.h"

namespace slipway::testing {
namespace {

using ::testing::ElementsAreArray;

template <class T>
Tensor Ramp(Shape shape, int from = -3) {
  Tensor t(kDTypeOf<T>, std::move(shape));
  for (int64_t i = 0; i < t.size(); ++i) t.data<T>()[i] = static_cast<T>(static_cast<float>((i * 7 + from) % 5));
  return t;
}

/// The product of small whole numbers, exact in every type: plain over all axes.
std::vector<double> Product(const Tensor& a, const Tensor& b, int64_t batch, int64_t m, int64_t n, int64_t k, bool ta,
                            bool tb, bool one_a, bool one_b) {
  std::vector<double> out;
  for (int64_t x = 0; x < batch; ++x) {
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (int64_t l = 0; l < k; ++l) {
          const int64_t ai = (one_a ? 0 : x * m * k) + (ta ? l * m + i : i * k + l);
          const int64_t bi = (one_b ? 0 : x * k * n) + (tb ? j * k + l : l * n + j);
          sum += static_cast<double>(a.data<float>()[ai]) * b.data<float>()[bi];
        }
        out.push_back(sum);
      }
    }
  }
  return out;
}

TEST(MatMul, ShapesAndBroadcasts) {
  struct Case {
    Shape a, b, out;
    int64_t batch, m, n, k;
    bool one_a = false, one_b = false;
  };
  const Case cases[] = {
      {{2, 3}, {3, 4}, {2, 4}, 1, 2, 4, 3},
      {{3}, {3, 4}, {4}, 1, 1, 4, 3},
      {{2, 3}, {3}, {2}, 1, 2, 1, 3},
      {{3}, {3}, {}, 1, 1, 1, 3},
      {{5, 2, 3}, {3, 4}, {5, 2, 4}, 5, 2, 4, 3, false, true},
      {{5, 2, 3}, {5, 3, 4}, {5, 2, 4}, 5, 2, 4, 3},
      {{2, 3}, {5, 3, 4}, {5, 2, 4}, 5, 2, 4, 3, true, false},
      {{1, 5, 2, 3}, {1, 1, 3, 17}, {1, 5, 2, 17}, 5, 2, 17, 3, false, true},
      {{2, 0}, {0, 3}, {2, 3}, 1, 2, 3, 0},
      {{0, 3}, {3, 2}, {0, 2}, 1, 0, 2, 3},
  };
  for (const Case& k : cases) {
    SCOPED_TRACE(k.a.ToString() + " x " + k.b.ToString());
    const Tensor a = Ramp<float>(k.a), b = Ramp<float>(k.b, 1);
    const Tensor y = RunOp1({"MatMul", {a, b}});
    EXPECT_EQ(y.shape(), k.out);
    const std::vector<double> want = Product(a, b, k.batch, k.m, k.n, k.k, false, false, k.one_a, k.one_b);
    EXPECT_THAT(ToVector<float>(y), ElementsAreArray(want));
    EXPECT_THAT(ToVector<double>(RunOp1({"MatMul", {Ramp<double>(k.a), Ramp<double>(k.b, 1)}})),
                ElementsAreArray(want));
    EXPECT_THAT(ToVector<int32_t>(RunOp1({"MatMul", {Ramp<int32_t>(k.a), Ramp<int32_t>(k.b, 1)}})),
                ElementsAreArray(want));
    const Tensor half = RunOp1({"MatMul", {Ramp<Float16>(k.a), Ramp<Float16>(k.b, 1)}});
    for (int64_t i = 0; i < half.size(); ++i) EXPECT_EQ(static_cast<float>(half.data<Float16>()[i]), want[i]);
  }
  EXPECT_THROW(RunOp1({"MatMul", {Ramp<float>({2, 3}), Ramp<float>({2, 3})}}), Error);
}

TEST(FusedMatMul, TransposesAndEpilogue) {
  for (int64_t ta : {0, 1}) {
    for (int64_t tb : {0, 1}) {
      for (const bool one_b : {false, true}) {
        const Tensor a = Ramp<float>(ta ? Shape{3, 5, 2} : Shape{3, 2, 5});
        const Shape matrix = tb ? Shape{4, 5} : Shape{5, 4};
        const Tensor b = Ramp<float>(one_b ? matrix : Shape{3, matrix[0], matrix[1]}, 2);
        const Tensor bias = Ramp<float>({4}), residual = Ramp<float>({3, 2, 4}, 4);
        const Tensor scales = Ramp<float>({4}, -1);
        const Tensor y = RunOp1({"FusedMatMul",
                                 {a, b, bias, residual, scales},
                                 {{"transA", ta}, {"transB", tb}, {"scale", 0.5f}, {"activation", std::string("Relu")}},
                                 1,
                                 "ai.slipway"});
        std::vector<double> want = Product(a, b, 3, 2, 4, 5, ta, tb, false, one_b);
        for (size_t i = 0; i < want.size(); ++i) {
          want[i] = std::max(
              0.0, 0.5 * scales.data<float>()[i % 4] * want[i] + bias.data<float>()[i % 4] + residual.data<float>()[i]);
        }
        EXPECT_THAT(ToVector<float>(y), ElementsAreArray(want)) << ta << tb << one_b;
      }
    }
  }
}

TEST(MatMul, PackedWeightsGiveTheSame) {
  const Tensor a = Ramp<float>({4, 7, 19}), b = Ramp<float>({19, 33}, 1);
  Graph graph;
  Node node{.name = "m", .op_type = "MatMul"};
  node.inputs = {graph.AddValue("a", TypeOf(a)), graph.AddValue("b", TypeOf(b))};
  node.outputs = {graph.AddValue("y")};
  const std::unique_ptr<Op> op = MakeOp(graph, node);
  InferContext c(graph, node);
  c.in_constants[1] = &b;
  MemoryStore store;
  ASSERT_TRUE(op->Prepack(1, c, {Threads(2), store}));
  Value left = a, gone = Tensor(DType::kFloat, b.shape(), nullptr);
  const std::vector<Value> y = Evaluate(graph, node, *op, {&left, &gone}, Threads(2));
  EXPECT_THAT(ToVector<float>(y[0].tensor()), ElementsAreArray(ToVector<float>(RunOp1({"MatMul", {a, b}}))));
}

TEST(Gemm, AddsC) {
  const Tensor a = Ramp<float>({3, 2}), b = Ramp<float>({2, 4}, 1);
  const std::vector<double> product = Product(a, b, 1, 3, 4, 2, false, false, false, false);
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{4}, Shape{1, 4}, Shape{3, 1}, Shape{3, 4}}) {
    for (float beta : {1.f, 2.f, 0.f}) {
      const Tensor c = Ramp<float>(shape, 2);
      std::vector<double> want;
      for (int64_t i = 0; i < 12; ++i) {
        const int64_t at = shape.size() == 1 ? 0 : shape.size() == 3 ? i / 4 : shape.size() == 4 ? i % 4 : i;
        want.push_back(2 * product[i] + beta * c.data<float>()[at]);
      }
      const std::vector<std::pair<std::string, Attribute>> attributes = {{"alpha", 2.f}, {"beta", beta}};
      EXPECT_THAT(ToVector<float>(RunOp1({"Gemm", {a, b, c}, attributes})), ElementsAreArray(want))
          << shape.ToString() << beta;
      EXPECT_THAT(
          ToVector<int64_t>(
              RunOp1({"Gemm", {Ramp<int64_t>({3, 2}), Ramp<int64_t>({2, 4}, 1), Ramp<int64_t>(shape, 2)}, attributes})),
          ElementsAreArray(want));
    }
  }
}

}  // namespace
}  // namespace slipway::testing
