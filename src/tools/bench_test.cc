#include "tools/bench.h"

#include <gtest/gtest.h>

namespace slipway {
namespace {

TEST(Bench, PercentileIsTheNearestRank) {
  const struct {
    std::vector<double> sorted;
    double p, want;
  } cases[] = {{{3}, 0.5, 3}, {{1, 2, 3, 4}, 0.5, 2}, {{1, 2, 3, 4}, 0.9, 4}, {{1, 2}, 0, 1}, {{1, 2}, 1, 2}};
  for (const auto& c : cases) EXPECT_EQ(Percentile(c.sorted, c.p), c.want);
}

TEST(Bench, ProfileAveragesOverRuns) {
  const Profile p = Summarize({{"a", "Add", 1000000},
                               {"b", "Mul", 2000000},
                               {"c", "Add", 3000000},
                               {"a", "Add", 3000000},
                               {"b", "Mul", 4000000},
                               {"c", "Add", 3000000}},
                              2);
  ASSERT_EQ(p.nodes.size(), 3u);
  EXPECT_EQ(p.nodes[2].name, "a");
  EXPECT_DOUBLE_EQ(p.nodes[2].milliseconds, 2);
  ASSERT_EQ(p.operators.size(), 2u);
  EXPECT_EQ(p.operators[0].op_type, "Add");
  EXPECT_EQ(p.operators[0].calls, 2);
  EXPECT_DOUBLE_EQ(p.operators[0].share, 5.0 / 8);
}

TEST(Bench, ProfileAddsUpWork) {
  const Profile p = Summarize({{"a", "Add", 1}, {"b", "MatMul", 1}, {"c", "Add", 1}, {"d", "Mul", 1}}, 1,
                              {{{"a", "Add"}, {0, 8}}, {{"b", "MatMul"}, {100, 16}}, {{"c", "Add"}, {0, 4}}});
  for (const ProfileEntry& e : p.operators) {
    EXPECT_EQ(e.flops, e.op_type == "MatMul" ? 100 : 0);
    EXPECT_EQ(e.bytes, e.op_type == "Add" ? 12 : e.op_type == "MatMul" ? 16 : 0);
  }
}

TEST(Bench, PeaksAreThoseOfAMachine) {
  const kernels::Peaks peaks = kernels::MeasurePeaks(Threads(1));
  EXPECT_GT(peaks.flops, 1e9);
  EXPECT_GT(peaks.bytes, 1e8);
  EXPECT_LT(peaks.flops, 1e13);
  EXPECT_LT(peaks.bytes, 1e12);
}

}  // namespace
}  // namespace slipway
