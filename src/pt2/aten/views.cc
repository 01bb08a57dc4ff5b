#include <algorithm>
#include <limits>

#include "pt2/aten/shared.h"

namespace slipway::pt2 {
namespace {

/// True where the elements lie one behind another, so that every new shape is a view.
bool InOrder(Call& c) {
  const TensorMeta* meta = c.converter().Meta(c.node().inputs.at(0).second.text);
  if (!meta || meta->strides.size() != meta->sizes.size()) return true;
  Expr stride = 1;
  for (size_t i = meta->sizes.size(); i-- > 0;) {
    if (!(meta->sizes[i] == Expr(1)) && !(meta->strides[i] == stride)) return false;
    stride = stride * meta->sizes[i];
  }
  return true;
}

// ---- Another shape of the same elements ---------------------------------------------------------------------------

void Reshape(Call& c) {
  const TensorRef x = First(c);
  if (c.detail() == "copies" && !InOrder(c)) c.NotAView();
  c.Out(c.Reshape(x.id, x.shape, c.OutShape()));
}
ValueId WriteReshape(Call& c, const TensorRef& base, ValueId value, int) {
  return c.Reshape(value, c.OutShape(), base.shape);
}

/// view(dtype): the same bits as another type of the same width.
void ViewAsType(Call& c) {
  const TensorRef x = First(c);
  const DType to = c.OutDtype();
  if (x.dtype == to) return c.Out(x.id);
  if (SizeOf(x.dtype) != SizeOf(to)) c.Fail("it views {} as {}, which is of another width.", Name(x.dtype), Name(to));
  c.NotAView();
  c.Out(c.Add("BitCast", {x.id}, {{"to", static_cast<int64_t>(to)}}));
}

void Unsqueeze(Call& c) {
  const TensorRef x = First(c);
  int64_t dim = c.Int("dim");
  if (dim < 0) dim += x.rank() + 1;
  c.Out(c.Unsqueeze(x.id, {dim}));
}

/// The axes that go: those named, or all, of size 1.
std::vector<int64_t> SqueezedAxes(Call& c, const TensorRef& x) {
  std::vector<int64_t> axes;
  if (c.Has("dim")) {
    for (const int64_t d : c.Ints("dim")) {
      const int axis = x.Axis(d);
      if (axis < x.rank() && x.shape.at(axis) == Expr(1)) axes.push_back(axis);
    }
  } else {
    for (int i = 0; i < x.rank(); ++i) {
      if (x.shape[i] == Expr(1)) axes.push_back(i);
    }
  }
  return axes;
}
void Squeeze(Call& c) {
  const TensorRef x = First(c);
  c.Out(c.Squeeze(x.id, SqueezedAxes(c, x)));
}

// ---- Axes in another order ---------------------------------------------------------------------------------------

std::vector<int64_t> Permutation(Call& c, const TensorRef& x) {
  std::vector<int64_t> perm = Identity(x.rank());
  const auto swap = [&](int64_t a, int64_t b) {
    if (x.rank() > 0) std::swap(perm.at(x.Axis(a)), perm.at(x.Axis(b)));
  };
  if (c.detail() == "permute") {
    perm = c.Ints("dims");
    for (int64_t& p : perm) p = x.Axis(p);
  } else if (c.detail() == "transpose") {
    swap(c.Int("dim0"), c.Int("dim1"));
  } else if (c.detail() == "swap") {
    swap(c.Int(c.Has("axis0") ? "axis0" : "dim0"), c.Int(c.Has("axis1") ? "axis1" : "dim1"));
  } else if (c.detail() == "last") {
    if (x.rank() >= 2) swap(-1, -2);
  } else if (c.detail() == "reverse") {
    std::reverse(perm.begin(), perm.end());
  } else {  // movedim
    const std::vector<int64_t> from = c.Ints("source"), to = c.Ints("destination");
    std::vector<int64_t> moved(x.rank(), -1), rest;
    std::vector<bool> taken(x.rank(), false);
    for (size_t i = 0; i < from.size(); ++i) {
      moved.at(x.Axis(to.at(i))) = x.Axis(from[i]);
      taken.at(x.Axis(from[i])) = true;
    }
    size_t next = 0;
    for (int i = 0; i < x.rank(); ++i) {
      if (moved[i] >= 0) continue;
      while (taken.at(next)) ++next;
      moved[i] = static_cast<int64_t>(next++);
    }
    perm = moved;
  }
  return perm;
}
void Permute(Call& c) {
  const TensorRef x = First(c);
  c.Out(c.Transpose(x.id, Permutation(c, x)));
}
ValueId WritePermute(Call& c, const TensorRef& base, ValueId value, int) {
  const std::vector<int64_t> perm = Permutation(c, base);
  std::vector<int64_t> inverse(perm.size());
  for (size_t i = 0; i < perm.size(); ++i) inverse.at(perm[i]) = static_cast<int64_t>(i);
  return c.Transpose(value, inverse);
}

// ---- Repeats -------------------------------------------------------------------------------------------------------

void Expand(Call& c) {
  const TensorRef x = First(c);
  c.Out(c.Expand(x.id, x.shape, c.OutShape()));
}
ValueId WriteExpand(Call& c, const TensorRef& base, ValueId value, int) {
  if (!(base.shape == c.OutShape())) c.Fail("writing to an expanded tensor has no ONNX form.");
  return value;
}

/// repeat and tile: counts for the last axes, or for more axes than there are.
void Repeat(Call& c) {
  const TensorRef x = First(c);
  Exprs counts = c.Sizes(c.Has("repeats") ? "repeats" : "dims");
  Exprs shape = x.shape;
  while (counts.size() < shape.size()) counts.insert(counts.begin(), Expr(1));
  while (shape.size() < counts.size()) shape.insert(shape.begin(), Expr(1));
  const ValueId v = c.Reshape(x.id, x.shape, shape);
  if (std::all_of(counts.begin(), counts.end(), [](const Expr& e) { return e == Expr(1); })) return c.Out(v);
  c.Out(c.Add("Tile", {v, c.SizeVector(counts)}));
}

// ---- Diagonals, rolls, flips ----------------------------------------------------------------------------------------

void Flip(Call& c) {
  const TensorRef x = First(c);
  std::vector<int64_t> axes;
  if (c.detail() == "ud") axes = {0};
  if (c.detail() == "lr") axes = {1};
  if (c.detail().empty()) axes = c.Ints("dims");
  for (int64_t& a : axes) a = x.Axis(a);
  if (axes.empty() || x.rank() == 0) return c.Out(x.id);
  const std::vector<int64_t> from(axes.size(), -1), to(axes.size(), std::numeric_limits<int64_t>::min() + 1);
  c.Out(c.Add("Slice", {x.id, c.IntsConstant(from), c.IntsConstant(to), c.IntsConstant(axes), c.IntsConstant(from)}));
}

void Roll(Call& c) {
  const TensorRef x = First(c);
  const Exprs shifts = c.Sizes("shifts");
  std::vector<int64_t> dims = c.Ints("dims");
  ValueId v = x.id;
  Exprs shape = x.shape;
  const bool flat = dims.empty();
  if (flat) {
    Expr count = 1;
    for (const Expr& e : x.shape) count = count * e;
    v = c.Reshape(v, x.shape, {count});
    shape = {count};
    dims = {0};
  }
  for (size_t i = 0; i < shifts.size(); ++i) {
    const int axis = static_cast<int>(dims[i] < 0 ? dims[i] + static_cast<int64_t>(shape.size()) : dims[i]);
    const Expr& size = shape.at(axis);
    // The last `shift` come first. Modulo the size where that is a number; Slice's counting from the end otherwise.
    Expr shift = shifts[i];
    if (shift.is_int() && size.is_int() && size.int_value() > 0) {
      shift = Expr::Call("Mod", {shift, size});
    } else if (!size.is_int()) {
      shift = Expr::Call("Mod", {shift, size});
    }
    if (shift == Expr(0)) continue;
    const Expr at = size - shift;
    v = c.Concat({c.Slice(v, axis, at, kEnd), c.Slice(v, axis, 0, at)}, axis);
  }
  c.Out(flat ? c.Reshape(v, shape, x.shape) : v);
}

void Triangle(Call& c) {
  const TensorRef x = First(c);
  Attributes attributes = {{"upper", int64_t{c.detail() == "upper"}}};
  const Expr k = c.Size("diagonal", 0);
  const ValueId by = k == Expr(0) ? kNone : c.SizeScalar(k);
  c.Out(c.Add("Trilu", {x.id, by}, std::move(attributes)));
}

/// The diagonal of two axes, as the last axis: the elements of the flattened pair at every (columns + 1)th place.
void Diagonal(Call& c) {
  const TensorRef x = First(c);
  const bool vector = c.detail() == "diag" && x.rank() == 1;
  if (vector) {
    const Expr n = x.shape[0];
    const int64_t k = c.Int("diagonal", 0);
    const Expr size = n + Expr(std::abs(k));
    // Rows of the identity, shifted, times the vector.
    const ValueId rows = c.Unsqueeze(c.Add("Range", {c.SizeScalar(0), c.SizeScalar(size), c.SizeScalar(1)}), {1});
    const ValueId columns = c.Unsqueeze(c.Add("Range", {c.SizeScalar(0), c.SizeScalar(size), c.SizeScalar(1)}), {0});
    const ValueId on = c.Add("Equal", {c.Add("Add", {rows, c.SizeScalar(k)}), columns});
    const ValueId wide =
        c.Add("Pad", {x.id, c.IntsConstant(k > 0 ? std::vector<int64_t>{k, 0} : std::vector<int64_t>{0, -k})});
    return c.Out(c.Add("Where", {on, wide, c.Scalar(0, x.dtype)}));
  }
  const bool diag = c.detail() == "diag";
  const int64_t offset = diag ? c.Int("diagonal", 0) : c.Int("offset", 0);
  const int a = diag ? 0 : x.Axis(c.Int("dim1", 0)), b = diag ? 1 : x.Axis(c.Int("dim2", 1));
  std::vector<int64_t> perm;
  Exprs shape;
  for (int i = 0; i < x.rank(); ++i) {
    if (i != a && i != b) perm.push_back(i);
  }
  perm.push_back(a);
  perm.push_back(b);
  for (const int64_t p : perm) shape.push_back(x.shape[p]);
  const ValueId moved = c.Transpose(x.id, perm);
  const Expr count = c.OutShape().back();
  // Element i of the diagonal stands at (i - min(offset, 0), i + max(offset, 0)).
  const ValueId numbers = c.Add("Range", {c.SizeScalar(0), c.SizeScalar(count), c.SizeScalar(1)});
  const ValueId rows = offset < 0 ? c.Add("Add", {numbers, c.SizeScalar(-offset)}) : numbers;
  const ValueId columns = offset > 0 ? c.Add("Add", {numbers, c.SizeScalar(offset)}) : numbers;
  const ValueId at = c.Add("Add", {c.Add("Mul", {rows, c.SizeScalar(x.shape[b])}), columns});
  Exprs flat(shape.begin(), shape.end() - 2);
  flat.push_back(x.shape[a] * x.shape[b]);
  c.Out(c.Add("Gather", {c.Reshape(moved, shape, flat), at}, {{"axis", static_cast<int64_t>(flat.size()) - 1}}));
}

/// The base with other values on the diagonal of two axes.
ValueId PutDiagonal(Call& c, const TensorRef& base, ValueId value) {
  const int64_t offset = c.Int("offset", 0);
  const int a = base.Axis(c.Int("dim1", 0)), b = base.Axis(c.Int("dim2", 1)), rank = base.rank();
  std::vector<int64_t> perm, back(rank);
  for (int i = 0; i < rank; ++i) {
    if (i != a && i != b) perm.push_back(i);
  }
  perm.push_back(a);
  perm.push_back(b);
  for (int i = 0; i < rank; ++i) back[perm[i]] = i;
  const auto range = [&](const Expr& size) {
    return c.Add("Range", {c.SizeScalar(0), c.SizeScalar(size), c.SizeScalar(1)});
  };
  // Row i has element i + min(offset, 0), which stands in column i + offset.
  const ValueId rows = range(base.shape[a]);
  const ValueId on = c.Add(
      "Equal", {c.Unsqueeze(c.Add("Add", {rows, c.SizeScalar(offset)}), {1}), c.Unsqueeze(range(base.shape[b]), {0})});
  const ValueId last = c.Add("Sub", {c.Select(c.Add("Shape", {value}), 0, Expr(-1)), c.SizeScalar(1)});
  const ValueId element = c.Add("Add", {rows, c.SizeScalar(std::min<int64_t>(offset, 0))});
  const ValueId in = c.Add("Max", {c.Add("Min", {element, last}), c.SizeScalar(0)});
  const ValueId values = c.Unsqueeze(c.Add("Gather", {value, in}, {{"axis", int64_t{rank} - 2}}), {rank - 1});
  return c.Transpose(c.Add("Where", {on, values, c.Transpose(base.id, perm)}), back);
}
ValueId WriteDiagonal(Call& c, const TensorRef& base, ValueId value, int) { return PutDiagonal(c, base, value); }
void DiagonalScatter(Call& c) {
  const TensorRef x = First(c);
  c.Out(PutDiagonal(c, x, c.Cast(c.Tensor("src").id, x.dtype)));
}

/// A number where all indices are equal; with `wrap` a tall matrix starts anew below its diagonal.
void FillDiagonal(Call& c) {
  const TensorRef x = First(c);
  const bool wrap = x.rank() == 2 && c.Bool("wrap", false);
  const auto places = [&](int axis) {
    const ValueId range = c.Add("Range", {c.SizeScalar(0), c.SizeScalar(x.shape[axis]), c.SizeScalar(1)});
    std::vector<int64_t> others;
    for (int i = 0; i < x.rank(); ++i) {
      if (i != axis) others.push_back(i);
    }
    return c.Unsqueeze(range, others);
  };
  ValueId rows = places(0);
  if (wrap) rows = c.Add("Mod", {rows, c.SizeScalar(x.shape[1] + Expr(1))});
  ValueId on = kNone;
  for (int i = 1; i < x.rank(); ++i) {
    const ValueId equal = c.Add("Equal", {rows, places(i)});
    on = on == kNone ? equal : c.Add("And", {on, equal});
  }
  c.Out(c.Add("Where", {on, c.Use(c.Operand("fill_value"), x.dtype), x.id}));
}

/// A vector (or the last axis) onto the diagonal of a matrix.
void DiagEmbed(Call& c) {
  const TensorRef x = First(c);
  const int64_t offset = c.Int("offset", 0);
  const int rank = x.rank() + 1;
  const auto axis = [&](int64_t d) { return static_cast<int>(d < 0 ? d + rank : d); };
  const int a = axis(c.Int("dim1", -2)), b = axis(c.Int("dim2", -1));
  const Expr size = x.shape.back() + Expr(std::abs(offset));
  const auto range = [&] { return c.Add("Range", {c.SizeScalar(0), c.SizeScalar(size), c.SizeScalar(1)}); };
  const ValueId rows = c.Unsqueeze(range(), {1}), columns = c.Unsqueeze(range(), {0});
  const ValueId on = c.Add("Equal", {c.Add("Add", {rows, c.SizeScalar(offset)}), columns});
  // Where the offset is above the diagonal, column j has element j - offset; below it, row i has element i + offset.
  std::vector<int64_t> pads(2 * x.rank(), 0);
  if (offset > 0) pads[x.rank() - 1] = offset;
  if (offset < 0) pads[2 * x.rank() - 1] = -offset;
  const ValueId wide = offset == 0 ? x.id : c.Add("Pad", {x.id, c.IntsConstant(pads)});
  const ValueId v = c.Add("Where", {on, c.Unsqueeze(wide, {x.rank() - 1}), c.Scalar(0, x.dtype)});
  std::vector<int64_t> perm(rank, -1);
  perm.at(a) = rank - 2;
  perm.at(b) = rank - 1;
  int next = 0;
  for (int64_t& p : perm) {
    if (p < 0) p = next++;
  }
  c.Out(c.Transpose(v, perm));
}

void Trace(Call& c) {
  const TensorRef x = First(c);
  const ValueId eye = c.Add("EyeLike", {x.id});
  c.Out(c.Add("ReduceSum", {c.Add("Mul", {x.id, eye})}, {{"keepdims", int64_t{0}}}));
}

/// Windows of `size` along an axis, every `step`, as a new last axis.
void Unfold(Call& c) {
  const TensorRef x = First(c);
  const int axis = x.Axis(c.Int("dimension"));
  const int64_t size = c.Int("size"), step = c.Int("step");
  if (x.rank() == 0) return c.Out(c.Unsqueeze(x.id, {0}));
  const Expr count = c.OutShape().at(axis);
  const ValueId starts =
      c.Add("Mul", {c.Add("Range", {c.SizeScalar(0), c.SizeScalar(count), c.SizeScalar(1)}), c.SizeScalar(step)});
  const ValueId within = c.Add("Range", {c.SizeScalar(0), c.SizeScalar(size), c.SizeScalar(1)});
  const ValueId at = c.Add("Add", {c.Unsqueeze(starts, {1}), within});
  const ValueId windows = c.Add("Gather", {x.id, at}, {{"axis", int64_t{axis}}});
  std::vector<int64_t> perm = Identity(x.rank() + 1);
  std::rotate(perm.begin() + axis + 1, perm.begin() + axis + 2, perm.end());
  c.Out(c.Transpose(windows, perm));
}

/// Where the elements of as_strided lie in the memory of its argument, which must be all of one piece.
ValueId Places(Call& c, const TensorRef& x) {
  const std::vector<int64_t> sizes = c.Ints("size"), strides = c.Ints("stride");
  int64_t count = 1, held = 1;
  for (const int64_t n : sizes) count *= n;
  for (const Expr& n : x.shape) {
    if (!n.is_int()) c.Fail("of a tensor whose sizes vary it has no form in ONNX.");
    held *= n.int_value();
  }
  const TensorMeta* meta = c.converter().Meta(c.node().inputs.at(0).second.text);
  int64_t stride = 1;
  for (size_t i = x.shape.size(); meta && i-- > 0;) {
    if (i < meta->strides.size() && !(x.shape[i] == Expr(1)) && !(meta->strides[i] == Expr(stride))) {
      c.Fail("the tensor must be contiguous: call contiguous() first.");
    }
    stride *= x.shape[i].int_value();
  }
  slipway::Tensor at(DType::kInt64, Shape(sizes));
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i, place = c.Int("storage_offset", 0);
    for (size_t axis = sizes.size(); axis-- > 0; rest /= sizes[axis]) place += rest % sizes[axis] * strides.at(axis);
    if (place < 0 || place >= held) c.Fail("it reaches beyond the tensor's memory.");
    at.data<int64_t>()[i] = place;
  }
  return c.Constant(std::move(at));
}

void AsStrided(Call& c) {
  const TensorRef x = First(c);
  const ValueId at = Places(c, x);
  c.Out(c.Add("Gather", {c.Add("Reshape", {x.id, c.IntsConstant({-1})}), at}, {{"axis", int64_t{0}}}));
}

ValueId WriteStrided(Call& c, const TensorRef& base, ValueId value, int) {
  const ValueId one = c.IntsConstant({-1});
  const ValueId flat = c.Add("Reshape", {base.id, one}), at = c.Add("Reshape", {Places(c, base), one});
  const ValueId all = c.Add("ScatterElements", {flat, at, c.Add("Reshape", {value, one})}, {{"axis", int64_t{0}}});
  return c.Add("Reshape", {all, c.SizeVector(base.shape)});
}

// ---- Pixels ---------------------------------------------------------------------------------------------------------

int64_t Factor(Call& c, std::string_view name, const TensorRef& x) {
  const int64_t r = c.Int(name);
  constexpr int64_t kMost = int64_t{1} << 20;
  if (r < 1 || r > kMost || x.rank() < 3) c.Fail("{} is {}, and the input has rank {}.", name, r, x.rank());
  return r;
}

void PixelShuffle(Call& c) {
  const TensorRef x = First(c);
  const int64_t r = Factor(c, "upscale_factor", x);
  if (x.rank() == 4) {
    return c.Out(c.Add("DepthToSpace", {x.id}, {{"blocksize", r}, {"mode", std::string("CRD")}}));
  }
  const int n = x.rank() - 3;
  Exprs shape(x.shape.begin(), x.shape.begin() + n);
  shape.insert(shape.end(), {FloorDiv(x.shape[n], r * r), Expr(r), Expr(r), x.shape[n + 1], x.shape[n + 2]});
  std::vector<int64_t> perm = Identity(n);
  for (const int i : {0, 3, 1, 4, 2}) perm.push_back(n + i);
  const ValueId v = c.Transpose(c.Reshape(x.id, x.shape, shape), perm);
  c.Out(c.Reshape(v, {}, c.OutShape()));
}
void PixelUnshuffle(Call& c) {
  const TensorRef x = First(c);
  const int64_t r = Factor(c, "downscale_factor", x);
  const int n = x.rank() - 3;
  Exprs shape(x.shape.begin(), x.shape.begin() + n);
  shape.insert(shape.end(), {x.shape[n], FloorDiv(x.shape[n + 1], r), Expr(r), FloorDiv(x.shape[n + 2], r), Expr(r)});
  std::vector<int64_t> perm = Identity(n);
  for (const int i : {0, 2, 4, 1, 3}) perm.push_back(n + i);
  const ValueId v = c.Transpose(c.Reshape(x.id, x.shape, shape), perm);
  Exprs moved;
  for (const int64_t p : perm) moved.push_back(shape[p]);
  c.Out(c.Reshape(v, moved, c.OutShape()));
}
/// Channels in groups, the two exchanged.
void ChannelShuffle(Call& c) {
  const TensorRef x = First(c);
  const int64_t groups = Factor(c, "groups", x);
  Exprs shape = x.shape;
  shape[1] = FloorDiv(x.shape[1], groups);
  shape.insert(shape.begin() + 1, Expr(groups));
  std::vector<int64_t> perm = Identity(static_cast<int>(shape.size()));
  std::swap(perm[1], perm[2]);
  std::swap(shape[1], shape[2]);
  Exprs first = x.shape;
  first[1] = FloorDiv(x.shape[1], groups);
  first.insert(first.begin() + 1, Expr(groups));
  c.Out(c.Reshape(c.Transpose(c.Reshape(x.id, x.shape, first), perm), shape, x.shape));
}

constexpr Conversion kConversions[] = {
    {"aten._reshape_alias", Reshape, "", WriteReshape},
    {"aten._unsafe_view", Reshape, "", WriteReshape},
    {"aten.adjoint", Permute, "last", WritePermute},
    {"aten.atleast_1d", Reshape, "", WriteReshape},
    {"aten.atleast_2d", Reshape, "", WriteReshape},
    {"aten.atleast_3d", Reshape, "", WriteReshape},
    {"aten.broadcast_to", Expand, "", WriteExpand},
    {"aten.channel_shuffle", ChannelShuffle},
    {"aten.diag", Diagonal, "diag"},
    {"aten.diag_embed", DiagEmbed},
    {"aten.diagonal", Diagonal, "", WriteDiagonal},
    {"aten.diagonal_copy", Diagonal},
    {"aten.diagonal_scatter", DiagonalScatter},
    {"aten.expand", Expand, "", WriteExpand},
    {"aten.expand_as", Expand, "", WriteExpand},
    {"aten.expand_copy", Expand},
    {"aten.fill_diagonal", FillDiagonal},
    {"aten.flatten", Reshape, "copies", WriteReshape},
    {"aten.flip", Flip},
    {"aten.fliplr", Flip, "lr"},
    {"aten.flipud", Flip, "ud"},
    {"aten.mT", Permute, "last", WritePermute},
    {"aten.matrix_H", Permute, "last", WritePermute},
    {"aten.moveaxis", Permute, "move", WritePermute},
    {"aten.movedim", Permute, "move", WritePermute},
    {"aten.native_channel_shuffle", ChannelShuffle},
    {"aten.numpy_T", Permute, "reverse", WritePermute},
    {"aten.permute", Permute, "permute", WritePermute},
    {"aten.permute_copy", Permute, "permute"},
    {"aten.pixel_shuffle", PixelShuffle},
    {"aten.pixel_unshuffle", PixelUnshuffle},
    {"aten.ravel", Reshape, "copies", WriteReshape},
    {"aten.repeat", Repeat},
    {"aten.reshape", Reshape, "copies", WriteReshape},
    {"aten.reshape_as", Reshape, "copies", WriteReshape},
    {"aten.roll", Roll},
    {"aten.squeeze", Squeeze, "", WriteReshape},
    {"aten.squeeze_copy", Squeeze},
    {"aten.swapaxes", Permute, "swap", WritePermute},
    {"aten.swapdims", Permute, "swap", WritePermute},
    {"aten.t", Permute, "last", WritePermute},
    {"aten.t_copy", Permute, "last"},
    {"aten.tile", Repeat},
    {"aten.trace", Trace},
    {"aten.transpose", Permute, "transpose", WritePermute},
    {"aten.transpose_copy", Permute, "transpose"},
    {"aten.tril", Triangle, "lower"},
    {"aten.triu", Triangle, "upper"},
    {"aten.unflatten", Reshape, "", WriteReshape},
    {"aten.as_strided", AsStrided, "", WriteStrided},
    {"aten.as_strided_copy", AsStrided},
    {"aten.unfold", Unfold},
    {"aten.unsqueeze", Unsqueeze, "", WriteReshape},
    {"aten.unsqueeze_copy", Unsqueeze},
    {"aten.view", Reshape, "", WriteReshape},
    {"aten.view.dtype", ViewAsType, "", WriteReshape},
    {"aten.view_as", Reshape, "", WriteReshape},
    {"aten.view_copy", Reshape},
};

}  // namespace

const ConversionTable kViewsTable = {std::begin(kConversions), std::end(kConversions)};

}  // namespace slipway::pt2
