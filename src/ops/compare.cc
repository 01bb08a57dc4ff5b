#include <complex>
#include <functional>

#include "core/dtype_visit.h"
#include "kernels/elementwise/broadcast.h"
#include "kernels/elementwise/compare.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

constexpr TypeSet kEqualTypes = kNumericTypes | TypeSet{DType::kBool, DType::kString};

void InferComparison(InferContext& c) {
  c.ExpectSameElem(1, 0);
  c.Out(0, DType::kBool, Broadcast(c, c.Shape(0), c.Shape(1)));
}

template <class T>
auto Comparable(const T& x) -> std::conditional_t<std::is_arithmetic_v<T>, T, float> {
  return static_cast<std::conditional_t<std::is_arithmetic_v<T>, T, float>>(x);
}

/// The comparison that F, one of std's, stands for.
template <class F>
constexpr kernels::CompareOp kCompareOp =
    std::is_same_v<F, std::equal_to<>>        ? kernels::CompareOp::kEqual
    : std::is_same_v<F, std::greater<>>       ? kernels::CompareOp::kGreater
    : std::is_same_v<F, std::greater_equal<>> ? kernels::CompareOp::kGreaterOrEqual
    : std::is_same_v<F, std::less<>>          ? kernels::CompareOp::kLess
                                              : kernels::CompareOp::kLessOrEqual;

/// Compares numbers: those of 32 and 64 bits by vectors.
template <class T, class F>
void CompareNumbers(RunContext& c) {
  const kernels::BroadcastPlan plan(c.In(0).shape(), c.In(1).shape());
  const T *a = c.In(0).data<T>(), *b = c.In(1).data<T>();
  bool* y = c.Out(0).data<bool>();
  if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, int32_t> ||
                std::is_same_v<T, int64_t>) {
    const int64_t a_step = plan.form() != kernels::BroadcastForm::kScalarA,
                  b_step = plan.form() != kernels::BroadcastForm::kScalarB;
    kernels::ForEachBroadcastRow(plan, c.threads(), [&](int64_t a_at, int64_t b_at, int64_t y_at, int64_t n) {
      kernels::CompareRow(kCompareOp<F>, a + a_at, a_step, b + b_at, b_step, y + y_at, n);
    });
  } else {
    const auto compare = [](T x, T z) { return F()(Comparable(x), Comparable(z)); };
    kernels::BroadcastBinary(plan, a, b, y, compare, c.threads());
  }
}

template <class T, class F>
void Compare(RunContext& c, const F& f) {
  const kernels::BroadcastPlan plan(c.In(0).shape(), c.In(1).shape());
  kernels::BroadcastBinary(plan, c.In(0).data<T>(), c.In(1).data<T>(), c.Out(0).data<bool>(), f, c.threads());
}

/// What the comparison gives on small integer vectors where that is sure; a size is never below 0.
template <class F>
void PropagateComparison(InferContext& c, const F& decide) {
  const auto a = ShapeInts(c, 0), b = ShapeInts(c, 1);
  if (!a || !b) return;
  const size_t n = a->size() == 1 ? b->size() : a->size();
  std::vector<std::optional<Dim>> out;
  for (size_t i = 0; i < n; ++i) {
    const std::optional<bool> known = decide((*a)[a->size() == 1 ? 0 : i], (*b)[b->size() == 1 ? 0 : i]);
    out.push_back(known ? std::optional<Dim>(*known) : std::nullopt);
  }
  if (auto ints = AllKnown(out)) c.OutInts(0, *std::move(ints));
}

}  // namespace

/// ONNX Equal, since 19.
struct Equal {
  void Infer(InferContext& c) const {
    InferComparison(c);
    PropagateComparison(c, [](const Dim& x, const Dim& y) -> std::optional<bool> {
      if (x == y) return true;
      if (x.Differs(y)) return false;
      const bool apart =
          (x.is_const() && x.value() < 0 && NeverNegative(y)) || (y.is_const() && y.value() < 0 && NeverNegative(x));
      return apart ? std::optional(false) : std::nullopt;
    });
  }
  void Run(RunContext& c) const {
    const DType type = c.In(0).dtype();
    if (type == DType::kString)
      return Compare<std::string>(c, [](const std::string& a, const std::string& b) { return a == b; });
    if (type == DType::kBool) return Compare<uint8_t>(c, [](uint8_t a, uint8_t b) { return a == b; });
    VisitNumeric(type, [&]<class T>() { CompareNumbers<T, std::equal_to<>>(c); });
  }
};
extern const OpDef kEqual =
    Define<Equal>({.name = "Equal", .since = 19, .min_inputs = 2, .max_inputs = 2, .types = kEqualTypes});

/// The order of two tensors' elements, broadcast.
template <class F>
struct Ordering {
  void Infer(InferContext& c) const {
    InferComparison(c);
    PropagateComparison(c, [](const Dim& x, const Dim& y) -> std::optional<bool> {
      if (!x.is_const() || !y.is_const()) return std::nullopt;
      return F()(x.value(), y.value());
    });
  }
  void Run(RunContext& c) const {
    VisitNumeric(c.In(0).dtype(), [&]<class T>() { CompareNumbers<T, F>(c); });
  }
};

template <class F>
constexpr OpDef DefineOrdering(std::string_view name, int since) {
  return Define<Ordering<F>>({.name = name, .since = since, .min_inputs = 2, .max_inputs = 2, .types = kNumericTypes});
}
extern const OpDef kGreater = DefineOrdering<std::greater<>>("Greater", 13);
extern const OpDef kGreaterOrEqual = DefineOrdering<std::greater_equal<>>("GreaterOrEqual", 16);
extern const OpDef kLess = DefineOrdering<std::less<>>("Less", 13);
extern const OpDef kLessOrEqual = DefineOrdering<std::less_equal<>>("LessOrEqual", 16);

}  // namespace slipway
