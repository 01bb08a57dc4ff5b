#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ops/testing.h"

namespace slipway {
namespace {

using testing::OpCall;
using testing::RunOp1;
using testing::ToVector;

Tensor Floats(Shape shape, std::vector<float> values) {
  return Tensor::From<float>(std::move(shape), std::span<const float>(values));
}
Tensor Sizes(std::vector<int64_t> values) {
  return Tensor::From<int64_t>({static_cast<int64_t>(values.size())}, values);
}
Tensor Scales(std::vector<float> values) {
  return Tensor::From<float>({static_cast<int64_t>(values.size())}, std::span<const float>(values));
}

TEST(Resize, Tables) {
  const std::string linear = "linear", cubic = "cubic", asymmetric = "asymmetric", align = "align_corners",
                    floor = "floor";
  const Tensor x = Floats({1, 1, 2, 2}, {1, 2, 3, 4});
  const Tensor ramp = Floats({4}, {1, 2, 3, 4});
  struct {
    const char* what;
    OpCall call;
    Shape shape;
    std::vector<float> want;
  } cases[] = {
      {"nearest x2", {"Resize", {x, Value(), Scales({1, 1, 1, 2})}}, {1, 1, 2, 4}, {1, 1, 2, 2, 3, 3, 4, 4}},
      {"nearest by sizes, an axis",
       {"Resize", {ramp, Value(), Value(), Sizes({2})}, {{"axes", std::vector<int64_t>{-1}}}},
       {2},
       {1, 3}},
      {"nearest asymmetric floor",
       {"Resize",
        {ramp, Value(), Scales({1.5f})},
        {{"coordinate_transformation_mode", asymmetric}, {"nearest_mode", floor}}},
       {6},
       {1, 1, 2, 3, 3, 4}},
      {"linear x2",
       {"Resize", {Floats({2}, {1, 2}), Value(), Scales({2})}, {{"mode", linear}}},
       {4},
       {1, 1.25f, 1.75f, 2}},
      {"linear on corners",
       {"Resize",
        {x, Value(), Value(), Sizes({1, 1, 3, 3})},
        {{"mode", linear}, {"coordinate_transformation_mode", align}}},
       {1, 1, 3, 3},
       {1, 1.5f, 2, 2, 2.5f, 3, 3, 3.5f, 4}},
      {"linear down", {"Resize", {ramp, Value(), Scales({0.5f})}, {{"mode", linear}}}, {2}, {1.5f, 3.5f}},
      {"linear down, antialiased",
       {"Resize", {ramp, Value(), Scales({0.5f})}, {{"mode", linear}, {"antialias", int64_t{1}}}},
       {2},
       {1.625f, 3.375f}},
      {"cubic keeps its points",
       {"Resize", {ramp, Value(), Value(), Sizes({7})}, {{"mode", cubic}, {"coordinate_transformation_mode", align}}},
       {7},
       {1, 1.40625f, 2, 2.5f, 3, 3.59375f, 4}},
      {"crop",
       {"Resize",
        {ramp, Floats({2}, {0.5f, 2}), Value(), Sizes({2})},
        {{"mode", linear},
         {"coordinate_transformation_mode", std::string("tf_crop_and_resize")},
         {"extrapolation_value", 9.0f}}},
       {2},
       {2.5f, 9}},
      {"aspect kept",
       {"Resize",
        {Floats({2, 4}, {1, 2, 3, 4, 5, 6, 7, 8}), Value(), Value(), Sizes({1, 1})},
        {{"keep_aspect_ratio_policy", std::string("not_smaller")}}},
       {1, 2},
       {1, 3}},
  };
  for (const auto& t : cases) {
    SCOPED_TRACE(t.what);
    const Tensor y = RunOp1(t.call);
    EXPECT_EQ(y.shape(), t.shape) << y.shape().ToString();
    EXPECT_THAT(ToVector<float>(y), ::testing::Pointwise(::testing::FloatNear(1e-5f), t.want));
  }
}

TEST(Resize, BadInput) {
  const Tensor x = Floats({2}, {1, 2});
  EXPECT_THROW(RunOp1({"Resize", {x, Value(), Scales({-1})}}), Error);
  EXPECT_THROW(RunOp1({"Resize", {x, Value(), Scales({1, 1})}}), Error);
  EXPECT_THROW(RunOp1({"Resize", {x}}), Error);
}

}  // namespace
}  // namespace slipway
