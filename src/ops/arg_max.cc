#include <vector>

#include "core/dtype_visit.h"
#include "ops/indexing.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

template <class T>
using ArgComparable = std::conditional_t<std::is_arithmetic_v<T>, T, float>;

/// The index of the greatest (least) of n elements, `stride` apart. A NaN wins over every number.
template <bool Max, bool Last, class T>
int64_t BestOf(const T* x, int64_t n, int64_t stride) {
  using V = ArgComparable<T>;
  int64_t best = 0;
  V value = static_cast<V>(x[0]);
  for (int64_t i = 1; i < n; ++i) {
    const V v = static_cast<V>(x[i * stride]);
    bool better = Max ? (Last ? v >= value : v > value) : (Last ? v <= value : v < value);
    if constexpr (std::is_floating_point_v<V>) better = value == value ? better || v != v : Last && v != v;
    if (better) {
      best = i;
      value = v;
    }
  }
  return best;
}

}  // namespace

/// Where the greatest (least) element of an axis is; the first of equals, or the last. ONNX ArgMax and ArgMin,
/// since 13.
template <bool Max>
struct ArgBest {
  int64_t axis = 0;
  bool keep = true, last = false;
  static ArgBest Parse(const Attributes& a) {
    return {.axis = a.Int("axis", 0), .keep = a.Int("keepdims", 1) != 0, .last = a.Int("select_last_index", 0) != 0};
  }
  void Infer(InferContext& c) const {
    if (!c.HasRank(0)) return c.Out(0, DType::kInt64);
    std::vector<Dim> dims = c.Shape(0).dims();
    const auto at = c.Axis(axis, static_cast<int64_t>(dims.size()));
    if (dims[at] == Dim(0)) c.Fail("axis {} of {} is empty.", at, c.InputName(0));
    if (keep)
      dims[at] = 1;
    else
      dims.erase(dims.begin() + at);
    c.Out(0, DType::kInt64, std::move(dims));
  }
  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    const int at = ModAxis(axis, x.shape().rank());
    const int64_t n = x.shape()[at], inner = x.shape().SizeFrom(at + 1), count = x.shape().SizeTo(at) * inner;
    int64_t* y = c.Out(0).data<int64_t>();
    VisitNumeric(x.dtype(), [&]<class T>() {
      c.threads().ParallelFor(count, GrainFor(n * sizeof(T)), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const T* from = x.data<T>() + i / inner * n * inner + i % inner;
          y[i] = last ? BestOf<Max, true>(from, n, inner) : BestOf<Max, false>(from, n, inner);
        }
      });
    });
  }
};
extern const OpDef kArgMax = Define<ArgBest<true>>({.name = "ArgMax", .since = 13, .types = kNumericTypes});
extern const OpDef kArgMin = Define<ArgBest<false>>({.name = "ArgMin", .since = 13, .types = kNumericTypes});

}  // namespace slipway
