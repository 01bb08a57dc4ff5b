#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "pt2/aten/shared.h"

namespace slipway::pt2 {
namespace {

Expr Product(const Exprs& sizes) {
  Expr n = 1;
  for (const Expr& e : sizes) n = n * e;
  return n;
}

ValueId Flat(Call& c, const TensorRef& x) {
  return x.rank() == 1 ? x.id : c.Reshape(x.id, x.shape, {Product(x.shape)});
}

/// At least one axis: ONNX gathers and scatters along axes.
TensorRef WithAxis(Call& c, TensorRef x) {
  if (x.rank() > 0) return x;
  x.id = c.Unsqueeze(x.id, {0});
  x.shape = {Expr(1)};
  return x;
}

// ---- x[i, j, ...]
// -----------------------------------------------------------------------------------------------------

/// The indices of x[...]: whole numbers for some axes of x; a mask stands for as many axes as it has.
struct Indices {
  std::vector<int> axes;        ///< which of x's
  std::vector<ValueId> values;  ///< an index for each
  std::vector<Exprs> shapes;    ///< theirs; empty where only a run tells
  bool by_data = false;
  std::vector<int> rest;  ///< the other axes
  int place = 0;          ///< where the indices' axes go among the rest: where they stood, if they stood together
  int rank = 0;           ///< of the indices together
};

Indices ReadIndices(Call& c, const TensorRef& x) {
  Indices out;
  int axis = 0;
  for (const TensorRef& index : c.Tensors("indices")) {
    if (!index.defined()) {
      ++axis;
      continue;
    }
    if (index.dtype == DType::kBool || index.dtype == DType::kUint8) {
      out.by_data = true;
      const ValueId places = c.Add("NonZero", {c.Cast(index.id, DType::kBool)});
      for (int i = 0; i < index.rank(); ++i) {
        out.axes.push_back(axis++);
        out.values.push_back(c.Select(places, 0, i));
        out.shapes.emplace_back();
      }
      out.rank = std::max(out.rank, 1);
    } else {
      out.axes.push_back(axis++);
      out.values.push_back(index.dtype == DType::kInt32 ? index.id : c.Cast(index.id, DType::kInt64));
      out.shapes.push_back(index.shape);
      out.rank = std::max(out.rank, index.rank());
    }
  }
  for (int i = 0; i < x.rank(); ++i) {
    if (std::count(out.axes.begin(), out.axes.end(), i) == 0) out.rest.push_back(i);
  }
  const bool together =
      !out.axes.empty() && out.axes.back() - out.axes.front() + 1 == static_cast<int>(out.axes.size());
  out.place = together ? out.axes.front() : 0;
  return out;
}

/// The indices side by side: [..., axes], for GatherND.
ValueId Stacked(Call& c, const Indices& indices) {
  std::vector<ValueId> parts;
  for (const ValueId v : indices.values) parts.push_back(c.Cast(v, DType::kInt64));
  const bool alike = !indices.by_data && std::all_of(indices.shapes.begin(), indices.shapes.end(),
                                                     [&](const Exprs& s) { return s == indices.shapes[0]; });
  if (!alike) {
    // Zeros of the common shape.
    ValueId zeros = kNone;
    for (const ValueId v : parts) {
      const ValueId none = c.Add("Mul", {v, c.Scalar(0, DType::kInt64)});
      zeros = zeros == kNone ? none : c.Add("Add", {zeros, none});
    }
    for (ValueId& v : parts) v = c.Add("Add", {v, zeros});
  }
  for (ValueId& v : parts) v = c.Unsqueeze(v, {-1});
  return c.Concat(parts, -1);
}

/// x's axes with those that are indexed in front.
std::vector<int64_t> IndexedFirst(const Indices& indices) {
  std::vector<int64_t> perm(indices.axes.begin(), indices.axes.end());
  perm.insert(perm.end(), indices.rest.begin(), indices.rest.end());
  return perm;
}

/// From [indices..., rest...] to where the indices' axes stand in the result, or back.
std::vector<int64_t> ToPlace(const Indices& indices, bool back) {
  const int rest = static_cast<int>(indices.rest.size());
  std::vector<int64_t> perm;
  for (int i = 0; i < indices.place; ++i) perm.push_back(indices.rank + i);
  for (int i = 0; i < indices.rank; ++i) perm.push_back(i);
  for (int i = indices.place; i < rest; ++i) perm.push_back(indices.rank + i);
  if (!back) return perm;
  std::vector<int64_t> inverse(perm.size());
  for (size_t i = 0; i < perm.size(); ++i) inverse[perm[i]] = static_cast<int64_t>(i);
  return inverse;
}

void Index(Call& c) {
  const TensorRef x = First(c);
  const Indices indices = ReadIndices(c, x);
  if (indices.axes.empty()) return c.Out(x.id);
  if (indices.axes.size() == 1) {
    return c.Out(c.Add("Gather", {x.id, indices.values[0]}, {{"axis", int64_t{indices.axes[0]}}}));
  }
  const ValueId moved = c.Transpose(x.id, IndexedFirst(indices));
  const ValueId picked = c.Add("GatherND", {moved, Stacked(c, indices)});
  c.Out(c.Transpose(picked, ToPlace(indices, false)));
}

/// x with a number where the mask, which stands for the axes from `first` on, is true.
ValueId PutByMask(Call& c, const TensorRef& x, const TensorRef& mask, int first, ValueId value) {
  std::vector<int64_t> after;
  for (int i = first + mask.rank(); i < x.rank(); ++i) after.push_back(i - first);
  const ValueId wide = after.empty() ? mask.id : c.Unsqueeze(mask.id, after);
  return c.Add("Where", {c.Cast(wide, DType::kBool), value, x.id});
}

void IndexPut(Call& c) {
  const TensorRef x = First(c), values = c.Tensor("values");
  const bool adds = c.Bool("accumulate", false);
  const ValueId given = c.Cast(values.id, x.dtype);
  const std::vector<TensorRef> list = c.Tensors("indices");
  const auto named = std::count_if(list.begin(), list.end(), [](const TensorRef& t) { return t.defined(); });
  for (size_t i = 0; i < list.size() && named == 1 && !adds && Product(values.shape) == Expr(1); ++i) {
    if (!list[i].defined() || (list[i].dtype != DType::kBool && list[i].dtype != DType::kUint8)) continue;
    return c.Out(PutByMask(c, x, list[i], static_cast<int>(i), c.Reshape(given, values.shape, {})));
  }
  const Indices indices = ReadIndices(c, x);
  if (indices.axes.empty()) return c.Out(c.Expand(given, values.shape, x.shape));
  const ValueId places = Stacked(c, indices);
  // What is put, in the shape that the indexed part has: [rest before..., indices..., rest after...].
  const ValueId index_sizes = c.Add("Shape", {places}, {{"start", int64_t{0}}, {"end", int64_t{-1}}});
  Exprs before, after;
  for (size_t i = 0; i < indices.rest.size(); ++i) {
    (static_cast<int>(i) < indices.place ? before : after).push_back(x.shape[indices.rest[i]]);
  }
  std::vector<ValueId> sizes;
  if (!before.empty()) sizes.push_back(c.SizeVector(before));
  sizes.push_back(index_sizes);
  if (!after.empty()) sizes.push_back(c.SizeVector(after));
  const ValueId wide = c.Add("Expand", {given, sizes.size() == 1 ? sizes[0] : c.Concat(sizes, 0)});
  const ValueId updates = c.Transpose(wide, ToPlace(indices, true));
  const std::vector<int64_t> perm = IndexedFirst(indices);
  std::vector<int64_t> back(perm.size());
  for (size_t i = 0; i < perm.size(); ++i) back[perm[i]] = static_cast<int64_t>(i);
  Attributes attributes;
  if (adds) attributes.Set("reduction", std::string("add"));
  const ValueId put = c.Add("ScatterND", {c.Transpose(x.id, perm), places, updates}, std::move(attributes));
  c.Out(c.Transpose(put, back));
}

// ---- Along one axis
// ---------------------------------------------------------------------------------------------------

void IndexSelect(Call& c) {
  const TensorRef x = First(c), index = c.Tensor("index");
  if (x.rank() == 0) return c.Out(x.id);
  c.Out(c.Add("Gather", {x.id, WithAxis(c, index).id}, {{"axis", int64_t{x.Axis(c.Int("dim"))}}}));
}

void Gather(Call& c) {
  const TensorRef x = WithAxis(c, First(c)), given = c.Tensor("index"), index = WithAxis(c, given);
  const ValueId y = c.Add("GatherElements", {x.id, index.id}, {{"axis", int64_t{x.Axis(c.Int("dim"))}}});
  c.Out(given.rank() == 0 ? c.Squeeze(y, {0}) : y);
}

void TakeAlong(Call& c) {
  TensorRef x = First(c), index = c.Tensor("indices");
  int axis = 0;
  if (c.Has("dim")) {
    axis = x.Axis(c.Int("dim"));
    // Other axes are broadcast.
    Exprs to_x = x.shape, to_index = index.shape;
    for (int i = 0; i < x.rank(); ++i) {
      if (i == axis) continue;
      if (to_x[i] == Expr(1)) to_x[i] = to_index[i];
      if (to_index[i] == Expr(1)) to_index[i] = to_x[i];
    }
    x.id = c.Expand(x.id, x.shape, to_x);
    index.id = c.Expand(index.id, index.shape, to_index);
  } else {
    x.id = Flat(c, x);
    index.id = Flat(c, index);
  }
  c.Out(c.Add("GatherElements", {x.id, index.id}, {{"axis", int64_t{axis}}}));
}

void Take(Call& c) { c.Out(c.Add("Gather", {Flat(c, First(c)), c.Tensor("index").id}, {{"axis", int64_t{0}}})); }

void Put(Call& c) {
  const TensorRef x = First(c), index = c.Tensor("index"), source = c.Tensor("source");
  Attributes attributes;
  if (c.Bool("accumulate", false)) attributes.Set("reduction", std::string("add"));
  const ValueId updates = c.Cast(Flat(c, source), x.dtype);
  const ValueId y = c.Add("ScatterElements", {Flat(c, x), Flat(c, index), updates}, std::move(attributes));
  c.Out(c.Reshape(y, {Product(x.shape)}, x.shape));
}

/// How values that meet at a place are joined: ONNX's name and what changes nothing.
struct Joining {
  const char* name;
  double neutral;
};

Joining JoiningOf(Call& c, std::string_view how, DType type) {
  if (how == "add" || how == "sum" || how == "mean") return {"add", 0};
  if (how == "multiply" || how == "prod") return {"mul", 1};
  const bool real = IsFloating(type);
  double high = std::numeric_limits<double>::infinity(), low = -high;
  if (!real) {
    const int bits = static_cast<int>(SizeOf(type)) * 8;
    if (type == DType::kUint8)
      low = 0, high = 255;
    else
      low = -std::ldexp(1.0, bits - 1), high = bits == 64 ? 9223372036854774784.0 : std::ldexp(1.0, bits - 1) - 1;
  }
  if (how == "amax") return {"max", low};
  if (how == "amin") return {"min", high};
  c.Fail("'{}' is no reduction that ONNX has.", how);
}

ValueId Scattered(Call& c, ValueId x, ValueId index, ValueId updates, int axis, const char* how) {
  Attributes attributes = {{"axis", int64_t{axis}}};
  if (how) attributes.Set("reduction", std::string(how));
  return c.Add("ScatterElements", {x, index, updates}, std::move(attributes));
}

/// Values joined at the places that `index` names along an axis, with or without what was there.
ValueId Joined(Call& c, const TensorRef& x, ValueId index, const Exprs& shape, ValueId updates, int axis,
               const std::string& how, bool with_self) {
  const Joining j = JoiningOf(c, how, x.dtype);
  const auto filled = [&](double value) { return c.Expand(c.Scalar(value, x.dtype), {}, shape); };
  ValueId base = x.id;
  if (!with_self) base = Scattered(c, base, index, filled(j.neutral), axis, nullptr);
  ValueId y = Scattered(c, base, index, updates, axis, j.name);
  if (how != "mean") return y;
  ValueId counts = c.Expand(c.Scalar(1, x.dtype), {}, x.shape);
  if (!with_self) counts = Scattered(c, counts, index, filled(0), axis, nullptr);
  counts = Scattered(c, counts, index, filled(1), axis, "add");
  if (IsFloating(x.dtype)) return c.Add("Div", {y, counts});
  // Whole numbers are rounded down.
  const ValueId rest = c.Add("Mod", {y, counts});
  return c.Add("Div", {c.Add("Sub", {y, rest}), counts});
}

/// scatter, scatter_add and scatter_reduce.
void Scatter(Call& c) {
  const TensorRef self = First(c), x = WithAxis(c, self), index = WithAxis(c, c.Tensor("index"));
  const int axis = x.Axis(c.Int("dim"));
  ValueId updates;
  if (const Argument* value = c.Find("value")) {
    updates = c.Expand(c.Use(c.ToOperand(*value), x.dtype), {}, index.shape);
  } else {
    const TensorRef source = WithAxis(c, c.Tensor("src"));
    updates = c.Cast(source.id, x.dtype);
    // As many as there are indices.
    for (int i = 0; i < source.rank(); ++i) {
      if (!(source.shape[i] == index.shape[i])) updates = c.Slice(updates, i, 0, index.shape[i]);
    }
  }
  std::string how(c.detail());
  if (c.Has("reduce")) how = c.String("reduce", "");
  const ValueId y = how.empty() ? Scattered(c, x.id, index.id, updates, axis, nullptr)
                                : Joined(c, x, index.id, index.shape, updates, axis, how, c.Bool("include_self", true));
  c.Out(self.rank() == 0 ? c.Squeeze(y, {0}) : y);
}

/// index_add, index_copy, index_fill, index_reduce: whole slices at the places of `index`.
void IndexWrite(Call& c) {
  const TensorRef self = First(c), x = WithAxis(c, self), index = WithAxis(c, c.Tensor("index"));
  const int axis = x.Axis(c.Int("dim"));
  Exprs shape = x.shape;
  shape[axis] = index.shape[0];
  ValueId updates;
  if (c.Has("source")) {
    updates = c.Cast(WithAxis(c, c.Tensor("source")).id, x.dtype);
    if (const Argument* alpha = c.Find("alpha")) {
      const Operand factor = c.ToOperand(*alpha);
      if (!(factor.number && *factor.number == Expr(1))) updates = c.Add("Mul", {updates, c.Use(factor, x.dtype)});
    }
  } else {
    updates = c.Expand(c.Use(c.Operand("value"), x.dtype), {}, shape);
  }
  std::vector<int64_t> others;
  for (int i = 0; i < x.rank(); ++i) {
    if (i != axis) others.push_back(i);
  }
  ValueId places = others.empty() ? index.id : c.Unsqueeze(index.id, others);
  Exprs narrow(x.rank(), Expr(1));
  narrow[axis] = index.shape[0];
  places = c.Expand(places, narrow, shape);
  std::string how(c.detail());
  if (c.Has("reduce")) how = c.String("reduce", "");
  const ValueId y = how.empty() ? Scattered(c, x.id, places, updates, axis, nullptr)
                                : Joined(c, x, places, shape, updates, axis, how, c.Bool("include_self", true));
  c.Out(self.rank() == 0 ? c.Squeeze(y, {0}) : y);
}

/// The mask's n-th true element takes the n-th of the source.
void MaskedScatter(Call& c) {
  const TensorRef x = First(c), mask = c.Tensor("mask"), source = c.Tensor("source");
  const Exprs shape = c.OutShape();
  const ValueId keep = c.Expand(mask.id, mask.shape, shape);
  const Expr count = Product(shape);
  const ValueId flat = c.Cast(c.Reshape(keep, shape, {count}), DType::kInt64);
  ValueId place = c.Add("Sub", {c.Add("CumSum", {flat, c.Scalar(0, DType::kInt64)}), c.Scalar(1, DType::kInt64)});
  place = c.Add("Max", {place, c.Scalar(0, DType::kInt64)});
  const Expr have = Product(source.shape);
  place = c.Add("Min", {place, c.SizeScalar(have - Expr(1))});
  const ValueId picked = c.Add("Gather", {Flat(c, source), place}, {{"axis", int64_t{0}}});
  c.Out(c.Add("Where", {keep, c.Reshape(picked, {count}, shape), x.id}));
}

/// Each element so and so often, along an axis or of all.
void RepeatInterleave(Call& c) {
  TensorRef x = First(c);
  int axis = 0;
  if (c.Has("dim")) {
    axis = x.Axis(c.Int("dim"));
  } else {
    x.id = Flat(c, x);
    x.shape = {Product(x.shape)};
  }
  const Operand repeats = c.Operand("repeats");
  if (repeats.number) {
    Exprs apart = x.shape, wide = x.shape, whole = x.shape;
    apart.insert(apart.begin() + axis + 1, Expr(1));
    wide.insert(wide.begin() + axis + 1, *repeats.number);
    whole[axis] = whole[axis] * *repeats.number;
    return c.Out(c.Reshape(c.Expand(c.Unsqueeze(x.id, {axis + 1}), apart, wide), wide, whole));
  }
  // Where the running sum of the counts first goes past a position, there is the element that stands at it.
  ValueId counts = c.Cast(repeats.tensor.id, DType::kInt64);
  if (repeats.tensor.rank() == 0 || repeats.tensor.shape[0] == Expr(1)) {
    counts = c.Expand(counts, repeats.tensor.shape, {x.shape[axis]});
  }
  const ValueId ends = c.Add("CumSum", {counts, c.Scalar(0, DType::kInt64)});
  const ValueId total = c.Add("ReduceSum", {counts}, {{"keepdims", int64_t{0}}});
  const ValueId places = c.Add("Range", {c.SizeScalar(0), total, c.SizeScalar(1)});
  const ValueId past = c.Add("GreaterOrEqual", {c.Unsqueeze(places, {1}), c.Unsqueeze(ends, {0})});
  const ValueId index =
      c.Add("ReduceSum", {c.Cast(past, DType::kInt64), c.IntsConstant({1})}, {{"keepdims", int64_t{0}}});
  c.Out(c.Add("Gather", {x.id, index}, {{"axis", int64_t{axis}}}));
}

constexpr Conversion kConversions[] = {
    {"aten._index_put_impl", IndexPut},
    {"aten._unsafe_index", Index},
    {"aten._unsafe_index_put", IndexPut},
    {"aten.gather", Gather},
    {"aten.index", Index},
    {"aten.index_add", IndexWrite, "add"},
    {"aten.index_copy", IndexWrite},
    {"aten.index_fill", IndexWrite},
    {"aten.index_put", IndexPut},
    {"aten.index_reduce", IndexWrite},
    {"aten.index_select", IndexSelect},
    {"aten.masked_scatter", MaskedScatter},
    {"aten.put", Put},
    {"aten.repeat_interleave.self_Tensor", RepeatInterleave},
    {"aten.repeat_interleave.self_int", RepeatInterleave},
    {"aten.scatter", Scatter},
    {"aten.scatter_add", Scatter, "add"},
    {"aten.scatter_reduce", Scatter},
    {"aten.take", Take},
    {"aten.take_along_dim", TakeAlong},
};

}  // namespace

const ConversionTable kIndexingTable = {std::begin(kConversions), std::end(kConversions)};

}  // namespace slipway::pt2
