#include <cmath>

#include "passes/conv_weights.h"
#include "passes/passes.h"
#include "passes/queries.h"

namespace slipway {

/// BatchNormalization after Conv goes into its weight and bias.
Result FuseConvBatchNorm(const Graph& graph, NodeId id) {
  const Node& norm = graph.node(id);
  if (!norm.Is("BatchNormalization")) return kNoMatch;
  if (norm.attributes.Int("training_mode", 0) != 0) return Skip{"it is training"};
  const Node* conv = FoldableConv(graph, norm.input(0));
  if (!conv) return Skip{"it does not follow a Conv of its own with constant weights"};
  const int64_t channels = OutputChannels(graph, *conv);
  const Tensor* parts[4];  // scale, bias, mean, variance
  for (int i = 0; i < 4; ++i) {
    parts[i] = FloatConstant(graph, norm.input(i + 1));
    if (!parts[i] || parts[i]->size() != channels)
      return Skip{"its parameters are not constants of the Conv's channels"};
  }
  const double epsilon = norm.attributes.Float("epsilon", 1e-5f);
  std::vector<double> scale(channels), shift(channels);
  for (int64_t c = 0; c < channels; ++c) {
    const auto part = [&](int i) { return static_cast<double>(parts[i]->data<float>()[c]); };
    scale[c] = part(0) / std::sqrt(part(3) + epsilon);
    shift[c] = part(1) - part(2) * scale[c];
  }
  return FoldIntoConv(graph, *conv, norm.output(0), scale, shift);
}

}  // namespace slipway
