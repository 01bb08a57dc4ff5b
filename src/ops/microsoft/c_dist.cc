#include <cmath>

#include "core/dtype_visit.h"
#include "ops/indexing.h"

namespace slipway {

/// Distances of each row of A [m, n] from each of B [k, n]. com.microsoft CDist.
struct CDist {
  bool squared = true;
  static CDist Parse(const Attributes& a) {
    const std::string metric = a.String("metric", "sqeuclidean");
    if (metric != "sqeuclidean" && metric != "euclidean")
      throw Error(Code::kUnsupported,
                  fmt::format("attribute 'metric' is '{}', but must be euclidean or sqeuclidean.", metric));
    return {.squared = metric == "sqeuclidean"};
  }

  void Infer(InferContext& c) const {
    c.ExpectSameElem(1, 0);
    for (int i : {0, 1}) c.ExpectRank(i, 2, 2);
    const SymbolicShape a = c.HasRank(0) ? c.Shape(0) : SymbolicShape::OfRank(2);
    const SymbolicShape b = c.HasRank(1) ? c.Shape(1) : SymbolicShape::OfRank(2);
    if (a[1].Differs(b[1]))
      c.Fail("{} has shape {}, {} has {}.", c.InputName(0), a.ToString(), c.InputName(1), b.ToString());
    c.Out(0, c.Elem(0), {a[0], b[0]});
  }

  void Run(RunContext& c) const {
    const int64_t n = c.In(0).shape()[1], columns = c.In(1).shape()[0];
    Visit(Types<float, double>{}, c.In(0).dtype(), "float or double", [&]<class T>() {
      const T *a = c.In(0).data<T>(), *b = c.In(1).data<T>();
      T* out = c.Out(0).data<T>();
      c.threads().ParallelFor(c.Out(0).size(), GrainFor(8 * n), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const T *x = a + i / columns * n, *y = b + i % columns * n;
          double sum = 0;
          for (int64_t j = 0; j < n; ++j) {
            const double difference = static_cast<double>(x[j]) - static_cast<double>(y[j]);
            sum += difference * difference;
          }
          out[i] = static_cast<T>(squared ? sum : std::sqrt(sum));
        }
      });
    });
  }
};
extern const OpDef kMicrosoftCDist = Define<CDist>({.name = "CDist",
                                                    .domain = kMicrosoftDomain,
                                                    .min_inputs = 2,
                                                    .max_inputs = 2,
                                                    .types = {DType::kFloat, DType::kDouble}});

}  // namespace slipway
