#include "kernels/elementwise/compare.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "kernels/targets.h"

namespace slipway::kernels {
namespace {

template <class T>
bool Plain(CompareOp op, T a, T b) {
  switch (op) {
    case CompareOp::kEqual:
      return a == b;
    case CompareOp::kGreater:
      return a > b;
    case CompareOp::kGreaterOrEqual:
      return a >= b;
    case CompareOp::kLess:
      return a < b;
    case CompareOp::kLessOrEqual:
      return a <= b;
  }
  return false;
}

template <class T>
void Check() {
  using Limits = std::numeric_limits<T>;
  const std::vector<T> some = {
      T(0), T(-1), T(3), Limits::max(), Limits::lowest(), Limits::has_quiet_NaN ? Limits::quiet_NaN() : T(7), T(3)};
  for (const int64_t n : {1, 7, 8, 31, 64, 101}) {
    std::vector<T> a(n), b(n);
    for (int64_t i = 0; i < n; ++i) a[i] = some[i % 7], b[i] = some[i * 3 % 5 + i % 3];
    for (int op = 0; op < 5; ++op) {
      for (const auto [a_step, b_step] : {std::pair{1, 1}, {0, 1}, {1, 0}, {0, 0}}) {
        ForEachTarget([&, a_step = a_step, b_step = b_step] {
          std::vector<uint8_t> y(n + 1, 9);
          CompareRow(static_cast<CompareOp>(op), a.data(), a_step, b.data(), b_step, reinterpret_cast<bool*>(y.data()),
                     n);
          for (int64_t i = 0; i < n; ++i)
            ASSERT_EQ(y[i], Plain(static_cast<CompareOp>(op), a[i * a_step], b[i * b_step]))
                << IsaName() << " op " << op << " n " << n << " steps " << a_step << b_step << " at " << i;
          ASSERT_EQ(y[n], 9);
        });
      }
    }
  }
}

TEST(Compare, IsWhatTheLanguageSays) {
  Check<float>();
  Check<double>();
  Check<int32_t>();
  Check<int64_t>();
}

}  // namespace
}  // namespace slipway::kernels
