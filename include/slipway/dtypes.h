#pragma once

#include <bit>
#include <cmath>
#include <complex>
#include <cstdint>
#include <string>
#include <type_traits>

#include "slipway/tensor.h"

namespace slipway {

/// IEEE half precision; arithmetic is done in float.
struct Float16 {
  uint16_t bits = 0;
  Float16() = default;
  explicit Float16(float value);
  explicit operator float() const;
};

/// The upper half of a float; conversion rounds to nearest even.
struct BFloat16 {
  uint16_t bits = 0;
  BFloat16() = default;
  explicit BFloat16(float value);
  explicit operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
};

/// The 8-bit and 4-bit floats of ONNX; `Kind` says which. Conversion from float rounds to nearest even and saturates.
template <DType Kind>
struct SmallFloat {
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
  explicit constexpr operator int64_t() const { return value; }
};
using Int4 = SmallInt<4, true>;
using Uint4 = SmallInt<4, false>;
using Int2 = SmallInt<2, true>;
using Uint2 = SmallInt<2, false>;

/// The DType of a C++ element type.
template <class T>
inline constexpr DType kDTypeOf = DType::kUndefined;
template <> inline constexpr DType kDTypeOf<float> = DType::kFloat;
template <> inline constexpr DType kDTypeOf<uint8_t> = DType::kUint8;
template <> inline constexpr DType kDTypeOf<int8_t> = DType::kInt8;
template <> inline constexpr DType kDTypeOf<uint16_t> = DType::kUint16;
template <> inline constexpr DType kDTypeOf<int16_t> = DType::kInt16;
template <> inline constexpr DType kDTypeOf<int32_t> = DType::kInt32;
template <> inline constexpr DType kDTypeOf<int64_t> = DType::kInt64;
template <> inline constexpr DType kDTypeOf<std::string> = DType::kString;
template <> inline constexpr DType kDTypeOf<bool> = DType::kBool;
template <> inline constexpr DType kDTypeOf<Float16> = DType::kFloat16;
template <> inline constexpr DType kDTypeOf<double> = DType::kDouble;
template <> inline constexpr DType kDTypeOf<uint32_t> = DType::kUint32;
template <> inline constexpr DType kDTypeOf<uint64_t> = DType::kUint64;
template <> inline constexpr DType kDTypeOf<std::complex<float>> = DType::kComplex64;
template <> inline constexpr DType kDTypeOf<std::complex<double>> = DType::kComplex128;
template <> inline constexpr DType kDTypeOf<BFloat16> = DType::kBFloat16;
template <DType K> inline constexpr DType kDTypeOf<SmallFloat<K>> = K;
template <> inline constexpr DType kDTypeOf<Int4> = DType::kInt4;
template <> inline constexpr DType kDTypeOf<Uint4> = DType::kUint4;
template <> inline constexpr DType kDTypeOf<Int2> = DType::kInt2;
template <> inline constexpr DType kDTypeOf<Uint2> = DType::kUint2;

}  // namespace slipway
