#include <algorithm>
#include <cmath>

#include "kernels/quant/quantize.h"
#include "ops/dynamic_quantization.h"
#include "ops/op.h"

namespace slipway {

DynamicScale ChooseScale(const Tensor& x, const Threads& threads) {
  const kernels::Extent extent = kernels::MinMaxWithZero(x.data<float>(), x.size(), threads);
  const float range = extent.high - extent.low;
  // All zeros: any scale does, but none may be 0.
  const float scale = range == 0 ? 1.0f : range / 255.0f;
  const float zero = std::nearbyint(std::clamp(0.0f - extent.low / scale, 0.0f, 255.0f));
  return {scale, static_cast<uint8_t>(zero >= 0 ? zero : 0)};
}

/// A tensor in uint8, with the scale and zero point that its extent gives. ONNX DynamicQuantizeLinear, since 11.
struct DynamicQuantizeLinear {
  void Infer(InferContext& c) const {
    c.Out(0, DType::kUint8, c.Shape(0));
    c.Out(1, DType::kFloat, SymbolicShape(std::vector<Dim>{}));
    c.Out(2, DType::kUint8, SymbolicShape(std::vector<Dim>{}));
  }

  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    const DynamicScale q = ChooseScale(x, c.threads());
    if (c.HasOut(0))
      kernels::QuantizeToBytes(x.data<float>(), x.size(), q.scale, q.zero, c.Out(0).data<uint8_t>(), c.threads());
    if (c.HasOut(1)) *c.Out(1).data<float>() = q.scale;
    if (c.HasOut(2)) *c.Out(2).data<uint8_t>() = q.zero;
  }
};
extern const OpDef kDynamicQuantizeLinear = Define<DynamicQuantizeLinear>(
    {.name = "DynamicQuantizeLinear", .since = 11, .max_outputs = 3, .types = {DType::kFloat}});

}  // namespace slipway
