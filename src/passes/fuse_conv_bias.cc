#include "passes/conv_weights.h"
#include "passes/passes.h"
#include "passes/queries.h"

namespace slipway {
namespace {

/// The constant as one number a channel: of one element, or with only the axis at `channels` of a result of `rank`
/// axes.
std::optional<std::vector<double>> PerChannel(const Graph& graph, ValueId v, int rank, int64_t channels) {
  const Tensor* t = FloatConstant(graph, v);
  if (!t || t->shape().rank() > rank) return std::nullopt;
  const float* data = t->data<float>();
  if (t->size() == 1) return std::vector<double>(channels, data[0]);
  const int axis = 1 - (rank - t->shape().rank());
  if (axis < 0 || t->shape()[axis] != channels || t->size() != channels) return std::nullopt;
  return std::vector<double>(data, data + channels);
}

}  // namespace

/// Adding, subtracting, multiplying by or dividing by a constant a channel after Conv goes into its weight and bias.
Result FuseConvBias(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const bool sums = node.Is("Add") || node.Is("Sub"), scales = node.Is("Mul") || node.Is("Div");
  if (!sums && !scales) return kNoMatch;
  const bool commutes = node.Is("Add") || node.Is("Mul");
  const int side = commutes && !graph.Constant(node.input(1)) ? 1 : 0;
  const ValueId result = node.input(side), constant = node.input(1 - side);
  if (!graph.Constant(constant)) return kNoMatch;
  const Node* conv = FoldableConv(graph, result);
  if (!conv || !HasRank(graph, result)) return kNoMatch;
  auto numbers = PerChannel(graph, constant, Rank(graph, result), OutputChannels(graph, *conv));
  if (!numbers) return Skip{"the constant is not one number a channel"};
  for (double& x : *numbers) {
    if (node.Is("Sub")) x = -x;
    if (node.Is("Div")) x = 1 / x;
  }
  const std::vector<double> none;
  return FoldIntoConv(graph, *conv, node.output(0), scales ? *numbers : none, sums ? *numbers : none);
}

}  // namespace slipway
