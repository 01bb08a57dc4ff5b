#include <algorithm>
#include <cmath>
#include <optional>

#include "passes/passes.h"
#include "passes/queries.h"

namespace slipway {
namespace {

using Ints = std::vector<int64_t>;

/// What the Pad adds to the spatial axes, begins and then ends; nullopt where it does more, or takes away.
std::optional<Ints> SpatialPads(const Graph& g, const Node& pad, bool channels_last) {
  const int rank = Rank(g, pad.input(0));
  const auto given = IntsConstant(g, pad.input(1));
  Ints axes(rank);
  for (int i = 0; i < rank; ++i) axes[i] = i;
  if (pad.input(3) != kNone) {
    const auto named = IntsConstant(g, pad.input(3));
    if (!named) return std::nullopt;
    axes = *named;
  }
  if (!given || given->size() != 2 * axes.size()) return std::nullopt;
  const int first = channels_last ? 1 : 2;
  Ints pads(2 * (rank - 2));
  for (size_t i = 0; i < given->size(); ++i) {
    const int64_t size = (*given)[i];
    if (size == 0) continue;
    const bool end = i >= axes.size();
    int64_t axis = axes[end ? i - axes.size() : i];
    axis = (axis < 0 ? axis + rank : axis) - first;
    if (size < 0 || size > (1 << 30) || axis < 0 || axis >= rank - 2) return std::nullopt;
    pads[axis + (end ? rank - 2 : 0)] += size;
  }
  return pads;
}

/// The number that the Pad fills with.
std::optional<double> FillOf(const Graph& g, const Node& pad) {
  if (pad.attributes.String("mode", "constant") != "constant") return std::nullopt;
  return pad.input(2) == kNone ? 0.0 : UniformConstant(g, pad.input(2));
}

/// Why the pool would not see the same numbers, or nothing.
std::string_view WhyNotPool(const Node& pool, double fill, const Ints& own, const Ints& all, bool& count) {
  const Ints kernel = pool.attributes.Ints("kernel_shape");
  for (size_t i = 0; i < all.size(); ++i) {
    const bool fits = kernel.size() * 2 == all.size() && all[i] < kernel[i % kernel.size()];
    if (!fits) return "the padding is as large as the pool's kernel";
  }
  if (pool.op_type == "MaxPool") return fill == -INFINITY ? "" : "a MaxPool's own padding is not that number";
  if (fill != 0) return "an AveragePool's own padding is 0";
  if (pool.attributes.Int("ceil_mode", 0) != 0) return "windows past the end count otherwise";
  count = pool.attributes.Int("count_include_pad", 0) != 0;
  const bool own_padding = std::any_of(own.begin(), own.end(), [](int64_t n) { return n != 0; });
  if (!count && own_padding) return "the pool counts the Pad's zeros, but not its own";
  count = true;
  return {};
}

}  // namespace

/// A Pad in front of a convolution or pool becomes that one's own padding.
Result FoldPad(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const bool conv = node.op_type == "Conv" || node.op_type == "FusedConv";
  if (!conv && node.op_type != "MaxPool" && node.op_type != "AveragePool") return kNoMatch;
  const Node* pad = graph.Producer(node.input(0));
  if (!pad || !pad->Is("Pad") || !HasRank(graph, pad->input(0)) || Rank(graph, pad->input(0)) < 3) return kNoMatch;
  if (node.output(0) == kNone || node.outputs.size() > 1) return Skip{"the pool's indices would be others"};
  const auto fill = FillOf(graph, *pad);
  if (!fill || (conv && *fill != 0)) return Skip{"the Pad does not fill with zeros"};
  const auto pads = SpatialPads(graph, *pad, node.attributes.Int("channels_last", 0) != 0);
  if (!pads) return Skip{"the Pad's sizes are not known, negative, or not of spatial axes alone"};
  const std::string automatic = node.attributes.String("auto_pad", "NOTSET");
  if (automatic != "NOTSET" && automatic != "VALID") return Skip{"the padding of its own depends on the size"};
  Ints own = node.attributes.Ints("pads", Ints(pads->size()));
  if (automatic == "VALID") own.assign(pads->size(), 0);
  if (own.size() != pads->size()) return kNoMatch;
  Ints all = own;
  for (size_t i = 0; i < all.size(); ++i) all[i] += (*pads)[i];

  Attributes attributes = node.attributes;
  if (!conv) {
    bool count = false;
    const std::string_view why = WhyNotPool(node, *fill, own, all, count);
    if (!why.empty()) return Skip{why};
    if (count) attributes.Set("count_include_pad", int64_t{1});
  }
  attributes.Set("pads", all);
  attributes.Remove("auto_pad");
  std::vector<ValueId> inputs = node.inputs;
  inputs[0] = pad->input(0);
  Patch patch(graph);
  patch.Replace(node.output(0), patch.Add(node.op_type, std::move(inputs), std::move(attributes), node.domain));
  return patch;
}

}  // namespace slipway
