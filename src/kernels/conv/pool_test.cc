#include "kernels/conv/pool_planes.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "kernels/targets.h"
#include "kernels/testing.h"

namespace slipway::kernels {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

enum class Kind { kMax, kMean, kMeanWithPadding };

double PlainWindow(const PoolShape& s, const float* x, int64_t image, int64_t oy, int64_t ox, int64_t c, Kind kind) {
  double sum = 0;
  double most = -kInf;
  int64_t inside = 0;
  int64_t padded = 0;
  for (int64_t ky = 0; ky < s.kh; ++ky) {
    for (int64_t kx = 0; kx < s.kw; ++kx) {
      const int64_t iy = oy * s.stride_h - s.pad_top + ky * s.dilation_h;
      const int64_t ix = ox * s.stride_w - s.pad_left + kx * s.dilation_w;
      padded += iy < s.h + s.pad_bottom && ix < s.w + s.pad_right;
      if (iy < 0 || iy >= s.h || ix < 0 || ix >= s.w) continue;
      const double value = x[((image * s.h + iy) * s.w + ix) * s.c + c];
      ++inside;
      sum += value;
      if (!(value <= most)) most = std::isnan(most) ? most : value;
    }
  }
  if (kind == Kind::kMax) return most;
  const int64_t count = kind == Kind::kMean ? inside : padded;
  return count == 0 ? 0 : sum / static_cast<double>(count);
}

// n, h, w, c, kernel, stride, dilation, pads (top, left, bottom, right), output.
const PoolShape kShapes[] = {
    {2, 7, 9, 5, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1, 4, 5},
    {1, 8, 8, 64, 2, 2, 2, 2, 1, 1, 0, 0, 0, 0, 4, 4},
    {1, 7, 7, 67, 3, 3, 2, 2, 1, 1, 0, 0, 1, 1, 3, 3},
    {1, 6, 6, 130, 3, 2, 1, 3, 1, 1, 2, 0, 0, 1, 6, 2},
    {1, 9, 9, 17, 3, 3, 1, 1, 2, 3, 2, 3, 2, 3, 9, 9},
    {1, 6, 6, 3, 3, 3, 2, 2, 1, 1, 0, 0, 0, 0, 3, 3},  // ceil mode: the last windows begin inside and end outside
    {3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1},
    {1, 2, 2, 16, 5, 5, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2},
    {1, 1, 31, 9, 1, 4, 1, 3, 1, 2, 0, 1, 0, 2, 1, 10},
};

/// The same image as planes gives the same, laid out so.
void CheckPlanes(const PoolShape& s, const std::vector<float>& x, Kind kind, const std::vector<float>& want) {
  const int64_t pixels = s.h * s.w, out_pixels = s.oh * s.ow;
  std::vector<float> planes(x.size()), y(static_cast<size_t>(s.n * s.c * out_pixels + 1), -7);
  for (int64_t i = 0; i < s.n * s.c * pixels; ++i) {
    const int64_t image = i / (s.c * pixels), c = i / pixels % s.c;
    planes[static_cast<size_t>(i)] = x[static_cast<size_t>((image * pixels + i % pixels) * s.c + c)];
  }
  if (kind == Kind::kMax) {
    MaxPoolPlanes(planes.data(), s.n * s.c, s, y.data(), Threads(2));
  } else {
    AveragePoolPlanes(planes.data(), s.n * s.c, s, kind == Kind::kMeanWithPadding, y.data(), Threads(2));
  }
  for (int64_t i = 0; i < s.n * s.c * out_pixels; ++i) {
    const int64_t image = i / (s.c * out_pixels), c = i / out_pixels % s.c;
    const float value = want[static_cast<size_t>((image * out_pixels + i % out_pixels) * s.c + c)];
    const float got = y[static_cast<size_t>(i)];
    const bool same = std::isnan(value) ? std::isnan(got) : got == value || std::fabs(got - value) < 1e-6;
    ASSERT_TRUE(same) << "planes of shape " << &s - kShapes << " at " << i << " on " << IsaName() << ": " << got
                      << ", not " << value;
  }
  ASSERT_EQ(y.back(), -7);
}

TEST(PoolTest, MatchesPlainLoops) {
  for (const PoolShape& s : kShapes) {
    std::vector<float> x = Numbers(s.n * s.h * s.w * s.c, 1);
    if (x.size() > 10) x[5] = kNan, x[7] = -kInf;
    ForEachTarget([&] {
      for (const Kind kind : {Kind::kMax, Kind::kMean, Kind::kMeanWithPadding}) {
        const int64_t count = s.n * s.oh * s.ow * s.c;
        std::vector<float> y(static_cast<size_t>(count + 1), -7);
        if (kind == Kind::kMax) {
          MaxPool(x.data(), s, y.data(), Threads(2));
        } else {
          AveragePool(x.data(), s, kind == Kind::kMeanWithPadding, y.data(), Threads(2));
        }
        for (int64_t i = 0; i < count; ++i) {
          const int64_t pixel = i / s.c;
          const double want =
              PlainWindow(s, x.data(), pixel / (s.oh * s.ow), pixel / s.ow % s.oh, pixel % s.ow, i % s.c, kind);
          const float got = y[static_cast<size_t>(i)];
          const std::string what = "shape " + std::to_string(&s - kShapes) + " kind " +
                                   std::to_string(static_cast<int>(kind)) + " at " + std::to_string(i) + " on " +
                                   IsaName();
          if (std::isnan(want) || std::isinf(want)) {
            ASSERT_TRUE(std::isnan(want) ? std::isnan(got) : got == static_cast<float>(want)) << what << ": " << got;
          } else {
            ASSERT_NEAR(got, want, kind == Kind::kMax ? 0 : 1e-6) << what;
          }
        }
        ASSERT_EQ(y.back(), -7);
        CheckPlanes(s, x, kind, y);
      }
    });
  }
}

}  // namespace
}  // namespace slipway::kernels
