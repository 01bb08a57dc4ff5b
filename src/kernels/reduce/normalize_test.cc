#include "kernels/reduce/normalize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "kernels/targets.h"

namespace slipway::kernels {
namespace {

std::vector<float> Random(int64_t n, uint32_t seed, float offset = 0) {
  std::mt19937 rng(seed);
  std::uniform_real_distribution<float> uniform(offset - 1, offset + 1);
  std::vector<float> x(n);
  for (float& v : x) v = uniform(rng);
  return x;
}

struct Case {
  int64_t rows, size;
  bool scale, bias, residual, rms;
  float offset = 0;
  friend std::ostream& operator<<(std::ostream& os, const Case& c) {
    return os << c.rows << " x " << c.size << (c.scale ? " scale" : "") << (c.bias ? " bias" : "")
              << (c.residual ? " residual" : "") << (c.rms ? " rms" : "") << " offset " << c.offset;
  }
};

void Check(const Case& c) {
  const auto x = Random(c.rows * c.size, 1, c.offset), residual = Random(c.rows * c.size, 2),
             residual_bias = Random(c.size, 3);
  const auto scale = Random(c.size, 4, 1), bias = Random(c.size, 5);
  ForEachTarget([&] {
    std::vector<float> y(c.rows * c.size), sum(y.size()), mean(c.rows), inv_std(c.rows);
    NormArgs args = {.rows = c.rows, .size = c.size, .x = x.data(), .y = y.data()};
    args.scale = c.scale ? scale.data() : nullptr;
    args.bias = c.bias ? bias.data() : nullptr;
    args.rms = c.rms;
    args.mean = mean.data();
    args.inv_std = inv_std.data();
    if (c.residual) {
      args.residual = residual.data();
      args.residual_bias = residual_bias.data();
      if (c.scale) args.sum = sum.data();
    }
    NormalizeRows(args, Threads(2));
    for (int64_t r = 0; r < c.rows; ++r) {
      std::vector<float> t(c.size);
      double m = 0, v = 0;
      for (int64_t i = 0; i < c.size; ++i) {
        t[i] = x[r * c.size + i];
        if (c.residual) t[i] = t[i] + residual[r * c.size + i] + residual_bias[i];
        if (!c.rms) m += t[i] / static_cast<double>(c.size);
      }
      for (float e : t) v += (e - m) * (e - m) / static_cast<double>(c.size);
      const double want_inv = 1 / std::sqrt(v + 1e-5);
      // The mean is rounded to a float, and each element's distance from it is as good as that.
      const double bound = 4e-6 + 1.2e-7 * std::fabs(m) * want_inv;
      ASSERT_NEAR(inv_std[r] / want_inv, 1, bound) << IsaName() << " " << c;
      ASSERT_NEAR(mean[r], m, 1e-6 * std::max(1.0, std::fabs(m))) << IsaName() << " " << c;
      for (int64_t i = 0; i < c.size; ++i) {
        const double want = (t[i] - m) * want_inv * (c.scale ? scale[i] : 1) + (c.bias ? bias[i] : 0);
        ASSERT_NEAR(y[r * c.size + i], want, bound * (2 + std::fabs(want)))
            << IsaName() << " " << c << " at " << r << ", " << i;
        ASSERT_EQ(sum[r * c.size + i], args.sum ? t[i] : 0) << IsaName() << " " << c;
      }
    }
  });
}

TEST(Normalize, RowsMatchTheDefinition) {
  for (int64_t size : {1, 2, 15, 16, 17, 64, 67, 384, 768, 5003}) {
    for (bool rms : {false, true}) {
      for (bool residual : {false, true}) {
        Check({3, size, true, true, residual, rms});
        Check({2, size, false, true, residual, rms});
        Check({2, size, true, false, residual, rms});
        Check({37, size, false, false, residual, rms});
      }
    }
  }
  Check({2, 768, true, true, false, false, 1000});
}

TEST(Normalize, InPlaceWithTheSumOverTheResidual) {
  const int64_t n = 37;
  auto x = Random(n, 1), residual = Random(n, 2);
  std::vector<float> want(n);
  NormArgs args = {.rows = 1, .size = n, .x = x.data(), .y = want.data()};
  args.residual = residual.data();
  NormalizeRows(args, Threads(1));
  args.y = x.data();
  args.sum = residual.data();
  NormalizeRows(args, Threads(1));
  EXPECT_EQ(x, want);
}

TEST(Normalize, GroupsMatchTheDefinition) {
  struct Group {
    int64_t batch, channels, spatial, groups;
  };
  for (const Group& g : {Group{1, 1, 1, 1}, {2, 6, 5, 3}, {2, 6, 49, 6}, {1, 32, 17, 8}, {3, 4, 3000, 1}}) {
    const auto x = Random(g.batch * g.channels * g.spatial, 1, 3), scale = Random(g.channels, 2),
               bias = Random(g.channels, 3);
    ForEachTarget([&] {
      std::vector<float> y = x;
      NormalizeGroups(y.data(), y.data(), g.batch, g.channels, g.spatial, g.groups, scale.data(), bias.data(), 1e-5f,
                      Threads(2));
      const int64_t size = g.channels / g.groups * g.spatial;
      for (int64_t i = 0; i < g.batch * g.groups; ++i) {
        double m = 0, v = 0;
        for (int64_t j = 0; j < size; ++j) m += x[i * size + j] / static_cast<double>(size);
        for (int64_t j = 0; j < size; ++j)
          v += (x[i * size + j] - m) * (x[i * size + j] - m) / static_cast<double>(size);
        for (int64_t j = 0; j < size; ++j) {
          const int64_t c = (i * size + j) / g.spatial % g.channels;
          const double want = (x[i * size + j] - m) / std::sqrt(v + 1e-5) * scale[c] + bias[c];
          ASSERT_NEAR(y[i * size + j], want, g.spatial == 1 ? 1e-3 : 1e-5)
              << IsaName() << " channels " << g.channels << " at " << i << ", " << j;
        }
      }
    });
  }
}

}  // namespace
}  // namespace slipway::kernels
