#include <fmt/ranges.h>

#include "kernels/copy/strided_copy.h"
#include "ops/shape_math.h"

namespace slipway {

/// Repeats axes of size 1 so that the shape is the broadcast of the input's and the one given. ONNX Expand, since 13.
struct Expand {
  void Infer(InferContext& c) const {
    c.ExpectElem(1, {DType::kInt64});
    c.ExpectRank(1, 1, 1);
    const auto wanted = c.Ints(1);
    if (!wanted) return c.Out(0, c.Elem(0), UnknownShape(c));
    std::vector<Dim> target;
    for (const Dim& d : *wanted) {
      if (d.is_const() && d.value() < 0) c.Fail("the shape has the negative size {}.", d.value());
      target.push_back(d);
    }
    SymbolicShape out = Broadcast(c, c.Shape(0), SymbolicShape(std::move(target)));
    if (auto ints = ShapeInts(c, 0); ints && out.has_rank() && out.rank() <= 1) PropagateInts(c, *ints, out);
    c.Out(0, c.Elem(0), std::move(out));
  }

  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    Tensor& y = c.Out(0);
    const int rank = y.shape().rank(), shift = rank - x.shape().rank();
    const auto dense = kernels::DenseStrides(x.shape());
    Check(c, c.In(1).span<int64_t>(), y.shape());
    std::vector<int64_t> from(rank, 0);
    for (int i = shift; i < rank; ++i) from[i] = x.shape()[i - shift] == 1 ? 0 : dense[i - shift];
    kernels::StridedCopy(x.dtype(), y.shape(), x.raw(), from, y.raw(), kernels::DenseStrides(y.shape()), c.threads());
  }

 private:
  /// The shape may have come after the output's was concluded from the input's.
  static void Check(const RunContext& c, std::span<const int64_t> wanted, const Shape& out) {
    const int extra = static_cast<int>(wanted.size()) - out.rank();
    for (int i = static_cast<int>(wanted.size()) - 1; i >= 0; --i) {
      const bool fits = i >= extra && (wanted[i] == 1 || wanted[i] == out[i - extra]);
      if (!fits || wanted[i] < 0)
        c.Fail("the shape [{}] cannot be broadcast with the input's {}.", fmt::join(wanted, ", "),
               c.In(0).shape().ToString());
    }
  }
  static SymbolicShape UnknownShape(const InferContext& c) {
    if (!c.HasRank(0) || !c.HasRank(1) || !c.Shape(1)[0].is_const()) return {};
    const int64_t rank = c.Shape(1)[0].value();
    // Sizes other than 1 stay.
    return rank <= 64 ? Broadcast(c, c.Shape(0), SymbolicShape::OfRank(static_cast<int>(rank))) : SymbolicShape();
  }
  static void PropagateInts(InferContext& c, const SymbolicInts& ints, const SymbolicShape& out) {
    if (out.rank() == 0) return c.OutInts(0, ints);
    if (!out[0].is_const() || out[0].value() > 64) return;
    const auto n = static_cast<size_t>(out[0].value());
    if (ints.size() == n) return c.OutInts(0, ints);
    if (ints.size() == 1) c.OutInts(0, SymbolicInts(n, ints[0]));
  }
};
extern const OpDef kExpand = Define<Expand>({.name = "Expand", .since = 13, .min_inputs = 2, .max_inputs = 2});

}  // namespace slipway
