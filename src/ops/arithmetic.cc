#include "ops/arithmetic.h"

#include "core/dtype_visit.h"
#include "kernels/elementwise/unary.h"

namespace slipway {
namespace {

constexpr bool IsFloatType(DType t) { return kFloatTypes.Has(t); }

/// a F b, broadcast. ONNX Add, Sub, Mul and Div, since 14.
template <class F>
struct Arithmetic {
  void Infer(InferContext& c) const {
    c.ExpectSameElem(1, 0);
    c.Out(0, c.Elem(0), Broadcast(c, c.Shape(0), c.Shape(1)));
    PropagateBinary(c, [](const Dim& a, const Dim& b) -> std::optional<Dim> {
      if constexpr (std::is_same_v<F, DivFunction>) {
        if (a.is_const() && b.is_const() && b.value() != 0) return DivFunction()(a.value(), b.value());
      }
      return F::OfDims(a, b);
    });
  }
  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    if (std::is_same_v<F, DivFunction> && !IsFloatType(c.In(1).dtype()) && c.Out(0).size() > 0) RejectZeros(c, c.In(1));
    RunBinary<F>(c, c.In(0), c.In(1), c.Out(0));
  }
};

template <class F>
constexpr OpDef DefineArithmetic(std::string_view name) {
  return Define<Arithmetic<F>>(
      {.name = name, .since = 14, .min_inputs = 2, .max_inputs = 2, .types = kNumericTypes, .in_place = 0});
}

/// F over all inputs, broadcast; then divided by their number where `mean`. ONNX Max and Min, Sum and Mean, since 13.
template <class F, bool kMean = false>
struct Fold {
  void Infer(InferContext& c) const {
    SymbolicShape shape = c.Shape(0);
    for (int i = 1; i < c.num_inputs(); ++i) {
      c.ExpectSameElem(i, 0);
      shape = Broadcast(c, shape, c.Shape(i));
    }
    c.Out(0, c.Elem(0), std::move(shape));
    if (c.num_inputs() == 2) PropagateBinary(c, F::OfDims);
  }
  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    Tensor& y = c.Out(0);
    if (y.size() == 0) return;
    // Every step writes the whole output, so the first one must already have its shape: it pairs the first input with
    // one that fills the output, or with the output's shape itself.
    int with = 1;
    while (with < c.num_inputs() && PlanBroadcast(c.In(0).shape(), c.In(with).shape()).count() != y.size()) ++with;
    if (with < c.num_inputs()) {
      RunBinary<F>(c, c.In(0), c.In(with), y);
    } else {
      Repeat(c, y);
    }
    for (int i = 1; i < c.num_inputs(); ++i) {
      if (i != with) RunBinary<F>(c, y, c.In(i), y);
    }
    if (kMean) Divide(c, y, c.num_inputs());
  }

 private:
  static void Repeat(RunContext& c, Tensor& y) {
    VisitBySize(y.dtype(), [&]<class T>() {
      if constexpr (std::is_same_v<T, std::string> || sizeof(T) > 8)
        return;
      else {
        kernels::BroadcastBinary(
            kernels::BroadcastPlan(c.In(0).shape(), y.shape()), c.In(0).data<T>(), y.data<T>(), y.data<T>(),
            [](T a, T) { return a; }, c.threads());
      }
    });
  }
  static void Divide(RunContext& c, Tensor& y, int count) {
    if (y.dtype() == DType::kFloat) {
      kernels::UnaryFloat(kernels::UnaryOp::kLinear, y.data<float>(), y.data<float>(), y.size(), 1.0f / count, 0,
                          c.threads());
    } else {
      for (double& v : std::span(y.data<double>(), y.size())) v /= count;
    }
  }
};

template <class F, bool kMean = false>
constexpr OpDef DefineFold(std::string_view name, TypeSet types) {
  return Define<Fold<F, kMean>>({.name = name, .since = 13, .max_inputs = kVariadic, .types = types, .in_place = 0});
}

}  // namespace

extern const OpDef kAdd = DefineArithmetic<AddFunction>("Add");
extern const OpDef kSub = DefineArithmetic<SubFunction>("Sub");
extern const OpDef kMul = DefineArithmetic<MulFunction>("Mul");
extern const OpDef kDiv = DefineArithmetic<DivFunction>("Div");
extern const OpDef kMax = DefineFold<MaxFunction>("Max", kNumericTypes);
extern const OpDef kMin = DefineFold<MinFunction>("Min", kNumericTypes);
extern const OpDef kSum = DefineFold<AddFunction>("Sum", kFloatTypes);
extern const OpDef kMean = DefineFold<AddFunction, true>("Mean", kFloatTypes);

/// The remainder: of the divisor's sign, or with `fmod` of the dividend's. ONNX Mod, since 28.
struct Mod {
  bool fmod = false;
  static Mod Parse(const Attributes& a) { return {.fmod = a.Int("fmod", 0) != 0}; }

  void Infer(InferContext& c) const {
    c.ExpectSameElem(1, 0);
    c.Out(0, c.Elem(0), Broadcast(c, c.Shape(0), c.Shape(1)));
    PropagateBinary(c, [](const Dim& a, const Dim& b) -> std::optional<Dim> {
      const auto quotient = DivFunction::OfDims(a, b);
      return quotient ? std::optional(a - b * *quotient) : std::nullopt;
    });
  }
  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    if (!IsFloatType(c.In(1).dtype()) && c.Out(0).size() > 0) RejectZeros(c, c.In(1));
    VisitNumeric(c.In(0).dtype(), [&]<class T>() {
      if constexpr (!std::is_arithmetic_v<T>)
        return;
      else
        MapBinary<T>(
            c.In(0), c.In(1), c.Out(0), [this](T a, T b) { return Remainder(a, b); }, c.threads());
    });
  }

 private:
  template <class T>
  T Remainder(T a, T b) const {
    T r;
    if constexpr (std::is_floating_point_v<T>) {
      r = std::fmod(a, b);
      if (!fmod && r == 0) return std::copysign(r, b);
    } else if constexpr (std::is_signed_v<T>) {
      r = b == -1 ? T{0} : static_cast<T>(a % b);
    } else {
      r = static_cast<T>(a % b);
    }
    if (!fmod && r != 0 && (r < 0) != (b < 0)) r = static_cast<T>(r + b);
    return r;
  }
};
extern const OpDef kMod =
    Define<Mod>({.name = "Mod", .since = 28, .min_inputs = 2, .max_inputs = 2, .types = kNumericTypes, .in_place = 0});

/// X to the power of Y, in X's type. ONNX Pow, since 15.
struct Pow {
  void Infer(InferContext& c) const {
    c.ExpectElem(1, kNumericTypes);
    c.Out(0, c.Elem(0), Broadcast(c, c.Shape(0), c.Shape(1)));
  }
  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    if (OneExponent(c)) return;
    const kernels::BroadcastPlan plan = PlanBroadcast(c.In(0).shape(), c.In(1).shape());
    Visit(Types<float, double, int32_t, int64_t>{}, c.In(0).dtype(), "a number", [&]<class T>() {
      VisitNumeric(c.In(1).dtype(), [&]<class E>() {
        if constexpr (std::is_arithmetic_v<E>) {
          kernels::BroadcastBinary(
              plan, c.In(0).data<T>(), c.In(1).data<E>(), c.Out(0).data<T>(), [&](T x, E e) { return Power(c, x, e); },
              c.threads());
        }
      });
    });
  }

 private:
  /// The exponents that models have, where there is but one.
  static bool OneExponent(RunContext& c) {
    const Tensor &x = c.In(0), &e = c.In(1);
    if (x.dtype() != DType::kFloat || e.dtype() != DType::kFloat || e.size() != 1 || c.Out(0).size() != x.size())
      return false;
    const float exponent = *e.data<float>();
    float* y = c.Out(0).data<float>();
    auto unary = [&](kernels::UnaryOp op, float alpha = 1) {
      kernels::UnaryFloat(op, x.data<float>(), y, x.size(), alpha, 0, c.threads());
      return true;
    };
    if (exponent == 2) return unary(kernels::UnaryOp::kSquare);
    if (exponent == 0.5f) return unary(kernels::UnaryOp::kSqrt);
    if (exponent == 1) return unary(kernels::UnaryOp::kLinear);
    if (exponent == -1) return unary(kernels::UnaryOp::kReciprocal);
    if (exponent != 3) return false;
    const float* from = x.data<float>();
    c.threads().ParallelFor(x.size(), 16384, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = from[i] * from[i] * from[i];
    });
    return true;
  }

  template <class T, class E>
  static T Power(const RunContext& c, T x, E e) {
    if constexpr (std::is_integral_v<T> && std::is_integral_v<E>) {
      if constexpr (std::is_signed_v<E>) {
        if (e < 0) {
          if (x == 0) c.Fail("0 to the power of {}.", static_cast<int64_t>(e));
          return x == 1 ? 1 : x == -1 ? (e % 2 == 0 ? 1 : -1) : 0;
        }
      }
      uint64_t y = 1, square = static_cast<uint64_t>(x);
      for (auto left = static_cast<uint64_t>(e); left > 0; left >>= 1, square *= square) {
        if (left & 1) y *= square;
      }
      return static_cast<T>(y);
    } else if constexpr (std::is_integral_v<T>) {
      return FromDouble<T>(std::pow(static_cast<double>(x), static_cast<double>(e)));
    } else {
      return std::pow(x, static_cast<T>(e));
    }
  }
};
extern const OpDef kPow = Define<Pow>({.name = "Pow",
                                       .since = 15,
                                       .min_inputs = 2,
                                       .max_inputs = 2,
                                       .types = kFloatTypes | TypeSet{DType::kInt32, DType::kInt64},
                                       .in_place = 0});

/// X < 0 ? slope X : X, the slope broadcast to X. ONNX PRelu, since 16.
struct PRelu {
  void Infer(InferContext& c) const {
    c.ExpectSameElem(1, 0);
    const SymbolicShape &x = c.Shape(0), both = Broadcast(c, x, c.Shape(1));
    bool grows = both.has_rank() && both.rank() != x.rank();
    for (int i = 0; !grows && both.has_rank() && i < x.rank(); ++i) grows = both[i].Differs(x[i]);
    if (grows)
      c.Fail("{} has shape {}, which cannot be broadcast to {}.", c.InputName(1), c.Shape(1).ToString(), x.ToString());
    c.Out(0, c.In(0));
  }
  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    const Tensor &x = c.In(0), &slope = c.In(1);
    const kernels::BroadcastPlan plan = PlanBroadcast(x.shape(), slope.shape());
    if (plan.count() != x.size())
      c.Fail("slope {} cannot be broadcast to {}.", slope.shape().ToString(), x.shape().ToString());
    if (x.dtype() == DType::kFloat) {
      kernels::BinaryFloat(kernels::BinaryOp::kPRelu, plan, x.data<float>(), slope.data<float>(),
                           c.Out(0).data<float>(), c.threads());
      return;
    }
    Visit(Types<double, uint32_t, uint64_t, int32_t, int64_t>{}, x.dtype(), "a number", [&]<class T>() {
      kernels::BroadcastBinary(
          plan, x.data<T>(), slope.data<T>(), c.Out(0).data<T>(),
          [](T a, T b) { return a < 0 ? MulFunction()(a, b) : a; }, c.threads());
    });
  }
};
extern const OpDef kPRelu =
    Define<PRelu>({.name = "PRelu",
                   .since = 16,
                   .min_inputs = 2,
                   .max_inputs = 2,
                   .types = kFloatTypes | TypeSet{DType::kUint32, DType::kUint64, DType::kInt32, DType::kInt64},
                   .in_place = 0});

}  // namespace slipway
