#include "core/dtype_visit.h"
#include "ops/indexing.h"
#include "ops/shape_math.h"

namespace slipway {

/// All slices of `size` along an axis, `step` apart; what lies along a slice is a new last axis. com.microsoft
/// UnfoldTensor.
struct UnfoldTensor {
  int64_t axis = -1;
  int64_t size = 0;
  int64_t step = 1;
  static UnfoldTensor Parse(const Attributes& a) {
    return {.axis = a.Int("dim", -1), .size = a.RequiredInt("size"), .step = a.Int("step", 1)};
  }

  void Infer(InferContext& c) const {
    if (size < 1 || step < 1) c.Fail("attributes 'size' and 'step' are {} and {}, but must be 1 or more.", size, step);
    if (!c.HasRank(0)) return c.Out(0, c.Elem(0));
    std::vector<Dim> dims = c.Shape(0).dims();
    Dim& along = dims[c.Axis(axis, static_cast<int64_t>(dims.size()), "attribute 'dim'")];
    if (along.is_const() && along.value() < size)
      c.Fail("{} has shape {}, which holds no slice of {}.", c.InputName(0), c.Shape(0).ToString(), size);
    along = FloorDiv(along - Dim(size), step) + 1;
    dims.push_back(size);
    c.Out(0, c.Elem(0), std::move(dims));
  }

  void Run(RunContext& c) const {
    const Shape& x = c.In(0).shape();
    const int at = ModAxis(axis, x.rank());
    const int64_t slices = c.Out(0).shape()[at], inner = x.SizeFrom(at + 1), rows = x.SizeTo(at) * slices;
    VisitBySize(c.In(0).dtype(), [&]<class T>() {
      const T* in = c.In(0).data<T>();
      T* out = c.Out(0).data<T>();
      c.threads().ParallelFor(rows, GrainFor(inner * size * sizeof(T)), [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          const T* from = in + (r / slices * x[at] + r % slices * step) * inner;
          for (int64_t i = 0; i < inner; ++i) {
            for (int64_t j = 0; j < size; ++j) out[(r * inner + i) * size + j] = from[j * inner + i];
          }
        }
      });
    });
  }
};
extern const OpDef kMicrosoftUnfoldTensor = Define<UnfoldTensor>({.name = "UnfoldTensor", .domain = kMicrosoftDomain});

}  // namespace slipway
