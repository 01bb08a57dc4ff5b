#include <algorithm>

#include "passes/epilogue.h"
#include "passes/passes.h"
#include "passes/queries.h"

namespace slipway {
namespace {

/// `v`, times `factor`, as a vector along the last axis of `like`; nothing where it is no such thing.
std::optional<ValueId> AsBias(const Graph& graph, Patch& patch, ValueId v, ValueId like, float factor) {
  if (!HasRank(graph, like) || !HasRank(graph, v) || Rank(graph, v) > Rank(graph, like)) return std::nullopt;
  const Dim& last = ShapeOf(graph, like).dims().back();
  if (const Tensor* t = FloatConstant(graph, v); t && last.is_const()) {
    if (Rank(graph, v) == 1 && t->size() == last.value() && factor == 1) return v;
    auto bias = ConstantRow(graph, v, like);
    if (!bias) return std::nullopt;
    for (int64_t i = 0; i < bias->size(); ++i) bias->data<float>()[i] *= factor;
    return patch.Constant(*bias, graph.value(v).name);
  }
  if (factor == 1 && Rank(graph, v) == 1 && ShapeOf(graph, v)[0] == last) return v;
  return std::nullopt;
}

Result FromGemm(const Graph& graph, const Node& gemm) {
  const ValueId output = gemm.output(0), c = gemm.input(2);
  if (!IsFloat(graph, output)) return Skip{"the fused operator is for float"};
  const float beta = gemm.attributes.Float("beta", 1);
  Patch patch(graph);
  std::vector<ValueId> inputs = {gemm.input(0), gemm.input(1), kNone, kNone};
  if (c != kNone && beta != 0) {
    if (const auto bias = AsBias(graph, patch, c, output, beta)) {
      inputs[2] = *bias;
    } else if (beta == 1 && SameShape(graph, c, output)) {
      inputs[3] = c;
    } else {
      return Skip{"C is neither a row nor of the result's shape"};
    }
  }
  const Attributes attributes = {{"transA", gemm.attributes.Int("transA", 0)},
                                 {"transB", gemm.attributes.Int("transB", 0)},
                                 {"scale", gemm.attributes.Float("alpha", 1)}};
  patch.Replace(output, patch.Add(kFusedMatMul, Trimmed(std::move(inputs)), attributes, kSlipwayDomain));
  return patch;
}

Result FromAdd(const Graph& graph, const Node& add) {
  for (const int side : {0, 1}) {
    const ValueId product = add.input(side), other = add.input(1 - side);
    const auto producer = FindOpenProducer(graph, product);
    if (!producer || producer->is_conv() || producer->bias() != kNone) continue;
    Patch patch(graph);
    const auto bias = AsBias(graph, patch, other, product, 1);
    if (!bias) continue;
    std::vector<ValueId> inputs = producer->Inputs();
    inputs[producer->bias_input()] = *bias;
    patch.Replace(add.output(0), patch.Add(producer->fused_type(), Trimmed(std::move(inputs)),
                                           producer->node->attributes, kSlipwayDomain));
    return patch;
  }
  return kNoMatch;
}

}  // namespace

/// Gemm, and adding a row to a matrix product, become FusedMatMul.
Result FuseMatMulBias(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (node.Is("Gemm")) return FromGemm(graph, node);
  if (node.Is("Add")) return FromAdd(graph, node);
  return kNoMatch;
}

}  // namespace slipway
