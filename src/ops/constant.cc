#include "core/dtype_visit.h"
#include "kernels/copy/strided_copy.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

Tensor ValueOf(const Attributes& a) {
  if (const Tensor* t = a.GetTensor("value")) return *t;
  if (a.Has("value_int")) return Tensor::From<int64_t>({}, {a.Int("value_int", 0)});
  if (a.Has("value_float")) return Tensor::From<float>({}, {a.Float("value_float", 0)});
  if (a.Has("value_string")) return Tensor::From<std::string>({}, {a.String("value_string", "")});
  auto vector = [](const auto& values) {
    using T = typename std::decay_t<decltype(values)>::value_type;
    return Tensor::From<T>({static_cast<int64_t>(values.size())}, std::span<const T>(values));
  };
  if (a.Has("value_ints")) return vector(a.Ints("value_ints"));
  if (a.Has("value_floats")) return vector(a.Floats("value_floats"));
  if (a.Has("value_strings")) return vector(a.Strings("value_strings"));
  throw Error(Code::kBadGraph, "has no value (a sparse one is not supported).");
}

}  // namespace

/// A tensor held in an attribute. ONNX Constant, since 25.
struct Constant {
  Tensor value;
  static Constant Parse(const Attributes& a) { return {.value = ValueOf(a)}; }
  void Infer(InferContext& c) const {
    if (value.shape().rank() <= 1 && value.size() <= 64 && kIndexTypes.Has(value.dtype())) {
      const auto ints = ToInts(value);
      c.OutInts(0, SymbolicInts(ints.begin(), ints.end()));
    }
    c.Out(0, value.dtype(), value.shape());
  }
  void Run(RunContext& c) const {
    kernels::CopyElements(value.dtype(), value.raw(), c.Out(0).raw(), value.size(), c.threads());
  }
};
extern const OpDef kConstant = Define<Constant>({.name = "Constant", .since = 25, .min_inputs = 0, .max_inputs = 0});

}  // namespace slipway
