#include "tools/statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace slipway {
namespace {

TEST(Statistics, LeavesOutWhatIsNotFinite) {
  const auto s = Summarize(Tensor::From<float>({4}, {2, std::numeric_limits<float>::infinity(), -1, NAN}), 2);
  ASSERT_TRUE(s);
  EXPECT_EQ(s->min, -1);
  EXPECT_EQ(s->max, 2);
  EXPECT_EQ(s->mean, 0.5);
  EXPECT_EQ(s->not_finite, 2);
  EXPECT_EQ(s->first.size(), 2u);
}

TEST(Statistics, TakesEveryTypeButStrings) {
  for (int i = 1; i < kNumDTypes; ++i) {
    const auto type = static_cast<DType>(i);
    EXPECT_EQ(Summarize(Tensor(type, {0})).has_value(), type != DType::kString) << Name(type);
  }
}

}  // namespace
}  // namespace slipway
