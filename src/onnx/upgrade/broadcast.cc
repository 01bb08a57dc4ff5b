#include <algorithm>

#include "onnx/upgrade/rules.h"

namespace slipway::onnx {
namespace {

/// Gives input 1 axes of size 1 at its end, so that its first axis stands below axis `axis` of input 0.
void AlignSecond(Graph& g, NodeId id, int64_t axis) {
  const ValueId a = Required(g.node(id), 0), b = Required(g.node(id), 1);
  // Numbers, not references: what is added to the graph moves its values.
  const auto rank_of = [&](ValueId v) { return g.value(v).type.shape.has_rank() ? g.value(v).type.shape.rank() : -1; };
  const int64_t a_rank = rank_of(a), b_rank = rank_of(b);
  const Before before(g, id);
  if (a_rank >= 0 && b_rank >= 0) {
    const int64_t from = (axis < 0 ? axis + a_rank : axis) + b_rank;
    std::vector<int64_t> added;
    for (int64_t i = std::max(from, b_rank); i < a_rank; ++i)
      added.push_back(b_rank + static_cast<int64_t>(added.size()));
    if (!added.empty()) g.SetInput(id, 1, before.Add("Unsqueeze", {b, before.Ints("axes", added)}));
    return;
  }
  // -1 is how models say "at the end", which needs no alignment.
  if (axis == -1) return;
  if (axis < 0 || b_rank < 0)
    FailUpgrade(Code::kUnsupported, "attribute 'axis' of opset 6 needs inputs of known rank.");
  const ValueId sizes =
      before.Add("Concat", {before.Add("Shape", {b}), before.Ones(a, axis + b_rank)}, One("axis", int64_t{0}));
  g.SetInput(id, 1, before.Add("Reshape", {b, sizes}));
}

}  // namespace

void OldBroadcast(Graph& g, NodeId id) {
  Attributes& a = g.node(id).attributes;
  const bool aligned = a.Has("axis") && a.Int("broadcast", 0) != 0;
  const int64_t axis = a.Int("axis", -1);
  for (const char* name : {"axis", "broadcast", "consumed_inputs"}) a.Remove(name);
  if (aligned) AlignSecond(g, id, axis);
}

void AlignSlope(Graph& g, NodeId id) {
  g.node(id).attributes.Remove("consumed_inputs");
  const SymbolicShape& slope = g.value(Required(g.node(id), 1)).type.shape;
  if (slope.has_rank() && slope.rank() == 1 && !(slope[0] == Dim(1))) AlignSecond(g, id, 1);
}

void TileOneAxis(Graph& g, NodeId id) {
  const Before before(g, id);
  const ValueId x = Required(g.node(id), 0);
  const ValueId count = before.Ints("one", {1});
  const auto as_list = [&](size_t index) {
    const ValueId number =
        before.Add("Cast", {Required(g.node(id), index)}, One("to", static_cast<int64_t>(DType::kInt64)));
    return before.Add("Reshape", {number, count});
  };
  const ValueId tiles = as_list(1), axis = as_list(2);
  const ValueId repeats = before.Add("ScatterElements", {before.Ones(x, 0), axis, tiles}, One("axis", int64_t{0}));
  g.SetInput(id, 2, kNone);
  g.SetInput(id, 1, repeats);
  g.node(id).inputs.resize(2);
}

}  // namespace slipway::onnx
