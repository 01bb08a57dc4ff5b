#include "kernels/reduce/softmax.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/targets.h"

namespace slipway::kernels {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

std::vector<double> Plain(const std::vector<float>& x, int64_t outer, int64_t size, int64_t inner, bool log) {
  std::vector<double> y(x.size());
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t c = 0; c < inner; ++c) {
      const auto at = [&](int64_t i) { return (o * size + i) * inner + c; };
      double greatest = -kInf, sum = 0;
      for (int64_t i = 0; i < size; ++i) greatest = std::max<double>(greatest, x[at(i)]);
      for (int64_t i = 0; i < size; ++i) sum += std::exp(x[at(i)] - greatest);
      for (int64_t i = 0; i < size; ++i) {
        const double shifted = x[at(i)] - greatest;
        y[at(i)] = log ? shifted - std::log(sum) : std::exp(shifted) / sum;
      }
    }
  }
  return y;
}

void Check(std::vector<float> x, int64_t outer, int64_t size, int64_t inner) {
  for (bool log : {false, true}) {
    const std::vector<double> want = Plain(x, outer, size, inner, log);
    ForEachTarget([&] {
      std::vector<float> y = x;
      SoftmaxFloat(y.data(), y.data(), outer, size, inner, log, Threads(2));
      for (size_t i = 0; i < x.size(); ++i) {
        // The rounding of a difference of 20 (1e-6), as much from a chain of 1000 additions, and Exp's 2 ulp.
        const double bound = 4e-6 * std::fabs(want[i]) + (log ? 4e-6 : 1e-37);
        const bool same = std::isnan(want[i])
                              ? std::isnan(y[i])
                              : y[i] == static_cast<float>(want[i]) || std::fabs(y[i] - want[i]) <= bound;
        ASSERT_TRUE(same) << IsaName() << " [" << outer << ", " << size << ", " << inner << "] log " << log << " at "
                          << i << ": got " << y[i] << ", want " << want[i];
      }
    });
  }
}

TEST(Softmax, MatchesTheDefinition) {
  std::mt19937 rng(3);
  std::uniform_real_distribution<float> uniform(-10, 10);
  const std::pair<int64_t, int64_t> shapes[] = {{3, 1},  {5, 2},  {1, 7},  {2, 15},   {2, 16},
                                                {2, 17}, {3, 63}, {3, 65}, {2, 1000}, {400, 131}};
  for (const auto& [outer, size] : shapes) {
    for (int64_t inner : {1, 3, 16, 67}) {
      std::vector<float> x(outer * size * inner);
      for (float& v : x) v = uniform(rng);
      Check(x, outer, size, inner);
    }
  }
}

TEST(Softmax, SpecialRows) {
  const std::vector<float> rows[] = {{-kInf, 1, 2},    {-kInf, -kInf, -kInf}, {kInf, 1, 2},       {kNaN, 1, 2},
                                     {1, kNaN, -kInf}, {-1e4f, -1e4f, -1e4f}, {-1e38f, 0, 1e38f}, {1000, 1000, 999}};
  for (const auto& row : rows) {
    Check(row, 1, 3, 1);
    std::vector<float> columns;
    for (float v : row) columns.insert(columns.end(), 2, v);
    Check(columns, 1, 3, 2);
  }
}

}  // namespace
}  // namespace slipway::kernels
