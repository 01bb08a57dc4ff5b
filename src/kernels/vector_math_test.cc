#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/vector_math_test.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {
#define SLIPWAY_TEST_MAP(Function)                            \
  void Map##Function(const float* x, float* y, size_t n) {    \
    const hn::ScalableTag<float> d;                           \
    for (size_t i = 0; i < n; i += hn::Lanes(d)) {            \
      hn::StoreU(Function(d, hn::LoadU(d, x + i)), d, y + i); \
    }                                                         \
  }
SLIPWAY_TEST_MAP(Exp)
SLIPWAY_TEST_MAP(ExpFlush)
SLIPWAY_TEST_MAP(Log)
SLIPWAY_TEST_MAP(Erf)
SLIPWAY_TEST_MAP(Tanh)
SLIPWAY_TEST_MAP(Sigmoid)
SLIPWAY_TEST_MAP(Silu)
SLIPWAY_TEST_MAP(Gelu)
SLIPWAY_TEST_MAP(GeluTanh)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace slipway::kernels {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

#define SLIPWAY_TEST_RUN(Function) \
  HWY_EXPORT(Map##Function);       \
  void Run##Function(const float* x, float* y, size_t n) { HWY_DYNAMIC_DISPATCH(Map##Function)(x, y, n); }
SLIPWAY_TEST_RUN(Exp)
SLIPWAY_TEST_RUN(ExpFlush)
SLIPWAY_TEST_RUN(Log)
SLIPWAY_TEST_RUN(Erf)
SLIPWAY_TEST_RUN(Tanh)
SLIPWAY_TEST_RUN(Sigmoid)
SLIPWAY_TEST_RUN(Silu)
SLIPWAY_TEST_RUN(Gelu)
SLIPWAY_TEST_RUN(GeluTanh)

double PlainGelu(double x) { return x == -kInf ? NAN : 0.5 * x * std::erfc(-x * M_SQRT1_2); }
double PlainSilu(double x) { return x == -kInf ? NAN : x / (1 + std::exp(-x)); }
double PlainGeluTanh(double x) {
  return x == -kInf ? NAN : x / (1 + std::exp(-2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}
double PlainSigmoid(double x) { return 1 / (1 + std::exp(-x)); }

struct Case {
  const char* name;
  void (*fast)(const float*, float*, size_t);
  double (*plain)(double);
  double relative;  ///< bound on the error, times the size of the result
  double absolute;  ///< and this much besides
  double scaled;    ///< and this, times |x|
};
constexpr double kUlp = 1.1920929e-7;
const Case kCases[] = {
    {"Exp", RunExp, std::exp, 2 * kUlp, 1.5e-45, 0},
    {"ExpFlush", RunExpFlush, std::exp, 2 * kUlp, 1.2e-38, 0},
    {"Log", RunLog, std::log, 2 * kUlp, 0, 0},
    {"Erf", RunErf, std::erf, 5 * kUlp, 1.5e-45, 0},
    {"Tanh", RunTanh, std::tanh, 4 * kUlp, 1.5e-45, 0},
    {"Sigmoid", RunSigmoid, PlainSigmoid, 4 * kUlp, 1.2e-38, 0},
    {"Silu", RunSilu, PlainSilu, 2 * kUlp, 1.2e-36, 5e-8},
    {"Gelu", RunGelu, PlainGelu, 2 * kUlp, 3e-45, 3e-7},
    {"GeluTanh", RunGeluTanh, PlainGeluTanh, 2 * kUlp, 3e-45, 3e-7},
};

/// Every 4999th float and some about zero: subnormals, infinities and NaNs among them.
std::vector<float> Inputs() {
  std::vector<float> x;
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 4999) x.push_back(std::bit_cast<float>(uint32_t(bits)));
  for (int i = -100000; i <= 100000; ++i) x.push_back(float(i) * 1.1e-3f);
  for (const float v :
       {0.0f, -0.0f, kInf, -kInf, float(NAN), 1.0f, 88.7228f, 88.73f, -103.97f, 3.92f, -3.92f, 9.01f, 1e-45f}) {
    x.push_back(v);
  }
  while (x.size() % 64 != 0) x.push_back(0);
  return x;
}

TEST(VectorMath, AgreesWithDoubleOnEveryTarget) {
  const std::vector<float> x = Inputs();
  std::vector<float> y(x.size());
  ForEachTarget([&] {
    for (const Case& c : kCases) {
      c.fast(x.data(), y.data(), x.size());
      double worst = 0;
      float worst_x = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        const double want = c.plain(x[i]);
        if (std::isnan(want)) {
          ASSERT_TRUE(std::isnan(y[i])) << c.name << "(" << x[i] << ") = " << y[i] << " on " << IsaName();
          continue;
        }
        if (std::isinf(float(want)) || std::isinf(y[i])) {
          const bool flushed = c.fast == RunExpFlush && x[i] > 88.37f;
          ASSERT_TRUE(y[i] == float(want) || flushed) << c.name << "(" << x[i] << ") = " << y[i] << " on " << IsaName();
          continue;
        }
        const double bound = c.relative * std::abs(want) + c.absolute + c.scaled * std::abs(x[i]);
        const double error = std::abs(y[i] - want);
        if (error > worst * bound) worst = bound > 0 ? error / bound : (error > 0 ? 1e30 : 0), worst_x = x[i];
      }
      EXPECT_LE(worst, 1) << c.name << " on " << IsaName() << ", worst at " << worst_x;
      RecordProperty(std::string(c.name) + "_" + IsaName(), std::to_string(worst));
    }
  });
}

}  // namespace
}  // namespace slipway::kernels
#endif  // HWY_ONCE
