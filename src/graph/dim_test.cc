#include "graph/dim.h"

#include <gtest/gtest.h>

namespace slipway {
namespace {

const Dim batch = Dim::Symbol("batch");
const Dim seq = Dim::Symbol("seq");

TEST(Dim, Text) {
  const struct {
    Dim dim;
    const char* want;
  } cases[] = {
      {Dim(3) * 4, "12"},
      {batch * seq, "batch * seq"},
      {seq + 1, "seq + 1"},
      {Dim(2) * seq - 3, "2 * seq - 3"},
      {batch - batch, "0"},
      {(batch + 1) * (batch - 1), "batch * batch - 1"},
      {FloorDiv(batch * seq * 768, seq), "768 * batch"},
      {FloorDiv(seq * 12 + 24, 12), "seq + 2"},
      {FloorDiv(seq + 1, 2), "floor((seq + 1) / (2))"},
      {FloorDiv(Dim(-7), 2), "-4"},
      {CeilDiv(Dim(7), 2), "4"},
      {Max(Dim(2), 5), "5"},
      {Max(seq, batch), "max(batch, seq)"},
  };
  for (const auto& c : cases) EXPECT_EQ(c.dim.ToString(), c.want);
}

TEST(Dim, EqualityIsByPolynomial) {
  EXPECT_EQ(batch * seq + 1, Dim(1) + seq * batch);
  EXPECT_FALSE(batch == seq);
  EXPECT_FALSE(Dim::Unknown() == Dim::Unknown());
  EXPECT_EQ(FloorDiv(seq, 2), FloorDiv(seq, 2));
}

TEST(Dim, OverflowIsAnError) {
  EXPECT_THROW(Dim(INT64_MAX) + 1, Error);
  EXPECT_THROW(Dim(INT64_MAX) * 2, Error);
  EXPECT_THROW(FloorDiv(Dim(1), 0), Error);
}

TEST(SymbolicShape, Concrete) {
  EXPECT_EQ(SymbolicShape({2, 3}).Concrete(), (Shape{2, 3}));
  EXPECT_EQ(SymbolicShape({batch, 3}).Concrete(), std::nullopt);
  EXPECT_EQ(SymbolicShape({batch, 3}).size().ToString(), "3 * batch");
  EXPECT_EQ(SymbolicShape().ToString(), "[...]");
}

TEST(Dim, CappedByANumber) {
  const Dim n = Dim::Symbol("n"), m = Dim::Symbol("m");
  EXPECT_TRUE(IsCapped(Min(512, n), n));
  EXPECT_TRUE(IsCapped(Min(n + 2, 512), n + 2));
  EXPECT_FALSE(IsCapped(Min(512, n), m));
  EXPECT_FALSE(IsCapped(Min(0, n), n));
  EXPECT_FALSE(IsCapped(Min(m, n), n));
  EXPECT_FALSE(IsCapped(Min(512, n) + 1, n));
  EXPECT_FALSE(IsCapped(n, n));
}

}  // namespace
}  // namespace slipway
