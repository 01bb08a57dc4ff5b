#include "ops/shape_math.h"

namespace slipway {

/// Gives its input, of any kind. ONNX Identity, since 25.
struct Identity {
  void Infer(InferContext& c) const {
    c.Out(0, c.In(0));
    if (c.In(0).kind != Type::Kind::kTensor) return;
    if (auto ints = ShapeInts(c, 0))
      c.OutInts(0, *std::move(ints));
    else if (auto bools = ShapeBools(c, 0))
      c.OutInts(0, *std::move(bools));
  }
  void Run(RunContext& c) const { c.SetOut(0, c.InValue(0).is_tensor() ? Value(c.In(0).Clone()) : c.InValue(0)); }
};
extern const OpDef kIdentity = Define<Identity>({.name = "Identity", .since = 25, .alias = true});

}  // namespace slipway
