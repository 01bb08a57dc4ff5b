#include <algorithm>

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

/// Puts an entry in the place of a heap's first, and lets it sink.
template <class T>
void ReplaceWorst(std::vector<Entry<T>>& heap, const Entry<T>& entry, const auto& before) {
  size_t at = 0;
  for (size_t child = 1; child < heap.size(); child = 2 * at + 1) {
    if (child + 1 < heap.size() && before(heap[child], heap[child + 1])) ++child;
    if (!before(entry, heap[child])) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = entry;
}

/// The k first of n elements, `stride` apart, in order. Few of many: a heap of k whose worst is on top, which nearly
/// all elements fail to beat; otherwise a partition.
template <bool Largest, class T>
void Select(std::vector<Entry<T>>& entries, int64_t n, int64_t k, const auto& value_at) {
  const auto before = Before<Largest, T>;
  entries.clear();
  const int64_t kept = k * 8 < n ? k : n;
  for (int64_t i = 0; i < kept; ++i) entries.push_back({value_at(i), i});
  if (kept < n) {
    std::make_heap(entries.begin(), entries.end(), before);
    // Most elements fail; an equal one stands behind those before it.
    const auto may_pass = [&, worst = &entries.front().value](int64_t j) {
      return Largest ? !(value_at(j) <= *worst) : !(value_at(j) >= *worst);
    };
    for (int64_t i = SkipFailing(kept, n, may_pass); i < n; i = SkipFailing(i + 1, n, may_pass)) {
      const Entry<T> entry = {value_at(i), i};
      if (before(entry, entries.front())) ReplaceWorst(entries, entry, before);
    }
    std::sort_heap(entries.begin(), entries.end(), before);
    return;
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
