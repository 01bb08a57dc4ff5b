#include "kernels/copy/strided_copy.h"
#include "kernels/elementwise/axes.h"
#include "ops/indexing.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

/// Whether all n places are from 0 to size - 1. Only signs are looked at: a loop without comparisons becomes SIMD on
/// every CPU.
template <class I>
bool AllWithin(const I* places, int64_t n, int64_t size) {
  using U = std::make_unsigned_t<I>;
  if (size > static_cast<int64_t>(std::numeric_limits<I>::max())) return false;
  const U last = static_cast<U>(size) - 1;
  U seen = 0;
  for (int64_t i = 0; i < n; ++i) seen |= static_cast<U>(places[i]) | (last - static_cast<U>(places[i]));
  return static_cast<I>(seen) >= 0;
}

}  // namespace

/// y[..., i, ...] = x[..., indices[..., i, ...], ...] along an axis. ONNX GatherElements, since 13.
struct GatherElements {
  int64_t axis = 0;
  static GatherElements Parse(const Attributes& a) { return {.axis = a.Int("axis", 0)}; }

  void Infer(InferContext& c) const {
    c.ExpectElem(1, kIndexTypes);
    if (c.HasRank(0) && c.HasRank(1)) {
      const SymbolicShape &x = c.Shape(0), &indices = c.Shape(1);
      const auto at = c.Axis(axis, x.rank());
      if (x.rank() != indices.rank())
        c.Fail("data has rank {} and indices {}; they must be equal.", x.rank(), indices.rank());
      for (int i = 0; i < x.rank(); ++i) {
        if (i != at && x[i].is_const() && indices[i].is_const() && indices[i].value() > x[i].value()) {
          c.Fail("indices of shape {} reach over data of shape {} on axis {}.", indices.ToString(), x.ToString(), i);
        }
      }
    }
    c.Out(0, c.Elem(0), c.Shape(1));
  }

  void Run(RunContext& c) const {
    const Tensor &x = c.In(0), &indices = c.In(1);
    const int rank = x.shape().rank(), at = ModAxis(axis, rank);
    const int64_t size = x.shape()[at], columns = indices.shape().Back(0);
    if (indices.size() == 0) return;
    auto strides = kernels::DenseStrides(x.shape());
    const int64_t step = strides[at];
    std::vector<kernels::Axis<1>> rows;
    for (int i = 0; i + 1 < rank; ++i) rows.push_back({indices.shape()[i], {i == at ? 0 : strides[i]}});
    VisitBySize(x.dtype(), [&]<class T>() {
      VisitIndex(indices.dtype(), [&]<class I>() {
        const T* from = x.data<T>();
        T* to = c.Out(0).data<T>();
        const I* index = indices.data<I>();
        c.threads().ParallelFor(
            indices.size() / columns, GrainFor(columns * sizeof(T)), [&](int64_t begin, int64_t end) {
              kernels::ForEachOffset<1>(rows, begin, end, [&](int64_t row, const std::array<int64_t, 1>& base) {
                const I* places = index + row * columns;
                if (size == 0) CheckedIndex(c, places[0], size);
                const T* line = from + base[0];
                T* out = to + row * columns;
                if (AllWithin(places, columns, size)) {
                  if (at == rank - 1) {
                    for (int64_t j = 0; j < columns; ++j) out[j] = line[places[j]];
                  } else {
                    for (int64_t j = 0; j < columns; ++j) out[j] = line[places[j] * step + j];
                  }
                  return;
                }
                bool outside = false;
                // What is outside reads the first element, and is told of afterwards: no branch in the loop.
                const auto index_of = [&](int64_t j) {
                  const int64_t index = places[j], i = index + (size & (index >> 63));
                  const bool past = static_cast<uint64_t>(i) >= static_cast<uint64_t>(size);
                  outside |= past;
                  return past ? 0 : i;
                };
                if (at == rank - 1) {
                  for (int64_t j = 0; j < columns; ++j) out[j] = line[index_of(j)];
                } else {
                  for (int64_t j = 0; j < columns; ++j) out[j] = line[index_of(j) * step + j];
                }
                for (int64_t j = 0; outside && j < columns; ++j) CheckedIndex(c, places[j], size);
              });
            });
      });
    });
  }
};
extern const OpDef kGatherElements =
    Define<GatherElements>({.name = "GatherElements", .since = 13, .min_inputs = 2, .max_inputs = 2});

}  // namespace slipway
