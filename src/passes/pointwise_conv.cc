#include "passes/pointwise_conv.h"

#include "passes/queries.h"

namespace slipway {
namespace {

bool AllAre(const Attributes& attributes, std::string_view name, int64_t wanted) {
  for (const int64_t x : attributes.Ints(name, {})) {
    if (x != wanted) return false;
  }
  return true;
}

}  // namespace

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

}  // namespace slipway
