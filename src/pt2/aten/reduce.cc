#include <cmath>
#include <numeric>

#include "pt2/aten/shared.h"

namespace slipway::pt2 {
namespace {

/// The axes that `dim` names; all where it names none.
std::vector<int64_t> Axes(Call& c, const TensorRef& x) {
  std::vector<int64_t> axes = c.Ints("dim");
  for (int64_t& a : axes) a = x.Axis(a);
  if (axes.empty()) {
    axes.resize(x.rank());
    std::iota(axes.begin(), axes.end(), 0);
  }
  return axes;
}

ValueId ReduceBy(Call& c, std::string_view op, ValueId v, const TensorRef& x, const std::vector<int64_t>& axes,
                 bool keep) {
  if (x.rank() == 0) return v;
  const bool all = static_cast<int>(axes.size()) == x.rank();
  return c.Add(op, {v, all ? kNone : c.IntsConstant(axes)}, {{"keepdims", int64_t{keep}}});
}

/// Sums, means, extremes, products, in the type of the result.
void Reduce(Call& c) {
  const TensorRef x = First(c);
  c.Out(ReduceBy(c, c.detail(), c.Cast(x.id, c.OutDtype()), x, Axes(c, x), c.Bool("keepdim", false)));
}

/// amax and amin; ONNX has them for conditions since opset 20.
void Extreme(Call& c) {
  const TensorRef x = First(c);
  const DType by = x.dtype == DType::kBool ? DType::kUint8 : x.dtype;
  c.Out(ReduceBy(c, c.detail(), c.Cast(x.id, by), x, Axes(c, x), c.Bool("keepdim", false)));
}

/// max and min: of all elements; of two tensors; or along an axis, with their places.
void Best(Call& c) {
  const bool largest = c.detail() == "Max";
  const TensorRef x = First(c);
  if (const Argument* other = c.Find("other")) {
    const Operand b = c.ToOperand(*other);
    const DType type = c.OutDtype();
    return c.Out(c.Add(c.detail(), {c.Cast(x.id, type), c.Use(b, type)}));
  }
  if (!c.Has("dim")) {
    const DType by = x.dtype == DType::kBool ? DType::kUint8 : x.dtype;
    return c.Out(ReduceBy(c, largest ? "ReduceMax" : "ReduceMin", c.Cast(x.id, by), x, Axes(c, x), false));
  }
  const int64_t axis = x.Axis(c.Int("dim"));
  const bool keep = c.Bool("keepdim", false);
  if (x.rank() == 0) {
    c.Out(0, x.id);
    if (c.Wants(1)) c.Out(1, c.Scalar(0, DType::kInt64));
    return;
  }
  const DType by = x.dtype == DType::kBool ? DType::kUint8 : x.dtype;
  const ValueId v = c.Cast(x.id, by);
  c.Out(0, c.Add(largest ? "ReduceMax" : "ReduceMin", {v, c.IntsConstant({axis})}, {{"keepdims", int64_t{keep}}}));
  if (c.Wants(1)) c.Out(1, c.Add(largest ? "ArgMax" : "ArgMin", {v}, {{"axis", axis}, {"keepdims", int64_t{keep}}}));
}

void ArgBest(Call& c) {
  const TensorRef x = First(c);
  const bool keep = c.Bool("keepdim", false);
  if (x.rank() == 0) return c.Out(c.Scalar(0, DType::kInt64));
  if (c.Has("dim")) {
    return c.Out(c.Add(c.detail(), {x.id}, {{"axis", int64_t{x.Axis(c.Int("dim"))}}, {"keepdims", int64_t{keep}}}));
  }
  const ValueId flat = x.rank() == 1 ? x.id : c.Add("Reshape", {x.id, c.IntsConstant({-1})});
  const ValueId at = c.Add(c.detail(), {flat}, {{"axis", int64_t{0}}, {"keepdims", int64_t{0}}});
  c.Out(keep ? c.Reshape(at, {}, c.OutShape()) : at);
}

/// any and all.
void Quantifier(Call& c) {
  const TensorRef x = First(c);
  const ValueId v = c.Cast(c.Cast(x.id, DType::kBool), DType::kUint8);
  const std::string_view op = c.detail() == "any" ? "ReduceMax" : "ReduceMin";
  c.Out(ReduceBy(c, op, v, x, Axes(c, x), c.Bool("keepdim", false)));
}

void CountNonzero(Call& c) {
  const TensorRef x = First(c);
  const ValueId v = c.Cast(c.Cast(x.id, DType::kBool), DType::kInt64);
  c.Out(ReduceBy(c, "ReduceSum", v, x, Axes(c, x), false));
}

/// The sum of squared distances from the mean, over the count less the correction; `detail`: "var", "std", with
/// "+mean".
void Variance(Call& c) {
  const TensorRef x = First(c);
  const std::vector<int64_t> axes = Axes(c, x);
  const bool keep = c.Bool("keepdim", false);
  double correction = 1;
  if (c.Has("unbiased")) correction = c.Bool("unbiased", true) ? 1 : 0;
  if (c.Has("correction")) correction = c.Float("correction", 1);
  const ValueId mean =
      x.rank() == 0 ? x.id : c.Add("ReduceMean", {x.id, c.IntsConstant(axes)}, {{"keepdims", int64_t{1}}});
  const ValueId apart = c.Add("Sub", {x.id, mean});
  const ValueId square = c.Add("Mul", {apart, apart});
  ValueId v = kNone;
  if (correction == 0) {
    v = ReduceBy(c, "ReduceMean", square, x, axes, keep);
  } else {
    Expr count = 1;
    for (const int64_t a : axes) count = count * x.shape[a];
    ValueId divisor;
    if (count.is_int()) {
      divisor = c.Scalar(std::max(0.0, count.value() - correction), x.dtype);
    } else {
      divisor = c.Add("Sub", {c.Scalar(count, x.dtype), c.Scalar(correction, x.dtype)});
      divisor = c.Add("Max", {divisor, c.Scalar(0, x.dtype)});
    }
    v = c.Add("Div", {ReduceBy(c, "ReduceSum", square, x, axes, keep), divisor});
  }
  if (c.detail().starts_with("std")) v = c.Add("Sqrt", {v});
  c.Out(0, v);
  if (c.detail().ends_with("mean")) c.Out(1, keep || x.rank() == 0 ? mean : c.Squeeze(mean, axes));
}

/// (sum |x|^p)^(1/p)
ValueId Norm(Call& c, const TensorRef& x, double p, const std::vector<int64_t>& axes, bool keep) {
  const DType type = c.OutDtype();
  ValueId v = c.Cast(x.id, type);
  if (x.rank() == 0) return p == 0 ? c.Cast(c.Cast(v, DType::kBool), type) : c.Add("Abs", {v});
  if (p == 2) return ReduceBy(c, "ReduceL2", v, x, axes, keep);
  if (p == 1) return ReduceBy(c, "ReduceL1", v, x, axes, keep);
  if (p == 0) return ReduceBy(c, "ReduceSum", c.Cast(c.Cast(v, DType::kBool), type), x, axes, keep);
  v = c.Add("Abs", {v});
  if (std::isinf(p)) return ReduceBy(c, p > 0 ? "ReduceMax" : "ReduceMin", v, x, axes, keep);
  v = ReduceBy(c, "ReduceSum", c.Add("Pow", {v, c.Scalar(p, type)}), x, axes, keep);
  return c.Add("Pow", {v, c.Scalar(1 / p, type)});
}
void VectorNorm(Call& c) {
  const TensorRef x = First(c);
  const double p = c.Has("ord") ? c.Float("ord", 2) : c.Float("p", 2);
  c.Out(Norm(c, x, p, Axes(c, x), c.Bool("keepdim", false)));
}
/// linalg.norm: of the whole, or along one axis, or the Frobenius norm of two.
void LinalgNorm(Call& c) {
  const TensorRef x = First(c);
  const Argument* order = c.Find("ord");
  const std::vector<int64_t> axes = Axes(c, x);
  const bool named = order && order->is(Argument::Kind::kString);
  if (named && order->text != "fro") c.Fail("the norm '{}' has no ONNX form.", order->text);
  if (order && !named && axes.size() == 2 && c.Has("dim"))
    c.Fail("norms of matrices other than 'fro' have no ONNX form.");
  c.Out(Norm(c, x, named ? 2 : c.Float("ord", 2), axes, c.Bool("keepdim", false)));
}

void LogSumExp(Call& c) {
  const TensorRef x = First(c);
  c.Out(ReduceBy(c, "ReduceLogSumExp", c.Cast(x.id, c.OutDtype()), x, Axes(c, x), c.Bool("keepdim", false)));
}

/// Sums and means that pass over what is no number.
void NanReduce(Call& c) {
  const TensorRef x = First(c);
  const DType type = c.OutDtype();
  const ValueId v = c.Cast(x.id, type);
  if (!IsFloating(x.dtype)) return c.Out(ReduceBy(c, "ReduceSum", v, x, Axes(c, x), c.Bool("keepdim", false)));
  const ValueId nan = c.Add("IsNaN", {v});
  const bool keep = c.Bool("keepdim", false);
  const ValueId sum = ReduceBy(c, "ReduceSum", c.Add("Where", {nan, c.Scalar(0, type), v}), x, Axes(c, x), keep);
  if (c.detail() == "sum") return c.Out(sum);
  const ValueId count = ReduceBy(c, "ReduceSum", c.Cast(c.Add("Not", {nan}), type), x, Axes(c, x), keep);
  c.Out(c.Add("Div", {sum, count}));
}

void AMinMax(Call& c) {
  const TensorRef x = First(c);
  c.Out(0, ReduceBy(c, "ReduceMin", x.id, x, Axes(c, x), c.Bool("keepdim", false)));
  c.Out(1, ReduceBy(c, "ReduceMax", x.id, x, Axes(c, x), c.Bool("keepdim", false)));
}

/// a.b / max(|a| |b|, eps)
void CosineSimilarity(Call& c) {
  const TensorRef a = c.Tensor("x1"), b = c.Tensor("x2");
  const DType type = c.OutDtype();
  const int rank = std::max(a.rank(), b.rank());
  const int64_t dim = c.Int("dim", 1);
  const ValueId axis = c.IntsConstant({dim < 0 ? dim + rank : dim});
  const ValueId eps = c.Scalar(c.Float("eps", 1e-8), type);
  const auto unit = [&](const TensorRef& t) {
    const ValueId v = c.Cast(t.id, type);
    const ValueId size = c.Add("ReduceL2", {v, axis}, {{"keepdims", int64_t{1}}});
    return c.Add("Div", {v, c.Add("Max", {size, eps})});
  };
  c.Out(c.Add("ReduceSum", {c.Add("Mul", {unit(a), unit(b)}), axis}, {{"keepdims", int64_t{0}}}));
}

/// |a - b + eps|_p along the last axis.
void PairwiseDistance(Call& c) {
  const TensorRef a = c.Tensor("x1"), b = c.Tensor("x2");
  const DType type = c.OutDtype();
  const ValueId apart =
      c.Add("Add", {c.Add("Sub", {c.Cast(a.id, type), c.Cast(b.id, type)}), c.Scalar(c.Float("eps", 1e-6), type)});
  const TensorRef x{apart, type, a.rank() >= b.rank() ? a.shape : b.shape};
  c.Out(Norm(c, x, c.Float("p", 2), {x.rank() - 1}, c.Bool("keepdim", false)));
}

/// The distances of all pairs of rows.
void CDist(Call& c) {
  const TensorRef a = c.Tensor("x1"), b = c.Tensor("x2");
  if (a.rank() < 2) c.Fail("its input has rank {}.", a.rank());
  const ValueId apart = c.Add("Sub", {c.Unsqueeze(a.id, {-2}), c.Unsqueeze(b.id, {-3})});
  Exprs shape = c.OutShape();
  shape.push_back(a.shape.back());
  const TensorRef x{apart, a.dtype, shape};
  c.Out(Norm(c, x, c.Float("p", 2), {x.rank() - 1}, false));
}

constexpr Conversion kConversions[] = {
    {"aten._cdist_forward", CDist},
    {"aten._is_all_true", Quantifier, "all"},
    {"aten._is_any_true", Quantifier, "any"},
    {"aten.all", Quantifier, "all"},
    {"aten.amax", Extreme, "ReduceMax"},
    {"aten.amin", Extreme, "ReduceMin"},
    {"aten.aminmax", AMinMax},
    {"aten.any", Quantifier, "any"},
    {"aten.argmax", ArgBest, "ArgMax"},
    {"aten.argmin", ArgBest, "ArgMin"},
    {"aten.cdist", CDist},
    {"aten.cosine_similarity", CosineSimilarity},
    {"aten.count_nonzero", CountNonzero},
    {"aten.linalg_norm", LinalgNorm},
    {"aten.linalg_vector_norm", VectorNorm},
    {"aten.logsumexp", LogSumExp},
    {"aten.max", Best, "Max"},
    {"aten.mean", Reduce, "ReduceMean"},
    {"aten.min", Best, "Min"},
    {"aten.nanmean", NanReduce, "mean"},
    {"aten.nansum", NanReduce, "sum"},
    {"aten.norm", VectorNorm},
    {"aten.pairwise_distance", PairwiseDistance},
    {"aten.prod", Reduce, "ReduceProd"},
    {"aten.special_logsumexp", LogSumExp},
    {"aten.std", Variance, "std"},
    {"aten.std_mean", Variance, "std+mean"},
    {"aten.sum", Reduce, "ReduceSum"},
    {"aten.var", Variance, "var"},
    {"aten.var_mean", Variance, "var+mean"},
};

}  // namespace

const ConversionTable kReduceTable = {std::begin(kConversions), std::end(kConversions)};

}  // namespace slipway::pt2
