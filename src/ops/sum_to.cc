#include <algorithm>

#include "core/dtype_visit.h"
#include "kernels/copy/strided_copy.h"
#include "ops/in_float.h"
#include "ops/shape_math.h"

namespace slipway {

/// Sums input 0 over the axes along which the shape of input 1 was broadcast to its own: the gradient of a broadcast.
/// ai.slipway SumTo.
struct SumTo {
  void Infer(InferContext& c) const {
    if (c.HasRank(0) && c.HasRank(1)) {
      const SymbolicShape &x = c.Shape(0), &to = c.Shape(1);
      bool fits = to.rank() <= x.rank();
      for (int i = 0; fits && i < to.rank(); ++i) {
        const Dim& n = to[to.rank() - 1 - i];
        fits = n == Dim(1) || !n.Differs(x[x.rank() - 1 - i]);
      }
      if (!fits) c.Fail("{} is no broadcast of {}.", x.ToString(), to.ToString());
    }
    c.Out(0, c.Elem(0), c.Shape(1));
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    const Tensor& x = c.In(0);
    Tensor& y = c.Out(0);
    const int rank = x.shape().rank(), ahead = rank - y.shape().rank();
    const auto dense = kernels::DenseStrides(y.shape());
    std::vector<int64_t> steps(rank, 0), at(rank, 0);
    for (int i = ahead; i < rank; ++i) steps[i] = y.shape()[i - ahead] == 1 ? 0 : dense[i - ahead];
    Visit(Types<float, double>{}, x.dtype(), "a float", [&]<class T>() {
      std::vector<double> sums(y.size(), 0.0);
      int64_t to = 0;
      for (int64_t i = 0; i < x.size(); ++i) {
        sums[to] += x.data<T>()[i];
        for (int axis = rank - 1; axis >= 0; --axis) {
          to += steps[axis];
          if (++at[axis] < x.shape()[axis]) break;
          to -= steps[axis] * at[axis];
          at[axis] = 0;
        }
      }
      for (int64_t i = 0; i < y.size(); ++i) y.data<T>()[i] = static_cast<T>(sums[i]);
    });
  }
};
extern const OpDef kSlipwaySumTo =
    Define<SumTo>({.name = "SumTo", .domain = kSlipwayDomain, .min_inputs = 2, .max_inputs = 2, .types = kFloatTypes});

}  // namespace slipway
