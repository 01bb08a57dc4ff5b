#include "onnx/upgrade/rules.h"

namespace slipway::onnx {

void FlattenAround(Graph& g, NodeId id) {
  const int64_t axis = g.node(id).attributes.Int("axis", 1);
  const ValueId x = Required(g.node(id), 0), y = g.node(id).outputs[0];
  const SymbolicShape& shape = g.value(x).type.shape;
  g.node(id).attributes.Set("axis", int64_t{-1});
  if (axis == -1 || (shape.has_rank() && axis == shape.rank() - 1)) return;
  const Before before(g, id);
  const ValueId flat = before.Add("Flatten", {x}, One("axis", axis));
  const ValueId sizes = before.Add("Shape", {x});
  // The node moves in front of a Reshape that takes over its output.
  Node inner = g.node(id);
  inner.inputs = {flat};
  inner.outputs = {g.AddValue(g.value(y).name + "/matrix")};
  const ValueId matrix = inner.outputs[0];
  g.AddNode(std::move(inner), id);
  g.RemoveNode(id);
  g.AddNode({.name = g.value(y).name + "/back", .op_type = "Reshape", .inputs = {matrix, sizes}, .outputs = {y}});
}

void PlainBatchNormalization(Graph& g, NodeId id) {
  Node& node = g.node(id);
  if (node.attributes.Int("spatial", 1) == 0) {
    FailUpgrade(Code::kUnsupported, "attribute 'spatial' is 0: statistics for each position are not supported.");
  }
  for (const char* name : {"consumed_inputs", "is_test", "spatial"}) node.attributes.Remove(name);
  // The further outputs are for training; inference gives the first alone.
  for (size_t i = 1; i < node.outputs.size(); ++i) {
    if (node.outputs[i] != kNone) g.value(node.outputs[i]).producer = kNone;
  }
  node.outputs.resize(1);
}

void ScalePerChannel(Graph& g, NodeId id) {
  const Before before(g, id);
  const int64_t groups = g.node(id).attributes.RequiredInt("num_groups");
  if (groups < 1) FailUpgrade(Code::kBadGraph, fmt::format("attribute 'num_groups' is {}.", groups));
  // [groups] -> [groups, 1] -> [groups, C / groups] -> [C], with C read from the input.
  Attributes channels_only = One("start", int64_t{1});
  channels_only.Set("end", int64_t{2});
  const ValueId channels = before.Add("Shape", {Required(g.node(id), 0)}, channels_only);
  const ValueId count = before.Ints("groups", {groups});
  const ValueId wide = before.Add("Concat", {count, before.Add("Div", {channels, count})}, One("axis", int64_t{0}));
  for (size_t i = 1; i <= 2; ++i) {
    const ValueId column = before.Add("Unsqueeze", {Required(g.node(id), i), before.Ints("one", {1})});
    g.SetInput(id, i, before.Add("Reshape", {before.Add("Expand", {column, wide}), before.Ints("flat", {-1})}));
  }
}

}  // namespace slipway::onnx
