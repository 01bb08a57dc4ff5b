#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "passes/attention_mask.h"
#include "passes/passes.h"
#include "passes/queries.h"

namespace slipway {
namespace {

/// Goes up through multiplications by numbers, which gather in `scale`.
ValueId WithoutScale(const Graph& graph, ValueId v, double& scale) {
  while (const Node* n = graph.Producer(v)) {
    if (!n->Is("Mul") && !n->Is("Div")) return v;
    auto factor = ScalarConstant(graph, n->input(1));
    ValueId x = n->input(0);
    if (!factor && n->Is("Mul")) {
      factor = ScalarConstant(graph, n->input(0));
      x = n->input(1);
    }
    if (!factor || !SameShape(graph, x, v)) return v;
    scale *= n->Is("Mul") ? *factor : 1 / *factor;
    v = x;
  }
  return v;
}

/// Softmax over the last axis, and what guards it from rows that are all -inf.
struct Weights {
  ValueId scores = kNone;
  ValueId softmax = kNone;
  bool guarded = false;
};

std::optional<Weights> FindWeights(const Graph& graph, ValueId v) {
  Weights out;
  const Node* n = graph.Producer(v);
  if (n && n->Is("Where") && UniformConstant(graph, n->input(1)) == 0.0) {
    const Node* test = graph.Producer(n->input(0));
    if (!test || !test->Is("IsNaN") || test->input(0) != n->input(2)) return std::nullopt;
    out.guarded = true;
    n = graph.Producer(n->input(2));
  }
  if (!n || !n->Is("Softmax") || !HasRank(graph, n->input(0))) return std::nullopt;
  const int64_t axis = n->attributes.Int("axis", -1);
  if (axis != -1 && axis != Rank(graph, n->input(0)) - 1) return std::nullopt;
  out.scores = n->input(0);
  out.softmax = n->output(0);
  return out;
}

/// True where nothing but the matched nodes reads the softmax's input and output.
bool ArePrivate(const Graph& graph, const Weights& weights, ValueId result) {
  if (!graph.HasOneUse(weights.scores) || !graph.HasOneUse(result)) return false;
  return !weights.guarded || (!graph.IsOutput(weights.softmax) && graph.value(weights.softmax).users.size() == 2);
}

struct Scores {
  const Node* product = nullptr;
  bool keys_as_rows = false;  // the product exchanges its right-hand side's axes by itself
  double scale = 1;
  ScoreMask mask;
};

/// A FusedMatMul that is but a scaled product, as files by onnxruntime have it.
bool IsScaledProduct(const Node& n) {
  if (!n.Is("FusedMatMul", kSlipwayDomain) || n.inputs.size() > 2) return false;
  return n.attributes.Int("transA", 0) == 0 && n.attributes.String("activation", "").empty();
}

bool IsProduct(const Graph& graph, ValueId v, Scores& out) {
  double scale = 1;
  const Node* n = graph.Producer(WithoutScale(graph, v, scale));
  if (!n || !graph.HasOneUse(v) || !(n->Is("MatMul") || IsScaledProduct(*n))) return false;
  out.product = n;
  out.keys_as_rows = n->attributes.Int("transB", 0) != 0;
  out.scale = scale * static_cast<double>(n->attributes.Float("scale", 1));
  return true;
}

/// Takes scale * q k^T and its mask apart.
std::optional<Scores> FindScores(const Graph& graph, ValueId v) {
  Scores out;
  if (IsProduct(graph, v, out)) return out;
  const Node* n = graph.Producer(v);
  if (!n) return std::nullopt;
  if (n->Is("Add")) {
    for (const int side : {0, 1}) {
      if (!IsProduct(graph, n->input(side), out)) continue;
      out.mask.added = n->input(1 - side);
      return SameShape(graph, n->input(side), v) ? std::optional(out) : std::nullopt;
    }
  }
  if (n->Is("Where")) {
    for (const int side : {1, 2}) {
      const auto hidden = UniformConstant(graph, n->input(3 - side));
      if (!hidden || !IsProduct(graph, n->input(side), out)) continue;
      out.mask.keep = n->input(0);
      out.mask.inverted = side == 2;
      out.mask.hidden = *hidden;
      return SameShape(graph, n->input(side), v) ? std::optional(out) : std::nullopt;
    }
  }
  return std::nullopt;
}

/// The keys of which Reshape(Transpose(Reshape(keys))) exchanges the last two axes, as is written where the rank is not
/// known.
ValueId KeysBehindReshapes(const Graph& graph, const Node& reshape) {
  const Node* transpose = graph.Producer(reshape.input(0));
  if (!reshape.Is("Reshape") || !transpose || !transpose->Is("Transpose")) return kNone;
  const Node* before = graph.Producer(transpose->input(0));
  if (!before || !before->Is("Reshape")) return kNone;
  if (transpose->attributes.Ints("perm") != std::vector<int64_t>{0, 2, 1}) return kNone;
  const ValueId keys = before->input(0), given = reshape.output(0);
  if (!HasRank(graph, keys) || !HasRank(graph, before->output(0)) || !HasRank(graph, given)) return kNone;
  const SymbolicShape &k = ShapeOf(graph, keys), &out = ShapeOf(graph, given);
  const SymbolicShape& flat = ShapeOf(graph, before->output(0));
  const int rank = k.rank();
  if (rank < 3 || out.rank() != rank || !(flat[1] == k[rank - 2]) || !(flat[2] == k[rank - 1])) return kNone;
  for (int i = 0; i < rank; ++i) {
    if (!(out[i] == k[i < rank - 2 ? i : 2 * rank - 3 - i])) return kNone;
  }
  return keys;
}

/// The keys, of which `v` is the same with the last two axes exchanged.
ValueId Keys(const Graph& graph, Patch& patch, ValueId v, double& scale) {
  const int rank = Rank(graph, v);
  std::vector<int64_t> perm(rank);
  std::iota(perm.begin(), perm.end(), 0);
  if (const Node* n = graph.Producer(v)) {
    const ValueId keys = KeysBehindReshapes(graph, *n);
    if (keys != kNone) return WithoutScale(graph, keys, scale);
    if (n->Is("Transpose") && n->attributes.Has("perm")) {
      perm = n->attributes.Ints("perm");
      v = WithoutScale(graph, n->input(0), scale);
    }
  }
  std::swap(perm[rank - 1], perm[rank - 2]);
  return std::is_sorted(perm.begin(), perm.end()) ? v : patch.Add("Transpose", {v}, {{"perm", perm}});
}

/// All but the last two axes are the same, so that no product repeats a matrix.
bool SameBatch(const SymbolicShape& a, const SymbolicShape& b) {
  if (a.rank() != b.rank()) return false;
  for (int i = 0; i + 2 < a.rank(); ++i) {
    if (!(a[i] == b[i])) return false;
  }
  return true;
}

}  // namespace

/// softmax(scale * q k^T + mask) v becomes Attention.
Result FuseAttention(const Graph& graph, NodeId id) {
  const Node& root = graph.node(id);
  if (!root.Is("MatMul")) return kNoMatch;
  const auto weights = FindWeights(graph, root.input(0));
  if (!weights) return kNoMatch;
  auto scores = FindScores(graph, weights->scores);
  if (!scores) return Skip{"the softmax is not of masked scores"};
  if (!ArePrivate(graph, *weights, root.input(0))) return Skip{"the attention's weights are used elsewhere"};
  const ValueId q = WithoutScale(graph, scores->product->input(0), scores->scale), v = root.input(1);
  const ValueId k_given = WithoutScale(graph, scores->product->input(1), scores->scale);
  if (!HasRank(graph, q) || !HasRank(graph, k_given) || !HasRank(graph, v)) return Skip{"ranks are not known"};
  if (!IsFloat(graph, q) || !IsFloat(graph, v)) return Skip{"Attention is fused for float"};
  const SymbolicShape &q_shape = ShapeOf(graph, q), &v_shape = ShapeOf(graph, v);
  const SymbolicShape& k_shape = ShapeOf(graph, k_given);
  const int rank = q_shape.rank();
  if (rank != 3 && rank != 4) return Skip{"queries have neither 3 nor 4 axes"};
  if (!SameBatch(q_shape, k_shape) || !SameBatch(q_shape, v_shape)) {
    return Skip{"queries, keys and values are not known to have the same heads"};
  }
  const Dim& keys = k_shape[scores->keys_as_rows ? rank - 2 : rank - 1];
  if (!(keys == v_shape[rank - 2])) return Skip{"keys and values are not known to be as many"};

  Patch patch(graph);
  const ValueId k = scores->keys_as_rows ? k_given : Keys(graph, patch, k_given, scores->scale);
  SymbolicShape score_shape = q_shape;
  score_shape[rank - 1] = keys;
  scores->mask.guarded = weights->guarded;
  const auto mask = AttentionMask(graph, patch, scores->mask, score_shape);
  if (const Skip* skip = std::get_if<Skip>(&mask)) return *skip;

  std::vector<ValueId> inputs = {q, k, v};
  if (std::get<ValueId>(mask) != kNone) inputs.push_back(std::get<ValueId>(mask));
  Attributes attributes = {{"scale", static_cast<float>(scores->scale)}};
  if (rank == 3) {
    attributes.Set("q_num_heads", int64_t{1});
    attributes.Set("kv_num_heads", int64_t{1});
  }
  patch.Replace(root.output(0), patch.Add("Attention", std::move(inputs), std::move(attributes)));
  return patch;
}

}  // namespace slipway
