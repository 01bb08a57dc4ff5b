#include <cmath>
#include <numbers>

#include "passes/passes.h"
#include "passes/queries.h"

namespace slipway {

/// Gelu taken apart, exact (by Erf) or approximate (by Tanh), becomes Gelu.
Result FuseGelu(const Graph& graph, NodeId id) {
  static const Pattern x = Any("x");
  static const double kSqrt2OverPi = std::sqrt(2 / std::numbers::pi);
  static const struct {
    Pattern pattern;
    const char* approximate;
  } forms[] = {
      {x * (Erf(x / std::numbers::sqrt2) + 1.0) * 0.5, "none"},
      {x * (Tanh((x + Cube(x) * 0.044715) * kSqrt2OverPi) + 1.0) * 0.5, "tanh"},
      {x * (Tanh(x * (Square(x) * 0.044715 + 1.0) * kSqrt2OverPi) + 1.0) * 0.5, "tanh"},
      {x * (Tanh(x * (Square(x) * (0.044715 * kSqrt2OverPi) + kSqrt2OverPi)) + 1.0) * 0.5, "tanh"},
  };
  const Node& node = graph.node(id);
  if (!node.Is("Mul") && !node.Is("Div")) return kNoMatch;
  for (const auto& form : forms) {
    const auto match = Find(graph, id, form.pattern);
    if (!match) continue;
    const ValueId input = (*match)["x"], output = node.output(0);
    if (!SameShape(graph, input, output)) return Skip{"a constant changes the shape"};
    Patch patch(graph);
    patch.Replace(output, patch.Add("Gelu", {input}, {{"approximate", form.approximate}}));
    return patch;
  }
  return kNoMatch;
}

}  // namespace slipway
