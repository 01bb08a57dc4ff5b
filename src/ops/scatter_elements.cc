#include "kernels/elementwise/axes.h"
#include "ops/indexing.h"
#include "ops/scatter.h"
#include "ops/shape_math.h"

namespace slipway {

/// y = data, then y[..., indices[..., i, ...], ...] takes updates[..., i, ...]. ONNX ScatterElements, since 18.
struct ScatterElements {
  int64_t axis = 0;
  Reduction reduction = Reduction::kNone;
  static ScatterElements Parse(const Attributes& a) {
    return {.axis = a.Int("axis", 0), .reduction = ParseReduction(a)};
  }

  void Infer(InferContext& c) const {
    c.ExpectElem(1, kIndexTypes);
    c.ExpectSameElem(2, 0);
    CheckReducible(c, reduction);
    if (c.HasRank(0)) {
      const SymbolicShape& x = c.Shape(0);
      const auto at = c.Axis(axis, x.rank());
      c.ExpectRank(1, x.rank(), x.rank());
      c.ExpectRank(2, x.rank(), x.rank());
      for (int i = 0; i < x.rank() && c.HasRank(1); ++i) {
        const Dim& d = c.Shape(1)[i];
        if (c.HasRank(2) && d.Differs(c.Shape(2)[i])) {
          c.Fail("indices have shape {} and updates {}; they must be equal.", c.Shape(1).ToString(),
                 c.Shape(2).ToString());
        }
        if (i != at && d.is_const() && x[i].is_const() && d.value() > x[i].value()) {
          c.Fail("indices of shape {} reach over data of shape {} on axis {}.", c.Shape(1).ToString(), x.ToString(), i);
        }
      }
    }
    InferSameAsFirst(c);
  }

  void Run(RunContext& c) const {
    StartFromData(c);
    const Tensor &indices = c.In(1), &updates = c.In(2);
    Tensor& y = c.Out(0);
    if (indices.size() == 0) return;
    const int rank = y.shape().rank(), at = ModAxis(axis, rank);
    const int64_t size = y.shape()[at], columns = indices.shape().Back(0);
    const auto strides = kernels::DenseStrides(y.shape());
    const int64_t step = strides[at], column_step = at == rank - 1 ? 0 : 1;
    std::vector<kernels::Axis<1>> rows;
    for (int i = 0; i + 1 < rank; ++i) rows.push_back({indices.shape()[i], {i == at ? 0 : strides[i]}});
    const std::vector<int64_t> index = CheckedIndices(c, indices, size);
    VisitScatter(y.dtype(), reduction, [&]<class T, Reduction R>() {
      T* to = y.data<T>();
      const T* from = updates.data<T>();
      kernels::ForEachOffset<1>(rows, 0, indices.size() / columns,
                                [&](int64_t row, const std::array<int64_t, 1>& base) {
                                  for (int64_t j = 0; j < columns; ++j) {
                                    T& place = to[base[0] + index[row * columns + j] * step + j * column_step];
                                    place = Reduced<R>(place, from[row * columns + j]);
                                  }
                                });
    });
  }
};
extern const OpDef kScatterElements =
    Define<ScatterElements>({.name = "ScatterElements", .since = 18, .min_inputs = 3, .max_inputs = 3, .in_place = 0});

}  // namespace slipway
