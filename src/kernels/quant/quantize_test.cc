#include "kernels/quant/quantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/targets.h"
#include "kernels/testing.h"

namespace slipway::kernels {
namespace {

uint8_t Plain(float x, float scale, int32_t zero) {
  const float v = x / scale;
  if (std::isnan(v)) return 0;
  return static_cast<uint8_t>(std::nearbyint(std::clamp<float>(v, -zero, 255 - zero)) + zero);
}

/// Numbers, all halves that are rounded to even, their neighbours, and what has no finite quotient.
std::vector<float> Inputs(float scale) {
  constexpr float kInf = std::numeric_limits<float>::infinity(), kMost = std::numeric_limits<float>::max();
  std::vector<float> x = Numbers(20000, 1, 300 * scale);
  for (int i = -600; i <= 600; ++i) {
    const float v = 0.5f * static_cast<float>(i) * scale;
    x.insert(x.end(), {v, std::nextafter(v, kInf), std::nextafter(v, -kInf)});
  }
  x.insert(x.end(), {kInf, -kInf, NAN, kMost, -kMost, 1e-45f, -1e-45f, 0.0f, -0.0f});
  return x;
}

TEST(Quantize, RoundsAsADivisionDoes) {
  std::vector<float> scales = {1, 0.5f, 3, 1e-30f, 1e30f, 1e-42f, 0.1f, 1.0f / 255};
  for (const float s : Numbers(200, 2)) scales.push_back(std::abs(s) + 1e-6f);
  ForEachTarget([&] {
    for (const float scale : scales) {
      const std::vector<float> x = Inputs(scale);
      std::vector<uint8_t> y(x.size());
      for (const int32_t zero : {0, 114, 255}) {
        QuantizeToBytes(x.data(), static_cast<int64_t>(x.size()), scale, zero, y.data(), Threads(2));
        for (size_t i = 0; i < x.size(); ++i) {
          ASSERT_EQ(y[i], Plain(x[i], scale, zero))
              << x[i] << " by " << scale << " and " << zero << " on " << IsaName();
        }
      }
    }
  });
}

}  // namespace
}  // namespace slipway::kernels
