#include <cstring>

#include "kernels/copy/strided_copy.h"
#include "ops/shape_math.h"

namespace slipway {

/// A tensor of the given shape, all of one value; float 0 where none is given. ONNX ConstantOfShape, since 25.
struct ConstantOfShape {
  Tensor value;
  static ConstantOfShape Parse(const Attributes& a) {
    const Tensor* given = a.GetTensor("value");
    if (given && given->size() != 1) {
      throw Error(Code::kBadGraph,
                  fmt::format("attribute 'value' must have one element, but has shape {}.", given->shape().ToString()));
    }
    return {.value = given ? *given : Tensor::From<float>({}, {0.0f})};
  }

  void Infer(InferContext& c) const {
    c.ExpectElem(0, {DType::kInt64});
    c.ExpectRank(0, 1, 1);
    const auto shape = c.Ints(0);
    if (!shape) {
      const bool ranked = c.HasRank(0) && c.Shape(0)[0].is_const() && c.Shape(0)[0].value() <= 64;
      return c.Out(0, value.dtype(),
                   ranked ? SymbolicShape::OfRank(static_cast<int>(c.Shape(0)[0].value())) : SymbolicShape());
    }
    for (const Dim& d : *shape) {
      if (d.is_const() && d.value() < 0) c.Fail("the shape has the negative size {}.", d.value());
    }
    const bool is_int = value.dtype() == DType::kInt64 || value.dtype() == DType::kInt32;
    const Dim count = SymbolicShape(*shape).size();
    if (is_int && shape->size() <= 1 && count.is_const() && count.value() <= 64) {
      c.OutInts(0, SymbolicInts(static_cast<size_t>(count.value()), ToInts(value)[0]));
    }
    c.Out(0, value.dtype(), *shape);
  }

  void Run(RunContext& c) const {
    Tensor& y = c.Out(0);
    kernels::FillElements(y.dtype(), value.raw(), y.raw(), y.size(), c.threads());
  }
};
extern const OpDef kConstantOfShape =
    Define<ConstantOfShape>({.name = "ConstantOfShape", .since = 25, .types = {DType::kInt64}});

}  // namespace slipway
