#include "pt2/converter.h"

namespace slipway::pt2 {
namespace {

/// [count, rank]: where the elements are that are not 0.
ValueId Where(Call& c, const TensorRef& x) {
  if (x.rank() == 0) c.Fail("of a tensor without axes ONNX has no such thing.");
  return c.Transpose(c.Add("NonZero", {x.id}), {1, 0});
}

void NonZero(Call& c) { c.Out(Where(c, c.Tensor("self"))); }

/// The same as one tensor an axis.
void NonZeroByAxis(Call& c) {
  const TensorRef x = c.Tensor(c.node().inputs.at(0).first);
  const ValueId all = c.Add("NonZero", {x.id});
  for (int i = 0; i < x.rank(); ++i) c.Out(i, c.Select(all, 0, i));
}

void MaskedSelect(Call& c) {
  const TensorRef x = c.Tensor("self"), mask = c.Tensor("mask");
  Exprs shape = x.shape.size() >= mask.shape.size() ? x.shape : mask.shape;
  const Exprs& other = x.shape.size() >= mask.shape.size() ? mask.shape : x.shape;
  for (size_t i = 0; i < other.size(); ++i) {
    Expr& size = shape[shape.size() - other.size() + i];
    if (size == Expr(1)) size = other[i];
  }
  const ValueId flat = c.IntsConstant({-1});
  const ValueId from = c.Add("Reshape", {c.Expand(x.id, x.shape, shape), flat});
  const ValueId where = c.Add("Reshape", {c.Expand(mask.id, mask.shape, shape), flat});
  c.Out(c.Add("Compress", {from, where}, {{"axis", int64_t{0}}}));
}

/// _unique2(self, sorted, return_inverse, return_counts), and unique_dim with an axis. torch sorts in any case.
void Unique(Call& c) {
  const TensorRef x = c.Tensor("self");
  Attributes attributes = {{"sorted", int64_t{1}}};
  if (c.Has("dim")) attributes.Set("axis", int64_t{x.Axis(c.Int("dim"))});
  const auto out = c.AddMany("Unique", {x.id}, 4, std::move(attributes));
  c.Out(0, out[0]);
  // What is not asked for, torch gives empty.
  const auto given = [&](int i, std::string_view flag) {
    return c.Bool(flag, false) || c.OutShape(i) != Exprs{Expr(0)};
  };
  if (c.Wants(1)) {
    const bool flat = !given(1, "return_inverse");
    c.Out(1, flat ? c.IntsConstant({}) : c.Has("dim") ? out[2] : c.Add("Reshape", {out[2], c.SizeVector(x.shape)}));
  }
  if (c.Wants(2)) c.Out(2, given(2, "return_counts") ? out[3] : c.IntsConstant({}));
}

/// Runs of equal neighbours, of all elements in their order.
void UniqueConsecutive(Call& c) {
  if (c.Has("dim")) c.Fail("along an axis it has no form in ONNX: take unique_consecutive of a tensor of one axis.");
  const TensorRef x = c.Tensor("self");
  Expr size = 1;
  for (const Expr& e : x.shape) size = size * e;
  const ValueId flat = c.Add("Reshape", {x.id, c.IntsConstant({-1})});
  const ValueId differs =
      c.Add("Not", {c.Add("Equal", {c.Slice(flat, 0, 1, size), c.Slice(flat, 0, 0, size - Expr(1))})});
  // The first element starts a run, where there is one at all.
  const ValueId first = c.Cast(c.Slice(c.Add("Shape", {flat}), 0, 0, 1), DType::kBool);
  const ValueId any = c.Add("Compress", {first, first}, {{"axis", int64_t{0}}});
  const ValueId starts = c.Concat({any, differs}, 0);
  c.Out(0, c.Add("Compress", {flat, starts}, {{"axis", int64_t{0}}}));
  if (c.Bool("return_inverse", false)) {
    const ValueId run = c.Add("CumSum", {c.Cast(starts, DType::kInt64), c.SizeScalar(0)});
    c.Out(1, c.Add("Reshape", {c.Add("Sub", {run, c.SizeScalar(1)}), c.SizeVector(x.shape)}));
  }
  if (c.Bool("return_counts", false)) {
    const ValueId at = c.Add("Reshape", {c.Add("NonZero", {starts}), c.IntsConstant({-1})});
    const ValueId ends = c.Concat({c.Slice(at, 0, 1, Expr(INT64_MAX)), c.SizeVector({size})}, 0);
    // Of no elements there are no runs: the end is cut to as many as there are starts.
    const ValueId fit = c.Add("Slice", {ends, c.IntsConstant({0}), c.Add("Shape", {at}), c.IntsConstant({0})});
    c.Out(2, c.Add("Sub", {fit, at}));
  }
}

/// How often each number from 0 on occurs, or the sum of its weights.
void BinCount(Call& c) {
  const TensorRef x = c.Tensor("self"), weights = c.OptionalTensor("weights");
  const ValueId ids = c.Cast(x.id, DType::kInt64);
  const ValueId least = c.SizeVector({c.Size("minlength", 0) - Expr(1)});
  const ValueId top = c.Add("ReduceMax", {c.Concat({ids, least}, 0)});
  const ValueId count = c.Add("Add", {top, c.IntsConstant({1})});
  const DType type = c.OutDtype();
  const ValueId zeros = c.Add("ConstantOfShape", {count}, {{"value", Filled(type, Shape{1}, 0)}});
  ValueId by = weights.defined() ? c.Cast(weights.id, type) : c.Full(x.shape, 1, type);
  c.Out(c.Add("ScatterElements", {zeros, ids, by}, {{"axis", int64_t{0}}, {"reduction", std::string("add")}}));
}

/// How many elements lie in each of so many bins between min and max, or between the least and the largest element.
void Histogram(Call& c) {
  const TensorRef x = c.Tensor("self");
  const DType type = c.OutDtype();
  const Expr bins = c.Size("bins", 100);
  const double from = c.Float("min", 0), to = c.Float("max", 0);
  const ValueId flat = c.Add("Reshape", {x.id, c.IntsConstant({-1})});
  ValueId low = c.Scalar(from, type), high = c.Scalar(to, type);
  if (from == to) {
    if (from == 0) {
      low = c.Add("ReduceMin", {flat}, {{"keepdims", int64_t{0}}});
      high = c.Add("ReduceMax", {flat}, {{"keepdims", int64_t{0}}});
    }
    // Without an extent the bins are those of one to either side.
    const ValueId widen = c.Cast(c.Add("Equal", {low, high}), type);
    low = c.Add("Sub", {low, widen});
    high = c.Add("Add", {high, widen});
  }
  const ValueId inside = c.Add("And", {c.Add("GreaterOrEqual", {flat, low}), c.Add("LessOrEqual", {flat, high})});
  const ValueId place =
      c.Add("Mul", {c.Add("Div", {c.Add("Sub", {flat, low}), c.Add("Sub", {high, low})}), c.Scalar(bins, type)});
  const ValueId bin = c.Cast(c.Add("Where", {inside, place, c.Scalar(0.0, type)}), DType::kInt64);
  const ValueId at = c.Add("Min", {bin, c.SizeScalar(bins - Expr(1))});
  const ValueId zeros = c.Full({bins}, 0, type);
  c.Out(c.Add("ScatterElements", {zeros, at, c.Cast(inside, type)},
              {{"axis", int64_t{0}}, {"reduction", std::string("add")}}));
}

/// A tensor's only element as a number that sizes and conditions may depend on.
void Item(Call& c) {
  const TensorRef x = c.Tensor("self");
  const auto& outputs = c.node().outputs;
  if (outputs.empty()) return;
  const ValueId v = x.rank() == 0 ? x.id : c.Add("Reshape", {x.id, c.IntsConstant({})});
  const bool whole = outputs[0].is(Argument::Kind::kSymInt);
  c.converter().BindSymbol(c.converter().Symbolic(outputs[0]), whole ? c.Cast(v, DType::kInt64) : v);
}

constexpr Conversion kConversions[] = {
    {"aten._local_scalar_dense", Item},
    {"aten._unique2", Unique},
    {"aten.argwhere", NonZero},
    {"aten.bincount", BinCount},
    {"aten.histc", Histogram},
    {"aten.item", Item},
    {"aten.masked_select", MaskedSelect},
    {"aten.nonzero", NonZero},
    {"aten.nonzero_numpy", NonZeroByAxis},
    {"aten.where.default", NonZeroByAxis},
    {"aten.unique_consecutive", UniqueConsecutive},
    {"aten.unique_dim", Unique},
};

}  // namespace

extern const ConversionTable kDataDependentTable = {std::begin(kConversions), std::end(kConversions)};

}  // namespace slipway::pt2
