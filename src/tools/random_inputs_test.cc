#include "tools/random_inputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace slipway {
namespace {

ValueInfo Info(std::string name, DType type, std::vector<AxisInfo> shape) {
  return {.name = std::move(name), .type = "tensor(x)", .elem = type, .has_rank = true, .shape = std::move(shape)};
}

const std::vector<ValueInfo> kInputs = {Info("ids", DType::kInt64, {{.symbol = "batch"}, {.symbol = "seq"}}),
                                        Info("x", DType::kFloat, {{.symbol = "batch"}, {.size = 3}, {}})};

TEST(RandomInputs, ShapesFollowWhatIsSettled) {
  const struct {
    InputSizes sizes;
    Inputs given;
    Shape ids, x;
  } cases[] = {
      {{}, {}, {1, 1}, {1, 3, 1}},
      {{.dims = {{"batch", 4}}}, {}, {4, 1}, {4, 3, 1}},
      {{.shapes = {{"x", {5, 3, 7}}}}, {}, {5, 1}, {5, 3, 7}},
      {{.dims = {{"batch", 2}}, .shapes = {{"ids", {2, 9}}}}, {}, {2, 9}, {2, 3, 1}},
      {{}, {{"ids", Tensor(DType::kInt64, {6, 2})}}, {6, 2}, {6, 3, 1}},
  };
  for (const auto& c : cases) {
    const auto shapes = InputShapes(kInputs, c.sizes, c.given);
    EXPECT_EQ(shapes.at("ids"), c.ids);
    EXPECT_EQ(shapes.at("x"), c.x);
  }
}

TEST(RandomInputs, RefusesWhatDoesNotFit) {
  const struct {
    InputSizes sizes;
    std::string want;
  } cases[] = {
      {{.dims = {{"bach", 4}}}, "'batch', 'seq'"},
      {{.dims = {{"batch", -4}}}, "cannot be -4"},
      {{.shapes = {{"y", {1}}}}, "'ids', 'x'"},
      {{.shapes = {{"x", {1, 4, 1}}}}, "wants shape [batch, 3, ?], got [1, 4, 1]"},
      {{.shapes = {{"x", {1}}}}, "wants shape"},
      {{.dims = {{"batch", 2}}, .shapes = {{"ids", {3, 9}}}}, "given elsewhere"},
  };
  for (const auto& c : cases) {
    try {
      InputShapes(kInputs, c.sizes);
      ADD_FAILURE() << c.want;
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), testing::HasSubstr(c.want));
    }
  }
}

TEST(RandomInputs, ContentsDependOnSeedAndName) {
  const Tensor a = RandomTensor(DType::kFloat, {1000}, {.seed = 1});
  const Tensor b = RandomTensor(DType::kFloat, {1000}, {.seed = 1});
  const Tensor c = RandomTensor(DType::kFloat, {1000}, {.seed = 2});
  double sum = 0, squares = 0;
  for (const float v : a.span<float>()) sum += v, squares += v * v;
  EXPECT_NEAR(sum / 1000, 0, 0.1);
  EXPECT_NEAR(squares / 1000, 1, 0.15);
  EXPECT_TRUE(std::equal(a.span<float>().begin(), a.span<float>().end(), b.span<float>().begin()));
  EXPECT_NE(a.data<float>()[0], c.data<float>()[0]);
}

TEST(RandomInputs, MakesEveryType) {
  for (int i = 1; i < kNumDTypes; ++i) EXPECT_EQ(RandomTensor(static_cast<DType>(i), {7}, {}).size(), 7);
  const Tensor t = RandomTensor(DType::kInt32, {200}, {.low = -3, .high = 5});
  EXPECT_THAT(t.span<int32_t>(), testing::Each(testing::AllOf(testing::Ge(-3), testing::Le(5))));
  EXPECT_THROW(RandomTensor(DType::kInt32, {1}, {.low = 2, .high = 1}), Error);
}

TEST(RandomInputs, FillsWhatIsNotGiven) {
  const Inputs inputs = FillInputs(kInputs, {.dims = {{"seq", 3}}}, {}, {{"x", Tensor(DType::kFloat, {2, 3, 1})}});
  ASSERT_EQ(inputs.size(), 2u);
  EXPECT_EQ(inputs[1].first, "ids");
  EXPECT_EQ(inputs[1].second.tensor().shape(), (Shape{2, 3}));
  EXPECT_THROW(FillInputs({{.name = "s", .type = "seq(tensor(float))"}}, {}, {}), Error);
}

}  // namespace
}  // namespace slipway
