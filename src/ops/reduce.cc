#include "kernels/reduce/reduce.h"

#include <cmath>
#include <limits>

#include "ops/arithmetic.h"
#include "ops/one_number.h"

namespace slipway {
namespace {

using kernels::ReduceOp;
using kernels::ReducePlan;

template <class T>
constexpr T kLeast =
    std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::lowest();
template <class T>
constexpr T kMost =
    std::numeric_limits<T>::has_infinity ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::max();

/// A running log(sum(exp(x))) that cannot overflow.
struct LogSum {
  double top = -std::numeric_limits<double>::infinity();
  double sum = 0;
};
LogSum AddExp(LogSum s, double x) {
  if (x == -std::numeric_limits<double>::infinity()) return s;
  if (x <= s.top) return {s.top, s.sum + std::exp(x - s.top)};
  if (x == std::numeric_limits<double>::infinity()) return {x, 1};
  return {x, s.sum * std::exp(s.top - x) + 1};
}

/// double and integers; integer sums and products wrap round in their own type.
template <ReduceOp kOp, class T>
void ReduceTyped(const ReducePlan& plan, const T* x, T* y, const Threads& threads) {
  const auto reduce = [&](auto init, const auto& combine, const auto& finish) {
    kernels::ReducePlain(plan, x, y, init, combine, finish, threads);
  };
  const auto same = [](T v) { return v; };
  const auto add = [](T s, T v) { return AddFunction()(s, v); };
  const auto to_type = [](double v) { return FromDouble<T>(v); };
  switch (kOp) {
    case ReduceOp::kSum:
      return reduce(T{0}, add, same);
    case ReduceOp::kMean: {
      const auto n = static_cast<T>(std::max<int64_t>(1, plan.reduced()));
      if (plan.reduced() == 0 && std::is_floating_point_v<T>) return reduce(T(NAN), add, same);
      return reduce(T{0}, add, [n](T s) { return DivFunction()(s, n); });
    }
    case ReduceOp::kMax:
      return reduce(
          kLeast<T>, [](T s, T v) { return MaxFunction()(v, s); }, same);
    case ReduceOp::kMin:
      return reduce(
          kMost<T>, [](T s, T v) { return MinFunction()(v, s); }, same);
    case ReduceOp::kProd:
      return reduce(
          T{1}, [](T s, T v) { return MulFunction()(s, v); }, same);
    case ReduceOp::kSumSquare:
      return reduce(
          T{0}, [](T s, T v) { return AddFunction()(s, MulFunction()(v, v)); }, same);
    case ReduceOp::kL1:
      return reduce(
          T{0}, [](T s, T v) { return v < 0 ? SubFunction()(s, v) : AddFunction()(s, v); }, same);
    case ReduceOp::kL2:
      return reduce(
          0.0, [](double s, T v) { return s + static_cast<double>(v) * static_cast<double>(v); },
          [&](double s) { return to_type(std::sqrt(s)); });
    case ReduceOp::kLogSum:
      return reduce(
          0.0, [](double s, T v) { return s + static_cast<double>(v); },
          [&](double s) { return to_type(std::log(s)); });
    case ReduceOp::kLogSumExp:
      return reduce(
          LogSum(), [](LogSum s, T v) { return AddExp(s, static_cast<double>(v)); },
          [&](LogSum s) { return to_type(s.top + std::log(s.sum)); });
  }
}

/// ONNX Reduce…, axes as an input.
template <ReduceOp kOp>
struct Reduce {
  bool keep = true;
  bool noop = false;
  static Reduce Parse(const Attributes& a) {
    return {.keep = a.Int("keepdims", 1) != 0, .noop = a.Int("noop_with_empty_axes", 0) != 0};
  }

  void Infer(InferContext& c) const {
    if (c.Has(1)) {
      c.ExpectElem(1, {DType::kInt64});
      c.ExpectRank(1, 1, 1);
    }
    const bool known = !c.Has(1) || c.ConstInts(1).has_value();
    if (!c.HasRank(0) || !known) {
      return c.Out(0, c.Elem(0), keep && c.HasRank(0) ? ToldByData(c.Shape(0).rank()) : SymbolicShape());
    }
    const int rank = c.Shape(0).rank();
    const std::vector<int64_t> axes = c.Has(1) ? UniqueAxes(c, *c.ConstInts(1), rank) : std::vector<int64_t>();
    const std::vector<bool> reduced = Reduced(axes, rank);
    std::vector<Dim> out;
    for (int i = 0; i < rank; ++i) {
      if (!reduced[i]) {
        out.push_back(c.Shape(0)[i]);
      } else if (keep) {
        out.emplace_back(1);
      }
    }
    c.Out(0, c.Elem(0), std::move(out));
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    const Tensor& x = c.In(0);
    Tensor& y = c.Out(0);
    const int rank = x.shape().rank();
    std::vector<int64_t> given, axes;
    if (c.Has(1)) {
      for (int64_t a : c.In(1).span<int64_t>()) {
        if (a < -rank || a >= rank) c.Fail("an axis is {}, but must lie in [{}, {}].", a, -rank, rank - 1);
        given.push_back(ModAxis(a, rank));
      }
    }
    const std::vector<bool> reduced = Reduced(given, rank);
    for (int i = 0; i < rank; ++i) {
      if (reduced[i]) axes.push_back(i);
    }
    const ReducePlan plan(x.shape(), axes);
    if (x.dtype() == DType::kFloat) {
      kernels::ReduceFloat(kOp, plan, x.data<float>(), y.data<float>(), c.threads());
    } else if (x.dtype() == DType::kDouble) {
      ReduceTyped<kOp>(plan, x.data<double>(), y.data<double>(), c.threads());
    } else if constexpr (kOp == ReduceOp::kMax || kOp == ReduceOp::kMin) {
      RunExtreme(plan, x, y, c.threads());
    } else {
      RejectEmptyMean(c, plan);
      Visit(Types<uint32_t, uint64_t, int32_t, int64_t>{}, x.dtype(), "an integer of 32 or 64 bits",
            [&]<class T>() { ReduceTyped<kOp>(plan, x.data<T>(), y.data<T>(), c.threads()); });
    }
  }

 private:
  /// Which axes go: those given, or all, or with `noop` none.
  std::vector<bool> Reduced(const std::vector<int64_t>& axes, int rank) const {
    std::vector<bool> out(rank, axes.empty() && !noop);
    for (int64_t a : axes) out[a] = true;
    return out;
  }
  static void RunExtreme(const ReducePlan& plan, const Tensor& x, Tensor& y, const Threads& threads) {
    if (x.dtype() == DType::kBool) {
      const auto fold = [](uint8_t s, uint8_t v) { return kOp == ReduceOp::kMax ? std::max(s, v) : std::min(s, v); };
      return kernels::ReducePlain(
          plan, x.data<uint8_t>(), y.data<uint8_t>(), uint8_t{kOp == ReduceOp::kMin}, fold, [](uint8_t v) { return v; },
          threads);
    }
    VisitInteger(x.dtype(), [&]<class T>() { ReduceTyped<kOp>(plan, x.data<T>(), y.data<T>(), threads); });
  }
  static void RejectEmptyMean(const RunContext& c, const ReducePlan& plan) {
    if (kOp == ReduceOp::kMean && plan.reduced() == 0 && plan.outputs() > 0) c.Fail("the mean of no integers.");
  }
};

constexpr TypeSet kReduceTypes = kFloatTypes | TypeSet{DType::kUint32, DType::kUint64, DType::kInt32, DType::kInt64};

template <ReduceOp kOp>
constexpr OpDef DefineReduce(std::string_view name, int since, TypeSet types = kReduceTypes) {
  return Define<Reduce<kOp>>({.name = name, .since = since, .max_inputs = 2, .types = types});
}

}  // namespace

constexpr TypeSet kExtremeTypes = kReduceTypes | TypeSet{DType::kUint8, DType::kInt8, DType::kBool};
extern const OpDef kReduceSum = DefineReduce<ReduceOp::kSum>("ReduceSum", 13);
extern const OpDef kReduceMean = DefineReduce<ReduceOp::kMean>("ReduceMean", 18);
extern const OpDef kReduceMax = DefineReduce<ReduceOp::kMax>("ReduceMax", 20, kExtremeTypes);
extern const OpDef kReduceMin = DefineReduce<ReduceOp::kMin>("ReduceMin", 20, kExtremeTypes);
extern const OpDef kReduceProd = DefineReduce<ReduceOp::kProd>("ReduceProd", 18);
extern const OpDef kReduceSumSquare = DefineReduce<ReduceOp::kSumSquare>("ReduceSumSquare", 18);
extern const OpDef kReduceL1 = DefineReduce<ReduceOp::kL1>("ReduceL1", 18);
extern const OpDef kReduceL2 = DefineReduce<ReduceOp::kL2>("ReduceL2", 18);
extern const OpDef kReduceLogSum = DefineReduce<ReduceOp::kLogSum>("ReduceLogSum", 18);
extern const OpDef kReduceLogSumExp = DefineReduce<ReduceOp::kLogSumExp>("ReduceLogSumExp", 28);

}  // namespace slipway
