#include "passes/epilogue.h"

#include <algorithm>

#include "passes/queries.h"

namespace slipway {

std::vector<ValueId> OpenProducer::Inputs() const {
  std::vector<ValueId> inputs = node->inputs;
  inputs.resize(std::max(inputs.size(), residual_input() + 1), kNone);
  return inputs;
}

std::optional<OpenProducer> FindOpenProducer(const Graph& graph, ValueId v) {
  const Node* n = graph.Producer(v);
  if (!n || !graph.HasOneUse(v) || !IsFloat(graph, v)) return std::nullopt;
  const bool int_conv = n->Is(kFusedConvInteger, kSlipwayDomain);
  const bool is_conv = int_conv || n->Is("Conv") || n->Is(kFusedConv, kSlipwayDomain);
  const bool is_product = n->Is("MatMul") || n->Is(kFusedMatMul, kSlipwayDomain);
  const bool is_integer = n->Is(kFusedMatMulInteger, kSlipwayDomain);
  if (!is_conv && !is_product && !is_integer) return std::nullopt;
  // The fused convolution is for images of one or two axes.
  if (is_conv && !int_conv && (!HasRank(graph, v) || Rank(graph, v) > 4)) return std::nullopt;
  if (!n->attributes.String("activation", "").empty()) return std::nullopt;
  // A vector on either side makes a result with fewer axes, which the fused operator's epilogue is not defined on.
  if (!is_conv && (!HasRank(graph, n->input(0)) || !HasRank(graph, n->input(1)) || Rank(graph, n->input(0)) < 2 ||
                   Rank(graph, n->input(1)) < 2)) {
    return std::nullopt;
  }
  using Kind = OpenProducer::Kind;
  return OpenProducer{n, int_conv     ? Kind::kConvInteger
                         : is_conv    ? Kind::kConv
                         : is_integer ? Kind::kMatMulInteger
                                      : Kind::kMatMul};
}

std::vector<ValueId> Trimmed(std::vector<ValueId> inputs) {
  while (!inputs.empty() && inputs.back() == kNone) inputs.pop_back();
  return inputs;
}

}  // namespace slipway
