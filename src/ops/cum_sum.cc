#include "core/dtype_visit.h"
#include "ops/indexing.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

constexpr TypeSet kRunningTypes = kFloatTypes | TypeSet{DType::kInt32, DType::kInt64, DType::kUint32, DType::kUint64};

template <bool Product, class T>
T Next(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    const auto x = static_cast<uint64_t>(a), y = static_cast<uint64_t>(b);  // wraps around
    return static_cast<T>(Product ? x * y : x + y);
  } else {
    return Product ? a * b : a + b;
  }
}

}  // namespace

/// Running sums (products) along an axis, from either end, with or without the element itself. ONNX CumSum since 14,
/// CumProd since 26.
template <bool Product>
struct Running {
  bool exclusive = false, reverse = false;
  static Running Parse(const Attributes& a) {
    return {.exclusive = a.Int("exclusive", 0) != 0, .reverse = a.Int("reverse", 0) != 0};
  }
  void Infer(InferContext& c) const {
    const auto axis = ConstInt(c, 1);
    if (axis && c.HasRank(0)) c.Axis(*axis, c.Shape(0).rank());
    InferSameAsFirst(c);
  }
  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    const int rank = x.shape().rank();
    const int64_t axis = ToInts(c.In(1))[0];
    if (axis < -rank || axis >= rank) c.Fail("axis is {}, but must lie in [{}, {}].", axis, -rank, rank - 1);
    const int at = ModAxis(axis, rank);
    const int64_t n = x.shape()[at], inner = x.shape().SizeFrom(at + 1);
    if (x.size() == 0) return;
    VisitNumeric(x.dtype(), [&]<class T>() {
      c.threads().ParallelFor(x.size() / n, GrainFor(n * sizeof(T)), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const int64_t base = i / inner * n * inner + i % inner;
          const int64_t first = reverse ? base + (n - 1) * inner : base;
          Line(x.data<T>() + first, c.Out(0).data<T>() + first, n, reverse ? -inner : inner);
        }
      });
    });
  }

 private:
  template <class T>
  void Line(const T* x, T* y, int64_t n, int64_t stride) const {
    using Sum = std::conditional_t<std::is_arithmetic_v<T>, T, float>;
    Sum sum(Product ? 1 : 0);
    for (int64_t i = 0; i < n; ++i) {
      const Sum element = static_cast<Sum>(x[i * stride]);  // read first: y may be x
      const Sum next = Next<Product>(sum, element);
      y[i * stride] = T(exclusive ? sum : next);
      sum = next;
    }
  }
};
extern const OpDef kCumSum = Define<Running<false>>(
    {.name = "CumSum", .since = 14, .min_inputs = 2, .max_inputs = 2, .types = kRunningTypes, .in_place = 0});
extern const OpDef kCumProd = Define<Running<true>>(
    {.name = "CumProd", .since = 26, .min_inputs = 2, .max_inputs = 2, .types = kRunningTypes, .in_place = 0});

}  // namespace slipway
