#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ops/testing.h"

namespace slipway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::OpCall;
using ::testing::Pointwise;
using testing::RunOp;
using testing::RunOp1;
using testing::ToVector;

using Floats = std::vector<float>;
using Ints = std::vector<int64_t>;
using Strings = std::vector<std::string>;
using Items = std::vector<std::pair<std::string, Attribute>>;
const float kNan = std::numeric_limits<float>::quiet_NaN();
const std::string kMl(kMlDomain);

Tensor F(Shape shape, Floats v) { return Tensor::From<float>(std::move(shape), v); }
Tensor I(Shape shape, Ints v) { return Tensor::From<int64_t>(std::move(shape), v); }
Tensor S(Shape shape, Strings v) { return Tensor::From<std::string>(std::move(shape), v); }

std::string MessageOf(OpCall call) {
  try {
    RunOp(std::move(call));
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(Ml, Floats) {
  const struct {
    const char* op;
    Tensor x;
    Items attributes;
    Floats want;
  } cases[] = {
      {"Binarizer", F({3}, {0.5f, 0.6f, kNan}), {{"threshold", 0.5f}}, {0, 1, 0}},
      {"Imputer",
       F({2, 2}, {kNan, 1, 2, kNan}),
       {{"imputed_value_floats", Floats{7, 8}}, {"replaced_value_float", kNan}},
       {7, 1, 2, 8}},
      {"Scaler", F({2, 2}, {1, 2, 3, 4}), {{"offset", Floats{1, 2}}, {"scale", Floats{10}}}, {0, 0, 20, 20}},
      {"Normalizer", F({2, 2}, {-2, 1, 0, 0}), {{"norm", std::string("MAX")}}, {-2, 1, 0, 0}},
      {"Normalizer", F({1, 2}, {-3, 1}), {{"norm", std::string("L1")}}, {-0.75f, 0.25f}},
      {"Normalizer", F({2}, {-3, 4}), {{"norm", std::string("L2")}}, {-0.6f, 0.8f}},
      {"OneHotEncoder", F({2}, {1.7f, 9}), {{"cats_int64s", Ints{1, 9}}}, {1, 0, 0, 1}},
      {"LinearRegressor",
       F({2, 2}, {1, 2, 3, 4}),
       {{"coefficients", Floats{1, 10}}, {"intercepts", Floats{100}}},
       {121, 143}},
      {"SVMRegressor",
       F({1, 2}, {1, 2}),
       {{"coefficients", Floats{2, -1}},
        {"support_vectors", Floats{1, 0, 0, 1}},
        {"n_supports", int64_t{2}},
        {"rho", Floats{0.5f}},
        {"kernel_type", std::string("POLY")},
        {"kernel_params", Floats{1, 1, 2}}},
       {2 * 4 - 9 + 0.5f}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.op);
    EXPECT_THAT(ToVector<float>(RunOp1({c.op, {c.x}, c.attributes, 1, kMl})),
                Pointwise(::testing::FloatNear(1e-6f), c.want));
  }
}

TEST(Ml, Tables) {
  const auto encode = [](Tensor x, Items items) { return RunOp1({"LabelEncoder", {x}, items, 1, kMl}); };
  EXPECT_THAT(ToVector<int64_t>(encode(S({3}, {"a", "b", "q"}),
                                       {{"keys_strings", Strings{"a", "b"}}, {"values_int64s", Ints{5, 6}}})),
              ElementsAre(5, 6, -1));
  // Of equal keys the last counts; all NaNs are one key, and so are the zeros.
  EXPECT_THAT(
      ToVector<std::string>(encode(F({4}, {1, -kNan, -0.0f, 3}), {{"keys_floats", Floats{1, 1, kNan, 0}},
                                                                  {"values_strings", Strings{"x", "1", "n", "0"}}})),
      ElementsAre("1", "n", "0", "_Unused"));
  EXPECT_THAT(ToVector<std::string>(RunOp1({"CategoryMapper",
                                            {I({2}, {2, 9})},
                                            {{"cats_int64s", Ints{1, 2}}, {"cats_strings", Strings{"one", "two"}}},
                                            1,
                                            kMl})),
              ElementsAre("two", "_Unused"));
  EXPECT_THAT(ToVector<std::string>(
                  RunOp1({"ArrayFeatureExtractor", {S({2, 2}, {"a", "b", "c", "d"}), I({1}, {1})}, {}, 1, kMl})),
              ElementsAre("b", "d"));
}

TEST(Ml, Maps) {
  const Map sparse = std::map<int64_t, Value>{{3, F({}, {2.5f})}, {0, F({}, {1})}};
  EXPECT_THAT(ToVector<float>(RunOp1(
                  {"CastMap", {sparse}, {{"map_form", std::string("SPARSE")}, {"max_map", int64_t{4}}}, 1, kMl})),
              ElementsAre(1, 0, 0, 2.5f));
  EXPECT_THAT(ToVector<std::string>(RunOp1({"CastMap", {sparse}, {{"cast_to", std::string("TO_STRING")}}, 1, kMl})),
              ElementsAre("1.000000", "2.500000"));
  EXPECT_THAT(MessageOf({"CastMap", {sparse}, {{"map_form", std::string("SPARSE")}}, 1, kMl}), HasSubstr("key 3"));
  const Map words = std::map<std::string, Value>{{"c", I({}, {8})}, {"a", I({}, {4})}};
  EXPECT_THAT(
      ToVector<int64_t>(RunOp1({"DictVectorizer", {words}, {{"string_vocabulary", Strings{"a", "b", "c"}}}, 1, kMl})),
      ElementsAre(4, 0, 8));
  const Value zipped = RunOp({"ZipMap", {F({2, 2}, {1, 2, 3, 4})}, {{"classlabels_int64s", Ints{5, 6}}}, 1, kMl})[0];
  ASSERT_EQ(zipped.sequence().size(), 2);
  EXPECT_EQ(*std::get<0>(zipped.sequence()[1].map()).at(6).tensor().data<float>(), 4);
}

TEST(Ml, Classifiers) {
  auto linear = RunOp({"LinearClassifier",
                       {F({2, 1}, {1, -1})},
                       {{"coefficients", Floats{1}},
                        {"intercepts", Floats{0}},
                        {"classlabels_strings", Strings{"no", "yes"}},
                        {"post_transform", std::string("LOGISTIC")}},
                       2,
                       kMl});
  EXPECT_THAT(ToVector<std::string>(linear[0].tensor()), ElementsAre("yes", "no"));
  const float p = 1 / (1 + std::exp(-1.0f));
  EXPECT_THAT(ToVector<float>(linear[1].tensor()), Pointwise(::testing::FloatNear(1e-6f), Floats{1 - p, p, p, 1 - p}));
  auto svm = RunOp({"SVMClassifier",
                    {F({1, 1}, {2})},
                    {{"coefficients", Floats{1, -1}},
                     {"support_vectors", Floats{1, -1}},
                     {"vectors_per_class", Ints{1, 1}},
                     {"rho", Floats{0.25f}},
                     {"classlabels_ints", Ints{4, 7}}},
                    2,
                    kMl});
  EXPECT_THAT(ToVector<int64_t>(svm[0].tensor()), ElementsAre(4));
  EXPECT_THAT(ToVector<float>(svm[1].tensor()), ElementsAre(-4.25f, 4.25f));
}

TEST(Ml, RefusesBadAttributes) {
  const struct {
    OpCall call;
    const char* want;
  } cases[] = {
      {{"Imputer", {F({1, 2}, {1, 2})}, {{"imputed_value_floats", Floats{1, 2, 3}}}}, "has 3 values"},
      {{"Normalizer", {F({1}, {1})}, {{"norm", std::string("L3")}}}, "norm is 'L3'"},
      {{"OneHotEncoder", {I({1}, {3})}, {{"cats_int64s", Ints{1}}, {"zeros", int64_t{0}}}}, "none of the categories"},
      {{"LabelEncoder", {I({1}, {3})}, {{"keys_int64s", Ints{1}}, {"values_floats", Floats{1, 2}}}}, "1 keys"},
      {{"ArrayFeatureExtractor", {F({1, 2}, {1, 2}), I({1}, {2})}}, "index 2 is out of range"},
      {{"LinearClassifier", {F({1}, {1})}, {{"coefficients", Floats{1, 2}}, {"classlabels_ints", Ints{1}}}},
       "1 class labels for 2 scores"},
      {{"SVMRegressor", {F({1}, {1})}, {{"coefficients", Floats{1}}, {"rho", Floats{1}}, {"n_supports", int64_t{2}}}},
       "1 coefficients for 2"},
      {{"ZipMap", {F({1, 2}, {1, 2})}, {{"classlabels_int64s", Ints{1}}}}, "2 columns"},
      {{"Scaler", {F({1}, {1})}, {{"scale", int64_t{1}}}}, "scale"},
  };
  for (const auto& c : cases) {
    OpCall call = c.call;
    call.domain = kMl;
    EXPECT_THAT(MessageOf(call), HasSubstr(c.want));
  }
}

}  // namespace
}  // namespace slipway
