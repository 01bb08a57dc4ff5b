#include "ops/indexing.h"
#include "ops/scatter.h"
#include "ops/shape_math.h"

namespace slipway {

/// y = data, then y[indices[i, ...]] takes updates[i, ...], a slice. ONNX ScatterND, since 18.
struct ScatterND {
  Reduction reduction = Reduction::kNone;
  static ScatterND Parse(const Attributes& a) { return {.reduction = ParseReduction(a)}; }

  void Infer(InferContext& c) const {
    c.ExpectElem(1, {DType::kInt64});
    c.ExpectSameElem(2, 0);
    CheckReducible(c, reduction);
    if (c.HasRank(0) && c.HasRank(1)) CheckShapes(c);
    InferSameAsFirst(c);
  }

  void Run(RunContext& c) const {
    StartFromData(c);
    const Tensor &indices = c.In(1), &updates = c.In(2);
    Tensor& y = c.Out(0);
    const int64_t tuple = indices.shape().Back(0), tuples = indices.shape().SizeTo(indices.shape().rank() - 1);
    const int64_t inner = y.shape().SizeFrom(static_cast<int>(tuple));
    const auto strides = kernels::DenseStrides(y.shape());
    VisitScatter(y.dtype(), reduction, [&]<class T, Reduction R>() {
      const T* from = updates.data<T>();
      for (int64_t i = 0; i < tuples; ++i, from += inner) {
        const int64_t* index = indices.data<int64_t>() + i * tuple;
        T* to = y.data<T>();
        for (int k = 0; k < tuple; ++k) to += CheckedIndex(c, index[k], y.shape()[k]) * strides[k];
        for (int64_t j = 0; j < inner; ++j) to[j] = Reduced<R>(to[j], from[j]);
      }
    });
  }

 private:
  static void CheckShapes(const InferContext& c) {
    const SymbolicShape &x = c.Shape(0), &indices = c.Shape(1);
    if (x.rank() < 1 || indices.rank() < 1) c.Fail("data and indices must have rank 1 or more.");
    const Dim& tuple = indices[indices.rank() - 1];
    if (!tuple.is_const()) return;
    if (tuple.value() < 1 || tuple.value() > x.rank()) {
      c.Fail("indices has tuples of {}, but data of shape {} takes 1 to {}.", tuple.value(), x.ToString(), x.rank());
    }
    if (!c.HasRank(2)) return;
    std::vector<Dim> want(indices.dims().begin(), indices.dims().end() - 1);
    want.insert(want.end(), x.dims().begin() + tuple.value(), x.dims().end());
    const SymbolicShape& updates = c.Shape(2);
    bool fits = updates.rank() == static_cast<int>(want.size());
    for (int i = 0; fits && i < updates.rank(); ++i) fits = !updates[i].Differs(want[i]);
    if (!fits) {
      c.Fail("updates has shape {}, but data {} and indices {} want {}.", updates.ToString(), x.ToString(),
             indices.ToString(), SymbolicShape(want).ToString());
    }
  }
};
extern const OpDef kScatterND =
    Define<ScatterND>({.name = "ScatterND", .since = 18, .min_inputs = 3, .max_inputs = 3, .in_place = 0});

}  // namespace slipway
