#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ops/testing.h"

namespace slipway::testing {
namespace {

using ::testing::ElementsAreArray;

template <class T>
Tensor Ramp(Shape shape) {
  Tensor t(kDTypeOf<T>, std::move(shape));
  for (int64_t i = 0; i < t.size(); ++i) t.data<T>()[i] = static_cast<T>(i % 7 - 3);
  return t;
}

/// The float path, which goes through the matrix product where it can, must give what the plain path gives in integers.
TEST(Einsum, FloatAgreesWithIntegers) {
  struct Case {
    const char* equation;
    std::vector<Shape> in;
    Shape out;
  };
  const Case cases[] = {
      {"ij,jk->ik", {{2, 3}, {3, 4}}, {2, 4}},
      {"ij,jk->ki", {{2, 3}, {3, 4}}, {4, 2}},
      {"bhqd,bhkd->bhqk", {{2, 3, 4, 5}, {2, 3, 6, 5}}, {2, 3, 4, 6}},
      {"bqhd,bkhd->bhqk", {{2, 4, 3, 5}, {2, 6, 3, 5}}, {2, 3, 4, 6}},
      {"bhqk,bkhd->bqhd", {{2, 3, 4, 6}, {2, 6, 3, 5}}, {2, 4, 3, 5}},
      {"...ij,...jk->...ik", {{5, 2, 3}, {3, 4}}, {5, 2, 4}},
      {"...ij,...jk", {{5, 2, 3}, {1, 3, 4}}, {5, 2, 4}},
      {"ij->ji", {{2, 3}}, {3, 2}},
      {"ii->i", {{3, 3}}, {3}},
      {"ij", {{2, 3}}, {2, 3}},
      {"ij->", {{2, 3}}, {}},
      {"i,j->ij", {{2}, {3}}, {2, 3}},
      {"i,i", {{3}, {3}}, {}},
      {"ij,jk,kl -> il", {{2, 3}, {3, 4}, {4, 2}}, {2, 2}},
      {"ij,ik->k", {{2, 3}, {2, 4}}, {4}},
  };
  for (const Case& k : cases) {
    SCOPED_TRACE(k.equation);
    std::vector<Value> floats, ints;
    for (const Shape& s : k.in) {
      floats.emplace_back(Ramp<float>(s));
      ints.emplace_back(Ramp<int64_t>(s));
    }
    const std::vector<std::pair<std::string, Attribute>> attributes = {{"equation", std::string(k.equation)}};
    const Tensor y = RunOp1({"Einsum", floats, attributes});
    EXPECT_EQ(y.shape(), k.out);
    EXPECT_THAT(ToVector<float>(y), ElementsAreArray(ToVector<int64_t>(RunOp1({"Einsum", ints, attributes}))));
  }
}

TEST(Einsum, Values) {
  const Tensor a = Tensor::From<float>({2, 2}, {1, 2, 3, 4});
  const auto run = [&](const char* equation, std::vector<Value> in) {
    return ToVector<float>(RunOp1({"Einsum", std::move(in), {{"equation", std::string(equation)}}}));
  };
  EXPECT_THAT(run("ij,jk->ik", {a, a}), ElementsAreArray({7, 10, 15, 22}));
  EXPECT_THAT(run("ii", {a}), ElementsAreArray({5}));
  EXPECT_THAT(run("ba", {a}), ElementsAreArray({1, 3, 2, 4}));
  EXPECT_THROW(run("ij,jk->iz", {a, a}), Error);
  EXPECT_THROW(run("ijk->i", {a}), Error);
  EXPECT_THROW(run("i1->i", {a}), Error);
}

}  // namespace
}  // namespace slipway::testing
