#include "slipway/dtypes.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace slipway {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
const float kNan = std::nanf("");

/// `code`, decoded.
template <class T>
float Value(int code) {
  T t;
  t.bits = static_cast<decltype(t.bits)>(code);
  return static_cast<float>(t);
}

/// Every finite code comes back from its value, and between neighbours the nearer one wins, the even one at halfway.
template <class T>
void ExpectRoundsToNearestEven(int max_code, int sign) {
  for (int code = 0; code <= max_code; ++code) {
    const float value = Value<T>(code);
    ASSERT_EQ(T(value).bits, code);
    if (code > 0) {
      ASSERT_EQ(T(-value).bits, code | sign);
      ASSERT_EQ(Value<T>(code | sign), -value);
    }
    if (code == max_code) continue;
    const float next = Value<T>(code + 1);
    ASSERT_LT(value, next);
    const float middle = static_cast<float>((static_cast<double>(value) + next) / 2);
    ASSERT_EQ(T(middle).bits, code % 2 == 0 ? code : code + 1) << code;
    ASSERT_EQ(T(std::nextafter(middle, -kInf)).bits, code);
    ASSERT_EQ(T(std::nextafter(middle, kInf)).bits, code + 1);
  }
}

TEST(Dtypes, RoundToNearestEven) {
  ExpectRoundsToNearestEven<Float16>(0x7BFF, 0x8000);
  ExpectRoundsToNearestEven<BFloat16>(0x7F7F, 0x8000);
  ExpectRoundsToNearestEven<Float8E4M3FN>(0x7E, 0x80);
  ExpectRoundsToNearestEven<Float8E4M3FNUZ>(0x7F, 0x80);
  ExpectRoundsToNearestEven<Float8E5M2>(0x7B, 0x80);
  ExpectRoundsToNearestEven<Float8E5M2FNUZ>(0x7F, 0x80);
  ExpectRoundsToNearestEven<Float4E2M1>(0x7, 0x8);
  ExpectRoundsToNearestEven<Float6E2M3>(0x1F, 0x20);
  ExpectRoundsToNearestEven<Float6E3M2>(0x1F, 0x20);
}

TEST(Dtypes, KnownValues) {
  EXPECT_EQ(Value<Float16>(0x3C00), 1);
  EXPECT_EQ(Value<Float16>(0x0001), std::ldexp(1.f, -24));
  EXPECT_EQ(Value<Float16>(0x7BFF), 65504);
  EXPECT_EQ(Value<Float16>(0x7C00), kInf);
  EXPECT_EQ(Value<Float16>(0xFC00), -kInf);
  EXPECT_TRUE(std::isnan(Value<Float16>(0x7C01)));
  EXPECT_EQ(Value<BFloat16>(0x3F80), 1);
  EXPECT_EQ(Value<Float8E4M3FN>(0x7E), 448);
  EXPECT_EQ(Value<Float8E4M3FN>(0x01), std::ldexp(1.f, -9));
  EXPECT_TRUE(std::isnan(Value<Float8E4M3FN>(0x7F)));
  EXPECT_TRUE(std::isnan(Value<Float8E4M3FN>(0xFF)));
  EXPECT_EQ(Value<Float8E4M3FNUZ>(0x7F), 240);
  EXPECT_EQ(Value<Float8E4M3FNUZ>(0x01), std::ldexp(1.f, -10));
  EXPECT_TRUE(std::isnan(Value<Float8E4M3FNUZ>(0x80)));
  EXPECT_EQ(Value<Float8E5M2>(0x7B), 57344);
  EXPECT_EQ(Value<Float8E5M2>(0x01), std::ldexp(1.f, -16));
  EXPECT_EQ(Value<Float8E5M2>(0x7C), kInf);
  for (const int nan : {0x7D, 0x7E, 0x7F, 0xFD}) EXPECT_TRUE(std::isnan(Value<Float8E5M2>(nan)));
  EXPECT_EQ(Value<Float8E5M2FNUZ>(0x7F), 57344);
  EXPECT_EQ(Value<Float8E5M2FNUZ>(0x01), std::ldexp(1.f, -17));
  EXPECT_TRUE(std::isnan(Value<Float8E5M2FNUZ>(0x80)));
  const float e2m1[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  for (int code = 0; code < 8; ++code) EXPECT_EQ(Value<Float4E2M1>(code), e2m1[code]);
  EXPECT_EQ(Value<Float6E2M3>(0x01), 0.125f);
  EXPECT_EQ(Value<Float6E2M3>(0x3F), -7.5f);
  EXPECT_EQ(Value<Float6E3M2>(0x01), 0.0625f);
  EXPECT_EQ(Value<Float6E3M2>(0x3F), -28);
}

TEST(Dtypes, HalvesOverflowToInfinity) {
  EXPECT_EQ(Float16(65519.996f).bits, 0x7BFF);
  EXPECT_EQ(Float16(65520.f).bits, 0x7C00);
  EXPECT_EQ(Float16(-kInf).bits, 0xFC00);
  EXPECT_EQ(Float16(-0.f).bits, 0x8000);
  EXPECT_TRUE(std::isnan(static_cast<float>(Float16(kNan))));
  EXPECT_EQ(BFloat16(std::numeric_limits<float>::max()).bits, 0x7F80);
  EXPECT_EQ(BFloat16(-kInf).bits, 0xFF80);
  // A NaN whose payload lies in the lower half must not become infinity.
  EXPECT_TRUE(std::isnan(static_cast<float>(BFloat16(std::bit_cast<float>(0x7F800001)))));
}

/// The tables of ONNX Cast.
template <class T>
void ExpectSpecials(int neg_zero, int nan, int max, int overflow, int neg_overflow, float first_too_large) {
  EXPECT_EQ(T(0.f).bits, 0);
  EXPECT_EQ(T(-0.f).bits, neg_zero);
  EXPECT_EQ(T(-1e-30f).bits, neg_zero);
  EXPECT_EQ(T(kNan).bits, nan);
  for (const float large : {first_too_large, 1e30f, kInf}) {
    EXPECT_EQ(T(large).bits, max) << large;
    EXPECT_EQ(T(-large).bits, max | 0x80) << large;
    EXPECT_EQ(T(large, false).bits, overflow) << large;
    EXPECT_EQ(T(-large, false).bits, neg_overflow) << large;
  }
  EXPECT_EQ(T(std::nextafter(first_too_large, 0.f), false).bits, max);
}

TEST(Dtypes, Float8Specials) {
  // Halfway from 448 to the 480 there is no code for, the even neighbour is 448.
  ExpectSpecials<Float8E4M3FN>(0x80, 0x7F, 0x7E, 0x7F, 0xFF, std::nextafter(464.f, kInf));
  ExpectSpecials<Float8E4M3FNUZ>(0x00, 0x80, 0x7F, 0x80, 0x80, 248);
  ExpectSpecials<Float8E5M2>(0x80, 0x7E, 0x7B, 0x7C, 0xFC, 61440);
  ExpectSpecials<Float8E5M2FNUZ>(0x00, 0x80, 0x7F, 0x80, 0x80, 61440);
}

TEST(Dtypes, Float4And6Specials) {
  for (const bool saturate : {true, false}) {
    EXPECT_EQ(Float4E2M1(kInf, saturate).bits, 0x7);
    EXPECT_EQ(Float4E2M1(-100, saturate).bits, 0xF);
    EXPECT_EQ(Float4E2M1(-0.f, saturate).bits, 0x8);
    EXPECT_EQ(Float4E2M1(kNan, saturate).bits, 0x0);
    EXPECT_EQ(Float6E2M3(kInf, saturate).bits, 0x1F);
    EXPECT_EQ(Float6E3M2(-100, saturate).bits, 0x3F);
    EXPECT_EQ(Float6E3M2(kNan, saturate).bits, 0x0);
  }
}

TEST(Dtypes, Float8E8M0) {
  for (int code = 0; code < 255; ++code) {
    const float value = std::ldexp(1.f, code - 127);
    ASSERT_EQ(Value<Float8E8M0>(code), value);
    for (const auto rounding : {ScaleRounding::kNearest, ScaleRounding::kUp, ScaleRounding::kDown}) {
      ASSERT_EQ(ToFloat8E8M0(value, rounding, false).bits, code);
    }
    if (code == 254) continue;
    const float middle = value * 1.5f;
    ASSERT_EQ(Float8E8M0(std::nextafter(middle, 0.f)).bits, code);
    ASSERT_EQ(Float8E8M0(middle).bits, code + 1);
    ASSERT_EQ(ToFloat8E8M0(std::nextafter(value, kInf), ScaleRounding::kUp, true).bits, code + 1);
    ASSERT_EQ(ToFloat8E8M0(std::nextafter(2 * value, 0.f), ScaleRounding::kDown, true).bits, code);
  }
  struct Case {
    float value;
    int saturated;
    int plain;
  };
  for (const auto& [value, saturated, plain] :
       {Case{0, 0, 0xFF}, {1e-45f, 0, 0xFF}, {3.4e38f, 0xFE, 0xFF}, {kInf, 0xFE, 0xFF}, {kNan, 0xFF, 0xFF}}) {
    EXPECT_EQ(Float8E8M0(value).bits, saturated) << value;
    EXPECT_EQ(Float8E8M0(value, false).bits, plain) << value;
  }
  EXPECT_TRUE(std::isnan(Value<Float8E8M0>(0xFF)));
}

TEST(Dtypes, SmallIntegersKeepTheLowBits) {
  EXPECT_EQ(static_cast<int64_t>(Int4(9)), -7);
  EXPECT_EQ(static_cast<int64_t>(Uint4(-1)), 15);
  EXPECT_EQ(static_cast<int64_t>(Int2(3)), -1);
  EXPECT_EQ(static_cast<int64_t>(Uint2(6)), 2);
}

}  // namespace
}  // namespace slipway
