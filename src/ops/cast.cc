#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "core/dtype_visit.h"
#include "kernels/copy/strided_copy.h"
#include "kernels/elementwise/halves.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

constexpr TypeSet kCastTypes = kNumericTypes | kSmallTypes | TypeSet{DType::kBool, DType::kString};

struct CastRules {
  bool saturate = true;
  ScaleRounding scale_rounding = ScaleRounding::kUp;
};

CastRules ParseRules(const Attributes& a) {
  CastRules rules{.saturate = a.Int("saturate", 1) != 0};
  const std::string mode = a.String("round_mode", "up");
  if (mode == "down") {
    rules.scale_rounding = ScaleRounding::kDown;
  } else if (mode == "nearest") {
    rules.scale_rounding = ScaleRounding::kNearest;
  } else if (mode != "up") {
    throw Error(Code::kBadGraph, fmt::format("round_mode is '{}', but must be up, down or nearest.", mode));
  }
  return rules;
}

template <class T>
constexpr bool kIsHalf = std::is_same_v<T, Float16> || std::is_same_v<T, BFloat16>;

/// One number to another: towards zero and to the nearest end from a float to an integer (NaN gives 0), by low bits
/// from integer to integer.
template <class To, class From>
To Convert(From x) {
  if constexpr (kIsHalf<From>) {
    return Convert<To>(static_cast<float>(x));
  } else if constexpr (kIsHalf<To>) {
    return To(static_cast<float>(x));
  } else if constexpr (std::is_same_v<To, bool>) {
    return x != From(0);
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    using Limits = std::numeric_limits<To>;
    // The upper end as a power of two, which a float holds exactly.
    const From high = std::ldexp(From(1), Limits::digits);
    const From low = static_cast<From>(Limits::min());
    if (x >= high) return Limits::max();
    if (x <= low) return Limits::min();
    return x == x ? static_cast<To>(x) : To(0);
  } else {
    return static_cast<To>(x);
  }
}

/// Types whose every pair has a loop of its own; the rest goes through one of them that holds all its values.
template <class F>
void VisitWide(DType type, F&& f) {
  if (type == DType::kBool) return f.template operator()<bool>();
  VisitNumeric(type, std::forward<F>(f));
}
constexpr TypeSet kWideTypes = kNumericTypes | TypeSet{DType::kBool};

bool IsSmallFloat(DType t) {
  return TypeSet{DType::kFloat8E4M3FN, DType::kFloat8E4M3FNUZ, DType::kFloat8E5M2, DType::kFloat8E5M2FNUZ,
                 DType::kFloat8E8M0,   DType::kFloat4E2M1,     DType::kFloat6E2M3, DType::kFloat6E3M2}
      .Has(t);
}

template <class F>
void VisitSmall(DType type, F&& f) {
  switch (type) {
    case DType::kFloat8E4M3FN:
      return f.template operator()<Float8E4M3FN>();
    case DType::kFloat8E4M3FNUZ:
      return f.template operator()<Float8E4M3FNUZ>();
    case DType::kFloat8E5M2:
      return f.template operator()<Float8E5M2>();
    case DType::kFloat8E5M2FNUZ:
      return f.template operator()<Float8E5M2FNUZ>();
    case DType::kFloat8E8M0:
      return f.template operator()<Float8E8M0>();
    case DType::kFloat4E2M1:
      return f.template operator()<Float4E2M1>();
    case DType::kFloat6E2M3:
      return f.template operator()<Float6E2M3>();
    case DType::kFloat6E3M2:
      return f.template operator()<Float6E3M2>();
    case DType::kInt4:
      return f.template operator()<Int4>();
    case DType::kUint4:
      return f.template operator()<Uint4>();
    case DType::kInt2:
      return f.template operator()<Int2>();
    case DType::kUint2:
      return f.template operator()<Uint2>();
    default:
      ThrowUnsupportedType(type, "a float of 4, 6 or 8 bits or an integer of 2 or 4");
  }
}

/// As onnxruntime spells numbers.
template <class T>
std::string ToText(T x) {
  if constexpr (std::is_same_v<T, bool>)
    return x ? "1" : "0";
  else if constexpr (std::is_integral_v<T>)
    return std::to_string(x);
  else if (const auto v = static_cast<std::conditional_t<sizeof(T) == 8, double, float>>(x); std::isnan(v))
    return "NaN";
  else if (std::isinf(v))
    return v > 0 ? "INF" : "-INF";
  else
    return fmt::format("{:.8g}", v);
}

template <class T>
T FromText(const std::string& text) {
  const char* begin = text.c_str();
  char* end = nullptr;
  T value;
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    const auto [after, error] = std::from_chars(begin + (*begin == '+'), begin + text.size(), value);
    if (error == std::errc() && after == begin + text.size()) return value;
  }
  const double number = std::strtod(begin, &end);
  if (end == begin || *end != '\0') throw Error(Code::kRuntime, fmt::format("'{}' is not a number.", text));
  return Convert<T>(number);
}

using Loop = void (*)(const void* from, void* to, int64_t n);

template <class From, class To>
void WideLoop(const void* from, void* to, int64_t n) {
  const From* x = static_cast<const From*>(from);
  To* y = static_cast<To*>(to);
  int64_t i = 0;
  if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To> && !std::is_same_v<To, bool>) {
    constexpr int64_t kBlock = 64;
    const From low = static_cast<From>(std::numeric_limits<To>::min());
    const From high = std::ldexp(From(1), std::numeric_limits<To>::digits);
    // Blocks of which all elements fit need no more than the conversion.
    for (; i + kBlock <= n; i += kBlock) {
      int outside = 0;
      for (int64_t j = i; j < i + kBlock; ++j) outside |= !((x[j] >= low) & (x[j] < high));
      if (outside) {
        for (int64_t j = i; j < i + kBlock; ++j) y[j] = Convert<To>(x[j]);
      } else {
        for (int64_t j = i; j < i + kBlock; ++j) y[j] = static_cast<To>(x[j]);
      }
    }
  }
  for (; i < n; ++i) y[i] = Convert<To>(x[i]);
}

Loop WideLoopOf(DType from, DType to) {
  Loop loop = nullptr;
  VisitWide(from, [&]<class From>() { VisitWide(to, [&]<class To>() { loop = WideLoop<From, To>; }); });
  return loop;
}

/// A small type's elements as float or int64, which hold them all.
void Widen(DType type, const void* from, void* to, int64_t n) {
  VisitSmall(type, [&]<class T>() {
    using Wide = std::conditional_t<requires(T t) { t.bits; }, float, int64_t>;
    for (int64_t i = 0; i < n; ++i) static_cast<Wide*>(to)[i] = static_cast<Wide>(static_cast<const T*>(from)[i]);
  });
}

void Narrow(DType type, const CastRules& rules, const void* from, void* to, int64_t n) {
  VisitSmall(type, [&]<class T>() {
    T* y = static_cast<T*>(to);
    for (int64_t i = 0; i < n; ++i) {
      if constexpr (std::is_same_v<T, Float8E8M0>) {
        y[i] = ToFloat8E8M0(static_cast<const float*>(from)[i], rules.scale_rounding, rules.saturate);
      } else if constexpr (requires { y->bits; }) {
        y[i] = T(static_cast<const float*>(from)[i], rules.saturate);
      } else {
        y[i] = T(static_cast<const int64_t*>(from)[i]);
      }
    }
  });
}

DType WideOf(DType type) {
  if (kWideTypes.Has(type)) return type;
  return IsSmallFloat(type) ? DType::kFloat : DType::kInt64;
}

void CastText(const Tensor& x, Tensor& y, const CastRules& rules) {
  const int64_t n = x.size();
  const DType other = x.dtype() == DType::kString ? y.dtype() : x.dtype();
  Tensor wide(WideOf(other), x.shape());
  VisitWide(wide.dtype(), [&]<class T>() {
    if (x.dtype() == DType::kString) {
      for (int64_t i = 0; i < n; ++i) wide.data<T>()[i] = FromText<T>(x.data<std::string>()[i]);
      if (other == wide.dtype())
        std::memcpy(y.raw(), wide.raw(), wide.bytes());
      else
        Narrow(other, rules, wide.raw(), y.raw(), n);
    } else {
      if (other == wide.dtype())
        std::memcpy(wide.raw(), x.raw(), wide.bytes());
      else
        Widen(other, x.raw(), wide.raw(), n);
      for (int64_t i = 0; i < n; ++i) y.data<std::string>()[i] = ToText(wide.data<T>()[i]);
    }
  });
}

/// In pieces that stay in the first cache, widened before and narrowed after where a small type takes part.
void CastNumbers(const Tensor& x, Tensor& y, const CastRules& rules, const Threads& threads) {
  constexpr int64_t kPiece = 512;
  const auto is_half = [](DType t) { return t == DType::kFloat16 || t == DType::kBFloat16; };
  if (is_half(x.dtype()) && y.dtype() == DType::kFloat)
    return kernels::HalvesToFloats(x.dtype(), x.raw(), y.data<float>(), x.size(), threads);
  if (x.dtype() == DType::kFloat && is_half(y.dtype()))
    return kernels::FloatsToHalves(y.dtype(), x.data<float>(), y.raw(), x.size(), threads);
  const DType from = x.dtype(), to = y.dtype(), wide_from = WideOf(from), wide_to = WideOf(to);
  const Loop loop = WideLoopOf(wide_from, wide_to);
  const auto* in = static_cast<const char*>(x.raw());
  auto* out = static_cast<char*>(y.raw());
  const auto in_size = static_cast<int64_t>(SizeOf(from)), out_size = static_cast<int64_t>(SizeOf(to));
  const int64_t piece = from == wide_from && to == wide_to ? 16384 : kPiece;
  threads.ParallelFor(x.size(), 16384, [&](int64_t begin, int64_t end) {
    alignas(64) std::array<int64_t, kPiece> widened, result;
    for (int64_t i = begin; i < end; i += piece) {
      const int64_t n = std::min(piece, end - i);
      const void* source = in + i * in_size;
      void* target = out + i * out_size;
      if (from != wide_from) {
        Widen(from, source, widened.data(), n);
        source = widened.data();
      }
      loop(source, to == wide_to ? target : result.data(), n);
      if (to != wide_to) Narrow(to, rules, result.data(), target, n);
    }
  });
}

void InferCast(InferContext& c, DType to) {
  c.ExpectElem(0, kCastTypes);
  c.Out(0, to, c.Shape(0));
  if (to != DType::kInt64 && to != DType::kInt32) return;
  auto ints = ShapeInts(c, 0);
  if (!ints) ints = ShapeBools(c, 0);
  if (!ints) return;
  for (Dim& d : *ints) {
    if (to == DType::kInt32 && d.is_const()) d = static_cast<int32_t>(d.value());
  }
  c.OutInts(0, *std::move(ints));
}

void RunCast(RunContext& c, DType to, const CastRules& rules) {
  const Tensor& x = c.In(0);
  Tensor& y = c.Out(0);
  if (x.dtype() == to) return kernels::CopyElements(to, x.raw(), y.raw(), x.size(), c.threads());
  try {
    if (x.dtype() == DType::kString || to == DType::kString) return CastText(x, y, rules);
  } catch (const Error& e) {
    c.Fail("{}", e.what());
  }
  CastNumbers(x, y, rules, c.threads());
}

}  // namespace

/// The same elements in another type. ONNX Cast, since 28.
struct Cast {
  int64_t to = 0;
  CastRules rules;
  static Cast Parse(const Attributes& a) { return {.to = a.RequiredInt("to"), .rules = ParseRules(a)}; }
  void Infer(InferContext& c) const {
    const DType type = ToDType(c, to, "to");
    if (!kCastTypes.Has(type)) c.Fail("cannot cast to {}.", Name(type));
    InferCast(c, type);
  }
  void Run(RunContext& c) const { RunCast(c, static_cast<DType>(to), rules); }
};
extern const OpDef kCast = Define<Cast>({.name = "Cast", .since = 28, .types = kCastTypes});

/// The same elements in the type of input 1. ONNX CastLike, since 25.
struct CastLike {
  CastRules rules;
  static CastLike Parse(const Attributes& a) { return {.rules = ParseRules(a)}; }
  void Infer(InferContext& c) const {
    c.ExpectElem(1, kCastTypes);
    InferCast(c, c.Elem(1));
  }
  void Run(RunContext& c) const { RunCast(c, c.In(1).dtype(), rules); }
};
extern const OpDef kCastLike =
    Define<CastLike>({.name = "CastLike", .since = 25, .min_inputs = 2, .max_inputs = 2, .types = kCastTypes});

/// The same bits as another type of the same width. ONNX BitCast, since 26.
struct BitCast {
  int64_t to = 0;
  static BitCast Parse(const Attributes& a) { return {.to = a.RequiredInt("to")}; }
  void Infer(InferContext& c) const {
    const DType type = ToDType(c, to, "to");
    const bool text = type == DType::kString || c.Elem(0) == DType::kString;
    if (text || FileBits(type) != FileBits(c.Elem(0)))
      c.Fail("{} cannot become {}: they differ in width.", Name(c.Elem(0)), Name(type));
    c.Out(0, type, c.Shape(0));
  }
  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    Tensor& y = c.Out(0);
    const DType type = static_cast<DType>(to);
    if (FileBits(type) >= 8) return kernels::CopyElements(type, x.raw(), y.raw(), x.size(), c.threads());
    // Below a byte the element's upper bits tell its sign, which the two types may read differently.
    const int64_t mask = (1 << FileBits(type)) - 1;
    for (int64_t i = 0; i < x.size(); ++i) {
      const uint8_t low = x.data<uint8_t>()[i] & mask;
      y.data<uint8_t>()[i] = type == DType::kInt4   ? static_cast<uint8_t>(Int4(low).value)
                             : type == DType::kInt2 ? static_cast<uint8_t>(Int2(low).value)
                                                    : low;
    }
  }
};
extern const OpDef kBitCast = Define<BitCast>({.name = "BitCast", .since = 26});

}  // namespace slipway
