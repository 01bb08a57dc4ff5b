#include "ops/fast_path.h"

#include <algorithm>
#include <vector>

namespace slipway {
namespace {

/// What Highway compiles a kernel for; see kernels/targets.h.
constexpr std::string_view kVectors = "AVX-512, AVX2, SSE4, NEON";
constexpr std::string_view kDots = "AVX-512 VNNI, AVX-512, AVX2, SSE4, NEON";

struct Group {
  FastPath path;
  std::vector<std::string_view> names;
};

const std::vector<Group>& Groups() {
  static const std::vector<Group> groups = {
      // Halves go through float, or have loops of their own.
      {{"float, halves", kVectors},
       {"Abs",
        "Add",
        "Attention",
        "AveragePool",
        "BatchNormalization",
        "CausalConvWithState",
        "Celu",
        "Ceil",
        "Clip",
        "Conv",
        "ConvTranspose",
        "Cos",
        "DecoderMaskedMultiHeadAttention",
        "DecoderMaskedSelfAttention",
        "DeformConv",
        "Div",
        "Einsum",
        "Elu",
        "EmbedLayerNormalization",
        "Erf",
        "Exp",
        "FlexAttention",
        "Floor",
        "FusedConv",
        "FusedSeparableConv",
        "GRU",
        "Gelu",
        "GlobalAveragePool",
        "GridSample",
        "GroupNormalization",
        "GroupQueryAttention",
        "HardSigmoid",
        "HardSwish",
        "InstanceNormalization",
        "LSTM",
        "LayerNormalization",
        "LeakyRelu",
        "Log",
        "LogSoftmax",
        "MatMulBnb4",
        "MatMulNBits",
        "Max",
        "MaxPool",
        "Min",
        "Mish",
        "MoE",
        "Mul",
        "MultiHeadAttention",
        "Neg",
        "PackedAttention",
        "PackedMultiHeadAttention",
        "RMSNormalization",
        "RNN",
        "Reciprocal",
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "ReduceSumSquare",
        "Relu",
        "Round",
        "Selu",
        "Sigmoid",
        "Sign",
        "SimplifiedLayerNormalization",
        "Sin",
        "SkipLayerNormalization",
        "SkipSimplifiedLayerNormalization",
        "Softmax",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Sub",
        "Sum",
        "SwiGLU",
        "Swish",
        "Tanh",
        "ThresholdedRelu"}},
      {{"float, halves, double", kVectors}, {"FusedMatMul", "Gemm", "MatMul"}},
      {{"float, double, int32, int64", kVectors}, {"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"}},
      {{"between float and halves", kVectors}, {"Cast", "CastLike"}},
      {{"float", kVectors}, {"MergedMatMul", "StridedAttention"}},
      {{"bytes", kDots},
       {"ConvInteger", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "FusedConvInteger", "FusedMatMulInteger",
        "MatMulInteger", "MatMulIntegerToFloat", "QAttention", "QGemm", "QLinearConv", "QLinearMatMul"}},
      {{"to bytes", kVectors}, {"DynamicQuantizeLinear"}},
  };
  return groups;
}

}  // namespace

FastPath FastPathOf(const OpDef& def) {
  if (!def.domain.empty() && def.domain != kMicrosoftDomain && def.domain != kSlipwayDomain &&
      def.domain != "ai.onnx.preview")
    return {};
  for (const Group& group : Groups()) {
    if (std::find(group.names.begin(), group.names.end(), def.name) != group.names.end()) return group.path;
  }
  return {};
}

std::span<const std::string_view> FastPathNames() {
  static const std::vector<std::string_view> all = [] {
    std::vector<std::string_view> names;
    for (const Group& group : Groups()) names.insert(names.end(), group.names.begin(), group.names.end());
    return names;
  }();
  return all;
}

}  // namespace slipway
