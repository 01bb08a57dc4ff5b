#include "passes/epilogue.h"
#include "passes/passes.h"
#include "passes/queries.h"

namespace slipway {
namespace {

Tensor Product(Tensor a, const Tensor& b) {
  Tensor out(DType::kFloat, a.shape());
  for (int64_t i = 0; i < a.size(); ++i) out.data<float>()[i] = a.data<float>()[i] * b.data<float>()[i];
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
    std::vector<ValueId> inputs = producer->Inputs();
    inputs.resize(OpenProducer::kScalesInput + 1, kNone);
    Patch patch(graph);
    for (const size_t i : {producer->bias_input(), OpenProducer::kScalesInput}) {
      const bool is_bias = i == producer->bias_input();
      if (inputs[i] == kNone && is_bias) continue;
      const auto before = inputs[i] == kNone ? row : ConstantRow(graph, inputs[i], product);
      if (!before) return Skip{"the product's bias or scales are not constant"};
      const bool first = inputs[i] == kNone;
      inputs[i] = patch.Constant(first ? *row : Product(*before, *row), is_bias ? "bias" : "scales");
    }
    patch.Replace(mul.output(0),
                  patch.Add(kFusedMatMul, std::move(inputs), producer->node->attributes, kSlipwayDomain));
    return patch;
  }
  return kNoMatch;
}

}  // namespace slipway
