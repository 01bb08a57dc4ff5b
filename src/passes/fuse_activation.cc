#include <limits>

#include "passes/epilogue.h"
#include "passes/passes.h"
#include "passes/queries.h"

namespace slipway {
namespace {

struct Activation {
  std::string name;
  float alpha = 0;
  float beta = 0;
};

/// The bound in an input of Clip, `otherwise` where it is left out.
std::optional<float> Bound(const Graph& graph, ValueId v, float otherwise) {
  if (v == kNone) return otherwise;
  const auto number = ScalarConstant(graph, v);
  return number ? std::optional(static_cast<float>(*number)) : std::nullopt;
}

/// Nothing where the node is no activation that an epilogue knows.
std::optional<Activation> AsActivation(const Graph& graph, const Node& n) {
  if (!n.domain.empty()) return std::nullopt;
  const std::string& type = n.op_type;
  if (type == "Relu" || type == "Sigmoid" || type == "Tanh" || type == "HardSwish") return Activation{type};
  if (type == "LeakyRelu") return Activation{type, n.attributes.Float("alpha", 0.01f)};
  if (type == "HardSigmoid")
    return Activation{type, n.attributes.Float("alpha", 0.2f), n.attributes.Float("beta", 0.5f)};
  if (type == "Gelu") return Activation{n.attributes.String("approximate", "none") == "tanh" ? "GeluTanh" : "Gelu"};
  if (type == "Swish" && n.attributes.Float("alpha", 1.0f) == 1.0f) return Activation{type, 1.0f};
  if (type == "Clip") {
    const auto low = Bound(graph, n.input(1), std::numeric_limits<float>::lowest());
    const auto high = Bound(graph, n.input(2), std::numeric_limits<float>::max());
    if (low && high) return Activation{type, *low, *high};
  }
  return std::nullopt;
}

}  // namespace

/// An activation after a convolution or matrix product joins it.
Result FuseActivation(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const auto activation = AsActivation(graph, node);
  if (!activation) return kNoMatch;
  const auto producer = FindOpenProducer(graph, node.input(0));
  if (!producer) return kNoMatch;
  Attributes attributes = producer->node->attributes;
  attributes.Set("activation", activation->name);
  attributes.Set("activation_alpha", activation->alpha);
  attributes.Set("activation_beta", activation->beta);
  Patch patch(graph);
  patch.Replace(node.output(0),
                patch.Add(producer->fused_type(), Trimmed(producer->Inputs()), std::move(attributes), kSlipwayDomain));
  return patch;
}

}  // namespace slipway
