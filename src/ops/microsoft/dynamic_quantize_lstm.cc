#include "ops/int_product.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

/// Weights [directions, inputs, gates] of bytes as LSTM has them: float, [directions, gates, inputs].
Tensor Dequantized(const Tensor& w, const Tensor& scale, const Tensor& zero) {
  const int64_t directions = w.shape()[0], inputs = w.shape()[1], gates = w.shape()[2];
  Tensor out(DType::kFloat, {directions, gates, inputs});
  const auto at = [&](const Tensor& t, int64_t d, int64_t g) { return t.size() == directions ? d : d * gates + g; };
  const std::vector<int32_t> numbers = ToInt32s(&w), zeros = ToInt32s(&zero);
  for (int64_t d = 0; d < directions; ++d) {
    for (int64_t g = 0; g < gates; ++g) {
      const float s = scale.data<float>()[at(scale, d, g)];
      const int32_t z = zeros[at(zero, d, g)];
      for (int64_t i = 0; i < inputs; ++i)
        out.data<float>()[(d * gates + g) * inputs + i] =
            static_cast<float>(numbers[(d * inputs + i) * gates + g] - z) * s;
    }
  }
  return out;
}

}  // namespace

/// LSTM with weights of 8 bits. Activations stay float, which is nearer to what was quantized than rounding them would
/// be. com.microsoft DynamicQuantizeLSTM.
struct DynamicQuantizeLSTM {
  static constexpr int kWeights = 1, kRecurrence = 2, kInputs = 8;
  std::shared_ptr<const Op> lstm;
  Tensor weights[3];  ///< those of Prepack, by input

  static DynamicQuantizeLSTM Parse(const Attributes& a) {
    return {.lstm = FindOp(kOnnxDomain, "LSTM")->make({.op_type = "LSTM", .attributes = a})};
  }

  void Infer(InferContext& c) const {
    InferContext inner = c;
    Type types[3];
    for (const int i : {kWeights, kRecurrence}) {
      c.ExpectElem(i, {DType::kInt8, DType::kUint8});
      c.ExpectRank(i, 3, 3);
      const int scale = i == kWeights ? 8 : 10;
      c.ExpectElem(scale, {DType::kFloat});
      c.ExpectSameElem(scale + 1, i);
      SymbolicShape shape = c.Shape(i);
      if (shape.has_rank()) {
        for (const int s : {scale, scale + 1}) {
          if (!c.HasRank(s)) continue;
          const Dim count = Product(c.Shape(s), 0, c.Shape(s).rank());
          if (count.Differs(shape[0]) && count.Differs(shape[0] * shape[2]))
            c.Fail("{} has shape {}, which does not fit weights of {}.", c.InputName(s), c.Shape(s).ToString(),
                   shape.ToString());
        }
        shape = SymbolicShape(std::vector<Dim>{shape[0], shape[2], shape[1]});
      }
      types[i] = Type::TensorOf(DType::kFloat, shape);
      inner.in_types[i] = &types[i];
      inner.in_constants[i] = nullptr;
    }
    inner.in_types.resize(kInputs);
    inner.in_constants.resize(kInputs);
    inner.in_ints.resize(kInputs);
    lstm->Infer(inner);
    for (int i = 0; i < c.num_outputs(); ++i) {
      if (c.HasOut(i)) c.Out(i, inner.out_types[i]);
    }
  }

  bool Prepack(int input, const InferContext& c, const kernels::Packing& packing) {
    if (input != kWeights && input != kRecurrence) return false;
    const int scale = input == kWeights ? 8 : 10;
    if (!c.Constant(scale) || !c.Constant(scale + 1)) return false;
    const Tensor& from = *c.Constant(input);
    const Shape shape = {from.shape()[0], from.shape()[2], from.shape()[1]};
    const auto block = packing.store.Block(shape.size() * sizeof(float), [&](std::byte* out) {
      const Tensor t = Dequantized(from, *c.Constant(scale), *c.Constant(scale + 1));
      std::copy_n(static_cast<const std::byte*>(t.raw()), t.bytes(), out);
    });
    weights[input] = Tensor(DType::kFloat, shape, const_cast<std::byte*>(block.get()), block);
    return true;
  }

  void Run(RunContext& c) const {
    RunContext inner = c;
    Value values[3];
    for (const int i : {kWeights, kRecurrence}) {
      const int scale = i == kWeights ? 8 : 10;
      values[i] = weights[i].dtype() == DType::kFloat ? weights[i] : Dequantized(c.In(i), c.In(scale), c.In(scale + 1));
      inner.in[i] = &values[i];
    }
    inner.in.resize(kInputs);
    lstm->Run(inner);
  }
};
extern const OpDef kMicrosoftDynamicQuantizeLSTM = Define<DynamicQuantizeLSTM>({.name = "DynamicQuantizeLSTM",
                                                                                .domain = kMicrosoftDomain,
                                                                                .min_inputs = 12,
                                                                                .max_inputs = 12,
                                                                                .min_outputs = 0,
                                                                                .max_outputs = 3,
                                                                                .types = {DType::kFloat}});

}  // namespace slipway
