#include <algorithm>

#include "core/dtype_visit.h"
#include "ops/shape_math.h"

namespace slipway {

/// The slices of an axis (elements, without one) where the condition is true. ONNX Compress, since 28.
struct Compress {
  std::optional<int64_t> axis;
  static Compress Parse(const Attributes& a) {
    Compress op;
    if (a.Has("axis")) op.axis = a.Int("axis", 0);
    return op;
  }
  void Infer(InferContext& c) const {
    c.ExpectElem(1, {DType::kBool});
    c.ExpectRank(1, 1, 1);
    if (!axis) return c.Out(0, c.Elem(0), SymbolicShape::OfRank(1));
    if (!c.HasRank(0)) return c.Out(0, c.Elem(0));
    SymbolicShape out = c.Shape(0);
    out[static_cast<int>(c.Axis(*axis, out.rank()))] = Dim::Unknown();
    c.Out(0, c.Elem(0), std::move(out));
  }
  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    const Tensor& condition = c.In(1);
    const int at = axis ? ModAxis(*axis, x.shape().rank()) : 0;
    const int64_t size = axis ? x.shape()[at] : x.size();
    const int64_t outer = axis ? x.shape().SizeTo(at) : 1, inner = axis ? x.shape().SizeFrom(at + 1) : 1;
    std::vector<int64_t> kept;
    for (int64_t i = 0; i < condition.size(); ++i) {
      if (!condition.data<bool>()[i]) continue;
      if (i >= size) c.Fail("the condition is true at {}, but there are only {} slices.", i, size);
      kept.push_back(i);
    }
    Shape shape = axis ? x.shape() : Shape{0};
    shape[at] = static_cast<int64_t>(kept.size());
    Tensor& y = c.Allocate(0, x.dtype(), shape);
    VisitBySize(x.dtype(), [&]<class T>() {
      T* to = y.data<T>();
      for (int64_t o = 0; o < outer; ++o) {
        for (int64_t i : kept) to = std::copy_n(x.data<T>() + (o * size + i) * inner, inner, to);
      }
    });
  }
};
extern const OpDef kCompress = Define<Compress>({.name = "Compress", .since = 28, .min_inputs = 2, .max_inputs = 2});

}  // namespace slipway
