#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "ops/testing.h"

namespace slipway::testing {
namespace {

using ::testing::ElementsAreArray;

const float kValues[] = {1, -2, 3, 4, 5, -6};

/// By columns (axis 0), rows (axis 1) and all.
struct Case {
  const char* op;
  std::vector<double> columns, rows, all;
  bool integers = true;
};
const Case kCases[] = {
    {"ReduceSum", {5, 3, -3}, {2, 3}, {5}},
    {"ReduceMean", {2.5, 1.5, -1.5}, {2 / 3.0, 1}, {5 / 6.0}, false},
    {"ReduceMax", {4, 5, 3}, {3, 5}, {5}},
    {"ReduceMin", {1, -2, -6}, {-2, -6}, {-6}},
    {"ReduceProd", {4, -10, -18}, {-6, -120}, {720}},
    {"ReduceL1", {5, 7, 9}, {6, 15}, {21}},
    {"ReduceSumSquare", {17, 29, 45}, {14, 77}, {91}},
    {"ReduceL2", {std::sqrt(17), std::sqrt(29), std::sqrt(45)}, {std::sqrt(14), std::sqrt(77)}, {std::sqrt(91)}, false},
    {"ReduceLogSumExp",
     {std::log(std::exp(1) + std::exp(4)), std::log(std::exp(-2) + std::exp(5)), std::log(std::exp(3) + std::exp(-6))},
     {std::log(std::exp(1) + std::exp(-2) + std::exp(3)), std::log(std::exp(4) + std::exp(5) + std::exp(-6))},
     {std::log(std::exp(1) + std::exp(-2) + std::exp(3) + std::exp(4) + std::exp(5) + std::exp(-6))},
     false},
};

template <class T>
void Check(const Case& k, double bound) {
  std::vector<T> x(std::begin(kValues), std::end(kValues));
  const Tensor data = Tensor::From<T>({2, 3}, x);
  const auto expect = [&](const Tensor& y, const Shape& shape, const std::vector<double>& want) {
    EXPECT_EQ(y.shape(), shape);
    for (size_t i = 0; i < want.size(); ++i)
      EXPECT_NEAR(static_cast<double>(y.data<T>()[i]), want[i], bound * std::abs(want[i])) << k.op;
  };
  expect(RunOp1({k.op, {data, Tensor::From<int64_t>({1}, {0})}}), {1, 3}, k.columns);
  expect(RunOp1({k.op, {data, Tensor::From<int64_t>({1}, {-1})}, {{"keepdims", int64_t{0}}}}), {2}, k.rows);
  expect(RunOp1({k.op, {data}}), {1, 1}, k.all);
  expect(RunOp1({k.op, {data, Tensor::From<int64_t>({0}, {})}, {{"keepdims", int64_t{0}}}}), {}, k.all);
}

TEST(Reduce, AxesAndTypes) {
  for (const Case& k : kCases) {
    Check<float>(k, 2e-6);
    Check<double>(k, 1e-12);
    if (k.integers) Check<int32_t>(k, 0);
    if (k.integers) Check<int64_t>(k, 0);
  }
}

TEST(Reduce, Edges) {
  const Tensor x = Tensor::From<float>({2}, {3, -4});
  EXPECT_THAT(ToVector<float>(RunOp1({"ReduceSumSquare", {x}, {{"noop_with_empty_axes", int64_t{1}}}})),
              ElementsAreArray({9, 16}));
  EXPECT_THAT(ToVector<float>(RunOp1({"ReduceSum", {Tensor(DType::kFloat, {2, 0}), Tensor::From<int64_t>({1}, {1})}})),
              ElementsAreArray({0, 0}));
  EXPECT_THROW(RunOp1({"ReduceSum", {x, Tensor::From<int64_t>({1}, {1})}}), Error);
  Tensor flags(DType::kBool, {3});
  std::copy_n(std::begin({true, false, true}), 3, flags.data<bool>());
  EXPECT_TRUE(*RunOp1({"ReduceMax", {flags}}).data<bool>());
  EXPECT_FALSE(*RunOp1({"ReduceMin", {flags}}).data<bool>());
}

}  // namespace
}  // namespace slipway::testing
