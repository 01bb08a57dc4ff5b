#include "kernels/elementwise/binary.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/targets.h"
#include "slipway/error.h"

namespace slipway::kernels {
namespace {

using Shape = std::vector<int64_t>;

int64_t Count(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

/// The operand's element for output element `at`, by walking the axes.
int64_t Source(const Shape& operand, const Shape& output, int64_t at) {
  int64_t source = 0;
  int64_t step = 1;
  for (size_t i = 0; i < output.size(); ++i) {
    const int64_t index = at % output[output.size() - 1 - i];
    at /= output[output.size() - 1 - i];
    if (i >= operand.size()) continue;
    const int64_t size = operand[operand.size() - 1 - i];
    source += size == 1 ? 0 : index * step;
    step *= size;
  }
  return source;
}

float Plain(BinaryOp op, float a, float b) {
  switch (op) {
    case BinaryOp::kAdd:
      return a + b;
    case BinaryOp::kSub:
      return a - b;
    case BinaryOp::kMul:
      return a * b;
    case BinaryOp::kDiv:
      return a / b;
    case BinaryOp::kMax:
      return std::isnan(a) || std::isnan(b) ? a + b : std::max(a, b);
    case BinaryOp::kMin:
      return std::isnan(a) || std::isnan(b) ? a + b : std::min(a, b);
    case BinaryOp::kPRelu:
      return a < 0 ? a * b : a;
  }
  return 0;
}

struct Case {
  Shape a, b, want;
  int64_t rows, columns;  ///< of the plan
};

const Case kCases[] = {
    {{}, {}, {}, 1, 1},
    {{3, 5, 7}, {3, 5, 7}, {3, 5, 7}, 1, 105},
    {{3, 5, 7}, {}, {3, 5, 7}, 1, 105},
    {{1}, {2, 1, 33}, {2, 1, 33}, 1, 66},
    {{4, 3, 17}, {17}, {4, 3, 17}, 12, 17},
    {{4, 3, 17}, {3, 17}, {4, 3, 17}, 4, 51},
    {{4, 3, 17}, {4, 3, 1}, {4, 3, 17}, 12, 17},
    {{3, 1}, {4, 3, 17}, {4, 3, 17}, 12, 17},
    {{2, 5, 1, 9}, {2, 1, 3, 9}, {2, 5, 3, 9}, 30, 9},
    {{5, 1}, {1, 6}, {5, 6}, 5, 6},
    {{1, 5, 1, 1}, {2, 5, 3, 4}, {2, 5, 3, 4}, 10, 12},
    {{2, 1, 3, 1, 5}, {1, 4, 1, 6, 1}, {2, 4, 3, 6, 5}, 144, 5},
    {{0, 3}, {3}, {0, 3}, 0, 3},
    {{2, 300, 130}, {130}, {2, 300, 130}, 600, 130},
    {{100001}, {100001}, {100001}, 1, 100001},
    {{100001}, {1}, {100001}, 1, 100001},
};

TEST(Binary, MatchesTheDefinition) {
  for (const Case& c : kCases) {
    const BroadcastPlan plan(c.a, c.b);
    EXPECT_EQ(plan.shape(), c.want);
    EXPECT_EQ(plan.columns(), c.columns);
    EXPECT_EQ(plan.rows(), c.rows);
    ASSERT_EQ(plan.count(), Count(c.want));
    std::vector<float> a(Count(c.a)), b(Count(c.b)), y(plan.count());
    for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i % 13) - 6;
    for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i % 7) - 2.5f;
    if (a.size() > 8) a[8] = std::numeric_limits<float>::quiet_NaN();
    if (b.size() > 2) b[2] = std::numeric_limits<float>::quiet_NaN();
    for (int op = 0; op <= static_cast<int>(BinaryOp::kPRelu); ++op) {
      ForEachTarget([&] {
        BinaryFloat(BinaryOp{static_cast<uint8_t>(op)}, plan, a.data(), b.data(), y.data(), Threads(2));
        for (int64_t i = 0; i < plan.count(); ++i) {
          const float want =
              Plain(BinaryOp{static_cast<uint8_t>(op)}, a[Source(c.a, c.want, i)], b[Source(c.b, c.want, i)]);
          ASSERT_TRUE(y[i] == want || (std::isnan(y[i]) && std::isnan(want)))
              << IsaName() << " op " << op << " " << ::testing::PrintToString(c.a) << " "
              << ::testing::PrintToString(c.b) << " at " << i << ": got " << y[i] << ", want " << want;
        }
      });
    }
    std::vector<int64_t> ia(a.size()), ib(b.size());
    std::vector<uint8_t> less(plan.count());
    std::iota(ia.begin(), ia.end(), 0);
    std::iota(ib.begin(), ib.end(), -3);
    BroadcastBinary(
        plan, ia.data(), ib.data(), less.data(), [](int64_t l, int64_t r) { return l < r; }, Threads(2));
    for (int64_t i = 0; i < plan.count(); ++i)
      ASSERT_EQ(less[i], ia[Source(c.a, c.want, i)] < ib[Source(c.b, c.want, i)]);
  }
}

TEST(Binary, InPlace) {
  const BroadcastPlan plan(Shape{3, 19}, Shape{19});
  std::vector<float> a(57, 2), b(19, 3);
  BinaryFloat(BinaryOp::kMul, plan, a.data(), b.data(), a.data(), Threads(1));
  EXPECT_EQ(a, std::vector<float>(57, 6));
}

TEST(Binary, ShapesThatDoNotBroadcast) {
  EXPECT_THROW(BroadcastPlan(Shape{2, 3}, Shape{2}), Error);
  EXPECT_THROW(BroadcastPlan(Shape{0}, Shape{2}), Error);
}

}  // namespace
}  // namespace slipway::kernels
