#include "passes/attention_mask.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "passes/queries.h"

namespace slipway {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// Added to a score of any use, a number below this leaves nothing of it.
constexpr double kAbsorbing = -1e30;

double GreatestMagnitude(const Tensor& t) {
  double most = 0;
  for (const float x : t.span<float>()) {
    most = std::max(most, std::isnan(x) ? kInfinity : std::abs(static_cast<double>(x)));
  }
  return most;
}

double GreatestOfType(DType type) {
  switch (type) {
    case DType::kBool:
      return 1;
    case DType::kInt8:
    case DType::kUint8:
      return 255;
    case DType::kInt16:
    case DType::kUint16:
      return 65535;
    case DType::kInt32:
    case DType::kUint32:
      return 4294967295.0;
    case DType::kInt64:
    case DType::kUint64:
      return 1.8446744073709552e19;
    default:
      return kInfinity;
  }
}

/// No element is further from 0 than this, whatever is fed; infinity where that is not known.
double Bound(const Graph& graph, ValueId v, int depth = 0) {
  if (const Tensor* t = FloatConstant(graph, v)) return GreatestMagnitude(*t);
  const Node* n = graph.Producer(v);
  if (!n || !n->domain.empty() || depth > 16) return kInfinity;
  const auto of = [&](size_t input) { return Bound(graph, n->input(input), depth + 1); };
  const std::string& op = n->op_type;
  if (op == "Cast") return GreatestOfType(ElemOf(graph, n->input(0)));
  if (op == "Where") return std::max(of(1), of(2));
  if (op == "Add" || op == "Sub") return of(0) + of(1);
  if (op == "Mul") return of(0) * of(1);
  const bool moves = op == "Unsqueeze" || op == "Squeeze" || op == "Reshape" || op == "Expand" || op == "Slice" ||
                     op == "Transpose" || op == "Neg" || op == "Gather" || op == "Identity";
  return moves ? of(0) : kInfinity;
}

/// True where each row of the constant has an element that lets its score pass.
template <class T, class Passes>
bool EveryRowPasses(const Tensor& t, Passes passes) {
  if (!t.raw() || t.shape().rank() == 0 || t.size() == 0) return false;
  const int64_t row = t.shape().Back(0);
  for (const T* p = t.data<T>(); p != t.data<T>() + t.size(); p += row) {
    if (!std::any_of(p, p + row, passes)) return false;
  }
  return true;
}

/// True where adding the mask never takes a whole row of scores to -inf.
bool NeverHidesARow(const Graph& graph, ValueId added) {
  if (Bound(graph, added) <= std::numeric_limits<float>::max()) return true;
  const Tensor* t = FloatConstant(graph, added);
  return t && EveryRowPasses<float>(*t, [](float x) { return std::isfinite(x); });
}
bool NeverHidesARow(const Graph& graph, ValueId keep, bool inverted) {
  const Tensor* t = graph.Constant(keep);
  return t && t->dtype() == DType::kBool && EveryRowPasses<bool>(*t, [&](bool x) { return x != inverted; });
}

/// True where the mask is repeated along no axis but whole ones, and adds no axes to the scores. The last axis is not
/// to be repeated: Attention takes a shorter one for a mask of fewer keys.
bool FitsScores(const SymbolicShape& mask, const SymbolicShape& scores) {
  if (mask.rank() < 2 || mask.rank() > scores.rank()) return false;
  for (int i = 1; i <= mask.rank(); ++i) {
    const Dim& m = mask[mask.rank() - i];
    if (!(m == scores[scores.rank() - i]) && (i == 1 || !(m == Dim(1)))) return false;
  }
  return true;
}

constexpr Skip kMayBeNan = {"a row that is masked as a whole may give NaN, where Attention gives zeros"};

/// What a mask that is written as Where(keep, 0, hidden) and added amounts to.
void ReadWhere(const Graph& graph, ScoreMask& mask) {
  const Node* where = graph.Producer(mask.added);
  if (!where || !where->Is("Where")) return;
  const auto kept = UniformConstant(graph, where->input(1)), hidden = UniformConstant(graph, where->input(2));
  if (!kept || !hidden || !SameShape(graph, where->input(0), mask.added)) return;
  const bool inverted = *hidden == 0;
  if ((inverted ? *kept : *hidden) != -kInfinity || (inverted ? *hidden : *kept) != 0) return;
  mask = {.keep = where->input(0), .inverted = inverted, .hidden = -kInfinity, .guarded = mask.guarded};
}

}  // namespace

std::variant<ValueId, Skip> AttentionMask(const Graph& graph, Patch& patch, const ScoreMask& given,
                                          const SymbolicShape& scores) {
  ScoreMask mask = given;
  ReadWhere(graph, mask);
  const ValueId source = mask.keep != kNone ? mask.keep : mask.added;
  if (source == kNone) return kNone;
  if (!HasRank(graph, source) || !FitsScores(ShapeOf(graph, source), scores)) {
    return Skip{"the mask's shape is not known to fit the scores'"};
  }
  ValueId out = source;
  if (mask.keep == kNone) {
    if (!IsFloat(graph, source)) return Skip{"the mask is not of the scores' type"};
    if (!mask.guarded && !NeverHidesARow(graph, source)) return kMayBeNan;
  } else if (mask.hidden == -kInfinity) {
    if (!mask.guarded && !NeverHidesARow(graph, mask.keep, mask.inverted)) return kMayBeNan;
    if (mask.inverted) out = patch.Add("Not", {out});
  } else {
    if (mask.hidden > kAbsorbing) return Skip{"masked scores get a number that hides them only in part"};
    ValueId sides[2] = {patch.Constant(Tensor::From<float>({}, {0}), "kept"),
                        patch.Constant(Tensor::From<float>({}, {static_cast<float>(mask.hidden)}), "hidden")};
    if (mask.inverted) std::swap(sides[0], sides[1]);
    out = patch.Add("Where", {out, sides[0], sides[1]});
  }
  if (scores.rank() == 4 || ShapeOf(graph, source).rank() < 3) return out;
  return patch.Add("Unsqueeze", {out, patch.Constant(Tensor::From<int64_t>({1}, {1}), "axes")});
}

}  // namespace slipway
