#include <numeric>

#include "kernels/conv/layout.h"
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
    const auto order = Order(x.shape().rank());
    if (const auto at = Turn(order); at && x.dtype() == DType::kFloat) {
      const Shape& shape = x.shape();
      const int64_t n = shape.SizeTo(at->first), columns = shape.SizeFrom(at->second);
      const int64_t rows = x.size() == 0 ? 0 : x.size() / n / columns;
      return kernels::TransposeMatrices(x.data<float>(), n, rows, columns, y.data<float>(), c.threads());
    }
    const auto strides = kernels::DenseStrides(x.shape());
    std::vector<int64_t> from;
    for (int64_t axis : order) from.push_back(strides[axis]);
    kernels::StridedCopy(x.dtype(), y.shape(), x.raw(), from, y.raw(), kernels::DenseStrides(y.shape()), c.threads());
  }

 private:
  /// Where the order is 0 … p - 1, q … rank - 1, p … q - 1: p and q. Axes p to q and q on are matrices' two, then.
  static std::optional<std::pair<int, int>> Turn(const std::vector<int64_t>& order) {
    const int rank = static_cast<int>(order.size());
    int p = 0;
    while (p < rank && order[p] == p) ++p;
    if (p == rank) return std::nullopt;
    const int q = static_cast<int>(order[p]);
    for (int i = p; i < rank; ++i) {
      if (order[i] != (i - p < rank - q ? q + i - p : i - (rank - q))) return std::nullopt;
    }
    return std::pair(p, q);
  }
  std::vector<int64_t> Order(int rank) const {
    if (perm) return *perm;
    std::vector<int64_t> order(rank);
    std::iota(order.rbegin(), order.rend(), 0);
    return order;
  }
};
extern const OpDef kTranspose = Define<Transpose>({.name = "Transpose", .since = 25});

}  // namespace slipway
