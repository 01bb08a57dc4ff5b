#include "kernels/elementwise/unary.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/targets.h"

namespace slipway::kernels {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

constexpr double kByInput = -1;

struct Case {
  const char* name;
  UnaryOp op;
  double (*want)(double x);
  double bound;  ///< relative to max(|want|, floor), or to max(1, |x|) where floor is kByInput
  double floor = 0;
  float alpha = 0;
  float beta = 0;
};

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double Softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); }

const Case kCases[] = {
    {"Abs", UnaryOp::kAbs, [](double x) { return std::fabs(x); }, 0},
    {"Neg", UnaryOp::kNeg, [](double x) { return -x; }, 0},
    {"Exp", UnaryOp::kExp, [](double x) { return std::exp(x); }, 4e-7, 1e-37},
    {"Log", UnaryOp::kLog, [](double x) { return std::log(x); }, 4e-7, 1e-30},
    {"Sin", UnaryOp::kSin, [](double x) { return std::sin(x); }, 3e-7, 0.1},
    {"Cos", UnaryOp::kCos, [](double x) { return std::cos(x); }, 3e-7, 0.1},
    {"Sqrt", UnaryOp::kSqrt, [](double x) { return std::sqrt(x); }, 1e-7},
    {"Reciprocal", UnaryOp::kReciprocal, [](double x) { return 1 / x; }, 1e-7, 1e-37},
    {"Square", UnaryOp::kSquare, [](double x) { return x * x; }, 1e-7, 1e-37},
    {"Relu", UnaryOp::kRelu, [](double x) { return x < 0 ? 0 : x; }, 0},
    {"LeakyRelu", UnaryOp::kLeakyRelu, [](double x) { return x < 0 ? 0.1f * x : x; }, 1e-7, 1e-37, 0.1f},
    {"ThresholdedRelu", UnaryOp::kThresholdedRelu, [](double x) { return x <= 2 ? 0 : x; }, 0, 0, 2},
    {"Elu", UnaryOp::kElu, [](double x) { return x < 0 ? 1.5 * std::expm1(x) : x; }, 6e-7, 1e-37, 1.5f},
    {"Selu", UnaryOp::kSelu, [](double x) { return 1.25 * (x <= 0 ? 1.5 * std::expm1(x) : x); }, 6e-7, 1e-37, 1.5f,
     1.25f},
    {"Celu", UnaryOp::kCelu, [](double x) { return x < 0 ? 2 * std::expm1(x / 2) : x; }, 6e-7, 1e-37, 2},
    {"Sigmoid", UnaryOp::kSigmoid, Sigmoid, 6e-7, 1e-37},
    {"HardSigmoid", UnaryOp::kHardSigmoid,
     [](double x) { return x * 0.25 + 0.5 > 1   ? 1
                           : x * 0.25 + 0.5 < 0 ? 0
                                                : x * 0.25 + 0.5; }, 2e-7, 0.1, 0.25f, 0.5f},
    {"HardSwish", UnaryOp::kHardSwish, [](double x) { return x * (x >= 3    ? 1
                                                                  : x <= -3 ? 0
                                                                            : x / 6 + 0.5); }, 3e-7, 3},
    {"Tanh", UnaryOp::kTanh, [](double x) { return std::tanh(x); }, 6e-7, 1e-37},
    {"Erf", UnaryOp::kErf, [](double x) { return std::erf(x); }, 6e-7, 1e-37},
    {"Gelu", UnaryOp::kGelu, [](double x) { return 0.5 * x * (1 + std::erf(x * M_SQRT1_2)); }, 3e-7, kByInput},
    {"GeluTanh", UnaryOp::kGeluTanh,
     [](double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }, 3e-7,
     kByInput},
    {"Silu", UnaryOp::kSilu, [](double x) { return x * Sigmoid(1.75 * x); }, 3e-7, kByInput, 1.75f},
    {"Mish", UnaryOp::kMish, [](double x) { return x * std::tanh(Softplus(x)); }, 8e-7, 1e-30},
    {"Softplus", UnaryOp::kSoftplus, Softplus, 8e-7, 1e-37},
    {"Softsign", UnaryOp::kSoftsign, [](double x) { return x / (1 + std::fabs(x)); }, 3e-7, 1e-37},
    {"Floor", UnaryOp::kFloor, [](double x) { return std::floor(x); }, 0},
    {"Ceil", UnaryOp::kCeil, [](double x) { return std::ceil(x); }, 0},
    {"Round", UnaryOp::kRound, [](double x) { return std::nearbyint(x); }, 0},
    {"Sign", UnaryOp::kSign, [](double x) { return std::isnan(x) ? x : double(x > 0) - double(x < 0); }, 0},
    {"Clip", UnaryOp::kClip, [](double x) { return x < -1    ? -1
                                                   : x > 2.5 ? 2.5
                                                             : x; }, 0, 0, -1, 2.5f},
    {"Linear", UnaryOp::kLinear, [](double x) { return 2 * x - 3; }, 3e-7, 3, 2, -3},
};

std::vector<float> Inputs() {
  std::vector<float> x = {0.0f, -0.0f, 0.5f, -0.5f, 1.5f, 2.5f, -2.5f, 1e-38f, -1e-20f, 1e-7f, -1e-4f, 87.0f, -87.0f};
  for (float v = -20; v < 20; v += 0.0137f) x.push_back(v);
  return x;
}

TEST(Unary, MatchesTheDefinition) {
  const std::vector<float> x = Inputs();
  for (const Case& c : kCases) {
    ForEachTarget([&] {
      std::vector<float> y(x.size());
      UnaryFloat(c.op, x.data(), y.data(), static_cast<int64_t>(x.size()), c.alpha, c.beta, Threads(2));
      for (size_t i = 0; i < x.size(); ++i) {
        const double want = c.want(x[i]);
        if (std::isnan(want) || std::isinf(want)) {
          EXPECT_EQ(std::isnan(y[i]), std::isnan(want)) << IsaName() << " " << c.name << "(" << x[i] << ")";
          continue;
        }
        const double of =
            c.floor == kByInput ? std::max(1.0, std::fabs(double{x[i]})) : std::max(std::fabs(want), c.floor);
        EXPECT_NEAR(y[i], want, c.bound * of) << IsaName() << " " << c.name << "(" << x[i] << ")";
      }
    });
  }
}

TEST(Unary, NaNStaysAndLimitsHold) {
  struct Limit {
    UnaryOp op;
    float x, want;
  };
  const Limit limits[] = {
      {UnaryOp::kExp, kInf, kInf},    {UnaryOp::kExp, -kInf, 0},     {UnaryOp::kLog, 0, -kInf},
      {UnaryOp::kRelu, kInf, kInf},   {UnaryOp::kSigmoid, -kInf, 0}, {UnaryOp::kSigmoid, kInf, 1},
      {UnaryOp::kTanh, -kInf, -1},    {UnaryOp::kMish, kInf, kInf},  {UnaryOp::kSoftplus, kInf, kInf},
      {UnaryOp::kSoftplus, -kInf, 0}, {UnaryOp::kFloor, kInf, kInf}, {UnaryOp::kReciprocal, kInf, 0},
  };
  ForEachTarget([&] {
    for (const Case& c : kCases) {
      float y = 0;
      UnaryFloat(c.op, &kNaN, &y, 1, c.alpha, c.beta, Threads(1));
      EXPECT_TRUE(std::isnan(y)) << IsaName() << " " << c.name;
    }
    for (const Limit& limit : limits) {
      float y = 7;
      UnaryFloat(limit.op, &limit.x, &y, 1, 0, 0, Threads(1));
      EXPECT_EQ(y, limit.want) << IsaName() << " op " << static_cast<int>(limit.op) << "(" << limit.x << ")";
    }
  });
}

TEST(Unary, EveryLengthInPlaceAndNothingPastTheEnd) {
  for (int64_t n : {0, 1, 3, 7, 15, 16, 17, 31, 33, 16383, 16385, 40001}) {
    ForEachTarget([&] {
      std::vector<float> x(n + 1, -2.0f);
      UnaryFloat(UnaryOp::kAbs, x.data(), x.data(), n, 0, 0, Threads(2));
      EXPECT_EQ(x[n], -2.0f);
      for (int64_t i = 0; i < n; ++i) ASSERT_EQ(x[i], 2.0f) << IsaName() << " at " << i << " of " << n;
    });
  }
}

}  // namespace
}  // namespace slipway::kernels
