#include <array>
#include <cmath>
#include <limits>

#include "core/dtype_visit.h"
#include "ops/indexing.h"
#include "ops/quantization.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

constexpr auto kTargets = Types<int8_t, uint8_t, int16_t, uint16_t>{} + lists::kSmallIntegerTypes +
                          Types<Float8E4M3FN, Float8E4M3FNUZ, Float8E5M2, Float8E5M2FNUZ, Float4E2M1>{};
constexpr Types<float, Float16, BFloat16, int32_t> kSources;
constexpr int64_t kPiece = 512;  // elements whose quotients are kept between the two loops

template <class T>
constexpr bool kIsInt = std::is_integral_v<T> || requires(T t) { t.value; };

template <class Y>
struct Range {
  static constexpr int64_t kLow = std::numeric_limits<Y>::min(), kHigh = std::numeric_limits<Y>::max();
};
template <int Bits, bool Signed>
struct Range<SmallInt<Bits, Signed>> {
  static constexpr int64_t kLow = Signed ? -(1 << (Bits - 1)) : 0, kHigh = (1 << (Signed ? Bits - 1 : Bits)) - 1;
};

/// x / scale for a line's elements, rounded to P after each step; where P is double, all of it counts.
template <class P, class X>
void Divide(const X* x, const Tensor& scale, int64_t first, bool each, int64_t n, float* out) {
  constexpr bool kExact = std::is_same_v<P, double>;
  using Wide = std::conditional_t<kExact, double, float>;
  const auto rounded = [](auto v) {
    if constexpr (std::is_arithmetic_v<P>) {
      return static_cast<Wide>(v);
    } else {
      return static_cast<float>(P(static_cast<float>(v)));
    }
  };
  const auto widened = [&](auto v) {
    if constexpr (std::is_arithmetic_v<decltype(v)>) {
      return rounded(v);
    } else {
      return rounded(static_cast<float>(v));
    }
  };
  Visit(Types<float, Float16, BFloat16, int32_t, Float8E8M0>{}, scale.dtype(), "a scale", [&]<class S>() {
    const S* s = scale.data<S>() + first;
    const auto quotient = [&](const X& v, Wide by) {
      const auto q = rounded(widened(v) / by);
      // Rounding to an integer here, where double has the places for it, keeps ties what they are.
      if constexpr (kExact) return static_cast<float>(std::abs(q) < 0x1p22 ? std::nearbyint(q) : q);
      return static_cast<float>(q);
    };
    if (each) {
      for (int64_t i = 0; i < n; ++i) out[i] = quotient(x[i], widened(s[i]));
    } else {
      const Wide by = widened(s[0]);
      for (int64_t i = 0; i < n; ++i) out[i] = quotient(x[i], by);
    }
  });
}

/// saturate(round(q) + zero); NaN gives the lowest.
template <class Y>
void Finish(const float* q, const Y* zero, bool each, bool saturate, int64_t n, Y* y) {
  if constexpr (kIsInt<Y>) {
    constexpr auto kLow = static_cast<float>(Range<Y>::kLow), kHigh = static_cast<float>(Range<Y>::kHigh);
    const auto one = [](float v, float z) {
      v = v > kLow - z ? v : kLow - z;
      v = v < kHigh - z ? v : kHigh - z;
      constexpr float kRound = 0x1.8p23f;  // its last place is 1
      return Y(static_cast<int32_t>((v + kRound) - kRound + z));
    };
    const auto number = [](Y z) { return static_cast<float>(static_cast<int64_t>(z)); };
    if (zero && each) {
      for (int64_t i = 0; i < n; ++i) y[i] = one(q[i], number(zero[i]));
    } else {
      const float z = zero ? number(*zero) : 0;
      for (int64_t i = 0; i < n; ++i) y[i] = one(q[i], z);
    }
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = Y(zero ? q[i] + static_cast<float>(zero[each ? i : 0]) : q[i], saturate);
  }
}

}  // namespace

/// saturate(round(x / scale) + zero point), ties to even. ONNX QuantizeLinear, since 28; com.microsoft's is the same.
struct QuantizeLinear {
  Granularity granularity;
  bool saturate = true;
  int64_t output_dtype = 0;
  int64_t precision = 0;

  static QuantizeLinear Parse(const Attributes& a) {
    return {.granularity = Granularity::Parse(a),
            .saturate = a.Int("saturate", 1) != 0,
            .output_dtype = a.Int("output_dtype", 0),
            .precision = a.Int("precision", 0)};
  }

  void Infer(InferContext& c) const {
    c.ExpectElem(1, TypeSet{DType::kFloat, DType::kFloat16, DType::kBFloat16, DType::kInt32, DType::kFloat8E8M0});
    DType type = output_dtype != 0 ? ToDType(c, output_dtype, "output_dtype") : DType::kUint8;
    if (c.Has(2)) {
      if (output_dtype != 0 && type != c.Elem(2))
        c.Fail("attribute 'output_dtype' is {}, but {} is {}.", Name(type), c.InputName(2), Name(c.Elem(2)));
      type = c.Elem(2);
    }
    if (!kQuantizedTypes.Has(type)) c.Fail("cannot quantize to {}.", Name(type));
    if (precision != 0) {
      const DType p = ToDType(c, precision, "precision");
      if (!kFloatTypes.Has(p)) c.Fail("attribute 'precision' is {}, but must be a float.", Name(p));
    }
    granularity.Check(c, 1, 2);
    c.Out(0, type, c.Shape(0));
  }

  void Run(RunContext& c) const {
    const Tensor &x = c.In(0), &scale = c.In(1);
    Tensor& y = c.Out(0);
    const ScaleLines lines(granularity, x.shape(), scale.shape());
    if (lines.count() == 0) return;
    Visit(kTargets, y.dtype(), "a quantized type", [&]<class Y>() {
      const Y* zeros = c.Has(2) ? c.In(2).data<Y>() : nullptr;
      c.threads().ParallelFor(lines.count(), GrainFor(4 * lines.length()), [&](int64_t begin, int64_t end) {
        std::array<float, kPiece> quotients;
        for (int64_t l = begin; l < end; ++l) {
          const ScaleLines::Line line = lines.At(l);
          for (int64_t i = 0; i < line.length; i += kPiece) {
            const int64_t n = std::min(kPiece, line.length - i), first = line.scale + (lines.scale_each() ? i : 0);
            DivideAny(x, line.begin + i, scale, first, lines.scale_each(), n, quotients.data());
            Finish<Y>(quotients.data(), zeros ? zeros + first : nullptr, lines.scale_each(), saturate, n,
                      y.data<Y>() + line.begin + i);
          }
        }
      });
    });
  }

 private:
  void DivideAny(const Tensor& x, int64_t at, const Tensor& scale, int64_t first, bool each, int64_t n,
                 float* out) const {
    DType p = precision != 0 ? static_cast<DType>(precision) : scale.dtype();
    if (p == DType::kInt32) p = DType::kDouble;
    if (p == DType::kFloat8E8M0) p = DType::kFloat;
    Visit(kSources, x.dtype(), "float, float16, bfloat16 or int32", [&]<class X>() {
      VisitFloat(p, [&]<class P>() { Divide<P>(x.data<X>() + at, scale, first, each, n, out); });
    });
  }
};
constexpr TypeSet kSourceTypes = {DType::kFloat, DType::kFloat16, DType::kBFloat16, DType::kInt32};
extern const OpDef kQuantizeLinear = Define<QuantizeLinear>(
    {.name = "QuantizeLinear", .since = 28, .min_inputs = 2, .max_inputs = 3, .types = kSourceTypes});
extern const OpDef kMicrosoftQuantizeLinear = Define<QuantizeLinear>(
    {.name = "QuantizeLinear", .domain = kMicrosoftDomain, .min_inputs = 2, .max_inputs = 3, .types = kSourceTypes});

}  // namespace slipway
