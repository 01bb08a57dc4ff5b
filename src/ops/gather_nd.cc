#include "kernels/copy/strided_copy.h"
#include "ops/indexing.h"
#include "ops/shape_math.h"

namespace slipway {

/// Slices by tuples of indices, the last axis of `indices`. ONNX GatherND, since 13.
struct GatherND {
  int64_t batch_dims = 0;
  static GatherND Parse(const Attributes& a) { return {.batch_dims = a.Int("batch_dims", 0)}; }

  void Infer(InferContext& c) const {
    c.ExpectElem(1, {DType::kInt64});
    if (!c.HasRank(0) || !c.HasRank(1)) return c.Out(0, c.Elem(0));
    const SymbolicShape &x = c.Shape(0), &indices = c.Shape(1);
    if (x.rank() < 1 || indices.rank() < 1) c.Fail("data and indices must have rank 1 or more.");
    if (batch_dims < 0 || batch_dims >= std::min(x.rank(), indices.rank())) {
      c.Fail("batch_dims is {}, but must lie in [0, {}).", batch_dims, std::min(x.rank(), indices.rank()));
    }
    for (int i = 0; i < batch_dims; ++i) {
      if (x[i].Differs(indices[i]))
        c.Fail("batch axis {} is {} in data and {} in indices.", i, x[i].ToString(), indices[i].ToString());
    }
    const Dim& tuple = indices[indices.rank() - 1];
    if (!tuple.is_const()) return c.Out(0, c.Elem(0));
    if (tuple.value() < 1 || tuple.value() > x.rank() - batch_dims) {
      c.Fail("indices has tuples of {}, but data of shape {} takes 1 to {}.", tuple.value(), x.ToString(),
             x.rank() - batch_dims);
    }
    std::vector<Dim> dims(indices.dims().begin(), indices.dims().end() - 1);
    dims.insert(dims.end(), x.dims().begin() + batch_dims + tuple.value(), x.dims().end());
    c.Out(0, c.Elem(0), std::move(dims));
  }

  void Run(RunContext& c) const {
    const Tensor &x = c.In(0), &indices = c.In(1);
    const int batch = static_cast<int>(batch_dims);
    const int64_t tuple = indices.shape().Back(0), tuples = indices.shape().SizeTo(indices.shape().rank() - 1);
    const int64_t inner = x.shape().SizeFrom(batch + static_cast<int>(tuple)), per_batch = x.shape().SizeFrom(batch);
    const int64_t batches = indices.shape().SizeTo(batch);
    if (tuples == 0) return;
    const auto strides = kernels::DenseStrides(x.shape());
    VisitBySize(x.dtype(), [&]<class T>() {
      const T* from = x.data<T>();
      T* to = c.Out(0).data<T>();
      c.threads().ParallelFor(tuples, GrainFor(inner * sizeof(T)), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const int64_t* index = indices.data<int64_t>() + i * tuple;
          int64_t at = i / (tuples / batches) * per_batch;
          for (int k = 0; k < tuple; ++k) at += CheckedIndex(c, index[k], x.shape()[batch + k]) * strides[batch + k];
          std::copy_n(from + at, inner, to + i * inner);
        }
      });
    });
  }
};
extern const OpDef kGatherND = Define<GatherND>({.name = "GatherND", .since = 13, .min_inputs = 2, .max_inputs = 2});

}  // namespace slipway
