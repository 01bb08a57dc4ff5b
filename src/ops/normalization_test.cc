#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "ops/testing.h"

namespace slipway::testing {
namespace {

template <class T>
Tensor Waves(Shape shape) {
  Tensor t(kDTypeOf<T>, std::move(shape));
  for (int64_t i = 0; i < t.size(); ++i)
    t.data<T>()[i] = static_cast<T>(static_cast<float>(std::sin(i * 1.3) * 2 + 0.5));
  return t;
}

void ExpectNear(const Tensor& t, const std::vector<double>& want, double bound) {
  ASSERT_EQ(static_cast<size_t>(t.size()), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    const double got = t.dtype() == DType::kFloat    ? t.data<float>()[i]
                       : t.dtype() == DType::kDouble ? t.data<double>()[i]
                                                     : static_cast<double>(static_cast<float>(t.data<Float16>()[i]));
    ASSERT_NEAR(got, want[i], bound * (1 + std::abs(want[i]))) << i;
  }
}

/// x normalized over runs of `size`.
std::vector<double> Normalized(const Tensor& x, int64_t size, double epsilon, bool rms = false) {
  std::vector<double> out;
  for (int64_t r = 0; r < x.size() / size; ++r) {
    double mean = 0, squares = 0;
    for (int64_t i = 0; i < size && !rms; ++i) mean += x.data<float>()[r * size + i] / static_cast<double>(size);
    for (int64_t i = 0; i < size; ++i)
      squares += std::pow(x.data<float>()[r * size + i] - mean, 2) / static_cast<double>(size);
    for (int64_t i = 0; i < size; ++i)
      out.push_back((x.data<float>()[r * size + i] - mean) / std::sqrt(squares + epsilon));
  }
  return out;
}

template <class T>
void CheckLayerNorm(double bound) {
  for (int64_t axis : {-1, 1}) {
    const int64_t size = axis == 1 ? 15 : 5;
    const Shape parameter = axis == 1 ? Shape{3, 5} : Shape{5};
    for (const bool row : {true, false}) {
      const Shape scale_shape = row ? parameter : Shape{1};
      const Tensor scale = Waves<T>(scale_shape), bias = Waves<T>(scale_shape);
      std::vector<double> want = Normalized(Waves<float>({2, 3, 5}), size, 1e-5);
      for (size_t i = 0; i < want.size(); ++i) {
        const double s = Waves<float>(scale_shape).data<float>()[row ? i % size : 0];
        want[i] = want[i] * s + s;
      }
      ExpectNear(RunOp1({"LayerNormalization", {Waves<T>({2, 3, 5}), scale, bias}, {{"axis", axis}}}), want, bound);
    }
  }
}

TEST(LayerNormalization, TypesAxesAndScales) {
  CheckLayerNorm<float>(2e-6);
  CheckLayerNorm<double>(1e-6);
  CheckLayerNorm<Float16>(5e-3);
}

TEST(LayerNormalization, OtherOutputs) {
  const auto out = RunOp(
      {"LayerNormalization", {Tensor::From<float>({2, 2}, {1, 3, 2, 6}), Tensor::From<float>({2}, {1, 1})}, {}, 3});
  EXPECT_EQ(out[1].tensor().shape(), (Shape{2, 1}));
  ExpectNear(out[1].tensor(), {2, 4}, 1e-6);
  ExpectNear(out[2].tensor(), {1, 0.5}, 1e-5);
}

TEST(RMSNormalization, LastAxis) {
  const Tensor ones = Tensor::From<float>({5}, {1, 1, 1, 1, 1});
  ExpectNear(RunOp1({"RMSNormalization", {Waves<float>({4, 5}), ones}}),
             Normalized(Waves<float>({4, 5}), 5, 1e-5, true), 2e-6);
}

TEST(SkipLayerNormalization, SumsFirst) {
  const Tensor x = Waves<float>({2, 3, 4}), ones = Tensor::From<float>({4}, {1, 1, 1, 1});
  for (const Shape& shape : {Shape{2, 3, 4}, Shape{1, 3, 4}, Shape{3, 4}}) {
    const Tensor skip = Waves<float>(shape), bias = Waves<float>({4});
    Tensor sum = x.Clone();
    for (int64_t i = 0; i < sum.size(); ++i)
      sum.data<float>()[i] += skip.data<float>()[i % skip.size()] + bias.data<float>()[i % 4];
    const auto out =
        RunOp({"SkipLayerNormalization", {x, skip, ones, Value(), bias}, {{"epsilon", 1e-5f}}, 4, "com.microsoft"});
    ExpectNear(out[0].tensor(), Normalized(sum, 4, 1e-5), 3e-6);
    ExpectNear(out[3].tensor(), std::vector<double>(sum.data<float>(), sum.data<float>() + sum.size()), 1e-6);
  }
}

TEST(BatchNormalization, GivenStatistics) {
  const Tensor x = Waves<float>({2, 3, 4}), p = Tensor::From<float>({3}, {1, 2, 3});
  std::vector<double> want;
  for (int64_t i = 0; i < x.size(); ++i) {
    const double c = 1 + i / 4 % 3;
    want.push_back((x.data<float>()[i] - c) / std::sqrt(c + 1e-5) * c + c);
  }
  ExpectNear(RunOp1({"BatchNormalization", {x, p, p, p, p}}), want, 2e-6);
}

TEST(BatchNormalization, Training) {
  const Tensor x = Tensor::From<float>({2, 1}, {1, 5}), one = Tensor::From<float>({1}, {1}),
               zero = Tensor::From<float>({1}, {0});
  const auto out = RunOp({"BatchNormalization", {x, one, zero, zero, one}, {{"training_mode", int64_t{1}}}, 3});
  ExpectNear(out[0].tensor(), {-1, 1}, 1e-5);
  ExpectNear(out[1].tensor(), {0.3}, 1e-6);
  ExpectNear(out[2].tensor(), {0.9 + 0.4}, 1e-6);
}

TEST(GroupNormalization, GroupsAndInstances) {
  const Tensor x = Waves<float>({2, 4, 3}), ones = Tensor::From<float>({4}, {1, 1, 1, 1}),
               zeros = Tensor::From<float>({4}, {0, 0, 0, 0});
  ExpectNear(RunOp1({"GroupNormalization", {x, ones, zeros}, {{"num_groups", int64_t{2}}}}), Normalized(x, 6, 1e-5),
             3e-6);
  ExpectNear(RunOp1({"InstanceNormalization", {x, ones, zeros}}), Normalized(x, 3, 1e-5), 3e-6);
  EXPECT_THROW(RunOp1({"GroupNormalization", {x, ones, zeros}, {{"num_groups", int64_t{3}}}}), Error);
}

TEST(Softmax, Axes) {
  for (int64_t axis : {0, 1, -1}) {
    for (const char* op : {"Softmax", "LogSoftmax"}) {
      const Tensor x = Waves<float>({2, 3, 4}), y = RunOp1({op, {x}, {{"axis", axis}}});
      const Tensor z = RunOp1({op, {Waves<double>({2, 3, 4})}, {{"axis", axis}}});
      const Tensor h = RunOp1({op, {Waves<Float16>({2, 3, 4})}, {{"axis", axis}}});
      const int64_t size = axis == 0 ? 2 : axis == 1 ? 3 : 4, step = axis == 0 ? 12 : axis == 1 ? 4 : 1;
      for (int64_t i = 0; i < 24; ++i) {
        double sum = 0;
        for (int64_t k = 0, first = i - i / step % size * step; k < size; ++k)
          sum += std::exp(x.data<float>()[first + k * step]);
        const double log = x.data<float>()[i] - std::log(sum), want = op[0] == 'L' ? log : std::exp(log);
        EXPECT_NEAR(y.data<float>()[i], want, 1e-6);
        EXPECT_NEAR(z.data<double>()[i], want, 1e-6);
        EXPECT_NEAR(static_cast<float>(h.data<Float16>()[i]), want, 5e-3);
      }
    }
  }
  EXPECT_THAT(ToVector<float>(RunOp1({"Hardmax", {Tensor::From<float>({2, 3}, {1, 3, 3, 0, -1, 0})}})),
              ::testing::ElementsAreArray({0, 1, 0, 1, 0, 0}));
  EXPECT_THROW(RunOp1({"Softmax", {Waves<float>({2})}, {{"axis", int64_t{1}}}}), Error);
}

}  // namespace
}  // namespace slipway::testing
