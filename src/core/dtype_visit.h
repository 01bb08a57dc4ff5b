#pragma once

#include <fmt/format.h>

#include <complex>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "slipway/dtypes.h"
#include "slipway/error.h"

namespace slipway {

/// A list of element types.
template <class... Ts>
struct Types {};

template <class... As, class... Bs>
constexpr Types<As..., Bs...> operator+(Types<As...>, Types<Bs...>) {
  return {};
}

/// The lists that the visitors below go through; op.h has sets of the same names, for checking.
namespace lists {
inline constexpr Types<float, double, Float16, BFloat16> kFloatTypes;
inline constexpr Types<uint8_t, int8_t, uint16_t, int16_t, int32_t, int64_t, uint32_t, uint64_t> kIntegerTypes;
inline constexpr Types<int32_t, int64_t> kIndexTypes;
inline constexpr Types<Float8E4M3FN, Float8E4M3FNUZ, Float8E5M2, Float8E5M2FNUZ, Float8E8M0, Float4E2M1, Float6E2M3,
                       Float6E3M2>
    kSmallFloatTypes;
inline constexpr Types<Int4, Uint4, Int2, Uint2> kSmallIntegerTypes;
inline constexpr auto kNumericTypes = kFloatTypes + kIntegerTypes;
inline constexpr auto kAllTypes = kNumericTypes + kSmallFloatTypes + kSmallIntegerTypes +
                                  Types<std::string, bool, std::complex<float>, std::complex<double>>{};
}  // namespace lists

/// An element that is only moved, where no integer is as wide.
struct alignas(8) Bytes16 {
  uint64_t words[2];
  bool operator==(const Bytes16&) const = default;
};

[[noreturn]] inline void ThrowUnsupportedType(DType type, std::string_view wanted) {
  throw Error(Code::kUnsupported, fmt::format("element type {}: only {} is supported here", Name(type), wanted));
}

/// Calls f.operator()<T>() for the T among `Ts` whose DType is `type` and returns what it returns; throws
/// Error(kUnsupported), which names the type and `wanted`, where there is none.
template <class First, class... Rest, class F>
decltype(auto) Visit(Types<First, Rest...>, DType type, std::string_view wanted, F&& f) {
  if (type == kDTypeOf<First>) return f.template operator()<First>();
  if constexpr (sizeof...(Rest) > 0) {
    return Visit(Types<Rest...>{}, type, wanted, std::forward<F>(f));
  } else {
    ThrowUnsupportedType(type, wanted);
  }
}

/// Any element type of a tensor.
template <class F>
decltype(auto) VisitAll(DType type, F&& f) {
  return Visit(lists::kAllTypes, type, "a defined type", std::forward<F>(f));
}

/// float, double, Float16, BFloat16.
template <class F>
decltype(auto) VisitFloat(DType type, F&& f) {
  return Visit(lists::kFloatTypes, type, "float, double, float16 or bfloat16", std::forward<F>(f));
}

/// The types of VisitFloat and VisitInteger.
template <class F>
decltype(auto) VisitNumeric(DType type, F&& f) {
  return Visit(lists::kNumericTypes, type, "a float of 16 to 64 bits or an integer of 8 to 64", std::forward<F>(f));
}

/// Integers of 8 to 64 bits, signed and unsigned.
template <class F>
decltype(auto) VisitInteger(DType type, F&& f) {
  return Visit(lists::kIntegerTypes, type, "an integer of 8 to 64 bits", std::forward<F>(f));
}

/// int32_t and int64_t.
template <class F>
decltype(auto) VisitIndex(DType type, F&& f) {
  return Visit(lists::kIndexTypes, type, "int32 or int64", std::forward<F>(f));
}

/// For operators that only move elements: T is an unsigned integer of the element's size, Bytes16 or std::string.
template <class F>
decltype(auto) VisitBySize(DType type, F&& f) {
  if (type == DType::kString) return f.template operator()<std::string>();
  switch (SizeOf(type)) {
    case 1:
      return f.template operator()<uint8_t>();
    case 2:
      return f.template operator()<uint16_t>();
    case 4:
      return f.template operator()<uint32_t>();
    case 8:
      return f.template operator()<uint64_t>();
    case 16:
      return f.template operator()<Bytes16>();
    default:
      ThrowUnsupportedType(type, "a defined type");
  }
}

}  // namespace slipway
