#include <algorithm>

#include "pt2/aten/shared.h"

namespace slipway::pt2 {
namespace {

// ---- Parts --------------------------------------------------------------------------------------------------------

/// base with value in [start, end) of an axis, by `step`.
ValueId PutSlice(Call& c, const TensorRef& base, ValueId value, int axis, const Expr& start, const Expr& end,
                 int64_t step, const Expr& count) {
  const Expr& size = base.shape[axis];
  if (step == 1) {
    std::vector<ValueId> parts;
    if (!(start == Expr(0))) parts.push_back(c.Slice(base.id, axis, 0, start));
    parts.push_back(value);
    if (!(end == size)) parts.push_back(c.Slice(base.id, axis, end, kEnd));
    return c.Concat(parts, axis);
  }
  // Positions start, start + step, ... along the axis, for ScatterND on the axis brought to the front.
  const ValueId numbers = c.Add("Range", {c.SizeScalar(0), c.SizeScalar(count), c.SizeScalar(1)});
  ValueId rows = c.Add("Add", {c.Add("Mul", {numbers, c.SizeScalar(step)}), c.SizeScalar(start)});
  rows = c.Unsqueeze(rows, {1});
  std::vector<int64_t> perm = Identity(base.rank());
  std::rotate(perm.begin(), perm.begin() + axis, perm.begin() + axis + 1);
  std::vector<int64_t> back(perm.size());
  for (size_t i = 0; i < perm.size(); ++i) back[perm[i]] = static_cast<int64_t>(i);
  return c.Transpose(c.Add("ScatterND", {c.Transpose(base.id, perm), rows, c.Transpose(value, perm)}), back);
}

struct Range {
  int axis;
  Expr start, end;
  int64_t step;
};

/// A Python slice's bounds within the size, where they are to be had without computing. `out` is the result's size.
Range SliceBounds(Call& c, const TensorRef& x, const Expr& out) {
  Range r{x.Axis(c.Int("dim", 0)), c.Size("start", 0), c.Size("end", kEnd), c.Int("step", 1)};
  if (r.step <= 0) c.Fail("a step of {} is not one that torch has.", r.step);
  const Expr size = x.shape.at(r.axis);
  const auto from_end = [&](Expr& e) {
    if (!e.is_int() || e.int_value() >= 0) return;
    if (size.is_int()) {
      e = std::max<int64_t>(0, e.int_value() + size.int_value());
    } else {
      e = size + e;
    }
  };
  from_end(r.start);
  from_end(r.end);
  if (r.start.is_int() && size.is_int()) r.start = std::min(r.start.int_value(), size.int_value());
  if (r.step == 1) {
    r.end = r.start + out;
    if (!r.start.is_int() && !size.is_int() && r.start == size - out) r.end = size;
  } else if (r.end.is_int() && (!size.is_int() || r.end.int_value() > size.int_value())) {
    if (size.is_int() || r.end.int_value() == kEnd) r.end = size;
  }
  return r;
}

void Slice(Call& c) {
  const TensorRef x = First(c);
  const int axis = x.Axis(c.Int("dim", 0));
  if (c.OutShape().at(axis) == x.shape.at(axis) && c.Int("step", 1) == 1) return c.Out(x.id);
  // ONNX counts from the end and clamps as Python does: bounds go over as they are where they are numbers.
  Expr start = c.Size("start", 0), end = c.Size("end", kEnd);
  const Expr& size = x.shape.at(axis);
  if (end == size || (end.is_int() && size.is_int() && end.int_value() >= size.int_value())) end = kEnd;
  // size - n is -n, without computing.
  const auto shorten = [&](Expr& e) {
    if (e.is_int() || size.is_int()) return;
    const Expr rest = e - size;
    if (rest.is_int() && rest.int_value() < 0) e = rest;
  };
  shorten(start);
  shorten(end);
  c.Out(c.Slice(x.id, axis, start, end, c.Int("step", 1)));
}
ValueId WriteSlice(Call& c, const TensorRef& base, ValueId value, int) {
  const int axis = base.Axis(c.Int("dim", 0));
  const Expr count = c.OutShape().at(axis);
  if (count == base.shape[axis] && c.Int("step", 1) == 1) return value;
  const Range r = SliceBounds(c, base, count);
  return PutSlice(c, base, value, axis, r.start, r.end, r.step, count);
}
void SliceScatter(Call& c) {
  const TensorRef x = First(c), source = c.Tensor("src");
  const int axis = x.Axis(c.Int("dim", 0));
  const Expr count = source.shape.at(axis);
  if (count == x.shape[axis] && c.Int("step", 1) == 1) return c.Out(c.Cast(source.id, x.dtype));
  const Range r = SliceBounds(c, x, count);
  c.Out(PutSlice(c, x, c.Cast(source.id, x.dtype), axis, r.start, r.end, r.step, count));
}

void Narrow(Call& c) {
  const TensorRef x = First(c);
  const Expr start = c.Size("start"), length = c.Size("length");
  const int axis = x.Axis(c.Int("dim"));
  if (length == x.shape.at(axis)) return c.Out(x.id);
  Expr end = start.is_int() && start.int_value() < 0 && length == Expr(0) - start ? Expr(kEnd) : start + length;
  if (end == x.shape[axis]) end = kEnd;
  c.Out(c.Slice(x.id, axis, start, end));
}
ValueId WriteNarrow(Call& c, const TensorRef& base, ValueId value, int) {
  const int axis = base.Axis(c.Int("dim"));
  Expr start = c.Size("start");
  if (start.is_int() && start.int_value() < 0) start = start + base.shape[axis];
  const Expr length = c.Size("length");
  return length == base.shape[axis] ? value : PutSlice(c, base, value, axis, start, start + length, 1, length);
}

void Select(Call& c) {
  const TensorRef x = First(c);
  const int axis = x.Axis(c.Int("dim"));
  Expr index = c.Size("index");
  if (!index.is_int() && !x.shape.at(axis).is_int()) {
    const Expr rest = index - x.shape[axis];
    if (rest.is_int() && rest.int_value() < 0) index = rest;
  }
  c.Out(c.Select(x.id, axis, index));
}
ValueId PutSelect(Call& c, const TensorRef& base, ValueId value, int axis, Expr index) {
  if (index.is_int() && index.int_value() < 0) index = base.shape[axis] + index;
  return PutSlice(c, base, c.Unsqueeze(value, {axis}), axis, index, index + Expr(1), 1, 1);
}
ValueId WriteSelect(Call& c, const TensorRef& base, ValueId value, int) {
  return PutSelect(c, base, value, base.Axis(c.Int("dim")), c.Size("index"));
}
void SelectScatter(Call& c) {
  const TensorRef x = First(c);
  c.Out(PutSelect(c, x, c.Cast(c.Tensor("src").id, x.dtype), x.Axis(c.Int("dim")), c.Size("index")));
}

// ---- Pieces --------------------------------------------------------------------------------------------------------

/// Sizes of the pieces along the axis, from what torch knows of them.
Exprs PieceSizes(Call& c, int axis) {
  Exprs sizes;
  for (int i = 0; i < c.num_outputs(); ++i) {
    if (!c.Wants(i)) c.Fail("the program says nothing of piece {}.", i);
    sizes.push_back(c.OutShape(i).at(axis));
  }
  return sizes;
}
/// Which axis: `dim`, or for `detail` "h", "v" and "d" the one that the name means.
int SplitAxis(Call& c, const TensorRef& x) {
  if (c.detail() == "h") return x.rank() == 1 ? 0 : 1;
  if (c.detail() == "d") return 2;
  return x.Axis(c.Int("dim", 0));
}
void Split(Call& c) {
  const TensorRef x = First(c);
  const int axis = SplitAxis(c, x);
  const Exprs sizes = PieceSizes(c, axis);
  if (sizes.size() == 1) return c.Out(x.id);
  Attributes attributes = {{"axis", int64_t{axis}}};
  ValueId split = kNone;
  const bool even = std::all_of(sizes.begin(), sizes.end(), [&](const Expr& e) { return e == sizes[0] && e.is_int(); });
  if (even) {
    attributes.Set("num_outputs", static_cast<int64_t>(sizes.size()));
  } else {
    split = c.SizeVector(sizes);
  }
  const auto pieces = c.AddMany("Split", {x.id, split}, static_cast<int>(sizes.size()), std::move(attributes));
  for (size_t i = 0; i < pieces.size(); ++i) c.Out(static_cast<int>(i), pieces[i]);
}
ValueId WriteSplit(Call& c, const TensorRef& base, ValueId value, int index) {
  const int axis = SplitAxis(c, base);
  const Exprs sizes = PieceSizes(c, axis);
  Expr start = 0;
  for (int i = 0; i < index; ++i) start = start + sizes[i];
  return PutSlice(c, base, value, axis, start, start + sizes[index], 1, sizes[index]);
}

void Unbind(Call& c) {
  const TensorRef x = First(c);
  const int axis = x.Axis(c.Int("dim", 0));
  const int n = c.num_outputs();
  if (n == 1) return c.Out(c.Squeeze(x.id, {axis}));
  if (n == 0) return;
  for (int i = 0; i < n; ++i) c.Out(i, c.Select(x.id, axis, i));
}
ValueId WriteUnbind(Call& c, const TensorRef& base, ValueId value, int index) {
  return PutSelect(c, base, value, base.Axis(c.Int("dim", 0)), index);
}

constexpr Conversion kConversions[] = {
    {"aten.chunk", Split, "", WriteSplit},
    {"aten.dsplit", Split, "d", WriteSplit},
    {"aten.hsplit", Split, "h", WriteSplit},
    {"aten.narrow", Narrow, "", WriteNarrow},
    {"aten.narrow_copy", Narrow},
    {"aten.select", Select, "", WriteSelect},
    {"aten.select_copy", Select},
    {"aten.select_scatter", SelectScatter},
    {"aten.slice", Slice, "", WriteSlice},
    {"aten.slice_copy", Slice},
    {"aten.slice_scatter", SliceScatter},
    {"aten.split", Split, "", WriteSplit},
    {"aten.split_copy", Split},
    {"aten.split_with_sizes", Split, "", WriteSplit},
    {"aten.split_with_sizes_copy", Split},
    {"aten.tensor_split", Split, "", WriteSplit},
    {"aten.unbind", Unbind, "", WriteUnbind},
    {"aten.unbind_copy", Unbind},
    {"aten.unsafe_chunk", Split},
    {"aten.unsafe_split", Split},
    {"aten.unsafe_split_with_sizes", Split},
    {"aten.vsplit", Split, "v", WriteSplit},
};

}  // namespace

const ConversionTable kSlicesTable = {std::begin(kConversions), std::end(kConversions)};

}  // namespace slipway::pt2
