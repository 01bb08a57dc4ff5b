#include <algorithm>
#include <array>
#include <limits>

#include "core/dtype_visit.h"
#include "ops/indexing.h"
#include "ops/scan.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

template <class T>
struct Entry {
  T value;
  int64_t index;
};

/// Whether a stands before b: by value (NaN above all numbers), then by index.
template <bool Largest, class T>
bool Before(const Entry<T>& a, const Entry<T>& b) {
  if constexpr (std::is_floating_point_v<T>) {
    const bool a_nan = a.value != a.value, b_nan = b.value != b.value;
    if (a_nan || b_nan) return a_nan && b_nan ? a.index < b.index : a_nan == Largest;
  }
  if (a.value == b.value) return a.index < b.index;
  return Largest ? a.value > b.value : a.value < b.value;
}

/// A value that at least k of n elements reach, of few more than k: the k-th best of the best numbers of blocks. There
/// are to be 16 elements for each of k at least. NaN is no number here.
template <bool Largest, class T>
T Threshold(int64_t n, int64_t k, const auto& value_at) {
  constexpr int64_t kLanes = 8;
  using Limits = std::numeric_limits<T>;
  const T worst = Limits::has_infinity ? (Largest ? -Limits::infinity() : Limits::infinity())
                                       : (Largest ? Limits::lowest() : Limits::max());
  const auto better = [](T a, T b) { return Largest ? a > b : a < b; };
  const int64_t block = std::max<int64_t>(2, n / (4 * k) / kLanes) * kLanes;
  std::vector<T> best;
  for (int64_t i = 0; i + block <= n; i += block) {
    std::array<T, kLanes> lane;
    lane.fill(worst);
    for (int64_t j = i; j < i + block; j += kLanes) {
      for (int64_t l = 0; l < kLanes; ++l) {
        const T v = value_at(j + l);
        lane[l] = better(v, lane[l]) ? v : lane[l];
      }
    }
    for (int64_t half = kLanes / 2; half > 0; half /= 2) {
      for (int64_t l = 0; l < half; ++l) lane[l] = better(lane[l + half], lane[l]) ? lane[l + half] : lane[l];
    }
    best.push_back(lane[0]);
  }
  std::nth_element(best.begin(), best.begin() + (k - 1), best.end(), better);
  return best[k - 1];
}

/// The k first of n elements, in order.
template <bool Largest, class T>
void Select(std::vector<Entry<T>>& entries, int64_t n, int64_t k, const auto& value_at) {
  const auto before = Before<Largest, T>;
  entries.clear();
  if (k <= n / 16) {
    // NaN passes, too.
    const auto may_pass = [&, bound = Threshold<Largest, T>(n, k, value_at)](int64_t j) {
      return Largest ? !(value_at(j) < bound) : !(value_at(j) > bound);
    };
    for (int64_t i = SkipFailing(0, n, may_pass); i < n; i = SkipFailing(i + 1, n, may_pass))
      entries.push_back({value_at(i), i});
  } else {
    for (int64_t i = 0; i < n; ++i) entries.push_back({value_at(i), i});
  }
  std::partial_sort(entries.begin(), entries.begin() + k, entries.end(), before);
}

}  // namespace

/// The k largest (smallest) elements of an axis and their indices, best first whether or not they have to be sorted.
/// ONNX TopK, since 24.
struct TopK {
  int64_t axis = -1;
  bool largest = true;
  static TopK Parse(const Attributes& a) {
    a.Int("sorted", 1);
    return {.axis = a.Int("axis", -1), .largest = a.Int("largest", 1) != 0};
  }

  void Infer(InferContext& c) const {
    c.ExpectElem(1, {DType::kInt64});
    const auto k = ConstInt(c, 1);
    if (k && *k < 0) c.Fail("K is {}.", *k);
    SymbolicShape out = c.Shape(0);
    if (out.has_rank()) {
      Dim& d = out[static_cast<int>(c.Axis(axis, out.rank()))];
      if (k && d.is_const() && *k > d.value()) c.Fail("K is {}, but the axis has size {}.", *k, d.value());
      const auto symbol = ShapeInts(c, 1);
      d = k ? Dim(*k) : symbol && symbol->size() == 1 ? (*symbol)[0] : Dim::Unknown();
    }
    c.Out(0, c.Elem(0), out);
    c.Out(1, DType::kInt64, out);
  }

  void Run(RunContext& c) const {
    VisitNumeric(c.In(0).dtype(), [&]<class T>() { largest ? RunTyped<true, T>(c) : RunTyped<false, T>(c); });
  }

 private:
  template <bool Largest, class T>
  void RunTyped(RunContext& c) const {
    const Tensor& x = c.In(0);
    const int at = ModAxis(axis, x.shape().rank());
    const int64_t n = x.shape()[at], inner = x.shape().SizeFrom(at + 1), k = *c.In(1).data<int64_t>();
    const int64_t lines = x.shape().SizeTo(at) * inner;
    if (k == 0 || lines == 0) return;
    using V = std::conditional_t<std::is_arithmetic_v<T>, T, float>;
    T* values = c.HasOut(0) ? c.Out(0).data<T>() : nullptr;
    int64_t* indices = c.HasOut(1) ? c.Out(1).data<int64_t>() : nullptr;
    c.threads().ParallelFor(lines, GrainFor(4 * n * static_cast<int64_t>(sizeof(T))), [&](int64_t begin, int64_t end) {
      std::vector<Entry<V>> entries;
      for (int64_t i = begin; i < end; ++i) {
        const T* from = x.data<T>() + i / inner * n * inner + i % inner;
        if (inner == 1) {
          Select<Largest, V>(entries, n, k, [from](int64_t j) { return static_cast<V>(from[j]); });
        } else {
          Select<Largest, V>(entries, n, k, [from, inner](int64_t j) { return static_cast<V>(from[j * inner]); });
        }
        for (int64_t j = 0; j < k; ++j) {
          const int64_t to = (i / inner * k + j) * inner + i % inner;
          if (values) values[to] = from[entries[j].index * inner];
          if (indices) indices[to] = entries[j].index;
        }
      }
    });
  }
};
extern const OpDef kTopK = Define<TopK>(
    {.name = "TopK", .since = 24, .min_inputs = 2, .max_inputs = 2, .max_outputs = 2, .types = kNumericTypes});

}  // namespace slipway
