#include "kernels/reduce/reduce.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <vector>

#include "kernels/targets.h"

namespace slipway::kernels {
namespace {

using Shape = std::vector<int64_t>;
constexpr float kInf = std::numeric_limits<float>::infinity();

struct Case {
  Shape shape, axes;
};

const Case kCases[] = {
    {{}, {}},
    {{1}, {0}},
    {{7}, {0}},
    {{7}, {}},
    {{1000003}, {0}},
    {{5, 33}, {1}},
    {{5, 33}, {0}},
    {{5, 33}, {0, 1}},
    {{300, 131}, {0}},
    {{3, 257}, {1}},
    {{3, 5, 7}, {1}},
    {{3, 5, 7}, {0, 2}},
    {{3, 5, 7}, {1, 2}},
    {{2, 3, 4, 5, 6}, {0, 2, 4}},
    {{2, 3, 4, 5, 6}, {1, 3}},
    {{2, 1, 4, 1, 6}, {1, 3}},
    {{2, 1, 4, 1, 6}, {0, 1, 4}},
    {{0, 3}, {0}},
    {{0, 3}, {1}},
    {{3, 0}, {1}},
    {{70, 64, 3}, {0, 1}},
    {{5000, 33}, {0}},
    {{2, 3001, 70}, {1}},
};

/// The elements behind each output, by walking all of them.
std::vector<std::vector<double>> Groups(const Case& c, const std::vector<float>& x) {
  int64_t outputs = 1;
  std::vector<bool> reduced(c.shape.size());
  for (int64_t axis : c.axes) reduced[axis] = true;
  for (size_t i = 0; i < c.shape.size(); ++i) outputs *= reduced[i] ? 1 : c.shape[i];
  std::vector<std::vector<double>> groups(outputs);
  for (size_t at = 0; at < x.size(); ++at) {
    int64_t rest = static_cast<int64_t>(at), output = 0, step = 1;
    for (size_t i = c.shape.size(); i-- > 0;) {
      if (!reduced[i]) {
        output += rest % c.shape[i] * step;
        step *= c.shape[i];
      }
      rest /= c.shape[i];
    }
    groups[output].push_back(x[at]);
  }
  return groups;
}

double Plain(ReduceOp op, const std::vector<double>& v) {
  double sum = 0, squares = 0, l1 = 0, product = 1, most = -kInf, least = kInf, exps = 0;
  for (double e : v) {
    sum += e, squares += e * e, l1 += std::fabs(e), product *= e, exps += std::exp(e);
    most = std::max(most, e), least = std::min(least, e);
  }
  switch (op) {
    case ReduceOp::kSum:
      return sum;
    case ReduceOp::kMean:
      return sum / static_cast<double>(v.size());
    case ReduceOp::kMax:
      return most;
    case ReduceOp::kMin:
      return least;
    case ReduceOp::kProd:
      return product;
    case ReduceOp::kSumSquare:
      return squares;
    case ReduceOp::kL1:
      return l1;
    case ReduceOp::kL2:
      return std::sqrt(squares);
    case ReduceOp::kLogSum:
      return std::log(sum);
    case ReduceOp::kLogSumExp:
      return std::log(exps);
  }
  return 0;
}

TEST(Reduce, MatchesTheDefinition) {
  std::mt19937 rng(5);
  std::uniform_real_distribution<float> uniform(0.5f, 1.5f);
  for (const Case& c : kCases) {
    int64_t n = 1;
    for (int64_t size : c.shape) n *= size;
    std::vector<float> x(n);
    for (float& v : x) v = uniform(rng);
    const ReducePlan plan(c.shape, c.axes);
    const auto groups = Groups(c, x);
    ASSERT_EQ(plan.outputs(), static_cast<int64_t>(groups.size()));
    for (int op = 0; op <= static_cast<int>(ReduceOp::kLogSumExp); ++op) {
      ForEachTarget([&] {
        std::vector<float> y(plan.outputs(), 7.0f);
        ReduceFloat(ReduceOp{static_cast<uint8_t>(op)}, plan, x.data(), y.data(), Threads(2));
        for (size_t i = 0; i < y.size(); ++i) {
          const double want = Plain(ReduceOp{static_cast<uint8_t>(op)}, groups[i]);
          // Chains of at most 256 additions of like sign, whose errors mostly cancel; products take an error from each
          // factor.
          const double bound =
              2e-6 + (op == static_cast<int>(ReduceOp::kProd) ? 6e-8 * static_cast<double>(groups[i].size()) : 0);
          ASSERT_TRUE(std::isnan(want) ? std::isnan(y[i])
                                       : y[i] == static_cast<float>(want) ||
                                             std::fabs(y[i] - want) <= bound * std::max(1.0, std::fabs(want)))
              << IsaName() << " op " << op << " shape " << ::testing::PrintToString(c.shape) << " axes "
              << ::testing::PrintToString(c.axes) << " at " << i << ": got " << y[i] << ", want " << want;
        }
      });
    }
    std::vector<int64_t> whole(x.begin(), x.end()), sums(plan.outputs());
    ReducePlain(
        plan, whole.data(), sums.data(), int64_t{3}, std::plus<>(), [](int64_t v) { return v; }, Threads(2));
    for (size_t i = 0; i < sums.size(); ++i) {
      int64_t want = 3;
      for (double v : groups[i]) want += static_cast<int64_t>(v);
      ASSERT_EQ(sums[i], want) << ::testing::PrintToString(c.shape) << ::testing::PrintToString(c.axes);
    }
  }
}

TEST(Reduce, NaNAndInfinity) {
  struct Special {
    ReduceOp op;
    std::vector<float> x;
    float want;
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Special specials[] = {
      {ReduceOp::kMax, {1, nan, 2}, nan},           {ReduceOp::kMin, {nan, 1, 2}, nan},
      {ReduceOp::kMax, {-kInf, -kInf}, -kInf},      {ReduceOp::kLogSumExp, {-kInf, -kInf}, -kInf},
      {ReduceOp::kLogSumExp, {kInf, 1}, kInf},      {ReduceOp::kLogSumExp, {1000, 1000}, 1000.693147f},
      {ReduceOp::kLogSumExp, {-kInf, 2, nan}, nan}, {ReduceOp::kSum, {kInf, -kInf}, nan},
      {ReduceOp::kLogSumExp, {-kInf, 2}, 2},
  };
  for (const Special& s : specials) {
    const auto n = static_cast<int64_t>(s.x.size());
    for (const Case& c : {Case{{n}, {0}}, Case{{n, 3}, {0}}}) {
      std::vector<float> x;
      for (float v : s.x) x.insert(x.end(), c.shape.size() == 1 ? 1 : 3, v);
      const ReducePlan plan(c.shape, c.axes);
      ForEachTarget([&] {
        std::vector<float> y(plan.outputs());
        ReduceFloat(s.op, plan, x.data(), y.data(), Threads(1));
        for (float v : y) {
          EXPECT_TRUE(std::isnan(s.want) ? std::isnan(v) : v == s.want)
              << IsaName() << " op " << static_cast<int>(s.op) << " of " << ::testing::PrintToString(s.x) << " got "
              << v;
        }
      });
    }
  }
}

}  // namespace
}  // namespace slipway::kernels
