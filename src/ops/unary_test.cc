#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ops/testing.h"

namespace slipway::testing {
namespace {

using ::testing::ElementsAreArray;

struct Case {
  const char* op;
  double (*f)(double);
  std::vector<std::pair<std::string, Attribute>> attributes = {};
  std::vector<double> x = {-2.5, -1, -0.25, 0, 0.5, 1.5, 3.5};
};

double LogOnePlusExp(double x) { return std::log1p(std::exp(x)); }

const Case kCases[] = {
    {"Abs", [](double x) { return std::abs(x); }},
    {"Neg", [](double x) { return -x; }},
    {"Sign", [](double x) { return x > 0   ? 1.0
                                   : x < 0 ? -1.0
                                           : 0.0; }},
    {"Exp", [](double x) { return std::exp(x); }},
    {"Log", [](double x) { return std::log(x); }, {}, {0.1, 1, 20}},
    {"Sqrt", [](double x) { return std::sqrt(x); }, {}, {0, 1, 20}},
    {"Reciprocal", [](double x) { return 1 / x; }, {}, {-2, 1, 20}},
    {"Floor", [](double x) { return std::floor(x); }},
    {"Ceil", [](double x) { return std::ceil(x); }},
    {"Round", [](double x) { return std::nearbyint(x); }},
    {"Erf", [](double x) { return std::erf(x); }},
    {"Sigmoid", [](double x) { return 1 / (1 + std::exp(-x)); }},
    {"Tanh", [](double x) { return std::tanh(x); }},
    {"Relu", [](double x) { return x > 0 ? x : 0; }},
    {"LeakyRelu", [](double x) { return x < 0 ? 0.25 * x : x; }, {{"alpha", 0.25f}}},
    {"ThresholdedRelu", [](double x) { return x > 1 ? x : 0; }},
    {"Elu", [](double x) { return x < 0 ? 2 * std::expm1(x) : x; }, {{"alpha", 2.f}}},
    {"Selu", [](double x) { return 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * std::expm1(x)); }},
    {"Celu", [](double x) { return x > 0 ? x : 2 * std::expm1(x / 2); }, {{"alpha", 2.f}}},
    {"HardSigmoid", [](double x) { return std::clamp(0.2 * x + 0.5, 0.0, 1.0); }},
    {"HardSwish", [](double x) { return x * std::clamp(x / 6 + 0.5, 0.0, 1.0); }},
    {"Softplus", LogOnePlusExp},
    {"Softsign", [](double x) { return x / (1 + std::abs(x)); }},
    {"Mish", [](double x) { return x * std::tanh(LogOnePlusExp(x)); }},
    {"Swish", [](double x) { return x / (1 + std::exp(-0.5 * x)); }, {{"alpha", 0.5f}}},
    {"Gelu", [](double x) { return x * (1 + std::erf(x / std::sqrt(2.0))) / 2; }},
    {"Gelu",
     [](double x) { return x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))) / 2; },
     {{"approximate", std::string("tanh")}}},
    {"Sin", [](double x) { return std::sin(x); }},
    {"Atan", [](double x) { return std::atan(x); }},
    {"Acosh", [](double x) { return std::acosh(x); }, {}, {1, 2, 30}},
    {"Shrink", [](double x) { return x < -1  ? x + 0.5
                                     : x > 1 ? x - 0.5
                                             : 0; }, {{"lambd", 1.f}, {"bias", 0.5f}}},
};

template <class T>
void Check(const Case& k, double bound) {
  std::vector<T> x;
  for (double v : k.x) x.push_back(static_cast<T>(static_cast<float>(v)));
  const Tensor y = RunOp1({k.op, {Tensor::From<T>({static_cast<int64_t>(x.size())}, x)}, k.attributes});
  for (size_t i = 0; i < x.size(); ++i) {
    const double want = k.f(k.x[i]);
    EXPECT_NEAR(static_cast<double>(static_cast<float>(y.data<T>()[i])), want, bound * (1 + std::abs(want)))
        << k.op << " of " << k.x[i];
  }
}

TEST(Unary, EveryFloatType) {
  for (const Case& k : kCases) {
    Check<float>(k, 2e-6);
    Check<double>(k, 2e-7);
    Check<Float16>(k, 1e-3);
    Check<BFloat16>(k, 8e-3);
  }
}

TEST(Unary, Integers) {
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  const Tensor x = Tensor::From<int64_t>({4}, {kMin, -3, 0, 5});
  EXPECT_THAT(ToVector<int64_t>(RunOp1({"Abs", {x}})), ElementsAreArray({kMin, int64_t{3}, int64_t{0}, int64_t{5}}));
  EXPECT_THAT(ToVector<int64_t>(RunOp1({"Neg", {x}})), ElementsAreArray({kMin, int64_t{3}, int64_t{0}, int64_t{-5}}));
  EXPECT_THAT(ToVector<int64_t>(RunOp1({"Sign", {x}})), ElementsAreArray({-1, -1, 0, 1}));
  EXPECT_THAT(ToVector<int64_t>(RunOp1({"Relu", {x}})), ElementsAreArray({0, 0, 0, 5}));
}

TEST(Clip, Bounds) {
  const Tensor x = Tensor::From<float>({4}, {-2, 0, 2, 9}), low = Tensor::From<float>({}, {-1}),
               high = Tensor::From<float>({}, {3});
  EXPECT_THAT(ToVector<float>(RunOp1({"Clip", {x, low, high}})), ElementsAreArray({-1, 0, 2, 3}));
  EXPECT_THAT(ToVector<float>(RunOp1({"Clip", {x, Value(), high}})), ElementsAreArray({-2, 0, 2, 3}));
  EXPECT_THAT(ToVector<float>(RunOp1({"Clip", {x, high, low}})), ElementsAreArray({-1, -1, -1, -1}));
  EXPECT_THAT(
      ToVector<uint8_t>(RunOp1({"Clip", {Tensor::From<uint8_t>({2}, {1, 200}), Tensor::From<uint8_t>({}, {5})}})),
      ElementsAreArray({5, 200}));
}

}  // namespace
}  // namespace slipway::testing
