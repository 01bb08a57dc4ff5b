#include <algorithm>

#include "core/dtype_visit.h"
#include "kernels/elementwise/axes.h"
#include "ops/indexing.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

using Offsets = std::array<int64_t, 3>;

template <class T, bool XRun, bool YRun>
void SelectRow(const uint8_t* condition, const T* x, const T* y, T* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    if constexpr (std::is_trivially_copyable_v<T>) {
      // Both are read, so that no branch waits for a condition that nobody can guess.
      const T a = x[XRun ? i : 0], b = y[YRun ? i : 0];
      to[i] = condition[i] ? a : b;
    } else {
      to[i] = condition[i] ? x[XRun ? i : 0] : y[YRun ? i : 0];
    }
  }
}

/// One row; each stride is 0 or 1.
template <class T>
void WhereRow(const uint8_t* condition, const T* x, const T* y, T* to, int64_t n, const Offsets& stride) {
  if (stride[0] == 0) {
    const T* from = *condition ? x : y;
    if (stride[*condition ? 1 : 2]) {
      std::copy_n(from, n, to);
    } else {
      std::fill_n(to, n, *from);
    }
  } else if (stride[1]) {
    stride[2] ? SelectRow<T, true, true>(condition, x, y, to, n) : SelectRow<T, true, false>(condition, x, y, to, n);
  } else {
    stride[2] ? SelectRow<T, false, true>(condition, x, y, to, n) : SelectRow<T, false, false>(condition, x, y, to, n);
  }
}

/// The strides of `shape` under `out`, 0 where it repeats.
std::vector<int64_t> BroadcastStrides(const Shape& shape, const Shape& out) {
  std::vector<int64_t> strides(out.rank(), 0);
  int64_t stride = 1;
  for (int i = shape.rank() - 1, o = out.rank() - 1; i >= 0; --i, --o) {
    if (shape[i] != 1) strides[o] = stride;
    stride *= shape[i];
  }
  return strides;
}

}  // namespace

/// condition ? X : Y, broadcast. ONNX Where, since 16.
struct Where {
  void Infer(InferContext& c) const {
    c.ExpectElem(0, {DType::kBool});
    c.ExpectSameElem(2, 1);
    SymbolicShape out = Broadcast(c, Broadcast(c, c.Shape(0), c.Shape(1)), c.Shape(2));
    PropagateInts(c, out);
    c.Out(0, c.Elem(1), std::move(out));
  }

  void Run(RunContext& c) const {
    Tensor& out = c.Out(0);
    if (out.size() == 0) return;
    std::array<std::vector<int64_t>, 3> strides;
    for (int k = 0; k < 3; ++k) strides[k] = BroadcastStrides(c.In(k).shape(), out.shape());
    std::vector<kernels::Axis<3>> axes;
    for (int i = out.shape().rank() - 1; i >= 0; --i) {
      if (out.shape()[i] != 1)
        kernels::JoinAxis<3>(axes, {out.shape()[i], {strides[0][i], strides[1][i], strides[2][i]}});
    }
    if (axes.empty()) axes.push_back({1, {0, 0, 0}});
    const kernels::Axis<3> inner = axes.front();
    axes.erase(axes.begin());
    std::reverse(axes.begin(), axes.end());
    VisitBySize(out.dtype(), [&]<class T>() { RunTyped<T>(c, axes, inner); });
  }

 private:
  template <class T>
  static void RunTyped(RunContext& c, std::span<const kernels::Axis<3>> axes, const kernels::Axis<3>& inner) {
    const auto* condition = c.In(0).data<uint8_t>();
    const T *x = c.In(1).data<T>(), *y = c.In(2).data<T>();
    T* out = c.Out(0).data<T>();
    const Offsets& s = inner.stride;
    if (axes.empty()) {
      c.threads().ParallelFor(inner.size, GrainFor(sizeof(T)), [&](int64_t b, int64_t e) {
        WhereRow(condition + b * s[0], x + b * s[1], y + b * s[2], out + b, e - b, s);
      });
      return;
    }
    const int64_t rows = c.Out(0).size() / inner.size;
    c.threads().ParallelFor(rows, GrainFor(inner.size * sizeof(T)), [&](int64_t begin, int64_t end) {
      kernels::ForEachOffset<3>(axes, begin, end, [&](int64_t row, const Offsets& at) {
        WhereRow(condition + at[0], x + at[1], y + at[2], out + row * inner.size, inner.size, s);
      });
    });
  }

  static void PropagateInts(InferContext& c, const SymbolicShape& out) {
    if (!out.has_rank() || out.rank() > 1) return;
    const auto condition = ShapeBools(c, 0), x = ShapeInts(c, 1), y = ShapeInts(c, 2);
    if (!x || !y) return;
    size_t n = std::max({condition ? condition->size() : 1, x->size(), y->size()});
    if (x->empty() || y->empty() || (condition && condition->empty())) n = 0;
    auto at = [](const SymbolicInts& v, size_t i) { return v.size() == 1 ? v[0] : v[i]; };
    std::vector<std::optional<Dim>> ints(n);
    for (size_t i = 0; i < n; ++i) {
      const Dim a = at(*x, i), b = at(*y, i);
      if (a == b) {
        ints[i] = a;
      } else if (condition && at(*condition, i).is_const()) {
        ints[i] = at(*condition, i).value() ? a : b;
      }
    }
    if (auto known = AllKnown(ints)) c.OutInts(0, *std::move(known));
  }
};
extern const OpDef kWhere =
    Define<Where>({.name = "Where", .since = 16, .min_inputs = 3, .max_inputs = 3, .types = {DType::kBool}});

}  // namespace slipway
