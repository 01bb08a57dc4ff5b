#include "onnx/downgrade/rules.h"

namespace slipway::onnx {
namespace {

/// A running sum or product along an axis: `op` takes a state, which begins as `first`, and a slice.
void Accumulate(Rewrite& r, std::string_view op, double first) {
  const ValueId x = r.In(0);
  const auto axes = r.Fixed(r.In(1), "input 1 ('axis')");
  const int64_t axis = r.Axis(x, axes.at(0));
  const bool exclusive = r.attributes().Int("exclusive", 0) != 0, reverse = r.attributes().Int("reverse", 0) != 0;
  // The sizes of a slice.
  const int64_t rank = r.Rank(x);
  std::vector<ValueId> sizes;
  for (int64_t i = 0; i < rank; ++i) {
    if (i != axis) sizes.push_back(r.SizeOf(x, i));
  }
  const DType type = r.Elem(x);
  const ValueId start = r.Full(sizes.empty() ? r.Ints({}) : r.Concat(sizes, 0), first, type);
  auto body = std::make_shared<Graph>();
  body->name = "step";
  const Type slice = r.g.value(start).type;
  const ValueId state = body->AddValue("state", slice), row = body->AddValue("row", slice);
  const ValueId next = body->AddValue("next", slice), shown = body->AddValue("shown", slice);
  body->inputs = {state, row};
  body->AddNode({.op_type = std::string(op), .inputs = {state, row}, .outputs = {next}});
  body->AddNode({.op_type = "Identity", .inputs = {exclusive ? state : next}, .outputs = {shown}});
  body->outputs = {next, shown};
  const std::vector<int64_t> direction = {reverse ? 1 : 0}, place = {axis};
  const auto out = r.Ops("Scan", {start, x}, 2,
                         {{"body", body},
                          {"num_scan_inputs", int64_t{1}},
                          {"scan_input_axes", place},
                          {"scan_input_directions", direction},
                          {"scan_output_axes", place},
                          {"scan_output_directions", direction}});
  r.Become({out[1]});
}

}  // namespace

void CumSumByScan(Rewrite& r) { Accumulate(r, "Add", 0); }
void CumProdByScan(Rewrite& r) { Accumulate(r, "Mul", 1); }

/// A loop over the sequence's elements; its body is the map's with elements taken and results put away.
void SequenceMapByLoop(Rewrite& r) {
  const auto body = r.attributes().GetGraph("body");
  if (!body) r.Fail("its attribute 'body' is missing.");
  Graph& b = *body;
  Node loop{.name = r.node().name, .op_type = "Loop", .attributes = {{"body", body}}};
  loop.captures = r.node().captures;
  loop.inputs = {r.Op("SequenceLength", {r.In(0)}), kNone};
  const std::vector<ValueId> elements = b.inputs, results = b.outputs;
  const ValueId step = b.AddValue("step", Type::TensorOf(DType::kInt64, SymbolicShape::OfRank(0)));
  const ValueId go_on = b.AddValue("go_on", Type::TensorOf(DType::kBool, SymbolicShape::OfRank(0)));
  b.inputs = {step, go_on};
  const NodeId first = b.order().empty() ? kNone : b.order().front();
  for (size_t i = 0; i < elements.size(); ++i) {
    const ValueId outer = r.In(i);
    loop.captures.push_back(outer);
    if (r.g.value(outer).type.kind == Type::Kind::kTensor) {
      b.captures.push_back(elements[i]);
      continue;
    }
    b.captures.push_back(b.AddValue("sequence", r.g.value(outer).type));
    b.AddNode({.op_type = "SequenceAt", .inputs = {b.captures.back(), step}, .outputs = {elements[i]}}, first);
  }
  const ValueId still = b.AddValue("still", Type::TensorOf(DType::kBool, SymbolicShape::OfRank(0)));
  b.AddNode({.op_type = "Identity", .inputs = {go_on}, .outputs = {still}});
  b.outputs = {still};
  std::vector<Type> types;
  for (size_t i = 0; i < results.size(); ++i) {
    const ValueId out = r.node().output(i);
    if (out == kNone) r.Fail("each of its outputs must have a name.");
    const Type type = r.g.value(out).type;  // a copy: values move as more are added
    if (type.kind != Type::Kind::kSequence || !type.element) r.Fail("the types of its outputs are not known.");
    loop.inputs.push_back(r.Op("SequenceEmpty", {}, {{"dtype", static_cast<int64_t>(type.element->elem)}}));
    const ValueId so_far = b.AddValue("so_far", type), longer = b.AddValue("longer", type);
    b.inputs.push_back(so_far);
    b.AddNode({.op_type = "SequenceInsert", .inputs = {so_far, results[i]}, .outputs = {longer}});
    b.outputs.push_back(longer);
    types.push_back(type);
  }
  r.Become(r.AddNode(std::move(loop), types));
}

}  // namespace slipway::onnx
