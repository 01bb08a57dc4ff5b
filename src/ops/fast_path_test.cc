#include "ops/fast_path.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace slipway {
namespace {

TEST(FastPath, NamesOperators) {
  for (const std::string_view name : FastPathNames()) {
    const auto all = AllOps();
    EXPECT_TRUE(std::any_of(all.begin(), all.end(), [&](const OpDef* def) {
      return def->name == name && !FastPathOf(*def).types.empty();
    })) << name;
    EXPECT_EQ(std::count(FastPathNames().begin(), FastPathNames().end(), name), 1) << name;
  }
  EXPECT_EQ(FastPathOf(*FindOp("", "MatMul")).types, "float, halves, double");
  EXPECT_EQ(FastPathOf(*FindOp("", "NonZero")).types, "");
}

}  // namespace
}  // namespace slipway
