#include "ops/indexing.h"
#include "ops/shape_math.h"

namespace slipway {

/// Slices of an axis by their indices. ONNX Gather, since 13.
struct Gather {
  int64_t axis = 0;
  static Gather Parse(const Attributes& a) { return {.axis = a.Int("axis", 0)}; }

  void Infer(InferContext& c) const {
    c.ExpectElem(1, kIndexTypes);
    if (!c.HasRank(0) || !c.HasRank(1)) return c.Out(0, c.Elem(0));
    const SymbolicShape &x = c.Shape(0), &indices = c.Shape(1);
    const auto at = c.Axis(axis, x.rank());
    std::vector<Dim> dims(x.dims().begin(), x.dims().begin() + at);
    dims.insert(dims.end(), indices.dims().begin(), indices.dims().end());
    dims.insert(dims.end(), x.dims().begin() + at + 1, x.dims().end());
    PropagateInts(c);
    c.Out(0, c.Elem(0), std::move(dims));
  }

  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    const int at = ModAxis(axis, x.shape().rank());
    const auto indices = CheckedIndices(c, c.In(1), x.shape()[at]);
    const int64_t outer = x.shape().SizeTo(at), inner = x.shape().SizeFrom(at + 1), row = x.shape().SizeFrom(at);
    const int64_t count = static_cast<int64_t>(indices.size());
    if (count == 0) return;
    VisitBySize(x.dtype(), [&]<class T>() {
      const T* from = x.data<T>();
      T* to = c.Out(0).data<T>();
      c.threads().ParallelFor(outer * count, GrainFor(inner * sizeof(T)), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          std::copy_n(from + i / count * row + indices[i % count] * inner, inner, to + i * inner);
        }
      });
    });
  }

 private:
  static void PropagateInts(InferContext& c) {
    if (c.Shape(0).rank() != 1 || c.Shape(1).rank() > 1) return;
    const auto data = ShapeInts(c, 0), indices = ShapeInts(c, 1);
    if (!data || !indices) return;
    SymbolicInts out;
    const auto size = static_cast<int64_t>(data->size());
    for (const Dim& d : *indices) {
      if (!d.is_const()) return;
      if (d.value() < -size || d.value() >= size)
        c.Fail("index {} is out of range for an axis of size {}.", d.value(), size);
      out.push_back((*data)[ModAxis(d.value(), size)]);
    }
    c.OutInts(0, std::move(out));
  }
};
extern const OpDef kGather = Define<Gather>({.name = "Gather", .since = 13, .min_inputs = 2, .max_inputs = 2});

}  // namespace slipway
