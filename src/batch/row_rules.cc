#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>

#include "batch/rows.h"
#include "passes/queries.h"

namespace slipway {

Dim RowClass::rows() const {
  Dim out = 1;
  for (const Dim& d : lead) out = out * d;
  return out;
}

bool RowState::IsOf(ValueId v, int of_class) const {
  if (v == kNone || !HasRank(graph, v) || ElemOf(graph, v) == DType::kString) return false;
  const SymbolicShape& shape = ShapeOf(graph, v);
  const std::vector<Dim>& lead = classes[of_class].lead;
  if (shape.rank() < classes[of_class].axes() || !std::equal(lead.begin(), lead.end(), shape.dims().begin()))
    return false;
  return std::all_of(shape.dims().begin() + static_cast<int64_t>(lead.size()), shape.dims().end(),
                     [](const Dim& d) { return d.is_const(); });
}

int RowState::Longest(ValueId v) const {
  int best = kEach;
  for (int k = 0; k < static_cast<int>(classes.size()); ++k) {
    if (IsOf(v, k) && (best == kEach || classes[k].axes() > classes[best].axes())) best = k;
  }
  return best;
}

namespace {

using Kind = RowInput::Kind;

/// A node, and the form that a rule finds for it. Rules answer with "" or why there is none.
class Asked {
 public:
  Asked(const RowState& state, const Node& node, int of_class)
      : state(state), graph(state.graph), node(node), lead(state.classes[of_class].axes()) {
    form.in = form.out = of_class;
    form.inputs.resize(node.inputs.size());
  }

  const RowState& state;
  const Graph& graph;
  const Node& node;
  const int lead;
  RowForm form;

  bool Has(size_t i) const { return node.input(i) != kNone; }
  bool IsConstant(size_t i) const { return Has(i) && graph.Constant(node.input(i)); }
  int RankOf(size_t i) const { return Rank(graph, node.input(i)); }

  /// Input i as rows: a value of the class itself.
  bool Take(size_t i) {
    if (!Has(i) || IsConstant(i) || !state.IsOf(node.input(i), form.in)) return false;
    const int in = state.of[node.input(i)];
    if (in != form.in && (in != RowState::kEach || !graph.Producer(node.input(i)))) return false;
    form.inputs[i] = {.kind = Kind::kRows, .rank = RankOf(i)};
    return true;
  }

  /// Input i as rows with `rank` axes, along which it may be repeated.
  bool TakeBroadcast(size_t i, int rank) {
    const ValueId v = node.input(i);
    if (v == kNone || !HasRank(graph, v) || Rank(graph, v) > rank) return false;
    const int missing = rank - Rank(graph, v);
    const std::vector<Dim>& sizes = state.classes[form.in].lead;
    if (graph.Constant(v)) {
      for (int axis = missing; axis < lead; ++axis) {
        if (!(ShapeOf(graph, v)[axis - missing] == Dim(1))) return false;
      }
      return true;
    }
    if (state.of[v] >= 0) return missing == 0 && Take(i);
    // An input that is no rows stays a list.
    if (!graph.Producer(v) || ElemOf(graph, v) == DType::kString) return false;
    for (int axis = missing; axis < rank; ++axis) {
      const Dim& d = ShapeOf(graph, v)[axis - missing];
      const bool fits = axis < lead ? d == sizes[axis] || d == Dim(1) || IsCapped(d, sizes[axis]) : d.is_const();
      if (!fits) return false;
    }
    form.inputs[i] = {.kind = Kind::kRows, .rank = rank};
    return true;
  }

  /// "" where every input from `first` on is a constant or left out.
  std::string RestConstant(size_t first) const {
    for (size_t i = first; i < node.inputs.size(); ++i) {
      if (Has(i) && !IsConstant(i)) return fmt::format("its input {} is not a constant", i);
    }
    return {};
  }

  /// "" where the axis of input 0 lies behind the leading ones.
  std::string Behind(int64_t axis) const {
    const int rank = RankOf(0);
    if (axis < 0) axis += rank;
    if (axis >= lead && axis < rank) return {};
    return fmt::format("it works along axis {}, along which requests lie one after the other", axis);
  }
  std::string Behind(const std::vector<int64_t>& axes) const {
    for (const int64_t axis : axes) {
      if (std::string why = Behind(axis); !why.empty()) return why;
    }
    return {};
  }
};

const std::string kNotRows = "what it reads does not have an axis for each of the rows";

std::string FindUnary(Asked& a) {
  if (!a.Take(0)) return kNotRows;
  return a.RestConstant(1);
}

std::string FindBroadcast(Asked& a) {
  if (!HasRank(a.graph, a.node.output(0))) return kNotRows;
  const int rank = Rank(a.graph, a.node.output(0));
  for (size_t i = 0; i < a.node.inputs.size(); ++i) {
    if (!a.TakeBroadcast(i, rank)) return fmt::format("its input {} does not fit the rows", i);
  }
  return {};
}

std::string FindDropout(Asked& a) {
  if (a.Has(2)) return "it may draw random numbers";
  return FindUnary(a);
}

/// Along one axis, named by an attribute; the default is what the rule's user gives.
template <int kDefault>
std::string FindAxis(Asked& a) {
  if (!a.Take(0)) return kNotRows;
  if (std::string why = a.Behind(a.node.attributes.Int("axis", kDefault)); !why.empty()) return why;
  return a.RestConstant(1);
}

/// Normalizations: their parameters lie along the last axes.
std::string FindNormalization(Asked& a) {
  if (std::string why = FindAxis<-1>(a); !why.empty()) return why;
  for (size_t i = 1; i < a.node.inputs.size(); ++i) {
    if (a.Has(i) && !a.TakeBroadcast(i, a.RankOf(0))) return fmt::format("its input {} differs from row to row", i);
  }
  return {};
}

std::string FindSkipNormalization(Asked& a) {
  if (!a.Take(0)) return kNotRows;
  if (a.lead >= a.RankOf(0)) return a.Behind(-1);
  if (!a.TakeBroadcast(1, a.RankOf(0))) return "its input 1 does not fit the rows";
  return a.RestConstant(2);
}

/// Everything that it reads has the same leading axes.
std::string FindAlike(Asked& a) {
  for (size_t i = 0; i < a.node.inputs.size(); ++i) {
    if (!a.Take(i)) return fmt::format("its input {} does not fit the rows", i);
  }
  return {};
}

std::string FindConcat(Asked& a) {
  if (std::string why = FindAlike(a); !why.empty()) return why;
  return a.Behind(a.node.attributes.Int("axis", 0));
}

std::string FindCumulative(Asked& a) {
  if (!a.Take(0)) return kNotRows;
  const auto axis = IntsConstant(a.graph, a.node.input(1));
  return axis ? a.Behind(*axis) : "its axis is not a constant";
}

/// One scale for everything, or one for each place of an axis.
std::string FindScaled(Asked& a) {
  if (!a.Take(0)) return kNotRows;
  if (std::string why = a.RestConstant(1); !why.empty()) return why;
  if (a.node.attributes.Int("block_size", 0) != 0) return "it has a scale for each block";
  return a.graph.Constant(a.node.input(1))->size() == 1 ? "" : a.Behind(a.node.attributes.Int("axis", 1));
}

std::string FindDynamicScale(Asked&) { return "it takes one scale for all elements of a request"; }

/// A product with constant weights, or of two matrices a row. `bias` and what follows: constants, but for a residual.
template <int kResidual>
std::string FindProduct(Asked& a) {
  if (!a.Take(0)) return kNotRows;
  const int rank = a.RankOf(0);
  for (size_t i = 2; i < a.node.inputs.size(); ++i) {
    if (!a.Has(i) || a.IsConstant(i)) continue;
    if (i != kResidual || !a.Take(i)) return fmt::format("its input {} is not a constant", i);
  }
  if (!a.IsConstant(1)) {
    const bool matrices = a.Take(1) && a.lead <= rank - 2 && a.RankOf(1) == rank;
    return matrices ? "" : "it multiplies one row by others";
  }
  const bool turned = a.node.attributes.Int("transA", 0) != 0;
  if (a.lead > rank - (turned ? 2 : 1)) return "it sums over rows";
  if (a.RankOf(1) > 2 && a.node.op_type != "MatMulNBits") return "its weights are not one matrix";
  return {};
}

std::string FindIntegerProduct(Asked& a, size_t first_scale, size_t last_scale) {
  for (size_t i = first_scale; i <= last_scale; ++i) {
    if (i != 1 && a.IsConstant(i) && a.RankOf(i) > 1) return fmt::format("its input {} differs from row to row", i);
  }
  return {};
}

std::string FindMatMulInteger(Asked& a) {
  if (std::string why = FindProduct<0>(a); !why.empty()) return why;
  if (a.Has(2) && a.graph.Constant(a.node.input(2))->size() != 1) return "it has a zero point for each row";
  return FindIntegerProduct(a, 2, 3);
}

std::string FindFusedMatMulInteger(Asked& a) {
  if (std::string why = FindProduct<7>(a); !why.empty()) return why;
  for (const size_t i : {2, 4}) {
    if (a.Has(i) && a.graph.Constant(a.node.input(i))->size() != 1) return "it has a scale for each row";
  }
  return FindIntegerProduct(a, 3, 5);
}

std::string FindGemm(Asked& a) {
  if (!a.Take(0)) return kNotRows;
  if (a.lead != 1 || a.node.attributes.Int("transA", 0) != 0) return "it sums over rows";
  if (!a.IsConstant(1)) return "it multiplies one row by others";
  return !a.Has(2) || a.TakeBroadcast(2, 2) ? "" : "its input 2 does not fit the rows";
}

std::string FindTranspose(Asked& a) {
  if (!a.Take(0)) return kNotRows;
  const auto perm = a.node.attributes.Ints("perm");
  for (int axis = 0; axis < a.lead; ++axis) {
    if (axis >= static_cast<int>(perm.size()) || perm[axis] != axis)
      return fmt::format("it moves axis {}, along which requests lie one after the other", axis);
  }
  return {};
}

std::string FindGather(Asked& a) {
  const int64_t axis = a.node.attributes.Int("axis", 0);
  if (a.IsConstant(0)) {
    if (axis != 0 && axis != -a.RankOf(0)) return "it picks from another axis than the first";
    return a.Take(1) ? "" : kNotRows;
  }
  if (!a.Take(0)) return kNotRows;
  if (!a.IsConstant(1)) return "its indices are not constants";
  return a.Behind(axis);
}

std::string FindGatherElements(Asked& a) {
  if (!a.Take(0) || !a.Take(1)) return kNotRows;
  return a.Behind(a.node.attributes.Int("axis", 0));
}

std::string FindSlice(Asked& a) {
  if (!a.Take(0)) return kNotRows;
  if (std::string why = a.RestConstant(1); !why.empty()) return why;
  const auto axes = IntsConstant(a.graph, a.node.input(3));
  return axes ? a.Behind(*axes) : a.Behind(0);
}

std::string FindReduce(Asked& a) {
  if (!a.Take(0)) return kNotRows;
  const auto axes = IntsConstant(a.graph, a.node.input(1));
  if (!axes || axes->empty()) return "it reduces all axes";
  return a.Behind(*axes);
}

/// The sizes behind the leading ones, after as many ones as there are axes before the last of those.
std::optional<std::vector<int64_t>> TargetOf(const SymbolicShape& shape, int lead, int64_t rows) {
  std::vector<int64_t> out(lead, 1);
  out[lead - 1] = rows;
  for (int axis = lead; axis < shape.rank(); ++axis) {
    if (shape[axis].value() == 0) return std::nullopt;
    out.push_back(shape[axis].value());
  }
  return out;
}

/// Another shape of the same rows.
std::string FindReshape(Asked& a) {
  if (!a.Take(0)) return kNotRows;
  const ValueId out = a.node.output(0);
  const Dim rows = a.state.classes[a.form.in].rows();
  int best = RowState::kEach;
  for (int k = 0; k < static_cast<int>(a.state.classes.size()); ++k) {
    if (!a.state.IsOf(out, k) || !(a.state.classes[k].rows() == rows)) continue;
    if (best == RowState::kEach || a.state.classes[k].axes() > a.state.classes[best].axes()) best = k;
  }
  if (best == RowState::kEach) return "what it gives does not have an axis for each of the rows";
  a.form.out = best;
  a.form.target = TargetOf(ShapeOf(a.graph, out), a.state.classes[best].axes(), -1);
  for (size_t i = 1; i < a.form.inputs.size(); ++i) a.form.inputs[i].kind = Kind::kGone;
  return a.form.target ? "" : "a row is empty";
}

std::string FindExpand(Asked& a) {
  const ValueId out = a.node.output(0);
  if (!a.state.IsOf(out, a.form.in) || !a.TakeBroadcast(0, Rank(a.graph, out))) return kNotRows;
  a.form.inputs[1].kind = Kind::kGone;
  a.form.target = TargetOf(ShapeOf(a.graph, out), a.lead, 1);
  return a.form.target ? "" : "a row is empty";
}

/// X is [batch, seq, heads * size]; positions or the caches are a row's own.
std::string FindRotary(Asked& a) {
  if (!a.Take(0)) return kNotRows;
  if (a.RankOf(0) != 3 || a.lead != 2) return a.Behind(1);
  if (a.Has(3)) return a.IsConstant(1) && a.IsConstant(2) && a.Take(3) ? "" : "its positions do not fit the rows";
  return a.TakeBroadcast(1, 3) && a.TakeBroadcast(2, 3) && !a.IsConstant(1) && !a.IsConstant(2)
             ? ""
             : "its angles do not fit the rows";
}

// ---- What works on an item of a batch as a whole.

std::string OnItems(Asked& a) {
  if (!a.Take(0)) return kNotRows;
  return a.lead == 1 ? "" : "it works along the axes of an item";
}

/// From input kOwn on, where that is not 0, an item has its own: a residual, a scale for each channel.
template <size_t kOwn>
std::string FindWindow(Asked& a) {
  if (std::string why = OnItems(a); !why.empty()) return why;
  for (size_t i = 1; i < a.node.inputs.size(); ++i) {
    if (!a.Has(i) || a.IsConstant(i)) continue;
    if (kOwn == 0 || i < kOwn || !a.Take(i)) return fmt::format("its input {} is not a constant", i);
  }
  return {};
}

std::string FindMaxPool(Asked& a) {
  return a.node.output(1) == kNone ? FindWindow<0>(a) : "its indices count through the whole batch";
}

std::string FindBatchNormalization(Asked& a) {
  if (a.node.attributes.Int("training_mode", 0) != 0) return "in training it takes means over the whole batch";
  return FindWindow<0>(a);
}

std::string FindAttention(Asked& a) {
  if (a.lead != 1 || !a.Take(0) || !a.Take(1) || !a.Take(2)) return "a token attends to others of its request alone";
  for (size_t i = 3; i < a.node.inputs.size(); ++i) {
    if (!a.Has(i)) continue;
    const bool fits = i == 3 && (a.IsConstant(3) || a.RankOf(3) == 4) && a.TakeBroadcast(3, 4);
    if (!fits) return fmt::format("its input {} does not fit the rows", i);
  }
  return {};
}

using Rule = std::string(Asked&);

Rule* FindRule(const Node& n) {
  using Names = std::initializer_list<std::string_view>;
  static const auto* const rules = [] {
    auto* map = new std::unordered_map<std::string_view, Rule*>;
    const auto add = [&](Rule* rule, Names names) {
      for (const std::string_view name : names) map->emplace(name, rule);
    };
    add(FindUnary, {"Abs",         "Acos",
                    "Acosh",       "Asin",
                    "Asinh",       "Atan",
                    "Atanh",       "BitCast",
                    "BitwiseNot",  "Cast",
                    "Ceil",        "Celu",
                    "Clip",        "Cos",
                    "Cosh",        "Elu",
                    "Erf",         "Exp",
                    "Floor",       "Gelu",
                    "HardSigmoid", "HardSwish",
                    "Identity",    "IsInf",
                    "IsNaN",       "LeakyRelu",
                    "Log",         "Mish",
                    "Neg",         "Not",
                    "Reciprocal",  "Relu",
                    "Round",       "Selu",
                    "Shrink",      "Sigmoid",
                    "Sign",        "Sin",
                    "Sinh",        "Softplus",
                    "Softsign",    "Sqrt",
                    "Swish",       "Tan",
                    "Tanh",        "ThresholdedRelu"});
    add(FindBroadcast, {"Add",        "And",         "BitShift", "BitwiseAnd", "BitwiseOr",
                        "BitwiseXor", "Div",         "Equal",    "Greater",    "GreaterOrEqual",
                        "Less",       "LessOrEqual", "Max",      "Mean",       "Min",
                        "Mod",        "Mul",         "Or",       "PRelu",      "Pow",
                        "Sub",        "Sum",         "Where",    "Xor"});
    add(FindAxis<-1>, {"Hardmax", "LogSoftmax", "LpNormalization", "Softmax", "TopK"});
    add(FindAxis<0>, {"ArgMax", "ArgMin", "Split"});
    add(FindNormalization, {"LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization"});
    add(FindSkipNormalization,
        {"com.microsoft.SkipLayerNormalization", "com.microsoft.SkipSimplifiedLayerNormalization"});
    add(FindConcat, {"Concat"});
    add(FindAlike, {"SwiGLU"});
    add(FindCumulative, {"CumProd", "CumSum"});
    add(FindScaled, {"DequantizeLinear", "QuantizeLinear"});
    add(FindDynamicScale, {"DynamicQuantizeLinear"});
    add(FindProduct<0>, {"MatMul", "MergedMatMul", "com.microsoft.MatMulNBits"});
    add(FindProduct<3>, {"FusedMatMul"});
    add(FindMatMulInteger, {"MatMulInteger"});
    add(FindFusedMatMulInteger, {"FusedMatMulInteger"});
    add(FindGemm, {"Gemm"});
    add(FindTranspose, {"Transpose"});
    add(FindGather, {"Gather"});
    add(FindGatherElements, {"GatherElements"});
    add(FindSlice, {"Slice"});
    add(FindReduce, {"ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
                     "ReduceProd", "ReduceSum", "ReduceSumSquare"});
    add(FindReshape, {"Flatten", "Reshape", "Squeeze", "Unsqueeze"});
    add(FindExpand, {"Expand"});
    add(FindRotary, {"RotaryEmbedding"});
    add(FindDropout, {"Dropout"});
    add(FindWindow<0>, {"AveragePool", "Conv", "DepthToSpace", "GlobalAveragePool", "GlobalMaxPool",
                        "GroupNormalization", "InstanceNormalization", "LRN", "SpaceToDepth"});
    add(FindMaxPool, {"MaxPool"});
    add(FindWindow<3>, {"FusedConv"});
    add(FindWindow<7>, {"FusedSeparableConv"});
    add(FindBatchNormalization, {"BatchNormalization"});
    add(FindAttention, {"Attention", "StridedAttention"});
    return map;
  }();
  const bool plain = n.domain.empty() || n.domain == kSlipwayDomain;
  const auto found = plain ? rules->find(n.op_type) : rules->find(fmt::format("{}.{}", n.domain, n.op_type));
  return found == rules->end() ? nullptr : found->second;
}

/// The class of the rows that the node reads, and where it reads none, that which its weights are worth making rows
/// for.
int ClassOf(const RowState& state, const Node& node) {
  for (const ValueId v : node.inputs) {
    if (v != kNone && state.of[v] >= 0) return state.of[v];
  }
  return IsWeighty(node) && state.graph.Constant(node.input(1)) ? state.Longest(node.input(0)) : RowState::kEach;
}

}  // namespace

bool IsWeighty(const Node& node) {
  const std::string_view op = node.op_type;
  return op == "Gemm" || op.find("MatMul") != op.npos || op.starts_with("Conv") || op.starts_with("Fused");
}

std::variant<RowForm, std::string> FindRowForm(const RowState& state, const Node& node) {
  const int of_class = ClassOf(state, node);
  if (of_class == RowState::kEach) return "none of what it reads lies in rows";
  Rule* rule = FindRule(node);
  if (!rule) return fmt::format("nothing is known of {} on rows", node.op_type);
  for (const ValueId v : node.inputs) {
    if (v != kNone && !HasRank(state.graph, v)) return "the rank of what it reads is not known";
  }
  Asked asked(state, node, of_class);
  if (std::string why = rule(asked); !why.empty()) return why;
  const auto reads = [](const RowInput& i) { return i.kind == Kind::kRows; };
  if (std::none_of(asked.form.inputs.begin(), asked.form.inputs.end(), reads)) return kNotRows;
  for (const ValueId v : node.outputs) {
    if (v != kNone && !state.IsOf(v, asked.form.out)) return "what it gives does not have an axis for each of the rows";
  }
  return asked.form;
}

}  // namespace slipway
