#include "passes/epilogue.h"
#include "passes/passes.h"
#include "passes/queries.h"

namespace slipway {
namespace {

/// One number a channel and image of `x`, channels last.
bool IsPerChannel(const Graph& graph, ValueId scale, ValueId x) {
  if (!HasRank(graph, scale) || !HasRank(graph, x) || Rank(graph, scale) != Rank(graph, x)) return false;
  const SymbolicShape &s = ShapeOf(graph, scale), &shape = ShapeOf(graph, x);
  const int last = shape.rank() - 1;
  for (int i = 1; i < last; ++i) {
    if (s[i] != Dim(1)) return false;
  }
  return s[0] == shape[0] && s[last] == shape[last];
}

bool AllAre(const Attributes& attributes, std::string_view name, int64_t wanted) {
  for (const int64_t x : attributes.Ints(name, {})) {
    if (x != wanted) return false;
  }
  return true;
}

/// A product of the pixels where they are: nothing but 1x1 at stride 1.
bool IsPointwise(const Graph& graph, const Node& conv) {
  const ValueId w = conv.input(1);
  if (!HasRank(graph, w)) return false;
  const SymbolicShape& shape = ShapeOf(graph, w);
  for (int i = 2; i < shape.rank(); ++i) {
    if (shape[i] != Dim(1)) return false;
  }
  const Attributes& a = conv.attributes;
  const std::string pad = a.String("auto_pad", "NOTSET");
  return a.Int("group", 1) == 1 && AllAre(a, "strides", 1) && AllAre(a, "pads", 0) &&
         (pad == "NOTSET" || pad == "VALID");
}

}  // namespace

/// The gate of a squeeze-and-excitation block joins the 1x1 convolution behind it.
Result FuseConvScale(const Graph& graph, NodeId id) {
  constexpr size_t kScale = 4;
  const Node& conv = graph.node(id);
  if (!conv.Is(kFusedConv, kSlipwayDomain) || conv.input(kScale) != kNone) return kNoMatch;
  if (conv.attributes.Int("channels_last", 0) == 0 || !IsPointwise(graph, conv)) return kNoMatch;
  const Node* mul = graph.Producer(conv.input(0));
  if (!mul || !mul->Is("Mul") || !graph.HasOneUse(conv.input(0))) return kNoMatch;
  for (const int side : {0, 1}) {
    const ValueId image = mul->input(side), scale = mul->input(1 - side);
    if (!SameShape(graph, image, conv.input(0)) || !IsPerChannel(graph, scale, image)) continue;
    std::vector<ValueId> inputs = conv.inputs;
    inputs.resize(kScale + 1, kNone);
    inputs[0] = image;
    inputs[kScale] = scale;
    Patch patch(graph);
    patch.Replace(conv.output(0), patch.Add(kFusedConv, std::move(inputs), conv.attributes, kSlipwayDomain));
    return patch;
  }
  return kNoMatch;
}

}  // namespace slipway
