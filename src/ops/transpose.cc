#include <numeric>

#include "kernels/copy/strided_copy.h"
#include "ops/shape_math.h"

namespace slipway {

/// Exchanges axes; reversed where no perm is given. ONNX Transpose, since 25.
struct Transpose {
  std::optional<std::vector<int64_t>> perm;
  static Transpose Parse(const Attributes& a) {
    Transpose op;
    if (a.Has("perm")) op.perm = a.Ints("perm");
    return op;
  }
  void Infer(InferContext& c) const {
    if (!c.HasRank(0)) {
      return c.Out(0, c.Elem(0), perm ? SymbolicShape::OfRank(static_cast<int>(perm->size())) : SymbolicShape());
    }
    const int rank = c.Shape(0).rank();
    if (perm && static_cast<int>(perm->size()) != rank) {
      c.Fail("perm names {} axes, but {} has rank {}.", perm->size(), c.InputName(0), rank);
    }
    const auto order = UniqueAxes(c, Order(rank), rank);
    for (int64_t axis : Order(rank)) {
      if (axis < 0) c.Fail("perm holds {}, but must hold 0 to {}.", axis, rank - 1);
    }
    std::vector<Dim> dims;
    for (int64_t axis : order) dims.push_back(c.Shape(0)[static_cast<int>(axis)]);
    if (auto ints = ShapeInts(c, 0); ints && rank <= 1) c.OutInts(0, *std::move(ints));
    c.Out(0, c.Elem(0), std::move(dims));
  }
  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    Tensor& y = c.Out(0);
    const auto strides = kernels::DenseStrides(x.shape());
    std::vector<int64_t> from;
    for (int64_t axis : Order(x.shape().rank())) from.push_back(strides[axis]);
    kernels::StridedCopy(x.dtype(), y.shape(), x.raw(), from, y.raw(), kernels::DenseStrides(y.shape()), c.threads());
  }

 private:
  std::vector<int64_t> Order(int rank) const {
    if (perm) return *perm;
    std::vector<int64_t> order(rank);
    std::iota(order.rbegin(), order.rend(), 0);
    return order;
  }
};
extern const OpDef kTranspose = Define<Transpose>({.name = "Transpose", .since = 25});

}  // namespace slipway
