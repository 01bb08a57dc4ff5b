#include "passes/normalization.h"
#include "passes/passes.h"

namespace slipway {

/// LayerNormalization over the last axis taken apart, with scale and bias, scale alone, or neither.
Result FuseLayerNorm(const Graph& graph, NodeId id) {
  static const Pattern x = Any("x");
  static const Pattern kDeviation = x - Call("ReduceMean", {x}).Named("mean");
  static const Pattern kVariance = Call("ReduceMean", {Square(kDeviation)}).Named("variance");
  static const Pattern kPlain = kDeviation / Sqrt(kVariance + Const("eps"));
  static const Pattern kForms[] = {kPlain * Const("gamma") + Const("beta"), kPlain * Const("gamma"), kPlain};
  if (!MayEndNormalization(graph.node(id))) return kNoMatch;
  for (const Pattern& form : kForms) {
    if (const auto match = Find(graph, id, form))
      return Normalization(graph, id, *match, {"mean", "variance"}, "LayerNormalization");
  }
  return kNoMatch;
}

}  // namespace slipway
