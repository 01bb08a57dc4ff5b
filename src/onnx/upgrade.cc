#include "onnx/upgrade.h"

#include <functional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <fmt/format.h>

namespace slipway::onnx {
namespace {

using Apply = std::function<void(Graph&, NodeId)>;

/// A rule for nodes of one operator from opsets before `before`.
struct Rule {
  int64_t before;
  Apply apply;
};

ValueId Ints(Graph& g, const Node& node, std::string_view what, std::vector<int64_t> values) {
  const std::string name = fmt::format("{}/{}", g.value(node.outputs.at(0)).name, what);
  return g.AddConstant(name, Tensor::From<int64_t>({static_cast<int64_t>(values.size())}, values));
}

void AppendInput(Graph& g, NodeId id, size_t index, ValueId value) { g.SetInput(id, index, value); }

/// An attribute of ints that became input `index`.
Apply IntsToInput(std::string name, size_t index) {
  return [=](Graph& g, NodeId id) {
    Node& node = g.node(id);
    if (!node.attributes.Has(name)) return;
    const auto values = node.attributes.Ints(name);
    node.attributes.Remove(name);
    AppendInput(g, id, index, Ints(g, node, name, values));
  };
}

/// An int attribute that became a one-element input.
Apply IntToInput(std::string name, size_t index) {
  return [=](Graph& g, NodeId id) {
    Node& node = g.node(id);
    if (!node.attributes.Has(name)) return;
    const int64_t value = node.attributes.RequiredInt(name);
    node.attributes.Remove(name);
    AppendInput(g, id, index, Ints(g, node, name, {value}));
  };
}

/// A float attribute that became a scalar input of the type of input 0 (float where that is not known yet).
void FloatToInput(Graph& g, NodeId id, const std::string& name, size_t index, float otherwise, bool keep_absent) {
  Node& node = g.node(id);
  if (!node.attributes.Has(name) && keep_absent) return;
  const float value = node.attributes.Float(name, otherwise);
  node.attributes.Remove(name);
  Tensor t = Tensor::From<float>({}, {value});
  const DType elem = g.value(node.inputs.at(0)).type.elem;
  const std::string label = fmt::format("{}/{}", g.value(node.outputs.at(0)).name, name);
  ValueId id_of = kNone;
  if (elem == DType::kDouble) {
    id_of = g.AddConstant(label, Tensor::From<double>({}, {value}));
  } else if (elem == DType::kFloat16) {
    id_of = g.AddConstant(label, Tensor::From<Float16>({}, {Float16(value)}));
  } else if (elem == DType::kFloat || elem == DType::kUndefined) {
    id_of = g.AddConstant(label, std::move(t));
  } else {
    throw Error(Code::kBadGraph, fmt::format("attribute '{}' does not fit {}", name, Name(elem)));
  }
  if (elem == DType::kUndefined) {
    // The type comes to light only at inference: cast to it.
    const ValueId cast = g.AddValue(label + "/like");
    g.AddNode({.name = label + "/cast", .op_type = "CastLike", .inputs = {id_of, node.inputs[0]}, .outputs = {cast}}, id);
    id_of = cast;
  }
  AppendInput(g, id, index, id_of);
}

Apply Drop(std::vector<std::string> names) {
  return [=](Graph& g, NodeId id) {
    for (const std::string& name : names) g.node(id).attributes.Remove(name);
  };
}

/// Before opset 13, softmax and its kin worked on a matrix: axes before `axis` times axes from it on.
void FlattenAround(Graph& g, NodeId id) {
  const int64_t axis = g.node(id).attributes.Int("axis", 1);
  const SymbolicShape& shape = g.value(g.node(id).inputs.at(0)).type.shape;
  const bool last = axis == -1 || (shape.has_rank() && axis == shape.rank() - 1);
  g.node(id).attributes.Set("axis", int64_t{-1});
  if (last) return;
  const Node node = g.node(id);
  const ValueId x = node.inputs[0], y = node.outputs[0];
  const std::string label = g.value(y).name;
  const ValueId flat = g.AddValue(label + "/flat"), soft = g.AddValue(label + "/matrix"), sizes = g.AddValue(label + "/shape");
  Attributes flatten;
  flatten.Set("axis", axis);
  g.AddNode({.name = node.name + "/flatten", .op_type = "Flatten", .inputs = {x}, .outputs = {flat}, .attributes = flatten}, id);
  g.AddNode({.name = node.name + "/shape", .op_type = "Shape", .inputs = {x}, .outputs = {sizes}}, id);
  Node inner = node;
  inner.inputs = {flat};
  inner.outputs = {soft};
  g.AddNode(inner, id);
  g.RemoveNode(id);
  g.AddNode({.name = node.name + "/back", .op_type = "Reshape", .inputs = {soft, sizes}, .outputs = {y}});
}

/// Until opset 6, the second operand was aligned with `axis` of the first where `broadcast` was set.
void OldBroadcast(Graph& g, NodeId id) {
  Node& node = g.node(id);
  const int64_t axis = node.attributes.Int("axis", -1);
  const bool explicit_axis = node.attributes.Has("axis") && node.attributes.Int("broadcast", 0) != 0;
  node.attributes.Remove("axis");
  node.attributes.Remove("broadcast");
  node.attributes.Remove("consumed_inputs");
  if (!explicit_axis) return;
  const SymbolicShape& a = g.value(node.inputs.at(0)).type.shape;
  const SymbolicShape& b = g.value(node.inputs.at(1)).type.shape;
  if (!a.has_rank() || !b.has_rank()) throw Error(Code::kUnsupported, "attribute 'axis' of opset 6 needs inputs of known rank");
  const int64_t from = axis < 0 ? axis + a.rank() : axis;
  std::vector<int64_t> added;
  for (int64_t i = from + b.rank(); i < a.rank(); ++i) added.push_back(b.rank() + static_cast<int64_t>(added.size()));
  if (added.empty()) return;
  const ValueId wide = g.AddValue(g.value(node.outputs.at(0)).name + "/aligned");
  const ValueId axes = Ints(g, node, "axes", added);
  g.AddNode({.name = node.name + "/align", .op_type = "Unsqueeze", .inputs = {node.inputs[1], axes}, .outputs = {wide}}, id);
  g.SetInput(id, 1, wide);
}

void CastByName(Graph& g, NodeId id) {
  Attributes& a = g.node(id).attributes;
  const Attribute* to = a.Find("to");
  const auto* name = to ? std::get_if<std::string>(to) : nullptr;
  if (!name) return;
  for (int i = 1; i < kNumDTypes; ++i) {
    std::string known(Name(static_cast<DType>(i)));
    for (char& ch : known) ch = static_cast<char>(std::toupper(ch));
    if (known == *name) return a.Set("to", int64_t{i});
  }
  throw Error(Code::kBadGraph, fmt::format("attribute 'to' is '{}', which is no type", *name));
}

/// Upsample scales all axes; Resize says the same with more inputs, and with the rounding that Upsample had.
void UpsampleToResize(Graph& g, NodeId id, bool scales_are_attribute) {
  Node& node = g.node(id);
  node.op_type = "Resize";
  node.attributes.Set("coordinate_transformation_mode", std::string("asymmetric"));
  node.attributes.Set("nearest_mode", std::string("floor"));
  ValueId scales = node.input(1);
  if (scales_are_attribute) {
    const auto values = node.attributes.Floats("scales");
    node.attributes.Remove("scales");
    scales = g.AddConstant(g.value(node.outputs.at(0)).name + "/scales", Tensor::From<float>({static_cast<int64_t>(values.size())}, values));
  }
  g.SetInput(id, 1, kNone);
  g.SetInput(id, 2, scales);
}

/// GroupNormalization-18 scales each group, -21 each channel.
void ScalePerChannel(Graph& g, NodeId id) {
  const Node node = g.node(id);
  const int64_t groups = node.attributes.RequiredInt("num_groups");
  const std::string label = g.value(node.outputs.at(0)).name;
  // [groups] -> [groups, 1] -> [groups, C / groups] -> [C], with C read from the input.
  const auto add = [&](std::string type, std::vector<ValueId> inputs, Attributes attributes = {}) {
    const ValueId out = g.AddValue(label + "/" + type);
    g.AddNode({.name = node.name + "/" + type, .op_type = type, .inputs = std::move(inputs), .outputs = {out}, .attributes = std::move(attributes)}, id);
    return out;
  };
  Attributes channel_only;
  channel_only.Set("start", int64_t{1});
  channel_only.Set("end", int64_t{2});
  const ValueId channels = add("Shape", {node.inputs.at(0)}, channel_only);
  const ValueId count = Ints(g, node, "groups", {groups});
  Attributes first;
  first.Set("axis", int64_t{0});
  const ValueId wide = add("Concat", {count, add("Div", {channels, count})}, first);
  for (size_t i = 1; i <= 2; ++i) {
    const ValueId column = add("Unsqueeze", {node.inputs.at(i), Ints(g, node, "one", {1})});
    g.SetInput(id, i, add("Reshape", {add("Expand", {column, wide}), Ints(g, node, "flat", {-1})}));
  }
}

void DropoutRatio(Graph& g, NodeId id) {
  // Inference alone: the ratio does nothing then, and absent inputs say so.
  Node& node = g.node(id);
  for (const char* name : {"ratio", "is_test", "consumed_inputs"}) node.attributes.Remove(name);
}

const std::unordered_map<std::string_view, std::vector<Rule>>& Rules() {
  static const auto* const rules = [] {
    auto* map = new std::unordered_map<std::string_view, std::vector<Rule>>;
    const auto rule = [&](std::string_view op, int64_t before, Apply apply) { (*map)[op].push_back({before, std::move(apply)}); };
    for (const char* op : {"Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Greater", "Less"}) rule(op, 7, OldBroadcast);
    for (const char* op : {"PRelu", "Gemm"}) rule(op, 7, Drop({"broadcast", "consumed_inputs"}));
    for (const char* op : {"Abs", "Ceil", "Clip", "Elu", "Exp", "Floor", "HardSigmoid", "LeakyRelu", "Log", "Max", "Mean", "Min", "Neg",
                           "Reciprocal", "Relu", "Selu", "Sigmoid", "Sqrt", "Sum", "Tanh", "InstanceNormalization"}) {
      rule(op, 6, Drop({"consumed_inputs"}));
    }
    rule("BatchNormalization", 14, Drop({"consumed_inputs", "is_test", "spatial"}));
    rule("Cast", 6, CastByName);
    rule("Concat", 4, [](Graph& g, NodeId id) {
      if (!g.node(id).attributes.Has("axis")) g.node(id).attributes.Set("axis", int64_t{1});
    });
    rule("Clip", 11, [](Graph& g, NodeId id) {
      const bool has_max = g.node(id).attributes.Has("max");
      FloatToInput(g, id, "min", 1, 0, true);
      if (has_max) FloatToInput(g, id, "max", 2, 0, true);
    });
    rule("Dropout", 12, DropoutRatio);
    for (const char* op : {"Softmax", "LogSoftmax", "Hardmax"}) rule(op, 13, FlattenAround);
    rule("GroupNormalization", 21, ScalePerChannel);
    rule("Pad", 2, [](Graph& g, NodeId id) {
      Attributes& a = g.node(id).attributes;
      if (a.Has("paddings")) a.Set("pads", a.Ints("paddings"));
      a.Remove("paddings");
    });
    rule("Pad", 11, [](Graph& g, NodeId id) {
      IntsToInput("pads", 1)(g, id);
      FloatToInput(g, id, "value", 2, 0, true);
    });
    rule("Reshape", 5, IntsToInput("shape", 1));
    rule("Reshape", 5, Drop({"consumed_inputs"}));
    rule("Resize", 11, [](Graph& g, NodeId id) { UpsampleToResize(g, id, false); });
    rule("Upsample", 9, [](Graph& g, NodeId id) { UpsampleToResize(g, id, true); });
    rule("Upsample", 10, [](Graph& g, NodeId id) {
      if (g.node(id).op_type == "Upsample") UpsampleToResize(g, id, false);
    });
    rule("Scatter", 11, [](Graph& g, NodeId id) { g.node(id).op_type = "ScatterElements"; });
    rule("Slice", 10, [](Graph& g, NodeId id) {
      IntsToInput("starts", 1)(g, id);
      IntsToInput("ends", 2)(g, id);
      IntsToInput("axes", 3)(g, id);
    });
    rule("Split", 13, IntsToInput("split", 1));
    for (const char* op : {"Squeeze", "Unsqueeze", "ReduceSum"}) rule(op, 13, IntsToInput("axes", 1));
    for (const char* op : {"ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"}) {
      rule(op, 18, IntsToInput("axes", 1));
    }
    rule("TopK", 10, IntToInput("k", 1));
    return map;
  }();
  return *rules;
}

/// Before opset 18 Split cut into as many parts as it has outputs where sizes are absent; since then it says the number.
void CountOutputs(Graph& g, NodeId id) {
  Node& node = g.node(id);
  if (node.op_type == "Split" && node.input(1) == kNone && !node.attributes.Has("num_outputs")) {
    node.attributes.Set("num_outputs", static_cast<int64_t>(node.outputs.size()));
  }
}

}  // namespace

void Upgrade(Graph& graph, NodeId id, int64_t version) {
  if (!graph.node(id).domain.empty()) return;
  if (version < 18) CountOutputs(graph, id);
  const auto found = Rules().find(graph.node(id).op_type);
  if (found == Rules().end()) return;
  for (const Rule& rule : found->second) {
    if (version >= rule.before) continue;
    rule.apply(graph, id);
    if (!graph.alive(id)) return;
  }
}

}  // namespace slipway::onnx
