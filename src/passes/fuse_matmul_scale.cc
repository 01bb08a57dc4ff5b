#include "passes/epilogue.h"
#include "passes/passes.h"
#include "passes/queries.h"

namespace slipway {
namespace {

/// `v`, a constant row of `product` or a number, times `row`; nothing where it is no such thing.
std::optional<Tensor> Times(const Graph& graph, ValueId v, ValueId product, const Tensor& row) {
  auto out = ConstantRow(graph, v, product);
  for (int64_t i = 0; out && i < out->size(); ++i) out->data<float>()[i] *= row.data<float>()[i];
  return out;
}

}  // namespace

/// A matrix product, with its bias, times a constant row or number, as layers that are scaled have it.
Result FuseMatMulScale(const Graph& graph, NodeId id) {
  const Node& mul = graph.node(id);
  if (!mul.Is("Mul")) return kNoMatch;
  for (const int side : {0, 1}) {
    const ValueId product = mul.input(side);
    const auto producer = FindOpenProducer(graph, product);
    if (!producer || producer->kind != OpenProducer::Kind::kMatMul || producer->residual() != kNone) continue;
    const auto row = ConstantRow(graph, mul.input(1 - side), product);
    if (!row) continue;
    const bool has_bias = producer->bias() != kNone, has_scales = producer->scales() != kNone;
    const auto bias = has_bias ? Times(graph, producer->bias(), product, *row) : std::nullopt;
    const auto scales = has_scales ? Times(graph, producer->scales(), product, *row) : row;
    if ((has_bias && !bias) || !scales) return Skip{"the product's bias or scales are not constant"};
    Patch patch(graph);
    std::vector<ValueId> inputs = producer->Inputs();
    inputs.resize(OpenProducer::kScalesInput + 1, kNone);
    if (bias) inputs[producer->bias_input()] = patch.Constant(*bias, "bias");
    inputs[OpenProducer::kScalesInput] = patch.Constant(*scales, "scales");
    patch.Replace(mul.output(0),
                  patch.Add(kFusedMatMul, std::move(inputs), producer->node->attributes, kSlipwayDomain));
    return patch;
  }
  return kNoMatch;
}

}  // namespace slipway
