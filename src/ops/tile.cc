#include "kernels/copy/strided_copy.h"
#include "ops/one_number.h"
#include "ops/shape_math.h"

namespace slipway {

/// Repeats the whole tensor along each axis. ONNX Tile, since 13.
struct Tile {
  void Infer(InferContext& c) const {
    c.ExpectElem(1, {DType::kInt64});
    c.ExpectRank(1, 1, 1);
    if (!c.HasRank(0)) return c.Out(0, c.Elem(0));
    const SymbolicShape& x = c.Shape(0);
    const auto repeats = c.Ints(1);
    if (!repeats) return c.Out(0, c.Elem(0), ToldByData(x.rank()));
    if (static_cast<int>(repeats->size()) != x.rank())
      c.Fail("{} repeats for {} of rank {}.", repeats->size(), c.InputName(0), x.rank());
    std::vector<Dim> dims;
    for (int i = 0; i < x.rank(); ++i) {
      const Dim& r = (*repeats)[i];
      if (r.is_const() && r.value() < 0) c.Fail("the repeats of axis {} are negative: {}.", i, r.value());
      dims.push_back(x[i] * r);
    }
    c.Out(0, c.Elem(0), std::move(dims));
  }

  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    Tensor& y = c.Out(0);
    const auto from = kernels::DenseStrides(x.shape()), to = kernels::DenseStrides(y.shape());
    // Each axis is two: which copy, and where in it.
    std::vector<int64_t> shape, from_strides, to_strides;
    for (int i = 0; i < x.shape().rank(); ++i) {
      const int64_t size = x.shape()[i];
      if (y.size() == 0) return;
      shape.insert(shape.end(), {y.shape()[i] / size, size});
      from_strides.insert(from_strides.end(), {0, from[i]});
      to_strides.insert(to_strides.end(), {size * to[i], to[i]});
    }
    kernels::StridedCopy(x.dtype(), shape, x.raw(), from_strides, y.raw(), to_strides, c.threads());
  }
};
extern const OpDef kTile = Define<Tile>({.name = "Tile", .since = 13, .min_inputs = 2, .max_inputs = 2});

}  // namespace slipway
