#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "core/dtype_visit.h"
#include "kernels/elementwise/binary.h"
#include "ops/in_float.h"
#include "ops/shape_math.h"

namespace slipway {

/// The broadcast of two shapes; alike shapes, whatever their rank, as one axis.
inline kernels::BroadcastPlan PlanBroadcast(const Shape& a, const Shape& b) {
  if (a == b) {
    const int64_t n[] = {a.size()};
    return kernels::BroadcastPlan(n, n);
  }
  return kernels::BroadcastPlan(a, b);
}

/// y = f(a, b) elementwise; all are of type T.
template <class T, class F>
void MapBinary(const Tensor& a, const Tensor& b, Tensor& y, const F& f, const Threads& threads) {
  kernels::BroadcastBinary(PlanBroadcast(a.shape(), b.shape()), a.data<T>(), b.data<T>(), y.data<T>(), f, threads);
}

/// A double in an integer type: cut to its range, NaN as 0 (converting what is outside is undefined). Floats convert as
/// usual.
template <class T>
T FromDouble(double v) {
  if constexpr (std::is_integral_v<T>) {
    using Limits = std::numeric_limits<T>;
    if (v != v) return 0;
    if (v <= static_cast<double>(Limits::min())) return Limits::min();
    if (v >= static_cast<double>(Limits::max())) return Limits::max();
  }
  return static_cast<T>(v);
}

// The operations: kFast is the float kernel, operator() the plain form of any other number type, OfDims what becomes of
// sizes (nothing where that is not sure). Integers wrap round.

struct AddFunction {
  static constexpr auto kFast = kernels::BinaryOp::kAdd;
  template <class T>
  T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>) return a + b;
    return static_cast<T>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  }
  static std::optional<Dim> OfDims(const Dim& a, const Dim& b) { return a + b; }
};
struct SubFunction {
  static constexpr auto kFast = kernels::BinaryOp::kSub;
  template <class T>
  T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>) return a - b;
    return static_cast<T>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
  }
  static std::optional<Dim> OfDims(const Dim& a, const Dim& b) { return a - b; }
};
struct MulFunction {
  static constexpr auto kFast = kernels::BinaryOp::kMul;
  template <class T>
  T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>) return a * b;
    return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  }
  static std::optional<Dim> OfDims(const Dim& a, const Dim& b) { return a * b; }
};
/// Integers truncate; the divisor is not 0.
struct DivFunction {
  static constexpr auto kFast = kernels::BinaryOp::kDiv;
  template <class T>
  T operator()(T a, T b) const {
    if constexpr (std::is_signed_v<T> && std::is_integral_v<T>) {
      // The least integer has no negative in its type, and dividing by -1 traps.
      if (b == -1) return SubFunction()(T{0}, a);
    }
    return static_cast<T>(a / b);
  }
  static std::optional<Dim> OfDims(const Dim& a, const Dim& b) {
    if (!NeverNegative(a) || !NeverNegative(b) || b == Dim(0)) return std::nullopt;
    return FloorDiv(a, b);
  }
};
struct MaxFunction {
  static constexpr auto kFast = kernels::BinaryOp::kMax;
  template <class T>
  T operator()(T a, T b) const {
    return a != a || a > b ? a : b;
  }
  static std::optional<Dim> OfDims(const Dim& a, const Dim& b) { return Max(a, b); }
};
struct MinFunction {
  static constexpr auto kFast = kernels::BinaryOp::kMin;
  template <class T>
  T operator()(T a, T b) const {
    return a != a || a < b ? a : b;
  }
  static std::optional<Dim> OfDims(const Dim& a, const Dim& b) { return Min(a, b); }
};

/// op()'s number or symbol; nothing where it is outside of the element type, in which the run wraps round.
template <class Op>
std::optional<Dim> DimWithin(DType type, const Op& op) {
  try {
    const std::optional<Dim> d = op();
    if (!d || !d->is_const() || type != DType::kInt32 || d->value() == static_cast<int32_t>(d->value())) return d;
  } catch (const Error&) {
    // Dim's own arithmetic refuses what leaves 64 bits.
  }
  return std::nullopt;
}

/// Where inputs 0 and 1 are small known vectors of integers, the output is known: of_dims(a, b) element by element.
template <class F>
void PropagateBinary(InferContext& c, const F& of_dims) {
  if (!c.HasRank(0) || !c.HasRank(1) || c.Shape(0).rank() > 1 || c.Shape(1).rank() > 1) return;
  const auto a = ShapeInts(c, 0), b = ShapeInts(c, 1);
  if (!a || !b || (a->size() != b->size() && a->size() != 1 && b->size() != 1)) return;
  std::vector<std::optional<Dim>> out;
  for (size_t i = 0; i < (a->size() == 1 ? b->size() : a->size()); ++i) {
    const Dim &x = (*a)[a->size() == 1 ? 0 : i], &y = (*b)[b->size() == 1 ? 0 : i];
    out.push_back(DimWithin(c.Elem(0), [&]() -> std::optional<Dim> { return of_dims(x, y); }));
  }
  if (auto known = AllKnown(out)) c.OutInts(0, *std::move(known));
}

/// y = F(a, b) for any number type; y may be an operand of its shape.
template <class F>
void RunBinary(RunContext& c, const Tensor& a, const Tensor& b, Tensor& y) {
  if (y.dtype() == DType::kFloat) {
    kernels::BinaryFloat(F::kFast, PlanBroadcast(a.shape(), b.shape()), a.data<float>(), b.data<float>(),
                         y.data<float>(), c.threads());
  } else if (y.dtype() == DType::kDouble) {
    MapBinary<double>(a, b, y, F(), c.threads());
  } else {
    VisitInteger(y.dtype(), [&]<class T>() { MapBinary<T>(a, b, y, F(), c.threads()); });
  }
}

/// Fail()s where an integer tensor holds a 0.
inline void RejectZeros(const RunContext& c, const Tensor& divisor) {
  VisitInteger(divisor.dtype(), [&]<class T>() {
    const auto values = divisor.span<T>();
    if (std::find(values.begin(), values.end(), T{0}) != values.end()) c.Fail("division of integers by zero.");
  });
}

}  // namespace slipway
