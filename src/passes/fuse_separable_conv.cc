#include "passes/epilogue.h"
#include "passes/passes.h"
#include "passes/pointwise_conv.h"
#include "passes/queries.h"

namespace slipway {
namespace {

constexpr size_t kBias = 2, kResidual = 3, kScale = 4;

bool IsChannelsLast(const Node& n) {
  return n.Is(kFusedConv, kSlipwayDomain) && n.attributes.Int("channels_last", 0) != 0 && n.input(kScale) == kNone;
}

/// One filter a channel, over images of two axes, with nothing added to its result.
bool IsDepthwise(const Graph& graph, const Node& n) {
  const ValueId w = n.input(1);
  if (!IsChannelsLast(n) || n.input(kResidual) != kNone || !graph.Constant(w) || !HasRank(graph, w)) return false;
  const SymbolicShape& shape = ShapeOf(graph, w);
  return shape.rank() == 4 && shape[1] == Dim(1) && shape[0] == Dim(n.attributes.Int("group", 1)) && shape[0] != Dim(1);
}

bool IsDensePointwise(const Graph& graph, const Node& n) {
  return IsChannelsLast(n) && graph.Constant(n.input(1)) && ShapeOf(graph, n.input(1)).rank() == 4 &&
         IsPointwise(graph, n);
}

/// The activation of `from` under names that begin with `prefix`.
void CopyActivation(const Attributes& from, std::string_view prefix, Attributes& to) {
  for (const auto& [name, value] : from) {
    if (name.starts_with("activation") || name == "scale") to.Set(std::string(prefix) + name, value);
  }
}

}  // namespace

/// A depthwise convolution, the 1x1 convolution that widens its input, and the one that narrows its result, become one.
Result FuseSeparableConv(const Graph& graph, NodeId id) {
  const Node& last = graph.node(id);
  const Node* project = IsDensePointwise(graph, last) && graph.HasOneUse(last.input(0)) ? &last : nullptr;
  const Node* depthwise = project ? graph.Producer(project->input(0)) : &last;
  if (!depthwise || !IsDepthwise(graph, *depthwise)) return kNoMatch;
  const ValueId wide = depthwise->input(0);
  const Node* expand = graph.Producer(wide);
  if (expand && (!IsDensePointwise(graph, *expand) || expand->input(kResidual) != kNone || !graph.HasOneUse(wide)))
    expand = nullptr;
  if (!expand && !project) return kNoMatch;
  Attributes attributes;
  for (const auto& [name, value] : depthwise->attributes) {
    if (name == "strides" || name == "pads" || name == "dilations" || name == "auto_pad" || name == "kernel_shape")
      attributes.Set(name, value);
  }
  CopyActivation(depthwise->attributes, "depthwise_", attributes);
  std::vector<ValueId> inputs(8, kNone);
  inputs[0] = expand ? expand->input(0) : wide;
  inputs[3] = depthwise->input(1);
  inputs[4] = depthwise->input(kBias);
  if (expand) {
    inputs[1] = expand->input(1);
    inputs[2] = expand->input(kBias);
    CopyActivation(expand->attributes, "expand_", attributes);
  }
  if (project) {
    inputs[5] = project->input(1);
    inputs[6] = project->input(kBias);
    inputs[7] = project->input(kResidual);
    CopyActivation(project->attributes, "project_", attributes);
  }
  Patch patch(graph);
  patch.Replace(last.output(0),
                patch.Add("FusedSeparableConv", Trimmed(std::move(inputs)), std::move(attributes), kSlipwayDomain));
  return patch;
}

}  // namespace slipway
