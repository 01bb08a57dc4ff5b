#include <algorithm>

#include "ops/indexing.h"
#include "ops/shape_math.h"

namespace slipway {

/// Keeps the upper or lower triangle of the last two axes, from the k-th diagonal on; the rest is zero. ONNX Trilu,
/// since 14.
struct Trilu {
  bool upper = true;
  static Trilu Parse(const Attributes& a) { return {.upper = a.Int("upper", 1) != 0}; }

  void Infer(InferContext& c) const {
    if (c.HasRank(0) && c.Shape(0).rank() < 2)
      c.Fail("{} has rank {}, but needs 2 or more.", c.InputName(0), c.Shape(0).rank());
    if (c.Has(1)) {
      c.ExpectElem(1, {DType::kInt64});
      ConstInt(c, 1);
    }
    InferSameAsFirst(c);
  }

  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    const int64_t rows = x.shape().Back(1), columns = x.shape().Back(0);
    if (x.size() == 0) return;
    // Beyond the corners every k is alike.
    const int64_t k = c.Has(1) ? std::clamp(*c.In(1).data<int64_t>(), -rows, columns) : 0;
    VisitBySize(x.dtype(), [&]<class T>() {
      c.threads().ParallelFor(x.size() / columns, GrainFor(columns * sizeof(T)), [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          const T* from = x.data<T>() + r * columns;
          T* to = c.Out(0).data<T>() + r * columns;
          const int64_t edge = std::clamp<int64_t>(r % rows + k + (upper ? 0 : 1), 0, columns);
          const int64_t first = upper ? edge : 0, last = upper ? columns : edge;
          std::fill(to, to + first, T{});
          if (from != to) std::copy(from + first, from + last, to + first);
          std::fill(to + last, to + columns, T{});
        }
      });
    });
  }
};
extern const OpDef kTrilu = Define<Trilu>({.name = "Trilu", .since = 14, .max_inputs = 2, .in_place = 0});

}  // namespace slipway
