#include "passes/conv_weights.h"

#include "passes/epilogue.h"
#include "passes/queries.h"

namespace slipway {

const Node* FoldableConv(const Graph& graph, ValueId v) {
  const Node* n = graph.Producer(v);
  if (!n || !n->Is("Conv") || !graph.HasOneUse(v) || !FloatConstant(graph, n->input(1))) return nullptr;
  if (n->input(2) != kNone && !FloatConstant(graph, n->input(2))) return nullptr;
  return n;
}

int64_t OutputChannels(const Graph& graph, const Node& conv) { return graph.Constant(conv.input(1))->shape()[0]; }

Result FoldIntoConv(const Graph& graph, const Node& conv, ValueId replaced, const std::vector<double>& scale,
                    const std::vector<double>& shift) {
  const Tensor& weight = *graph.Constant(conv.input(1));
  const Tensor* bias = graph.Constant(conv.input(2));
  const int64_t channels = weight.shape()[0], each = weight.shape().SizeFrom(1);
  Patch patch(graph);
  std::vector<ValueId> inputs = {conv.input(0), conv.input(1), kNone};
  if (!scale.empty()) {
    Tensor scaled(DType::kFloat, weight.shape());
    for (int64_t c = 0; c < channels; ++c) {
      const float* from = weight.data<float>() + c * each;
      float* to = scaled.data<float>() + c * each;
      for (int64_t i = 0; i < each; ++i) to[i] = static_cast<float>(from[i] * scale[c]);
    }
    inputs[1] = patch.Constant(std::move(scaled), graph.value(conv.input(1)).name);
  }
  if (bias || !shift.empty()) {
    Tensor sum(DType::kFloat, {channels});
    for (int64_t c = 0; c < channels; ++c) {
      const double old = bias ? bias->data<float>()[c] : 0.0;
      sum.data<float>()[c] =
          static_cast<float>(old * (scale.empty() ? 1.0 : scale[c]) + (shift.empty() ? 0.0 : shift[c]));
    }
    inputs[2] =
        patch.Constant(std::move(sum), bias ? graph.value(conv.input(2)).name : graph.value(replaced).name + "/bias");
  }
  patch.Replace(replaced, patch.Add("Conv", Trimmed(std::move(inputs)), conv.attributes));
  return patch;
}

}  // namespace slipway
