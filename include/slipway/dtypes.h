#pragma once

#include <bit>
#include <cmath>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

#include "slipway/export.h"

namespace slipway {

/// Element types, numbered as ONNX's TensorProto.DataType. Types of 6, 4 and 2 bits take one byte an
/// element in memory (as ml_dtypes holds them) and are packed in files only.
enum class DType : uint8_t {
  kUndefined = 0,
  kFloat = 1,
  kUint8 = 2,
  kInt8 = 3,
  kUint16 = 4,
  kInt16 = 5,
  kInt32 = 6,
  kInt64 = 7,
  kString = 8,
  kBool = 9,
  kFloat16 = 10,
  kDouble = 11,
  kUint32 = 12,
  kUint64 = 13,
  kComplex64 = 14,
  kComplex128 = 15,
  kBFloat16 = 16,
  kFloat8E4M3FN = 17,
  kFloat8E4M3FNUZ = 18,
  kFloat8E5M2 = 19,
  kFloat8E5M2FNUZ = 20,
  kUint4 = 21,
  kInt4 = 22,
  kFloat4E2M1 = 23,
  kFloat8E8M0 = 24,
  kUint2 = 25,
  kInt2 = 26,
  kFloat6E2M3 = 27,
  kFloat6E3M2 = 28,
};
inline constexpr int kNumDTypes = 29;

/// Bytes of one element in memory; strings count as sizeof(std::string).
SLIPWAY_EXPORT size_t SizeOf(DType type);
/// Bits of one element in files; 0 for strings.
SLIPWAY_EXPORT int FileBits(DType type);
/// The specification's spelling: "float", "int64", "float8e4m3fn".
SLIPWAY_EXPORT std::string_view Name(DType type);

/// IEEE half precision; arithmetic is done in float.
struct SLIPWAY_EXPORT Float16 {
  uint16_t bits = 0;
  Float16() = default;
  explicit Float16(float value);
  explicit operator float() const;
};

/// The upper half of a float; conversion rounds to nearest even.
struct SLIPWAY_EXPORT BFloat16 {
  uint16_t bits = 0;
  BFloat16() = default;
  explicit BFloat16(float value);
  explicit operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
};

/// The 8-bit, 6-bit and 4-bit floats of ONNX; `Kind` says which. Conversion from float rounds to nearest even; what is
/// then too large, infinities included, becomes the largest finite value, or with `saturate` false the type's infinity,
/// or NaN where it has none. Those of 4 and 6 bits always saturate, and take NaN as zero. Float8E8M0 holds powers of
/// two only: it rounds as ToFloat8E8M0 does to the nearest.
template <DType Kind>
struct SLIPWAY_EXPORT SmallFloat {
  uint8_t bits = 0;
  SmallFloat() = default;
  explicit SmallFloat(float value, bool saturate = true);
  explicit operator float() const;
};
using Float8E4M3FN = SmallFloat<DType::kFloat8E4M3FN>;
using Float8E4M3FNUZ = SmallFloat<DType::kFloat8E4M3FNUZ>;
using Float8E5M2 = SmallFloat<DType::kFloat8E5M2>;
using Float8E5M2FNUZ = SmallFloat<DType::kFloat8E5M2FNUZ>;
using Float8E8M0 = SmallFloat<DType::kFloat8E8M0>;
using Float4E2M1 = SmallFloat<DType::kFloat4E2M1>;
using Float6E2M3 = SmallFloat<DType::kFloat6E2M3>;
using Float6E3M2 = SmallFloat<DType::kFloat6E3M2>;

/// The values of the attribute `round_mode` of ONNX Cast.
enum class ScaleRounding { kNearest, kUp, kDown };

/// The power of two next to |value|; halfway counts as nearer to the larger. What is past the ends of the range, zero
/// and infinity included, becomes the end, or with `saturate` false NaN.
Float8E8M0 ToFloat8E8M0(float value, ScaleRounding rounding, bool saturate);

/// Integers of 4 and 2 bits, one to a byte; conversion from a wider integer keeps the low bits.
template <int Bits, bool Signed>
struct SmallInt {
  std::conditional_t<Signed, int8_t, uint8_t> value = 0;
  SmallInt() = default;
  explicit constexpr SmallInt(int64_t v) {
    const auto low = static_cast<uint8_t>(static_cast<uint8_t>(v) << (8 - Bits));
    if constexpr (Signed) {
      value = static_cast<int8_t>(static_cast<int8_t>(low) >> (8 - Bits));
    } else {
      value = static_cast<uint8_t>(low >> (8 - Bits));
    }
  }
  /// By the low bits alone, like the constructor: ml_dtypes leaves the others undefined.
  explicit constexpr operator int64_t() const { return SmallInt(int64_t{value}).value; }
};
using Int4 = SmallInt<4, true>;
using Uint4 = SmallInt<4, false>;
using Int2 = SmallInt<2, true>;
using Uint2 = SmallInt<2, false>;

/// The DType of a C++ element type.
template <class T>
inline constexpr DType kDTypeOf = DType::kUndefined;
template <>
inline constexpr DType kDTypeOf<float> = DType::kFloat;
template <>
inline constexpr DType kDTypeOf<uint8_t> = DType::kUint8;
template <>
inline constexpr DType kDTypeOf<int8_t> = DType::kInt8;
template <>
inline constexpr DType kDTypeOf<uint16_t> = DType::kUint16;
template <>
inline constexpr DType kDTypeOf<int16_t> = DType::kInt16;
template <>
inline constexpr DType kDTypeOf<int32_t> = DType::kInt32;
template <>
inline constexpr DType kDTypeOf<int64_t> = DType::kInt64;
template <>
inline constexpr DType kDTypeOf<std::string> = DType::kString;
template <>
inline constexpr DType kDTypeOf<bool> = DType::kBool;
template <>
inline constexpr DType kDTypeOf<Float16> = DType::kFloat16;
template <>
inline constexpr DType kDTypeOf<double> = DType::kDouble;
template <>
inline constexpr DType kDTypeOf<uint32_t> = DType::kUint32;
template <>
inline constexpr DType kDTypeOf<uint64_t> = DType::kUint64;
template <>
inline constexpr DType kDTypeOf<std::complex<float>> = DType::kComplex64;
template <>
inline constexpr DType kDTypeOf<std::complex<double>> = DType::kComplex128;
template <>
inline constexpr DType kDTypeOf<BFloat16> = DType::kBFloat16;
template <DType K>
inline constexpr DType kDTypeOf<SmallFloat<K>> = K;
template <>
inline constexpr DType kDTypeOf<Int4> = DType::kInt4;
template <>
inline constexpr DType kDTypeOf<Uint4> = DType::kUint4;
template <>
inline constexpr DType kDTypeOf<Int2> = DType::kInt2;
template <>
inline constexpr DType kDTypeOf<Uint2> = DType::kUint2;

}  // namespace slipway
