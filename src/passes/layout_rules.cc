#include "passes/layout_rules.h"

#include <algorithm>
#include <numeric>
#include <string_view>
#include <unordered_map>

#include <fmt/format.h>

#include "ops/infer.h"
#include "ops/op.h"
#include "passes/queries.h"

namespace slipway {
namespace {

using Ints = std::vector<int64_t>;

Tensor IntTensor(const Ints& values) { return Tensor::From<int64_t>({static_cast<int64_t>(values.size())}, values); }

/// Where axis `a` of a value with the channels first stands once they are last.
int64_t MovedAxis(int64_t a, int rank) {
  if (a < 0) a += rank;
  return a == 0 ? 0 : a == 1 ? rank - 1 : a - 1;
}

bool HasChannels(const Graph& g, ValueId v) { return v != kNone && HasRank(g, v) && Rank(g, v) >= 3; }

ValueId AddBefore(Graph& g, NodeId before, Node node) {
  const ValueId out = g.AddValue(fmt::format("{}/{}_{}", g.value(node.inputs[0]).name, node.op_type, g.num_values()));
  node.name = g.node(before).name;
  node.outputs = {out};
  InferNode(g, g.AddNode(std::move(node), before));
  return out;
}

ValueId AddInts(Graph& g, NodeId id, const Ints& values) {
  return g.AddConstant(fmt::format("{}/ints_{}", g.node(id).name, g.num_values()), IntTensor(values));
}

Node PickOf(ValueId from, ValueId indices) {
  return {.op_type = "Gather", .inputs = {from, indices}, .attributes = {{"axis", int64_t{0}}}};
}

ValueId AddPick(Graph& g, NodeId id, ValueId from, const Ints& indices) {
  return AddBefore(g, id, PickOf(from, AddInts(g, id, indices)));
}

/// The shape as a Reshape's target: at most one size is not a number, and none is 0.
std::optional<Ints> AsTarget(const std::vector<Dim>& dims) {
  Ints out;
  for (const Dim& d : dims) {
    if (d == Dim(0)) return std::nullopt;
    out.push_back(d.is_const() ? d.value() : -1);
  }
  if (std::count(out.begin(), out.end(), -1) > 1) return std::nullopt;
  return out;
}

std::vector<Dim> Permuted(const std::vector<Dim>& dims, const Ints& perm) {
  std::vector<Dim> out;
  for (const int64_t axis : perm) out.push_back(dims[axis]);
  return out;
}

/// The shape with leading ones, of that rank.
std::vector<Dim> Padded(const SymbolicShape& shape, int rank) {
  std::vector<Dim> dims(rank - shape.rank(), Dim(1));
  dims.insert(dims.end(), shape.dims().begin(), shape.dims().end());
  return dims;
}

bool IsOneElement(const SymbolicShape& shape) {
  return std::all_of(shape.dims().begin(), shape.dims().end(), [](const Dim& d) { return d == Dim(1); });
}

LayoutRule OneToOne(const Node& n) {
  LayoutRule rule{std::vector<bool>(n.inputs.size()), std::vector<bool>(n.outputs.size(), true)};
  rule.inputs[0] = true;
  return rule;
}

Node Copy(const Node& n, std::vector<ValueId> inputs) {
  Node out{.name = n.name, .op_type = n.op_type, .domain = n.domain, .attributes = n.attributes};
  out.inputs = std::move(inputs);
  return out;
}

// Each family has what FindLayoutRule and what ToChannelsLast do for it.
struct Family {
  std::optional<LayoutRule> (*find)(const Graph& g, const Node& n);
  Node (*write)(Graph& g, NodeId id, std::vector<ValueId> inputs);
};

// ---- Element by element. What is left of the inputs, as of Clip, are scalars.

std::optional<LayoutRule> FindUnary(const Graph& g, const Node& n) { return OneToOne(n); }

Node WriteUnary(Graph& g, NodeId id, std::vector<ValueId> inputs) { return Copy(g.node(id), std::move(inputs)); }

std::optional<LayoutRule> FindBroadcast(const Graph& g, const Node& n) {
  if (!HasChannels(g, n.output(0))) return std::nullopt;
  const int rank = Rank(g, n.output(0));
  LayoutRule rule{{}, {true}};
  for (const ValueId v : n.inputs) {
    if (!HasRank(g, v)) return std::nullopt;
    const bool full = Rank(g, v) == rank;
    if (!full && !g.Constant(v) && !IsOneElement(ShapeOf(g, v))) {
      const std::vector<Dim> dims = Padded(ShapeOf(g, v), rank);
      if (!LayoutsAgree(dims) || !AsTarget(dims)) return std::nullopt;
    }
    rule.inputs.push_back(full);
  }
  return rule;
}

Node WriteBroadcast(Graph& g, NodeId id, std::vector<ValueId> inputs) {
  const int rank = Rank(g, g.node(id).output(0));
  for (ValueId& v : inputs) {
    const SymbolicShape shape = ShapeOf(g, v);
    if (shape.rank() == rank || IsOneElement(shape)) continue;
    const std::vector<Dim> dims = Padded(shape, rank);
    const auto target = AsTarget(LayoutsAgree(dims) ? Permuted(dims, ToLast(rank)) : dims);
    if (const Tensor* constant = g.Constant(v)) {
      const std::string name = fmt::format("{}/last_{}", g.value(v).name, g.num_values());
      v = g.AddConstant(name, constant->Reshaped(Shape(*target)));
      if (!LayoutsAgree(dims)) v = AddRelayout(g, v, ToLast(rank), id);
    } else {
      v = AddBefore(g, id, {.op_type = "Reshape", .inputs = {v, AddInts(g, id, *target)}});
    }
  }
  return Copy(g.node(id), std::move(inputs));
}

// ---- One axis, named by an attribute.

/// That of Softmax, LogSoftmax and Hardmax is the last.
int64_t DefaultAxis(const Node& n) { return n.op_type.ends_with("max") ? -1 : 0; }

std::optional<LayoutRule> FindAxis(const Graph& g, const Node& n) {
  LayoutRule rule = OneToOne(n);
  if (n.op_type == "Concat") {
    rule.inputs.assign(n.inputs.size(), true);
  } else if (n.op_type.starts_with("Arg") && n.attributes.Int("keepdims", 1) == 0) {
    // Without the channels the rest is in the same order in both layouts; without another axis it may not be.
    if (MovedAxis(n.attributes.Int("axis", 0), Rank(g, n.input(0))) != Rank(g, n.input(0)) - 1) return std::nullopt;
    rule.outputs = {false};
  }
  return rule;
}

Node WriteAxis(Graph& g, NodeId id, std::vector<ValueId> inputs) {
  const Node& n = g.node(id);
  Node out = Copy(n, std::move(inputs));
  out.attributes.Set("axis", MovedAxis(n.attributes.Int("axis", DefaultAxis(n)), Rank(g, n.input(0))));
  return out;
}

// ---- Axes named by an input. Where a Slice leaves it out the first axes are meant, for a Pad all.

std::optional<LayoutRule> FindSlice(const Graph& g, const Node& n) {
  if (n.input(3) != kNone) return IntsConstant(g, n.input(3)) ? std::optional(OneToOne(n)) : std::nullopt;
  const bool counted = HasRank(g, n.input(1)) && Rank(g, n.input(1)) == 1 && ShapeOf(g, n.input(1))[0].is_const();
  return counted ? std::optional(OneToOne(n)) : std::nullopt;
}

Node WriteSlice(Graph& g, NodeId id, std::vector<ValueId> inputs) {
  const Node& n = g.node(id);
  const int rank = Rank(g, n.input(0));
  Ints axes(n.input(3) == kNone ? ShapeOf(g, n.input(1))[0].value() : 0);
  std::iota(axes.begin(), axes.end(), 0);
  if (n.input(3) != kNone) axes = *IntsConstant(g, n.input(3));
  for (int64_t& axis : axes) axis = MovedAxis(axis, rank);
  inputs.resize(std::max<size_t>(inputs.size(), 4), kNone);
  inputs[3] = AddInts(g, id, axes);
  return Copy(g.node(id), std::move(inputs));
}

std::optional<LayoutRule> FindPad(const Graph& g, const Node& n) {
  return n.input(3) == kNone || IntsConstant(g, n.input(3)) ? std::optional(OneToOne(n)) : std::nullopt;
}

Node WritePad(Graph& g, NodeId id, std::vector<ValueId> inputs) {
  const Node& n = g.node(id);
  const int rank = Rank(g, n.input(0));
  if (n.input(3) != kNone) return WriteSlice(g, id, std::move(inputs));
  Ints order = ToLast(rank);
  for (int i = 0; i < rank; ++i) order.push_back(order[i] + rank);
  if (const auto pads = IntsConstant(g, n.input(1)); pads && pads->size() == order.size()) {
    for (int64_t& i : order) i = (*pads)[i];
    inputs[1] = AddInts(g, id, order);
  } else {
    inputs[1] = AddPick(g, id, n.input(1), order);
  }
  return Copy(g.node(id), std::move(inputs));
}

bool ReducesAxis(const Ints& axes, int64_t axis, int rank) {
  return std::any_of(axes.begin(), axes.end(), [&](int64_t a) { return (a < 0 ? a + rank : a) == axis; });
}
bool ReducesAllPlaces(const Ints& axes, int rank) {
  for (int axis = 2; axis < rank; ++axis) {
    if (!ReducesAxis(axes, axis, rank)) return false;
  }
  return true;
}

std::optional<LayoutRule> FindReduce(const Graph& g, const Node& n) {
  const auto axes = IntsConstant(g, n.input(1));
  if (!axes || axes->empty()) return std::nullopt;
  LayoutRule rule = OneToOne(n);
  if (n.attributes.Int("keepdims", 1) != 0) return rule;
  const int rank = Rank(g, n.input(0));
  if (!ReducesAxis(*axes, 1, rank) && !ReducesAllPlaces(*axes, rank)) {
    if (ReducesAxis(*axes, 0, rank)) return std::nullopt;
    return rule;
  }
  rule.outputs = {false};
  return rule;
}

/// The pool that is the same reduction over all places, if there is one.
const char* GlobalPool(const Graph& g, const Node& n, const Ints& axes) {
  const int rank = Rank(g, n.input(0));
  if (!IsFloat(g, n.input(0)) || n.attributes.Int("keepdims", 1) == 0) return nullptr;
  if (ReducesAxis(axes, 0, rank) || ReducesAxis(axes, 1, rank) || !ReducesAllPlaces(axes, rank)) return nullptr;
  return n.op_type == "ReduceMean" ? "GlobalAveragePool" : n.op_type == "ReduceMax" ? "GlobalMaxPool" : nullptr;
}

Node WriteReduce(Graph& g, NodeId id, std::vector<ValueId> inputs) {
  const Node& n = g.node(id);
  Ints axes = *IntsConstant(g, n.input(1));
  const char* pool = GlobalPool(g, n, axes);
  if (pool && FindOp(kSlipwayDomain, pool)) {
    return {.name = n.name,
            .op_type = pool,
            .domain = std::string(kSlipwayDomain),
            .inputs = {inputs[0]},
            .attributes = {{"channels_last", int64_t{1}}}};
  }
  for (int64_t& axis : axes) axis = MovedAxis(axis, Rank(g, n.input(0)));
  std::sort(axes.begin(), axes.end());
  inputs[1] = AddInts(g, id, axes);
  return Copy(g.node(id), std::move(inputs));
}

// ---- Shapes.

/// [N, C, spatial...] under other spatial axes: with the channels last it is a reshape too.
std::optional<Ints> SpatialTarget(const Graph& g, const Node& n) {
  if (!HasChannels(g, n.output(0))) return std::nullopt;
  const SymbolicShape &x = ShapeOf(g, n.input(0)), &y = ShapeOf(g, n.output(0));
  if (!(x[0] == y[0]) || !(x[1] == y[1])) return std::nullopt;
  std::vector<Dim> dims = Permuted(y.dims(), ToLast(y.rank()));
  dims[0] = 1;
  if (std::find(x.dims().begin(), x.dims().end(), Dim(0)) != x.dims().end()) return std::nullopt;
  auto target = AsTarget(dims);
  if (target) (*target)[0] = 0;  // as it is
  return target;
}

std::optional<LayoutRule> FindReshape(const Graph& g, const Node& n) {
  return SpatialTarget(g, n) ? std::optional(OneToOne(n)) : std::nullopt;
}

Node WriteReshape(Graph& g, NodeId id, std::vector<ValueId> inputs) {
  const Ints target = *SpatialTarget(g, g.node(id));
  return {.name = g.node(id).name, .op_type = "Reshape", .inputs = {inputs[0], AddInts(g, id, target)}};
}

std::optional<LayoutRule> FindShape(const Graph& g, const Node& n) { return LayoutRule{{true}, {false}}; }

Node WriteShape(Graph& g, NodeId id, std::vector<ValueId> inputs) {
  const Node& n = g.node(id);
  const int rank = Rank(g, n.input(0));
  const auto inside = [&](int64_t i) { return std::clamp<int64_t>(i < 0 ? i + rank : i, 0, rank); };
  const int64_t start = inside(n.attributes.Int("start", 0)), end = inside(n.attributes.Int("end", rank));
  const Ints order = ToFirst(rank);
  const Ints picked(order.begin() + start, order.begin() + std::max(start, end));
  Node out = PickOf(AddBefore(g, id, {.op_type = "Shape", .inputs = {inputs[0]}}), AddInts(g, id, picked));
  out.name = n.name;
  return out;
}

std::optional<LayoutRule> FindResize(const Graph& g, const Node& n) {
  const bool has_roi = n.input(1) != kNone && !(HasRank(g, n.input(1)) && ShapeOf(g, n.input(1)).size() == Dim(0));
  return has_roi ? std::nullopt : std::optional(OneToOne(n));
}

Node WriteResize(Graph& g, NodeId id, std::vector<ValueId> inputs) {
  const int rank = Rank(g, g.node(id).input(0));
  Ints axes = g.node(id).attributes.Ints("axes");
  for (size_t i = 2; axes.empty() && i < inputs.size(); ++i) {
    const bool given = inputs[i] != kNone && !(HasRank(g, inputs[i]) && ShapeOf(g, inputs[i]).size() == Dim(0));
    if (given) inputs[i] = AddPick(g, id, inputs[i], ToLast(rank));
  }
  for (int64_t& axis : axes) axis = MovedAxis(axis, rank);
  Node out = Copy(g.node(id), std::move(inputs));
  if (!axes.empty()) out.attributes.Set("axes", axes);
  return out;
}

// ---- Windows that slide over places.

std::optional<LayoutRule> FindWindow(const Graph& g, const Node& n) {
  const std::string_view name = n.op_type == "Conv" ? "FusedConv" : std::string_view(n.op_type);
  const bool last = n.attributes.Int("channels_last", 0) != 0;
  if (last || !IsFloat(g, n.input(0)) || Rank(g, n.input(0)) > 4) return std::nullopt;
  if (!FindOp(kSlipwayDomain, name) || n.output(1) != kNone) return std::nullopt;
  // The channels-last mean has no dilations.
  const Ints dilations = n.attributes.Ints("dilations");
  const bool dilated = std::any_of(dilations.begin(), dilations.end(), [](int64_t d) { return d != 1; });
  if (n.op_type == "AveragePool" && dilated) return std::nullopt;
  LayoutRule rule = OneToOne(n);
  if (n.op_type == "FusedConv" && n.input(3) != kNone) rule.inputs[3] = true;
  rule.wanted = n.op_type == "Conv" || n.op_type == "FusedConv";
  return rule;
}

Node WriteWindow(Graph& g, NodeId id, std::vector<ValueId> inputs) {
  Node out = Copy(g.node(id), std::move(inputs));
  if (out.op_type == "Conv") out.op_type = "FusedConv";
  out.domain = kSlipwayDomain;
  out.attributes.Set("channels_last", int64_t{1});
  out.attributes.Remove("storage_order");
  return out;
}

constexpr Family kUnary = {FindUnary, WriteUnary};
constexpr Family kBroadcast = {FindBroadcast, WriteBroadcast};
constexpr Family kAxis = {FindAxis, WriteAxis};
constexpr Family kReduce = {FindReduce, WriteReduce};
constexpr Family kReshape = {FindReshape, WriteReshape};
constexpr Family kWindow = {FindWindow, WriteWindow};

const Family* FindFamily(const Node& n) {
  using Names = std::initializer_list<std::string_view>;
  static const auto* const families = [] {
    auto* map = new std::unordered_map<std::string_view, Family>;
    const auto add = [&](const Family& family, Names names) {
      for (const std::string_view name : names) map->emplace(name, family);
    };
    add(kUnary, {"Abs",       "Acos",     "Acosh",      "Asin",     "Asinh",
                 "Atan",      "Atanh",    "BitwiseNot", "Cast",     "Ceil",
                 "Celu",      "Clip",     "Cos",        "Cosh",     "Elu",
                 "Erf",       "Exp",      "Floor",      "Gelu",     "HardSigmoid",
                 "HardSwish", "Identity", "IsInf",      "IsNaN",    "LeakyRelu",
                 "Log",       "Mish",     "Neg",        "Not",      "Reciprocal",
                 "Relu",      "Round",    "Selu",       "Shrink",   "Sigmoid",
                 "Sign",      "Sin",      "Sinh",       "Softplus", "Softsign",
                 "Sqrt",      "Swish",    "Tan",        "Tanh",     "ThresholdedRelu"});
    add(kBroadcast, {"Add",        "And",         "BitShift", "BitwiseAnd", "BitwiseOr",
                     "BitwiseXor", "Div",         "Equal",    "Greater",    "GreaterOrEqual",
                     "Less",       "LessOrEqual", "Max",      "Mean",       "Min",
                     "Mod",        "Mul",         "Or",       "PRelu",      "Pow",
                     "Sub",        "Sum",         "Where",    "Xor"});
    add(kAxis, {"ArgMax", "ArgMin", "Concat", "Hardmax", "LogSoftmax", "Softmax", "Split"});
    add(kReduce, {"ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
                  "ReduceProd", "ReduceSum", "ReduceSumSquare"});
    add(kReshape, {"Flatten", "Reshape", "Squeeze", "Unsqueeze"});
    add({FindSlice, WriteSlice}, {"Slice"});
    add({FindPad, WritePad}, {"Pad"});
    add({FindShape, WriteShape}, {"Shape"});
    add({FindResize, WriteResize}, {"Resize"});
    add(kWindow, {"AveragePool", "Conv", "FusedConv", "GlobalAveragePool", "GlobalMaxPool", "MaxPool"});
    return map;
  }();
  if (!n.domain.empty() && n.domain != kSlipwayDomain) return nullptr;
  const auto found = families->find(n.op_type);
  return found == families->end() ? nullptr : &found->second;
}

}  // namespace

std::vector<int64_t> ToLast(int rank) {
  Ints perm(rank);
  std::iota(perm.begin(), perm.end(), 0);
  std::rotate(perm.begin() + 1, perm.begin() + 2, perm.end());
  return perm;
}

std::vector<int64_t> ToFirst(int rank) {
  Ints perm(rank);
  std::iota(perm.begin(), perm.end(), 0);
  std::rotate(perm.begin() + 1, perm.end() - 1, perm.end());
  return perm;
}

bool LayoutsAgree(const SymbolicShape& shape) {
  const auto one = [](const Dim& d) { return d == Dim(1); };
  return one(shape[1]) || std::all_of(shape.dims().begin() + 2, shape.dims().end(), one);
}

std::optional<LayoutRule> FindLayoutRule(const Graph& graph, const Node& node) {
  const Family* family = FindFamily(node);
  if (!family) return std::nullopt;
  // A broadcast's first input may be its small one.
  if (family->find != FindBroadcast && !HasChannels(graph, node.input(0))) return std::nullopt;
  auto rule = family->find(graph, node);
  for (size_t i = 0; rule && i < node.outputs.size(); ++i) {
    if (rule->outputs[i] && node.outputs[i] != kNone && !HasChannels(graph, node.outputs[i])) return std::nullopt;
  }
  return rule;
}

Node ToChannelsLast(Graph& graph, NodeId id, std::vector<ValueId> inputs) {
  return FindFamily(graph.node(id))->write(graph, id, std::move(inputs));
}

ValueId AddRelayout(Graph& graph, ValueId v, const std::vector<int64_t>& perm, NodeId before, ValueId out) {
  const SymbolicShape shape = ShapeOf(graph, v);
  const bool to_last = perm == ToLast(shape.rank());
  const std::vector<Dim> dims = Permuted(shape.dims(), perm);
  const auto target = LayoutsAgree(to_last ? shape : SymbolicShape(dims)) ? AsTarget(dims) : std::nullopt;
  Node node{.name = graph.node(before).name, .op_type = "Transpose", .inputs = {v}, .attributes = {{"perm", perm}}};
  if (target) node = {.name = node.name, .op_type = "Reshape", .inputs = {v, AddInts(graph, before, *target)}};
  if (out == kNone) return AddBefore(graph, before, std::move(node));
  node.outputs = {out};
  InferNode(graph, graph.AddNode(std::move(node), before));
  return out;
}

}  // namespace slipway
