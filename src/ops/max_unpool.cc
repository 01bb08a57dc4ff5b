#include <algorithm>

#include "core/dtype_visit.h"
#include "ops/shape_math.h"
#include "ops/windows.h"

namespace slipway {

/// Puts each element where its index says, zeros elsewhere: what undoes MaxPool. The index counts the elements of the
/// whole unpooled tensor; a larger output_shape only adds room behind. ONNX MaxUnpool, since 22.
struct MaxUnpool {
  WindowAttributes window;
  static MaxUnpool Parse(const Attributes& a) {
    MaxUnpool op{.window = WindowAttributes::Parse(a)};
    op.window.kernel = a.RequiredInts("kernel_shape");
    return op;
  }

  void Infer(InferContext& c) const {
    c.ExpectElem(1, {DType::kInt64});
    if (!c.HasRank(0)) return c.Out(0, c.Elem(0));
    const SymbolicShape& x = c.Shape(0);
    if (x.rank() < 3) c.Fail("{} has shape {}, but an image wants [N, C, spatial...].", c.InputName(0), x.ToString());
    if (c.HasRank(1)) {
      bool differ = c.Shape(1).rank() != x.rank();
      for (int i = 0; !differ && i < x.rank(); ++i) differ = c.Shape(1)[i].Differs(x[i]);
      if (differ) c.Fail("{} have shape {}, the elements {}.", c.InputName(1), c.Shape(1).ToString(), x.ToString());
    }
    const SymbolicShape unpooled = Unpooled(c);
    for (int i = 2; i < x.rank(); ++i) {
      if (unpooled[i].is_const() && unpooled[i].value() < 0)
        c.Fail("axis {} would have size {}.", i, unpooled[i].value());
    }
    if (!c.Has(2)) return c.Out(0, c.Elem(0), unpooled);
    c.ExpectElem(2, {DType::kInt64});
    c.ExpectRank(2, 1, 1);
    const auto wanted = c.Ints(2);
    if (!wanted) return c.Out(0, c.Elem(0), SymbolicShape::OfRank(x.rank()));
    if (static_cast<int>(wanted->size()) != x.rank())
      c.Fail("output_shape has {} sizes for {} axes.", wanted->size(), x.rank());
    for (int i = 0; i < x.rank(); ++i) {
      const Dim &size = (*wanted)[i], &least = unpooled[i];
      if (size.is_const() && least.is_const() && (i < 2 ? size.value() != least.value() : size.value() < least.value()))
        c.Fail("output_shape {} has no room for {}.", SymbolicShape(*wanted).ToString(), unpooled.ToString());
    }
    c.Out(0, c.Elem(0), *wanted);
  }

  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    Tensor& y = c.Out(0);
    const int rank = x.shape().rank();
    std::fill_n(static_cast<char*>(y.raw()), y.bytes(), 0);
    Shape unpooled = x.shape();
    for (int i = 2; i < rank; ++i)
      unpooled[i] = (x.shape()[i] - 1) * Stride(i - 2) + window.kernel[i - 2] - Pads(i - 2, rank - 2);
    const int64_t size = unpooled.size();
    const bool same = unpooled == y.shape();
    const int64_t* index = c.In(1).data<int64_t>();
    VisitBySize(x.dtype(), [&]<class T>() {
      for (int64_t i = 0; i < x.size(); ++i) {
        int64_t rest = index[i];
        if (rest < 0 || rest >= size) c.Fail("index {} is none of {} elements.", rest, size);
        int64_t at = rest;
        if (!same) {
          at = 0;
          for (int64_t step = 1, axis = rank - 1; axis >= 0; --axis) {
            at += rest % unpooled[static_cast<int>(axis)] * step;
            rest /= unpooled[static_cast<int>(axis)];
            step *= y.shape()[static_cast<int>(axis)];
          }
        }
        y.data<T>()[at] = x.data<T>()[i];
      }
    });
  }

 private:
  int64_t Stride(int axis) const { return window.strides.empty() ? 1 : window.strides[axis]; }
  int64_t Pads(int axis, int axes) const {
    return window.pads.empty() ? 0 : window.pads[axis] + window.pads[axes + axis];
  }

  SymbolicShape Unpooled(InferContext& c) const {
    SymbolicShape out = c.Shape(0);
    const int axes = out.rank() - 2;
    WindowAttributes w = window;
    w.Complete(c, axes);
    for (int i = 0; i < axes; ++i)
      out[i + 2] = (out[i + 2] - 1) * w.strides[i] + w.kernel[i] - w.pads[i] - w.pads[axes + i];
    return out;
  }
};
extern const OpDef kMaxUnpool =
    Define<MaxUnpool>({.name = "MaxUnpool", .since = 22, .min_inputs = 2, .max_inputs = 3, .types = kFloatTypes});

}  // namespace slipway
