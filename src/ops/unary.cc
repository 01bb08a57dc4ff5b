#include "kernels/elementwise/unary.h"

#include <cmath>
#include <numbers>

#include "ops/arithmetic.h"
#include "ops/indexing.h"
#include "ops/one_number.h"

namespace slipway {
namespace {

using kernels::UnaryOp;

/// An attribute that is a float; without a name it is not one, and has the value always.
struct Param {
  char name[8] = "";
  float value = 0;
  float Of(const Attributes& a) const { return name[0] ? a.Float(name, value) : value; }
};

/// How a function is computed: by the float kernel where there is one; `integers`: its plain form takes integers too.
struct How {
  UnaryOp fast = UnaryOp::kAbs;
  bool has_fast = true;
  bool integers = false;
  Param alpha = {};
  Param beta = {};
};
constexpr How Fast(UnaryOp op, Param alpha = {}, Param beta = {}) { return {.fast = op, .alpha = alpha, .beta = beta}; }
constexpr How kPlain = {.has_fast = false};
constexpr How FastWithIntegers(UnaryOp op) { return {.fast = op, .integers = true}; }

/// y = f(x), element by element: `kFunction`(x, alpha, beta) in float, double or an integer type.
template <How kHow, auto kFunction>
struct Unary {
  float alpha = 0;
  float beta = 0;
  static Unary Parse(const Attributes& a) { return {.alpha = kHow.alpha.Of(a), .beta = kHow.beta.Of(a)}; }

  void Infer(InferContext& c) const { InferSameAsFirst(c); }
  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    const Tensor& x = c.In(0);
    if (kHow.has_fast && x.dtype() == DType::kFloat) {
      kernels::UnaryFloat(kHow.fast, x.data<float>(), c.Out(0).data<float>(), x.size(), alpha, beta, c.threads());
    } else if (x.dtype() == DType::kFloat) {
      Loop<float>(c);
    } else if (x.dtype() == DType::kDouble) {
      Loop<double>(c);
    } else if constexpr (kHow.integers) {
      VisitInteger(x.dtype(), [&]<class T>() { Loop<T>(c); });
    }
  }

 private:
  template <class T>
  void Loop(RunContext& c) const {
    using P = std::conditional_t<std::is_same_v<T, double>, double, float>;
    const T* x = c.In(0).data<T>();
    T* y = c.Out(0).data<T>();
    const P a = alpha, b = beta;
    c.threads().ParallelFor(c.In(0).size(), GrainFor(8 * sizeof(T)), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = static_cast<T>(kFunction(x[i], a, b));
    });
  }
};

template <How kHow, auto kFunction>
constexpr OpDef DefineUnary(std::string_view name, int since, TypeSet types = kFloatTypes) {
  return Define<Unary<kHow, kFunction>>({.name = name, .since = since, .types = types, .in_place = 0});
}

/// -x; the least integer stays what it is.
template <class T>
T Negated(T x) {
  if constexpr (std::is_integral_v<T>) return static_cast<T>(uint64_t{0} - static_cast<uint64_t>(x));
  return -x;
}
template <class T>
T Bounded(T x, T low, T high) {
  return x < low ? low : x > high ? high : x;
}
template <class T>
T LogOnePlusExp(T x) {
  return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}
template <class T>
T SignOf(T x) {
  return x > 0 ? T(1) : x < 0 ? static_cast<T>(-1) : x;
}
template <class T>
T CeluOf(T x, T alpha) {
  return x != x ? x : std::max<T>(x, 0) + std::min<T>(0, alpha * std::expm1(x / alpha));
}
template <class T, class P>
T Shrunk(T x, P lambd, P bias) {
  return x < -lambd ? static_cast<T>(x + bias) : x > lambd ? static_cast<T>(x - bias) : T(0);
}
template <class T>
T GeluTanhOf(T x) {
  return x * (1 + std::tanh(T(0.7978845608028654) * (x + T(0.044715) * x * x * x))) / 2;
}
constexpr TypeSet kSignedNumbers = kFloatTypes | kSignedTypes;

}  // namespace

#define PLAIN(expression) [](auto x, [[maybe_unused]] auto a, [[maybe_unused]] auto b) { return expression; }

extern const OpDef kAbs = DefineUnary<FastWithIntegers(UnaryOp::kAbs), PLAIN(x < 0    ? Negated(x)
                                                                             : x == 0 ? decltype(x)(0)
                                                                                      : x)>("Abs", 13, kNumericTypes);
extern const OpDef kSign = DefineUnary<FastWithIntegers(UnaryOp::kSign), PLAIN(SignOf(x))>("Sign", 13, kNumericTypes);
extern const OpDef kRelu =
    DefineUnary<FastWithIntegers(UnaryOp::kRelu), PLAIN(x < 0 ? static_cast<decltype(x)>(0) : x)>("Relu", 14,
                                                                                                  kSignedNumbers);

extern const OpDef kExp = DefineUnary<Fast(UnaryOp::kExp), PLAIN(std::exp(x))>("Exp", 13);
extern const OpDef kLog = DefineUnary<Fast(UnaryOp::kLog), PLAIN(std::log(x))>("Log", 13);
extern const OpDef kSqrt = DefineUnary<Fast(UnaryOp::kSqrt), PLAIN(std::sqrt(x))>("Sqrt", 13);
extern const OpDef kReciprocal = DefineUnary<Fast(UnaryOp::kReciprocal), PLAIN(1 / x)>("Reciprocal", 13);
extern const OpDef kFloor = DefineUnary<Fast(UnaryOp::kFloor), PLAIN(std::floor(x))>("Floor", 13);
extern const OpDef kCeil = DefineUnary<Fast(UnaryOp::kCeil), PLAIN(std::ceil(x))>("Ceil", 13);
extern const OpDef kRound = DefineUnary<Fast(UnaryOp::kRound), PLAIN(std::nearbyint(x))>("Round", 22);
extern const OpDef kErf = DefineUnary<Fast(UnaryOp::kErf), PLAIN(std::erf(x))>("Erf", 13);

extern const OpDef kSigmoid = DefineUnary<Fast(UnaryOp::kSigmoid), PLAIN(1 / (1 + std::exp(-x)))>("Sigmoid", 13);
extern const OpDef kTanh = DefineUnary<Fast(UnaryOp::kTanh), PLAIN(std::tanh(x))>("Tanh", 13);
extern const OpDef kLeakyRelu =
    DefineUnary<Fast(UnaryOp::kLeakyRelu, {"alpha", 0.01f}), PLAIN(x < 0 ? a * x : x)>("LeakyRelu", 16);
extern const OpDef kThresholdedRelu =
    DefineUnary<Fast(UnaryOp::kThresholdedRelu, {"alpha", 1}), PLAIN(x <= a ? decltype(x)(0) : x)>("ThresholdedRelu",
                                                                                                   22);
extern const OpDef kElu =
    DefineUnary<Fast(UnaryOp::kElu, {"alpha", 1}), PLAIN(x < 0 ? a * std::expm1(x) : x)>("Elu", 22);
extern const OpDef kSelu =
    DefineUnary<Fast(UnaryOp::kSelu, {"alpha", 1.67326319217681884765625f}, {"gamma", 1.05070102214813232421875f}),
                PLAIN(b*(x <= 0 ? a * std::expm1(x) : x))>("Selu", 22);
extern const OpDef kCelu = DefineUnary<Fast(UnaryOp::kCelu, {"alpha", 1}), PLAIN(CeluOf(x, a))>("Celu", 28);
extern const OpDef kHardSigmoid = DefineUnary<Fast(UnaryOp::kHardSigmoid, {"alpha", 0.2f}, {"beta", 0.5f}),
                                              PLAIN(Bounded<decltype(x)>(a* x + b, 0, 1))>("HardSigmoid", 22);
extern const OpDef kHardSwish =
    DefineUnary<Fast(UnaryOp::kHardSwish), PLAIN(x* Bounded<decltype(x)>(x / 6 + decltype(x)(0.5), 0, 1))>("HardSwish",
                                                                                                           22);
extern const OpDef kSoftplus = DefineUnary<Fast(UnaryOp::kSoftplus), PLAIN(LogOnePlusExp(x))>("Softplus", 22);
extern const OpDef kSoftsign = DefineUnary<Fast(UnaryOp::kSoftsign), PLAIN(x / (1 + std::abs(x)))>("Softsign", 22);
extern const OpDef kMish = DefineUnary<Fast(UnaryOp::kMish), PLAIN(x* std::tanh(LogOnePlusExp(x)))>("Mish", 22);
extern const OpDef kSwish =
    DefineUnary<Fast(UnaryOp::kSilu, {"alpha", 1}), PLAIN(x / (1 + std::exp(-a * x)))>("Swish", 24);

extern const OpDef kSin = DefineUnary<Fast(UnaryOp::kSin), PLAIN(std::sin(x))>("Sin", 22);
extern const OpDef kCos = DefineUnary<Fast(UnaryOp::kCos), PLAIN(std::cos(x))>("Cos", 22);
extern const OpDef kTan = DefineUnary<kPlain, PLAIN(std::tan(x))>("Tan", 22);
extern const OpDef kAsin = DefineUnary<kPlain, PLAIN(std::asin(x))>("Asin", 22);
extern const OpDef kAcos = DefineUnary<kPlain, PLAIN(std::acos(x))>("Acos", 22);
extern const OpDef kAtan = DefineUnary<kPlain, PLAIN(std::atan(x))>("Atan", 22);
extern const OpDef kSinh = DefineUnary<kPlain, PLAIN(std::sinh(x))>("Sinh", 22);
extern const OpDef kCosh = DefineUnary<kPlain, PLAIN(std::cosh(x))>("Cosh", 22);
extern const OpDef kAsinh = DefineUnary<kPlain, PLAIN(std::asinh(x))>("Asinh", 22);
extern const OpDef kAcosh = DefineUnary<kPlain, PLAIN(std::acosh(x))>("Acosh", 22);
extern const OpDef kAtanh = DefineUnary<kPlain, PLAIN(std::atanh(x))>("Atanh", 22);

extern const OpDef kShrink =
    DefineUnary<How{.has_fast = false, .integers = true, .alpha = {"lambd", 0.5f}, .beta = {"bias", 0}},
                PLAIN(Shrunk(x, a, b))>("Shrink", 9, kNumericTypes);

/// ONNX Neg, since 13.
struct Neg {
  void Infer(InferContext& c) const {
    InferSameAsFirst(c);
    const auto ints = ShapeInts(c, 0);
    if (!ints) return;
    std::vector<std::optional<Dim>> out;
    for (const Dim& d : *ints) out.push_back(DimWithin(c.Elem(0), [&] { return std::optional<Dim>(Dim(0) - d); }));
    if (auto known = AllKnown(out)) c.OutInts(0, *std::move(known));
  }
  void Run(RunContext& c) const { Unary<FastWithIntegers(UnaryOp::kNeg), PLAIN(Negated(x))>().Run(c); }
};
extern const OpDef kNeg = Define<Neg>({.name = "Neg", .since = 13, .types = kSignedNumbers, .in_place = 0});

/// ONNX Gelu, since 20.
struct Gelu {
  bool tanh = false;
  static Gelu Parse(const Attributes& a) {
    const std::string how = a.String("approximate", "none");
    if (how != "none" && how != "tanh")
      throw Error(Code::kBadGraph, fmt::format("approximate is '{}', not none or tanh", how));
    return {.tanh = how == "tanh"};
  }
  void Infer(InferContext& c) const { InferSameAsFirst(c); }
  void Run(RunContext& c) const {
    if (tanh) {
      Unary<Fast(UnaryOp::kGeluTanh), PLAIN(GeluTanhOf(x))>().Run(c);
    } else {
      Unary<Fast(UnaryOp::kGelu), PLAIN(x * (1 + std::erf(x * decltype(x)(std::numbers::sqrt2 / 2))) / 2)>().Run(c);
    }
  }
};
extern const OpDef kGelu = Define<Gelu>({.name = "Gelu", .since = 20, .types = kFloatTypes, .in_place = 0});
#undef PLAIN

/// The input within [min, max]; where min is above max, max. ONNX Clip, since 13.
struct Clip {
  void Infer(InferContext& c) const {
    for (int i = 1; i < c.num_inputs(); ++i) {
      if (c.Has(i)) c.ExpectSameElem(i, 0);
      ExpectOne(c, i);
    }
    InferSameAsFirst(c);
  }
  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    const Tensor& x = c.In(0);
    VisitNumeric(x.dtype(), [&]<class T>() {
      if constexpr (std::is_arithmetic_v<T>) {
        using Limits = std::numeric_limits<T>;
        const T low = c.Has(1) ? *c.In(1).data<T>() : Limits::has_infinity ? -Limits::infinity() : Limits::lowest();
        const T high = c.Has(2) ? *c.In(2).data<T>() : Limits::has_infinity ? Limits::infinity() : Limits::max();
        const T* from = x.data<T>();
        T* y = c.Out(0).data<T>();
        if constexpr (std::is_same_v<T, float>) {
          kernels::UnaryFloat(UnaryOp::kClip, from, y, x.size(), low, high, c.threads());
        } else {
          c.threads().ParallelFor(x.size(), GrainFor(sizeof(T)), [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
              const T v = from[i] < low ? low : from[i];
              y[i] = v > high ? high : v;
            }
          });
        }
      }
    });
  }
};
extern const OpDef kClip =
    Define<Clip>({.name = "Clip", .since = 13, .max_inputs = 3, .types = kNumericTypes, .in_place = 0});

}  // namespace slipway
