#include "ops/indexing.h"
#include "ops/ml/ml.h"

namespace slipway {

/// The elements at the given positions of the last axis. ONNX ArrayFeatureExtractor, since ai.onnx.ml 1.
struct ArrayFeatureExtractor {
  void Infer(InferContext& c) const {
    c.ExpectElem(1, {DType::kInt64});
    if (c.HasRank(0) && c.Shape(0).rank() == 0) c.Fail("{} has no axis.", c.InputName(0));
    const Dim count = c.HasRank(1) ? c.Shape(1).size() : Dim::Unknown();
    if (count == Dim(0)) c.Fail("{} has no elements.", c.InputName(1));
    if (!c.HasRank(0)) return c.Out(0, c.Elem(0));
    std::vector<Dim> dims = c.Shape(0).dims();
    // A vector counts as one row.
    if (dims.size() == 1) dims.insert(dims.begin(), Dim(1));
    dims.back() = count;
    c.Out(0, c.Elem(0), std::move(dims));
  }

  void Run(RunContext& c) const {
    const Tensor &x = c.In(0), &indices = c.In(1);
    const int64_t n = indices.size(), width = x.shape().Back(0);
    const int64_t* at = indices.data<int64_t>();
    for (int64_t i = 0; i < n; ++i) {
      if (at[i] < 0 || at[i] >= width) c.Fail("index {} is out of range for {} features.", at[i], width);
    }
    VisitBySize(x.dtype(), [&]<class T>() {
      const T* from = x.data<T>();
      T* to = c.Out(0).data<T>();
      const int64_t rows = width == 0 ? 0 : x.size() / width;
      c.threads().ParallelFor(rows, GrainFor(n * static_cast<int64_t>(sizeof(T))), [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          for (int64_t i = 0; i < n; ++i) to[r * n + i] = from[r * width + at[i]];
        }
      });
    });
  }
};
extern const OpDef kArrayFeatureExtractor =
    Define<ArrayFeatureExtractor>({.name = "ArrayFeatureExtractor",
                                   .since = 1,
                                   .domain = kMlDomain,
                                   .min_inputs = 2,
                                   .max_inputs = 2,
                                   .types = ml::kNumberTypes | TypeSet{DType::kString}});

}  // namespace slipway
