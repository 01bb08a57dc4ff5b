#include "kernels/reduce/softmax_halves.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/targets.h"

namespace slipway::kernels {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

float Round(DType half, float x) {
  return half == DType::kFloat16 ? static_cast<float>(Float16(x)) : static_cast<float>(BFloat16(x));
}

TEST(SoftmaxHalves, ScalesAndRounds) {
  const std::vector<float> x = {0,     -0.0f,   1,        1.0009765f,    65519, 65520, -65520, 1e-8f,    2.98e-8f,
                                3e-8f, 6.1e-5f, -6.2e-5f, 3.0517578e-5f, 1e38f, kInf,  -kInf,  0.33333f, -2.7f};
  for (const DType half : {DType::kFloat16, DType::kBFloat16}) {
    for (const float scale : {1.0f, 0.35355338f}) {
      ForEachTarget([&] {
        std::vector<float> y(x.size());
        ScaleInHalves(half, scale, x.data(), y.data(), static_cast<int64_t>(x.size()));
        for (size_t i = 0; i < x.size(); ++i)
          EXPECT_EQ(y[i], Round(half, x[i] * scale)) << IsaName() << " " << Name(half) << " of " << x[i];
        float nan = std::nanf("");
        ScaleInHalves(half, 1, &nan, &nan, 1);
        EXPECT_TRUE(std::isnan(nan)) << IsaName();
      });
    }
  }
}

TEST(SoftmaxHalves, RoundsEachStep) {
  for (const DType half : {DType::kFloat16, DType::kBFloat16}) {
    for (const int64_t n : {1, 4, 6, 16, 17, 40, 700}) {
      std::vector<float> x(n);
      for (int64_t i = 0; i < n; ++i) x[i] = Round(half, std::sin(static_cast<float>(i * 7 + n)) * 3);
      if (n > 4) x[2] = -kInf;
      const float most = *std::max_element(x.begin(), x.end());
      std::vector<float> want(n);
      float sum = 0;
      for (int64_t i = 0; i < n; ++i) {
        want[i] = Round(half, std::exp(Round(half, x[i] - most)));
        const bool rounded = half == DType::kBFloat16 && n <= kRoundedSums;
        sum = rounded ? Round(half, sum + want[i]) : sum + want[i];
      }
      sum = Round(half, sum);
      ForEachTarget([&] {
        std::vector<float> y = x;
        SoftmaxInHalves(half, y.data(), 1, n);
        // The exponential's own error may turn a rounding over: one step of the type, and what that does to the sum.
        const double step = half == DType::kFloat16 ? 1.0 / 1024 : 1.0 / 128;
        for (int64_t i = 0; i < n; ++i) ASSERT_NEAR(y[i], want[i] / sum, want[i] / sum * step + 1e-7) << IsaName() << n;
      });
    }
    std::vector<float> hidden(5, -kInf);
    SoftmaxInHalves(half, hidden.data(), 1, 5);
    EXPECT_EQ(hidden, std::vector<float>(5, 0.0f));
  }
}

TEST(SoftmaxHalves, LongRowsSumUp) {
  // In bfloat16 a running sum of ones ends at 256.
  std::vector<BFloat16> x(4096, BFloat16(1.0f)), y(4096);
  SoftmaxOfHalves(DType::kBFloat16, x.data(), y.data(), 1, 4096, Threads(1));
  for (const BFloat16 v : y) ASSERT_EQ(static_cast<float>(v), 1.0f / 4096);
}

}  // namespace
}  // namespace slipway::kernels
