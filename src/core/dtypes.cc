#include "slipway/dtypes.h"

#include <limits>

namespace slipway {
namespace {

struct TypeInfo {
  std::string_view name;
  size_t size;
};

/// By DType.
constexpr TypeInfo kTypes[kNumDTypes] = {
    {"undefined", 0},      {"float", 4},      {"uint8", 1},
    {"int8", 1},           {"uint16", 2},     {"int16", 2},
    {"int32", 4},          {"int64", 8},      {"string", sizeof(std::string)},
    {"bool", 1},           {"float16", 2},    {"double", 8},
    {"uint32", 4},         {"uint64", 8},     {"complex64", 8},
    {"complex128", 16},    {"bfloat16", 2},   {"float8e4m3fn", 1},
    {"float8e4m3fnuz", 1}, {"float8e5m2", 1}, {"float8e5m2fnuz", 1},
    {"uint4", 1},          {"int4", 1},       {"float4e2m1", 1},
    {"float8e8m0", 1},     {"uint2", 1},      {"int2", 1},
    {"float6e2m3", 1},     {"float6e3m2", 1},
};

const TypeInfo& InfoOf(DType type) {
  const auto index = static_cast<size_t>(type);
  return index < kNumDTypes ? kTypes[index] : kTypes[0];
}

/// A binary float of up to 16 bits. Codes are without the sign, which is the bit `sign`.
struct Format {
  int mantissa;
  int bias;
  uint32_t sign;
  uint32_t max;       ///< The largest finite value.
  uint32_t overflow;  ///< What larger values become without saturation: infinity, or NaN.
  uint32_t nan;
  bool finite = false;         ///< Has no NaN.
  bool unsigned_zero = false;  ///< "UZ": the code of negative zero is the only NaN.
};

constexpr Format kHalf = {.mantissa = 10, .bias = 15, .sign = 0x8000, .max = 0x7BFF, .overflow = 0x7C00, .nan = 0x7E00};

template <DType Kind>
constexpr Format kFormat = {};
template <>
constexpr Format kFormat<DType::kFloat8E4M3FN> = {
    .mantissa = 3, .bias = 7, .sign = 0x80, .max = 0x7E, .overflow = 0x7F, .nan = 0x7F};
template <>
constexpr Format kFormat<DType::kFloat8E5M2> = {
    .mantissa = 2, .bias = 15, .sign = 0x80, .max = 0x7B, .overflow = 0x7C, .nan = 0x7E};
template <>
constexpr Format kFormat<DType::kFloat8E4M3FNUZ> = {
    .mantissa = 3, .bias = 8, .sign = 0x80, .max = 0x7F, .overflow = 0x80, .nan = 0x80, .unsigned_zero = true};
template <>
constexpr Format kFormat<DType::kFloat8E5M2FNUZ> = {
    .mantissa = 2, .bias = 16, .sign = 0x80, .max = 0x7F, .overflow = 0x80, .nan = 0x80, .unsigned_zero = true};
template <>
constexpr Format kFormat<DType::kFloat4E2M1> = {
    .mantissa = 1, .bias = 1, .sign = 0x8, .max = 0x7, .overflow = 0x7, .nan = 0, .finite = true};
template <>
constexpr Format kFormat<DType::kFloat6E2M3> = {
    .mantissa = 3, .bias = 1, .sign = 0x20, .max = 0x1F, .overflow = 0x1F, .nan = 0, .finite = true};
template <>
constexpr Format kFormat<DType::kFloat6E3M2> = {
    .mantissa = 2, .bias = 3, .sign = 0x20, .max = 0x1F, .overflow = 0x1F, .nan = 0, .finite = true};

constexpr uint32_t kFloatSign = 0x80000000;
constexpr uint32_t kFloatInfinity = 0x7F800000;

template <const Format& F>
uint32_t Encode(float value, bool saturate) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t magnitude = bits & ~kFloatSign;
  const uint32_t sign = bits & kFloatSign ? F.sign : 0;
  if (magnitude > kFloatInfinity) return F.finite || F.unsigned_zero ? F.nan : F.nan | sign;
  constexpr int kDropped = 23 - F.mantissa;
  constexpr uint32_t kSmallestNormal = static_cast<uint32_t>(128 - F.bias) << 23;
  uint32_t code;
  if (magnitude < kSmallestNormal) {
    // The sum's last place is the smallest subnormal: the addition rounds to nearest even there.
    constexpr uint32_t kOffset = static_cast<uint32_t>(128 - F.bias + kDropped) << 23;
    code = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + std::bit_cast<float>(kOffset)) - kOffset;
  } else {
    const uint32_t rounded = magnitude + ((1u << (kDropped - 1)) - 1) + ((magnitude >> kDropped) & 1);
    code = (rounded >> kDropped) - (static_cast<uint32_t>(127 - F.bias) << F.mantissa);
  }
  if (code > F.max) code = saturate ? F.max : F.overflow;
  if (F.unsigned_zero && (code == 0 || code == F.nan)) return code;
  return code | sign;
}

template <const Format& F>
float Decode(uint32_t code) {
  const uint32_t sign = code & F.sign ? kFloatSign : 0;
  if (F.unsigned_zero && code == F.nan) return std::numeric_limits<float>::quiet_NaN();
  code &= F.sign - 1;
  uint32_t magnitude;
  if (!F.finite && code > F.max) {
    // The payload's place keeps NaN apart from infinity; formats without one count every such code as NaN.
    magnitude = code == F.overflow && F.overflow != F.nan ? kFloatInfinity : 0x7FC00000;
  } else if (code >> F.mantissa == 0) {
    constexpr auto kUnit = static_cast<uint32_t>(128 - F.bias - F.mantissa) << 23;
    magnitude = std::bit_cast<uint32_t>(static_cast<float>(code) * std::bit_cast<float>(kUnit));
  } else {
    magnitude = (code << (23 - F.mantissa)) + (static_cast<uint32_t>(127 - F.bias) << 23);
  }
  return std::bit_cast<float>(magnitude | sign);
}

}  // namespace

size_t SizeOf(DType type) { return InfoOf(type).size; }
int FileBits(DType type) {
  switch (type) {
    case DType::kString:
      return 0;
    case DType::kFloat6E2M3:
    case DType::kFloat6E3M2:
      return 6;
    case DType::kInt4:
    case DType::kUint4:
    case DType::kFloat4E2M1:
      return 4;
    case DType::kInt2:
    case DType::kUint2:
      return 2;
    default:
      return static_cast<int>(SizeOf(type)) * 8;
  }
}
std::string_view Name(DType type) { return InfoOf(type).name; }

// A half is not saturated: ONNX gives `saturate` to the 8-bit floats only.
Float16::Float16(float value) : bits(static_cast<uint16_t>(Encode<kHalf>(value, false))) {}
Float16::operator float() const { return Decode<kHalf>(bits); }

BFloat16::BFloat16(float value) {
  const auto full = std::bit_cast<uint32_t>(value);
  if ((full & ~kFloatSign) > kFloatInfinity) {
    bits = static_cast<uint16_t>(full >> 16 | 0x40);
  } else {
    bits = static_cast<uint16_t>((full + 0x7FFF + (full >> 16 & 1)) >> 16);
  }
}

template <DType Kind>
SmallFloat<Kind>::SmallFloat(float value, bool saturate)
    : bits(static_cast<uint8_t>(Encode<kFormat<Kind>>(value, saturate))) {}

template <DType Kind>
SmallFloat<Kind>::operator float() const {
  return Decode<kFormat<Kind>>(bits);
}

template <>
SmallFloat<DType::kFloat8E8M0>::SmallFloat(float value, bool saturate)
    : SmallFloat(ToFloat8E8M0(value, ScaleRounding::kNearest, saturate)) {}

template <>
SmallFloat<DType::kFloat8E8M0>::operator float() const {
  if (bits == 0xFF) return std::numeric_limits<float>::quiet_NaN();
  // 2^-127 is a subnormal float.
  return std::bit_cast<float>(bits == 0 ? uint32_t{0x00400000} : static_cast<uint32_t>(bits) << 23);
}

Float8E8M0 ToFloat8E8M0(float value, ScaleRounding rounding, bool saturate) {
  constexpr uint32_t kMax = 0xFE;
  constexpr uint32_t kNan = 0xFF;
  const uint32_t magnitude = std::bit_cast<uint32_t>(value) & ~kFloatSign;
  uint32_t code = magnitude >> 23;
  if (magnitude > kFloatInfinity) {
    code = kNan;
  } else if (magnitude < 0x00400000) {
    code = saturate ? 0 : kNan;
  } else {
    // Between two powers of two; from 2^-127 to 2^-126 the float has one bit less to say where.
    const uint32_t span = code == 0 ? 0x00400000 : 0x00800000;
    const uint32_t above = magnitude & (span - 1);
    if (rounding == ScaleRounding::kUp ? above > 0 : rounding == ScaleRounding::kNearest && above >= span / 2) ++code;
    if (code > kMax) code = saturate ? kMax : kNan;
  }
  Float8E8M0 result;
  result.bits = static_cast<uint8_t>(code);
  return result;
}

template struct SmallFloat<DType::kFloat8E4M3FN>;
template struct SmallFloat<DType::kFloat8E4M3FNUZ>;
template struct SmallFloat<DType::kFloat8E5M2>;
template struct SmallFloat<DType::kFloat8E5M2FNUZ>;
template struct SmallFloat<DType::kFloat4E2M1>;
template struct SmallFloat<DType::kFloat6E2M3>;
template struct SmallFloat<DType::kFloat6E3M2>;
template struct SmallFloat<DType::kFloat8E8M0>;

}  // namespace slipway
