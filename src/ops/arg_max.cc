#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "core/dtype_visit.h"
#include "ops/indexing.h"
#include "ops/scan.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

template <class T>
using ArgComparable = std::conditional_t<std::is_arithmetic_v<T>, T, float>;

/// Whether v takes the place of the best so far. A NaN wins over every number.
template <bool Max, bool Last, class V>
bool Better(V v, V best) {
  // No branches: the loop over columns becomes vectors.
  const bool better = Max ? (Last ? v >= best : v > best) : (Last ? v <= best : v < best);
  if constexpr (std::is_floating_point_v<V>) return better | ((v != v) & (Last | (best == best)));
  return better;
}

/// The index of the greatest (least) of n elements that lie side by side.
template <bool Max, bool Last, class T>
int64_t BestOf(const T* x, int64_t n) {
  using V = ArgComparable<T>;
  int64_t best = 0;
  V value = static_cast<V>(x[0]);
  const auto may_pass = [&](int64_t j) {
    const V v = static_cast<V>(x[j]);
    return Max ? (Last ? !(v < value) : !(v <= value)) : (Last ? !(v > value) : !(v >= value));
  };
  for (int64_t i = SkipFailing(1, n, may_pass); i < n; i = SkipFailing(i + 1, n, may_pass)) {
    const V v = static_cast<V>(x[i]);
    if (!Better<Max, Last>(v, value)) continue;
    best = i;
    value = v;
  }
  return best;
}

/// The same of n rows, `stride` apart, for each of `columns`; Place counts to n.
template <bool Max, bool Last, class Place, class T>
void BestOfRows(const T* x, int64_t n, int64_t stride, int64_t columns, int64_t* y) {
  using V = ArgComparable<T>;
  constexpr int64_t kColumns = 256;
  for (int64_t from = 0; from < columns; from += kColumns) {
    const int64_t count = std::min(kColumns, columns - from);
    std::array<V, kColumns> value;
    std::array<Place, kColumns> best = {};
    for (int64_t j = 0; j < count; ++j) value[j] = static_cast<V>(x[from + j]);
    for (int64_t i = 1; i < n; ++i) {
      const T* row = x + i * stride + from;
      for (int64_t j = 0; j < count; ++j) {
        const V v = static_cast<V>(row[j]);
        const bool better = Better<Max, Last>(v, value[j]);
        value[j] = better ? v : value[j];
        best[j] = better ? static_cast<Place>(i) : best[j];
      }
    }
    std::copy_n(best.begin(), count, y + from);
  }
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
    const int64_t n = x.shape()[at], inner = x.shape().SizeFrom(at + 1);
    VisitNumeric(x.dtype(),
                 [&]<class T>() { last ? RunTyped<true, T>(c, n, inner) : RunTyped<false, T>(c, n, inner); });
  }

 private:
  template <bool Last, class T>
  static void RunTyped(RunContext& c, int64_t n, int64_t inner) {
    const T* x = c.In(0).data<T>();
    int64_t* y = c.Out(0).data<int64_t>();
    if (inner == 1) {
      c.threads().ParallelFor(c.Out(0).size(), GrainFor(n * sizeof(T)), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) y[i] = BestOf<Max, Last>(x + i * n, n);
      });
      return;
    }
    // Places as wide as the values make vectors of both.
    const bool narrow = sizeof(ArgComparable<T>) < 8 && n <= std::numeric_limits<int32_t>::max();
    narrow ? RunColumns<Last, int32_t, T>(c, n, inner) : RunColumns<Last, int64_t, T>(c, n, inner);
  }

  template <bool Last, class Place, class T>
  static void RunColumns(RunContext& c, int64_t n, int64_t inner) {
    const T* x = c.In(0).data<T>();
    int64_t* y = c.Out(0).data<int64_t>();
    // Pieces of rows, so that one image is work for all threads.
    constexpr int64_t kPiece = 1024;
    const int64_t pieces = (inner + kPiece - 1) / kPiece, outer = inner ? c.Out(0).size() / inner : 0;
    c.threads().ParallelFor(outer * pieces, GrainFor(n * std::min(inner, kPiece) * sizeof(T)),
                            [&](int64_t begin, int64_t end) {
                              for (int64_t i = begin; i < end; ++i) {
                                const int64_t o = i / pieces, from = i % pieces * kPiece;
                                BestOfRows<Max, Last, Place>(x + o * n * inner + from, n, inner,
                                                             std::min(kPiece, inner - from), y + o * inner + from);
                              }
                            });
  }
};
extern const OpDef kArgMax = Define<ArgBest<true>>({.name = "ArgMax", .since = 13, .types = kNumericTypes});
extern const OpDef kArgMin = Define<ArgBest<false>>({.name = "ArgMin", .since = 13, .types = kNumericTypes});

}  // namespace slipway
