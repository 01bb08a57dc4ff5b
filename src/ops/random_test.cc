#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "ops/testing.h"

namespace slipway::testing {
namespace {

using ::testing::ElementsAreArray;

TEST(Random, MomentsAndSeeds) {
  const std::vector<std::pair<std::string, Attribute>> attributes = {
      {"shape", std::vector<int64_t>{20000}}, {"seed", 3.f}, {"mean", 2.f}, {"scale", 0.5f}};
  const Tensor x = RunOp1({"RandomNormal", {}, attributes});
  double mean = 0, squares = 0;
  for (float v : x.span<float>()) mean += v / 20000.0;
  for (float v : x.span<float>()) squares += (v - mean) * (v - mean) / 20000;
  EXPECT_NEAR(mean, 2, 0.02);
  EXPECT_NEAR(std::sqrt(squares), 0.5, 0.02);
  EXPECT_EQ(ToVector<float>(x), ToVector<float>(RunOp1({"RandomNormal", {}, attributes})));
  const Tensor u = RunOp1({"RandomUniformLike", {x}, {{"low", -1.f}, {"high", 3.f}}});
  for (float v : u.span<float>()) ASSERT_TRUE(v >= -1 && v <= 3);
  EXPECT_NE(ToVector<float>(u), ToVector<float>(RunOp1({"RandomUniformLike", {x}, {{"low", -1.f}, {"high", 3.f}}})));
}

TEST(Random, Draws) {
  const Tensor p = Tensor::From<float>({4}, {0, 1, 0, 1});
  EXPECT_THAT(ToVector<int32_t>(RunOp1({"Bernoulli", {p}, {{"dtype", int64_t{6}}}})), ElementsAreArray({0, 1, 0, 1}));
  const Tensor logs = Tensor::From<float>({2, 3}, {0, -1000, -1000, -1000, -1000, 5});
  EXPECT_THAT(ToVector<int32_t>(RunOp1({"Multinomial", {logs}, {{"sample_size", int64_t{2}}}})),
              ElementsAreArray({0, 0, 2, 2}));
}

TEST(Dropout, InferenceAndTraining) {
  const Tensor x = Tensor::From<float>({4}, {1, 2, 3, 4});
  EXPECT_EQ(ToVector<float>(RunOp1({"Dropout", {x}})), ToVector<float>(x));
  Tensor train(DType::kBool, {});
  *train.data<bool>() = true;
  const auto out = RunOp({"Dropout", {x, Tensor::From<float>({}, {0.5f}), train}, {{"seed", int64_t{1}}}, 2});
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(out[0].tensor().data<float>()[i], out[1].tensor().data<bool>()[i] ? 2 * x.data<float>()[i] : 0);
  }
}

TEST(Det, Batches) {
  const Tensor x = Tensor::From<float>({2, 2, 2}, {1, 2, 3, 4, 0, 1, 1, 0});
  EXPECT_THAT(ToVector<float>(RunOp1({"Det", {x}})), ElementsAreArray({-2, -1}));
}

TEST(LRN, AcrossChannels) {
  const Tensor x = Tensor::From<float>({1, 3, 1}, {1, 2, 3});
  const Tensor y = RunOp1({"LRN", {x}, {{"size", int64_t{2}}, {"alpha", 2.f}, {"beta", 1.f}}});
  // A region of two is the channel and the one behind it.
  EXPECT_THAT(ToVector<float>(y), ::testing::Pointwise(::testing::FloatEq(), {1 / 6.f, 2 / 14.f, 3 / 10.f}));
}

TEST(MeanVarianceNormalization, ByChannel) {
  const Tensor x = Tensor::From<float>({2, 2, 1, 1}, {1, 10, 3, 30});
  EXPECT_THAT(ToVector<float>(RunOp1({"MeanVarianceNormalization", {x}})),
              ::testing::Pointwise(::testing::FloatNear(1e-6f), {-1, -1, 1, 1}));
}

TEST(RotaryEmbedding, LayoutsAndPairs) {
  // A quarter turn takes (a, b) to (-b, a).
  const Tensor cosines = Tensor::From<float>({2, 1}, {1, 0}), sines = Tensor::From<float>({2, 1}, {0, 1});
  const Tensor places = Tensor::From<int64_t>({1, 2}, {0, 1});
  const Tensor x = Tensor::From<float>({1, 2, 6}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  const std::vector<std::pair<std::string, Attribute>> part = {{"num_heads", int64_t{2}},
                                                               {"rotary_embedding_dim", int64_t{2}}};
  EXPECT_THAT(ToVector<float>(RunOp1({"RotaryEmbedding", {x, cosines, sines, places}, part})),
              ElementsAreArray({1, 2, 3, 4, 5, 6, -8, 7, 9, -11, 10, 12}));
  const Tensor heads = Tensor::From<float>({1, 1, 2, 4}, {1, 2, 3, 4, 5, 6, 7, 8});
  const Tensor cos2 = Tensor::From<float>({1, 2, 2}, {1, 1, 0, 0}), sin2 = Tensor::From<float>({1, 2, 2}, {0, 0, 1, 1});
  EXPECT_THAT(ToVector<float>(RunOp1({"RotaryEmbedding", {heads, cos2, sin2}})),
              ElementsAreArray({1, 2, 3, 4, -7, -8, 5, 6}));
  EXPECT_THAT(ToVector<float>(RunOp1({"RotaryEmbedding", {heads, cos2, sin2}, {{"interleaved", int64_t{1}}}})),
              ElementsAreArray({1, 2, 3, 4, -6, 5, -8, 7}));
  const Tensor far = Tensor::From<int64_t>({1, 2}, {0, 2});
  EXPECT_THROW(RunOp1({"RotaryEmbedding", {x, cosines, sines, far}, part}), Error);
}

}  // namespace
}  // namespace slipway::testing
