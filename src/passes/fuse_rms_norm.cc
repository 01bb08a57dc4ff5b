#include "passes/normalization.h"
#include "passes/passes.h"

namespace slipway {

/// RMSNormalization over the last axis taken apart, with or without scale.
Result FuseRmsNorm(const Graph& graph, NodeId id) {
  static const Pattern x = Any("x");
  static const Pattern kPlain = x / Sqrt(Call("ReduceMean", {Square(x)}).Named("mean") + Const("eps"));
  static const Pattern kForms[] = {kPlain * Const("gamma"), kPlain};
  if (!MayEndNormalization(graph.node(id))) return kNoMatch;
  for (const Pattern& form : kForms) {
    if (const auto match = Find(graph, id, form)) return Normalization(graph, id, *match, {"mean"}, "RMSNormalization");
  }
  return kNoMatch;
}

}  // namespace slipway
