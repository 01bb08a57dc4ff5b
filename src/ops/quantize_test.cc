#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "ops/testing.h"

namespace slipway::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;

template <class T>
Tensor Of(Shape shape, std::vector<T> values) {
  return Tensor::From<T>(std::move(shape), values);
}
Tensor Floats(Shape shape, std::vector<float> values) { return Of<float>(std::move(shape), std::move(values)); }

/// Any type's elements as float.
std::vector<float> Numbers(const Tensor& t) {
  if (t.dtype() == DType::kFloat) return ToVector<float>(t);
  return ToVector<float>(RunOp1({"Cast", {t}, {{"to", static_cast<int64_t>(DType::kFloat)}}}));
}
Tensor As(DType type, const Tensor& t) { return RunOp1({"Cast", {t}, {{"to", static_cast<int64_t>(type)}}}); }

/// Numbers of all sizes, the same on every run.
template <class T>
Tensor Random(Shape shape, uint32_t seed) {
  Tensor t(kDTypeOf<T>, std::move(shape));
  for (int64_t i = 0; i < t.size(); ++i) {
    seed = seed * 1664525 + 1013904223;
    t.data<T>()[i] = static_cast<T>(seed >> 20);
  }
  return t;
}

struct QuantizeCase {
  const char* name;
  Tensor x, scale;
  Value zero;
  std::vector<std::pair<std::string, Attribute>> attributes;
  DType type;
  std::vector<float> want;
};

TEST(QuantizeLinear, RoundsToEvenAndSaturates) {
  const float inf = INFINITY;
  const int64_t int4 = static_cast<int64_t>(DType::kInt4), fp4 = static_cast<int64_t>(DType::kFloat4E2M1);
  const QuantizeCase cases[] = {
      {"uint8",
       Floats({6}, {0, 1, 3, 1000, -1000, 5}),
       Floats({}, {2}),
       Of<uint8_t>({}, {128}),
       {},
       DType::kUint8,
       {128, 128, 130, 255, 0, 130}},
      {"uint8 without zero point", Floats({3}, {-1, 2.5f, inf}), Floats({}, {1}), {}, {}, DType::kUint8, {0, 2, 255}},
      {"int8",
       Floats({2, 2}, {0.5f, 1.5f, -inf, 200}),
       Floats({1}, {1}),
       Of<int8_t>({1}, {1}),
       {},
       DType::kInt8,
       {1, 3, -128, 127}},
      {"nan", Floats({1}, {NAN}), Floats({}, {1}), Of<int8_t>({}, {0}), {}, DType::kInt8, {-128}},
      {"uint16",
       Floats({3}, {-5, 32767.5f, 1e9f}),
       Floats({}, {1}),
       Of<uint16_t>({}, {10}),
       {},
       DType::kUint16,
       {5, 32778, 65535}},
      {"along an axis",
       Floats({1, 2, 2}, {2, 4, 2, 4}),
       Floats({2}, {1, 2}),
       Of<uint8_t>({2}, {0, 10}),
       {},
       DType::kUint8,
       {2, 4, 11, 12}},
      {"along the last axis",
       Floats({2, 2}, {2, 4, 6, 8}),
       Floats({2}, {1, 2}),
       Of<uint8_t>({2}, {0, 10}),
       {{"axis", int64_t{-1}}},
       DType::kUint8,
       {2, 12, 6, 14}},
      {"blocks",
       Floats({3, 2}, {2, 4, 6, 8, 10, 12}),
       Floats({2, 2}, {1, 2, 5, 4}),
       {},
       {{"axis", int64_t{0}}, {"block_size", int64_t{2}}},
       DType::kUint8,
       {2, 2, 6, 4, 2, 3}},
      {"blocks of the last axis",
       Floats({2, 3}, {2, 4, 6, 8, 10, 12}),
       Floats({2, 2}, {1, 2, 4, 5}),
       {},
       {{"axis", int64_t{1}}, {"block_size", int64_t{2}}},
       DType::kUint8,
       {2, 4, 3, 2, 2, 2}},
      {"int4",
       Floats({4}, {-20, -1, 3, 20}),
       Floats({}, {1}),
       {},
       {{"output_dtype", int4}},
       DType::kInt4,
       {-8, -1, 3, 7}},
      {"float4",
       Floats({4}, {-20, -1, 2.4f, 20}),
       Floats({}, {1}),
       {},
       {{"output_dtype", fp4}},
       DType::kFloat4E2M1,
       {-6, -1, 2, 6}},
      {"int32 by an int32 scale",
       Of<int32_t>({4}, {7, 5, -5, 16777217}),
       Of<int32_t>({}, {2}),
       As(DType::kInt16, Floats({}, {0})),
       {},
       DType::kInt16,
       {4, 2, -2, 32767}},
      // 1 / 3 in half precision is below a third: 1000 of it come to 333.25, which is 333 there.
      {"halves",
       As(DType::kFloat16, Floats({2}, {1000, 2049})),
       As(DType::kFloat16, Floats({}, {3})),
       As(DType::kInt16, Floats({}, {0})),
       {},
       DType::kInt16,
       {333, 682}},
  };
  for (const QuantizeCase& k : cases) {
    SCOPED_TRACE(k.name);
    for (const char* domain : {"", "com.microsoft"}) {
      const Tensor y = RunOp1({"QuantizeLinear", {k.x, k.scale, k.zero}, k.attributes, 1, domain});
      EXPECT_EQ(y.dtype(), k.type);
      EXPECT_THAT(Numbers(y), ElementsAreArray(k.want));
    }
  }
}

TEST(QuantizeLinear, EightBitFloats) {
  const Tensor x = Floats({3}, {1000, -3, 0.1f}), one = Floats({}, {1});
  const Tensor zero = As(DType::kFloat8E4M3FN, Floats({}, {0}));
  EXPECT_THAT(Numbers(RunOp1({"QuantizeLinear", {x, one, zero}})), ElementsAre(448, -3, 0.1015625f));
  const auto wrapped = Numbers(RunOp1({"QuantizeLinear", {x, one, zero}, {{"saturate", int64_t{0}}}}));
  EXPECT_TRUE(std::isnan(wrapped[0]));
}

TEST(QuantizeLinear, BadInputs) {
  const Tensor x = Floats({2, 3}, {1, 2, 3, 4, 5, 6}), one = Floats({}, {1}), two = Floats({2}, {1, 2});
  const std::vector<OpCall> calls = {
      {"QuantizeLinear", {x, two}},
      {"QuantizeLinear", {x, two}, {{"axis", int64_t{2}}}},
      {"QuantizeLinear", {x, Floats({1, 2}, {1, 2})}},
      {"QuantizeLinear", {x, Floats({2, 2}, {1, 2, 3, 4}), {}}, {{"block_size", int64_t{3}}}},
      {"QuantizeLinear", {x, Floats({2, 2}, {1, 2, 3, 4}), {}}, {{"block_size", int64_t{-1}}}},
      {"QuantizeLinear", {x, two, Of<uint8_t>({}, {1})}, {{"axis", int64_t{0}}}},
      {"QuantizeLinear", {x, one, Of<uint8_t>({}, {1})}, {{"output_dtype", int64_t{3}}}},
      {"QuantizeLinear", {x, one}, {{"output_dtype", int64_t{1}}}},
      {"QuantizeLinear", {x, one}, {{"precision", int64_t{2}}}},
      {"DequantizeLinear", {x, one}},
      {"DequantizeLinear", {Of<uint8_t>({1}, {1}), one, Of<int8_t>({}, {1})}},
      {"DequantizeLinear", {Of<uint8_t>({1}, {1}), one}, {{"output_dtype", int64_t{2}}}},
  };
  for (size_t i = 0; i < calls.size(); ++i) EXPECT_THROW(RunOp1(calls[i]), Error) << i;
}

TEST(DequantizeLinear, Forms) {
  const Tensor x = Of<uint8_t>({2, 2}, {0, 255, 10, 3});
  EXPECT_THAT(Numbers(RunOp1({"DequantizeLinear", {x, Floats({}, {2}), Of<uint8_t>({}, {10})}})),
              ElementsAre(-20, 490, 0, -14));
  EXPECT_THAT(Numbers(RunOp1({"DequantizeLinear", {x, Floats({2}, {2, 3}), Of<uint8_t>({2}, {10, 1})}})),
              ElementsAre(-20, 762, 0, 6));
  EXPECT_THAT(Numbers(RunOp1(
                  {"DequantizeLinear", {x, Floats({2}, {2, 3}), Of<uint8_t>({2}, {10, 1})}, {{"axis", int64_t{0}}}})),
              ElementsAre(-20, 490, 27, 6));
  EXPECT_THAT(Numbers(RunOp1({"DequantizeLinear", {Of<int32_t>({2}, {INT32_MIN, 7}), Floats({}, {0.5f})}})),
              ElementsAre(-0x1p30f, 3.5f));
  const Tensor half = RunOp1({"DequantizeLinear",
                              {As(DType::kInt4, Floats({2}, {-8, 7})), As(DType::kFloat8E8M0, Floats({}, {4}))},
                              {{"output_dtype", static_cast<int64_t>(DType::kFloat16)}}});
  EXPECT_EQ(half.dtype(), DType::kFloat16);
  EXPECT_THAT(Numbers(half), ElementsAre(-32, 28));
  EXPECT_THAT(Numbers(RunOp1({"DequantizeLinear", {Tensor(DType::kInt8, {0, 3}), Floats({3}, {1, 2, 3})}})),
              ElementsAre());
}

TEST(DynamicQuantizeLinear, ScaleFromTheExtent) {
  const std::vector<Value> y = RunOp({"DynamicQuantizeLinear", {Floats({6}, {0, 2, -3, -2.5f, 1.34f, 0.5f})}, {}, 3});
  EXPECT_THAT(ToVector<uint8_t>(y[0].tensor()), ElementsAre(153, 255, 0, 26, 221, 179));
  EXPECT_FLOAT_EQ(*y[1].tensor().data<float>(), 5.0f / 255);
  EXPECT_EQ(*y[2].tensor().data<uint8_t>(), 153);
  for (const Tensor& x : {Floats({2}, {0, 0}), Floats({0}, {}), Floats({3}, {NAN, INFINITY, 1})}) {
    const std::vector<Value> z = RunOp({"DynamicQuantizeLinear", {x}, {}, 3});
    EXPECT_GT(*z[1].tensor().data<float>(), 0);
  }
}

TEST(MatMulInteger, ZeroPointsOfAllShapes) {
  const Tensor a = Random<uint8_t>({2, 3, 5}, 1), b = Random<int8_t>({2, 5, 4}, 2);
  const Tensor rows = Random<uint8_t>({2, 3, 1}, 3), columns = Random<int8_t>({2, 1, 4}, 4);
  const Tensor row = Random<uint8_t>({3}, 5), one = Of<int8_t>({}, {-7});
  for (const auto& [az, bz] : std::vector<std::pair<Tensor, Tensor>>{{rows, columns}, {row, one}}) {
    const auto got = ToVector<int32_t>(RunOp1({"MatMulInteger", {a, b, az, bz}}));
    for (int64_t i = 0; i < 24; ++i) {
      const int64_t batch = i / 12, m = i / 4 % 3, n = i % 4;
      int32_t sum = 0;
      for (int64_t k = 0; k < 5; ++k) {
        const int32_t x =
            a.data<uint8_t>()[(batch * 3 + m) * 5 + k] - az.data<uint8_t>()[az.size() == 6 ? batch * 3 + m : m];
        const int32_t w =
            b.data<int8_t>()[(batch * 5 + k) * 4 + n] - bz.data<int8_t>()[bz.size() == 8 ? batch * 4 + n : 0];
        sum += x * w;
      }
      EXPECT_EQ(got[i], sum) << i;
    }
  }
  EXPECT_THROW(RunOp1({"MatMulInteger", {a, b, Random<uint8_t>({4}, 1)}}), Error);
  EXPECT_THROW(RunOp1({"MatMulInteger", {a, b, one}}), Error);
}

TEST(QLinearMatMul, AsTheSpecificationHasIt) {
  const Tensor a = Of<uint8_t>({2, 4}, {208, 236, 0, 238, 3, 214, 255, 29});
  const Tensor b = Of<uint8_t>({4, 3}, {152, 51, 244, 60, 26, 255, 0, 127, 246, 127, 254, 247});
  const auto zero = [](uint8_t v) { return Of<uint8_t>({1}, {v}); };
  const auto run = [&](Tensor a_scale, Tensor a_zero) {
    return ToVector<uint8_t>(RunOp1({"QLinearMatMul",
                                     {a, std::move(a_scale), std::move(a_zero), b, Floats({1}, {0.00705f}), zero(114),
                                      Floats({1}, {0.0107f}), zero(118)}}));
  };
  EXPECT_THAT(run(Floats({1}, {0.0066f}), zero(113)), ElementsAre(168, 115, 255, 1, 66, 151));
  // A scale for each row goes another way.
  EXPECT_THAT(run(Floats({2}, {0.0066f, 0.0066f}), Of<uint8_t>({2}, {113, 113})),
              ElementsAre(168, 115, 255, 1, 66, 151));
}

struct ConvCase {
  Shape x, w;
  int64_t group, stride, pad, dilation;
};

TEST(ConvInteger, AgainstConvInDouble) {
  const ConvCase cases[] = {
      {{1, 3, 7, 6}, {5, 3, 3, 3}, 1, 1, 1, 1},    {{2, 4, 9, 5}, {4, 1, 3, 3}, 4, 2, 1, 1},
      {{1, 6, 5, 5}, {8, 3, 2, 2}, 2, 1, 0, 2},    {{2, 3, 4, 4}, {7, 3, 1, 1}, 1, 1, 0, 1},
      {{1, 2, 11}, {3, 2, 5}, 1, 3, 2, 1},         {{1, 2, 4, 5, 3}, {4, 2, 2, 3, 2}, 1, 1, 1, 1},
      {{1, 40, 6, 6}, {40, 1, 3, 3}, 40, 1, 1, 1},
  };
  for (const ConvCase& k : cases) {
    SCOPED_TRACE(k.x.ToString() + " " + k.w.ToString());
    const Tensor x = Random<uint8_t>(k.x, 1), w = Random<int8_t>(k.w, 2);
    const Tensor xz = Of<uint8_t>({}, {130}), wz = Random<int8_t>({k.w[0]}, 3);
    const size_t axes = k.x.rank() - 2;
    const std::vector<std::pair<std::string, Attribute>> attributes = {
        {"group", k.group},
        {"strides", std::vector<int64_t>(axes, k.stride)},
        {"pads", std::vector<int64_t>(2 * axes, k.pad)},
        {"dilations", std::vector<int64_t>(axes, k.dilation)}};
    const Tensor got = RunOp1({"ConvInteger", {x, w, xz, wz}, attributes});
    Tensor xd(DType::kDouble, k.x), wd(DType::kDouble, k.w);
    for (int64_t i = 0; i < x.size(); ++i) xd.data<double>()[i] = x.data<uint8_t>()[i] - 130;
    const int64_t each = w.size() / k.w[0];
    for (int64_t i = 0; i < w.size(); ++i) wd.data<double>()[i] = w.data<int8_t>()[i] - wz.data<int8_t>()[i / each];
    const Tensor want = RunOp1({"Conv", {xd, wd}, attributes});
    EXPECT_EQ(got.shape(), want.shape());
    EXPECT_THAT(ToVector<int32_t>(got), ElementsAreArray(ToVector<double>(want)));

    const Tensor bias = Random<int32_t>({k.w[0]}, 4);
    const Tensor y =
        RunOp1({"QLinearConv",
                {x, Floats({}, {0.5f}), xz, w, Floats({}, {0.25f}), wz, Floats({}, {256}), Of<int8_t>({}, {-5}), bias},
                attributes});
    const int64_t image = want.shape().SizeFrom(2);
    for (int64_t i = 0; i < y.size(); ++i) {
      const double sum = want.data<double>()[i] + bias.data<int32_t>()[i / image % k.w[0]];
      EXPECT_EQ(y.data<int8_t>()[i], std::clamp(std::nearbyint(sum / 2048) - 5, -128.0, 127.0));
    }
  }
  EXPECT_THROW(RunOp1({"ConvInteger", {Random<uint8_t>({1, 3, 4, 4}, 1), Random<int8_t>({2, 2, 1, 1}, 1)}}), Error);
}

}  // namespace
}  // namespace slipway::testing
