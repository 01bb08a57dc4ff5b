#include <cmath>

#include "passes/passes.h"
#include "passes/queries.h"

namespace slipway {
namespace {

bool IsHardSwishGate(const Node& gate) {
  return std::abs(gate.attributes.Float("alpha", 0.2f) - 1.0f / 6) < 1e-5f &&
         gate.attributes.Float("beta", 0.5f) == 0.5f;
}

}  // namespace

/// x times a gate of x: Swish (with any factor inside the Sigmoid), HardSwish, Mish.
Result FuseSwish(const Graph& graph, NodeId id) {
  static const Pattern x = Any("x");
  static const Pattern kSwish = x * Sigmoid(x);
  static const Pattern kScaledSwish = x * Sigmoid(x * Const("alpha"));
  static const Pattern kHardSwish = x * Call("HardSigmoid", {x}).Named("gate");
  static const Pattern kClippedSwish = x * Call("Clip", {x + 3.0, 0.0, 6.0}) / 6.0;
  static const Pattern kMish = x * Tanh(Call("Softplus", {x}));

  const Node& node = graph.node(id);
  if (!node.Is("Mul") && !node.Is("Div")) return kNoMatch;
  const ValueId output = node.output(0);
  const auto become = [&](const Match& match, const char* op_type, Attributes attributes = {}) -> Result {
    if (!SameShape(graph, match["x"], output)) return Skip{"a constant changes the shape"};
    Patch patch(graph);
    patch.Replace(output, patch.Add(op_type, {match["x"]}, std::move(attributes)));
    return patch;
  };
  if (const auto m = Find(graph, id, kSwish)) return become(*m, "Swish", {{"alpha", 1.0f}});
  if (const auto m = Find(graph, id, kScaledSwish)) {
    const auto alpha = ScalarConstant(graph, (*m)["alpha"]);
    if (!alpha) return Skip{"the factor in the Sigmoid is not one number"};
    return become(*m, "Swish", {{"alpha", static_cast<float>(*alpha)}});
  }
  if (const auto m = Find(graph, id, kHardSwish)) {
    if (!IsHardSwishGate(*graph.Producer((*m)["gate"]))) return Skip{"the HardSigmoid is not that of HardSwish"};
    return become(*m, "HardSwish");
  }
  if (const auto m = Find(graph, id, kClippedSwish)) return become(*m, "HardSwish");
  if (const auto m = Find(graph, id, kMish)) return become(*m, "Mish");
  return kNoMatch;
}

}  // namespace slipway
