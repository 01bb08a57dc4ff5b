#include <algorithm>
#include <map>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "ops/op.h"
#include "passes/passes.h"
#include "passes/queries.h"

namespace slipway {
namespace {

using Ints = std::vector<int64_t>;
constexpr int kAsItIs = -1;

Tensor IntTensor(const Ints& values) { return Tensor::From<int64_t>({static_cast<int64_t>(values.size())}, values); }

/// Few enough of the positions along an axis that computing them alone pays.
bool IsFew(int64_t count, const Dim& size) {
  return count > 0 && (size.is_const() ? 4 * count <= size.value() : count <= 4);
}

/// A Gather of a few positions that are known, or a Slice of a few, along one axis.
class Selection {
 public:
  static std::optional<Selection> Of(const Graph& graph, const Node& node) {
    if (!node.domain.empty() || node.inputs.empty() || !HasRank(graph, node.input(0)) || Rank(graph, node.input(0)) < 2)
      return std::nullopt;
    if (node.op_type == "Gather") return OfGather(graph, node);
    if (node.op_type == "Slice") return OfSlice(graph, node);
    return std::nullopt;
  }

  int axis() const { return axis_; }

  /// The same of v, along another axis, which stays.
  ValueId Write(Patch& patch, ValueId v, int axis) const {
    if (slice_) {
      return patch.Add("Slice", {v, slice_->input(1), slice_->input(2), patch.Constant(IntTensor({axis}), "axes"),
                                 slice_->input(4)});
    }
    return patch.Add("Gather", {v, patch.Constant(IntTensor(indices_), "indices")}, {{"axis", int64_t{axis}}});
  }
  /// What the node gives, from the same with the axis left in.
  ValueId Finish(Patch& patch, ValueId selected) const {
    if (!drops_axis_) return selected;
    return patch.Add("Squeeze", {selected, patch.Constant(IntTensor({axis_}), "axes")});
  }

 private:
  static std::optional<Selection> OfGather(const Graph& graph, const Node& node) {
    const auto indices = IntsConstant(graph, node.input(1));
    if (!indices || Rank(graph, node.input(1)) > 1) return std::nullopt;
    Selection s;
    s.axis_ = Axis(node.attributes.Int("axis", 0), Rank(graph, node.input(0)));
    s.indices_ = *indices;
    s.drops_axis_ = Rank(graph, node.input(1)) == 0;
    if (!IsFew(static_cast<int64_t>(indices->size()), ShapeOf(graph, node.input(0))[s.axis_])) return std::nullopt;
    return s;
  }

  static std::optional<Selection> OfSlice(const Graph& graph, const Node& node) {
    const auto start = IntsConstant(graph, node.input(1)), end = IntsConstant(graph, node.input(2));
    const auto axes = node.input(3) == kNone ? Ints{0} : IntsConstant(graph, node.input(3));
    const auto step = node.input(4) == kNone ? Ints{1} : IntsConstant(graph, node.input(4));
    if (!start || !end || !axes || start->size() != 1 || axes->size() != 1 || step != Ints{1}) return std::nullopt;
    Selection s;
    s.axis_ = Axis((*axes)[0], Rank(graph, node.input(0)));
    s.slice_ = &node;
    const int64_t from = (*start)[0], to = (*end)[0];
    constexpr int64_t kFar = int64_t{1} << 30;  // an end of the axis, whatever its size
    if (from < -kFar || to < -kFar || from > kFar) return std::nullopt;
    const int64_t count = from < 0 ? (to < 0      ? to
                                      : to > kFar ? 0
                                                  : -kFar) -
                                         from
                          : to < 0 || to > kFar ? kFar
                                                : to - from;
    if (!IsFew(count, ShapeOf(graph, node.input(0))[s.axis_])) return std::nullopt;
    return s;
  }

  static int Axis(int64_t axis, int rank) { return static_cast<int>(axis < 0 ? axis + rank : axis); }

  int axis_ = 0;
  Ints indices_;
  bool drops_axis_ = false;
  const Node* slice_ = nullptr;
};

// ---- Which axis of each input a node's output axis is, where each position is computed from its own alone.

using Axes = std::vector<int>;

/// The axis of an operand that is broadcast to rank `rank`; nullopt where it may or may not be repeated along it.
std::optional<int> OperandAxis(const Graph& graph, ValueId v, int rank, int axis, const Dim& size) {
  if (v == kNone) return kAsItIs;
  if (!HasRank(graph, v)) return std::nullopt;
  const int own = axis - (rank - Rank(graph, v));
  if (own < 0) return kAsItIs;
  const Dim& dim = ShapeOf(graph, v)[own];
  if (dim == Dim(1)) return kAsItIs;
  return dim == size ? std::optional(own) : std::nullopt;
}

std::optional<Axes> ThroughBroadcast(const Graph& graph, const Node& n, int axis) {
  const SymbolicShape& out = ShapeOf(graph, n.output(0));
  Axes axes;
  for (const ValueId v : n.inputs) {
    const auto own = OperandAxis(graph, v, out.rank(), axis, out[axis]);
    if (!own) return std::nullopt;
    axes.push_back(*own);
  }
  return axes;
}

/// The first input alone has the axis.
Axes First(const Node& n, int axis) {
  Axes axes(n.inputs.size(), kAsItIs);
  axes[0] = axis;
  return axes;
}

std::optional<Axes> ThroughMatMul(const Graph& graph, const Node& n, int axis) {
  const SymbolicShape& out = ShapeOf(graph, n.output(0));
  const int a = Rank(graph, n.input(0)), b = Rank(graph, n.input(1));
  if (a < 2 || b < 2 || axis == out.rank() - 1) return std::nullopt;
  if (axis == out.rank() - 2) return First(n, a - 2);
  return ThroughBroadcast(graph, n, axis);
}

std::optional<Axes> ThroughGemm(const Graph& graph, const Node& n, int axis) {
  if (axis != 0) return std::nullopt;
  Axes axes = First(n, n.attributes.Int("transA", 0) != 0 ? 1 : 0);
  if (n.inputs.size() < 3) return axes;
  const auto own = OperandAxis(graph, n.input(2), 2, 0, ShapeOf(graph, n.output(0))[0]);
  if (!own) return std::nullopt;
  axes[2] = *own;
  return axes;
}

/// An operator that looks along an axis and those behind it, and gives the same shape.
std::optional<Axes> ThroughRows(const Graph& graph, const Node& n, int axis) {
  const int rank = Rank(graph, n.output(0));
  int64_t first = n.attributes.Int("axis", -1);
  if (first < 0) first += rank;
  const bool softmax = n.op_type == "Softmax" || n.op_type == "LogSoftmax";
  if (softmax ? axis == first : axis >= first) return std::nullopt;
  for (size_t i = 1; i < n.inputs.size(); ++i) {
    if (n.input(i) != kNone && (!HasRank(graph, n.input(i)) || Rank(graph, n.input(i)) > rank - axis - 1))
      return std::nullopt;
  }
  return First(n, axis);
}

std::optional<Axes> ThroughReduce(const Graph& graph, const Node& n, int axis) {
  const auto axes = IntsConstant(graph, n.input(1));
  if (n.attributes.Int("keepdims", 1) == 0 || !axes || axes->empty()) return std::nullopt;
  for (const int64_t a : *axes) {
    if ((a < 0 ? a + Rank(graph, n.output(0)) : a) == axis) return std::nullopt;
  }
  return First(n, axis);
}

std::optional<Axes> ThroughTranspose(const Graph& graph, const Node& n, int axis) {
  const Ints perm = n.attributes.Ints("perm");
  const int rank = Rank(graph, n.output(0));
  return First(n, perm.empty() ? rank - 1 - axis : static_cast<int>(perm[axis]));
}

/// The target of a Reshape that leaves all axes up to this one as they are.
std::optional<Ints> TargetBehind(const Graph& graph, const Node& n, int axis) {
  const SymbolicShape &in = ShapeOf(graph, n.input(0)), &out = ShapeOf(graph, n.output(0));
  if (in.rank() <= axis || n.attributes.Int("allowzero", 0) != 0) return std::nullopt;
  Ints target;
  for (int i = 0; i < out.rank(); ++i) {
    if (i <= axis && !(in[i] == out[i])) return std::nullopt;
    if (i > axis && out[i] == Dim(0)) return std::nullopt;
    target.push_back(i <= axis ? 0 : out[i].is_const() ? out[i].value() : -1);
  }
  if (std::count(target.begin(), target.end(), -1) > 1) return std::nullopt;
  return target;
}

/// By query: [batch, heads, queries, size], or without the heads.
std::optional<Axes> ThroughAttention(const Graph& graph, const Node& n, int axis) {
  const int rank = Rank(graph, n.output(0));
  if (axis != rank - 2 || n.attributes.Int("is_causal", 0) != 0) return std::nullopt;
  for (size_t i = 4; i < n.inputs.size(); ++i) {
    if (n.input(i) != kNone) return std::nullopt;
  }
  Axes axes = First(n, axis);
  if (n.inputs.size() < 4 || n.input(3) == kNone) return axes;
  if (!HasRank(graph, n.input(3))) return std::nullopt;
  const int mask = Rank(graph, n.input(3));
  const auto own = OperandAxis(graph, n.input(3), mask, mask - 2, ShapeOf(graph, n.output(0))[axis]);
  if (!own || mask < 2) return std::nullopt;
  axes[3] = *own;
  return axes;
}

std::optional<Axes> ThroughConcat(const Graph& graph, const Node& n, int axis) {
  int64_t joined = n.attributes.Int("axis", 0);
  if (joined < 0) joined += Rank(graph, n.output(0));
  if (joined == axis) return std::nullopt;
  return Axes(n.inputs.size(), axis);
}

std::optional<Axes> Through(const Graph& graph, const Node& n, int axis) {
  static const std::unordered_set<std::string_view> kUnary = {"Abs",       "Cast",
                                                              "Ceil",      "Celu",
                                                              "Clip",      "Cos",
                                                              "Elu",       "Erf",
                                                              "Exp",       "Floor",
                                                              "Gelu",      "HardSigmoid",
                                                              "HardSwish", "Identity",
                                                              "IsInf",     "IsNaN",
                                                              "LeakyRelu", "Log",
                                                              "Mish",      "Neg",
                                                              "Not",       "Reciprocal",
                                                              "Relu",      "Round",
                                                              "Selu",      "Sigmoid",
                                                              "Sign",      "Sin",
                                                              "Softplus",  "Softsign",
                                                              "Sqrt",      "Swish",
                                                              "Tanh",      "ThresholdedRelu"};
  static const std::unordered_set<std::string_view> kBroadcast = {
      "Add", "And",   "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Min", "Mod", "Mul",
      "Or",  "PRelu", "Pow", "Sub",   "Sum",     "Where",          "Xor"};
  using Rule = std::optional<Axes>(const Graph&, const Node&, int);
  static const std::unordered_map<std::string_view, Rule*> kOthers = {
      {"Attention", ThroughAttention},
      {"Concat", ThroughConcat},
      {"Gemm", ThroughGemm},
      {"LayerNormalization", ThroughRows},
      {"LogSoftmax", ThroughRows},
      {"MatMul", ThroughMatMul},
      {"RMSNormalization", ThroughRows},
      {"ReduceMax", ThroughReduce},
      {"ReduceMean", ThroughReduce},
      {"ReduceMin", ThroughReduce},
      {"ReduceSum", ThroughReduce},
      {"ReduceSumSquare", ThroughReduce},
      {"Softmax", ThroughRows},
      {"Transpose", ThroughTranspose},
  };
  if (!n.domain.empty() || !n.captures.empty()) return std::nullopt;
  for (size_t i = 1; i < n.outputs.size(); ++i) {
    if (n.outputs[i] != kNone) return std::nullopt;
  }
  for (const ValueId v : {n.input(0), n.output(0)}) {
    if (!HasRank(graph, v)) return std::nullopt;
  }
  if (kUnary.contains(n.op_type)) return First(n, axis);
  if (kBroadcast.contains(n.op_type)) return ThroughBroadcast(graph, n, axis);
  if (n.op_type == "Reshape") return TargetBehind(graph, n, axis) ? std::optional(First(n, axis)) : std::nullopt;
  const auto rule = kOthers.find(n.op_type);
  if (rule == kOthers.end() || (n.inputs.size() > 1 && n.input(1) != kNone && !HasRank(graph, n.input(1))))
    return std::nullopt;
  return rule->second(graph, n, axis);
}

/// The nodes in front of a selection that compute nothing else than what it selects, and their like without the rest.
class Hoist {
 public:
  Hoist(const Graph& graph, const Selection& selection) : graph_(graph), selection_(selection), patch_(graph) {
    for (const NodeId id : graph.order()) place_.emplace(id, place_.size());
  }

  /// v without what is not selected; nullopt where no product in front of it becomes smaller.
  std::optional<Patch> From(const Node& node) {
    Want(node.input(0), selection_.axis());
    bool pays = false;
    // The last node first: all that read a value have told what they want of it.
    while (!open_.empty()) {
      const NodeId id = open_.rbegin()->second;
      open_.erase(std::prev(open_.end()));
      const Node& n = graph_.node(id);
      const Wanted& wanted = wanted_.at(n.output(0));
      if (wanted.axis == kAsItIs || wanted.uses != graph_.value(n.output(0)).users.size() ||
          graph_.IsOutput(n.output(0)))
        continue;
      const auto axes = Through(graph_, n, wanted.axis);
      if (!axes) continue;
      pays |= n.op_type == "MatMul" || n.op_type == "Gemm" || n.op_type == "Attention";
      for (size_t i = 0; i < axes->size(); ++i) {
        if ((*axes)[i] != kAsItIs) Want(n.input(i), (*axes)[i]);
      }
      smaller_.emplace(place_.at(id), std::make_pair(id, *axes));
    }
    if (!pays) return std::nullopt;
    for (const auto& [place, part] : smaller_) Write(graph_.node(part.first), part.second);
    patch_.Replace(node.output(0), selection_.Finish(patch_, Selected(node.input(0), selection_.axis())));
    return std::move(patch_);
  }

 private:
  struct Wanted {
    int axis;  ///< kAsItIs: some want one axis and some another
    size_t uses = 0;
  };

  void Want(ValueId v, int axis) {
    Wanted& wanted = wanted_.try_emplace(v, Wanted{axis}).first->second;
    if (wanted.axis != axis) wanted.axis = kAsItIs;
    ++wanted.uses;
    const NodeId producer = graph_.value(v).producer;
    if (producer != kNone && graph_.node(producer).output(0) == v) open_.emplace(place_.at(producer), producer);
  }

  void Write(const Node& n, const Axes& axes) {
    std::vector<ValueId> inputs = n.inputs;
    for (size_t i = 0; i < axes.size(); ++i) {
      if (axes[i] != kAsItIs) inputs[i] = Selected(n.input(i), axes[i]);
    }
    if (n.op_type == "Reshape") inputs[1] = patch_.Constant(IntTensor(*TargetBehind(graph_, n, axes[0])), "shape");
    selected_[{n.output(0), wanted_.at(n.output(0)).axis}] = patch_.Add(n.op_type, std::move(inputs), n.attributes);
  }

  ValueId Selected(ValueId v, int axis) {
    const auto [found, is_new] = selected_.try_emplace({v, axis}, kNone);
    if (is_new) found->second = selection_.Write(patch_, v, axis);
    return found->second;
  }

  const Graph& graph_;
  const Selection& selection_;
  Patch patch_;
  std::unordered_map<NodeId, size_t> place_;
  std::unordered_map<ValueId, Wanted> wanted_;
  std::map<size_t, NodeId> open_;
  std::map<size_t, std::pair<NodeId, Axes>> smaller_;
  std::map<std::pair<ValueId, int>, ValueId> selected_;
};

}  // namespace

/// Only the positions that are used are computed: the first token's of a classifier, the last one's of a language
/// model. A selection of a few positions along an axis moves in front of what treats each position for itself, up to
/// what others read whole, such as an attention's keys.
Result HoistSelection(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const auto selection = Selection::Of(graph, node);
  if (!selection || graph.value(node.input(0)).producer == kNone) return kNoMatch;
  auto patch = Hoist(graph, *selection).From(node);
  if (!patch) return kNoMatch;
  return std::move(*patch);
}

}  // namespace slipway
