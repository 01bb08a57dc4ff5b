#include <cmath>

#include "pt2/aten/shared.h"

// ONNX has complex numbers in its signal operators alone, and there as pairs: a complex tensor is a real one with an
// axis more at its end, [real, imaginary]. The targets here are those of nodes that read or give complex tensors.

namespace slipway::pt2 {
namespace {

DType RealOf(DType type) { return type == DType::kComplex128 ? DType::kDouble : DType::kFloat; }

ValueId Part(Call& c, ValueId v, int64_t which) {
  return c.Add("Gather", {v, c.SizeScalar(which)}, {{"axis", int64_t{-1}}});
}

ValueId Pair(Call& c, ValueId real, ValueId imaginary) {
  return c.Add(
      "Concat",
      {c.Add("Unsqueeze", {real, c.IntsConstant({-1})}), c.Add("Unsqueeze", {imaginary, c.IntsConstant({-1})})},
      {{"axis", int64_t{-1}}});
}

/// An operand: complex as a pair, or real as one value to be used for both parts.
struct Number {
  ValueId value = kNone;
  bool complex = false;
};

Number Read(Call& c, std::string_view name, DType real) {
  const Argument* a = c.Find(name);
  if (!a) c.Fail("argument '{}' is missing.", name);
  if (a->is(Argument::Kind::kComplex)) {
    return {Pair(c, c.Scalar(a->real, real), c.Scalar(a->imaginary, real)), true};
  }
  const Operand o = c.Operand(name);
  if (o.tensor.defined() && IsComplex(o.tensor.dtype)) return {o.tensor.id, true};
  return {c.Use(o, real), false};
}

/// A real operand beside pairs: the same for both parts.
ValueId Beside(Call& c, const Number& n) {
  return n.complex ? n.value : c.Add("Unsqueeze", {n.value, c.IntsConstant({-1})});
}

ValueId AsPair(Call& c, const Number& n) {
  return n.complex ? n.value : Pair(c, n.value, c.Add("Sub", {n.value, n.value}));
}

ValueId Product(Call& c, const Number& a, const Number& b) {
  if (!a.complex || !b.complex) return c.Add("Mul", {Beside(c, a), Beside(c, b)});
  const ValueId ar = Part(c, a.value, 0), ai = Part(c, a.value, 1), br = Part(c, b.value, 0), bi = Part(c, b.value, 1);
  return Pair(c, c.Add("Sub", {c.Add("Mul", {ar, br}), c.Add("Mul", {ai, bi})}),
              c.Add("Add", {c.Add("Mul", {ar, bi}), c.Add("Mul", {ai, br})}));
}

void Multiply(Call& c) {
  const DType real = RealOf(c.OutDtype());
  c.Out(Product(c, Read(c, "self", real), Read(c, "other", real)));
}

ValueId Conjugate(Call& c, ValueId v, DType real) {
  slipway::Tensor signs(DType::kFloat, {2});
  signs.data<float>()[0] = 1;
  signs.data<float>()[1] = -1;
  return c.Add("Mul", {v, c.Cast(c.Constant(std::move(signs)), real)});
}

void Conj(Call& c) { c.Out(Conjugate(c, First(c).id, RealOf(c.OutDtype()))); }

/// a / b = a conj(b) / |b|^2
void Divide(Call& c) {
  if (c.Has("rounding_mode")) c.Fail("complex quotients are not rounded.");
  const DType real = RealOf(c.OutDtype());
  const Number a = Read(c, "self", real), b = Read(c, "other", real);
  if (!b.complex) return c.Out(c.Add("Div", {a.value, Beside(c, b)}));
  const ValueId square = c.Add("ReduceSumSquare", {b.value, c.IntsConstant({-1})}, {{"keepdims", int64_t{1}}});
  c.Out(c.Add("Div", {Product(c, a, {Conjugate(c, b.value, real), true}), square}));
}

/// `detail`: Add or Sub
void Sum(Call& c) {
  const DType real = RealOf(c.OutDtype());
  const Number a = Read(c, "self", real), b = Read(c, "other", real);
  ValueId right = AsPair(c, b);
  const Expr alpha = c.Size("alpha", 1);
  if (!(alpha.is_number() && alpha.value() == 1)) right = c.Add("Mul", {right, c.Scalar(alpha, real)});
  c.Out(c.Add(c.detail(), {AsPair(c, a), right}));
}

void Negate(Call& c) { c.Out(c.Add("Neg", {First(c).id})); }

void Magnitude(Call& c) { c.Out(c.Add("ReduceL2", {First(c).id, c.IntsConstant({-1})}, {{"keepdims", int64_t{0}}})); }

void Same(Call& c) { c.Out(c.Add("Identity", {First(c).id})); }
void Real(Call& c) { c.Out(Part(c, First(c).id, 0)); }
void Imaginary(Call& c) { c.Out(Part(c, First(c).id, 1)); }

void Make(Call& c) {
  const TensorRef re = c.Tensor("real"), im = c.Tensor("imag");
  const Exprs shape = c.OutShape();
  c.Out(Pair(c, c.Expand(re.id, re.shape, shape), c.Expand(im.id, im.shape, shape)));
}

void Polar(Call& c) {
  const TensorRef r = c.Tensor("abs"), angle = c.Tensor("angle");
  c.Out(Pair(c, c.Add("Mul", {r.id, c.Add("Cos", {angle.id})}), c.Add("Mul", {r.id, c.Add("Sin", {angle.id})})));
}

void Exponential(Call& c) {
  const ValueId x = First(c).id, angle = Part(c, x, 1), size = c.Add("Exp", {Part(c, x, 0)});
  c.Out(Pair(c, c.Add("Mul", {size, c.Add("Cos", {angle})}), c.Add("Mul", {size, c.Add("Sin", {angle})})));
}

void Transpose(Call& c) {
  const TensorRef x = First(c);
  std::vector<int64_t> order(x.shape.size() + 1);
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
  if (c.Has("dims")) {
    const std::vector<int64_t> dims = c.Ints("dims");
    for (size_t i = 0; i < dims.size(); ++i) order.at(i) = x.Axis(dims[i]);
  } else {
    std::swap(order.at(x.Axis(c.Int("dim0"))), order.at(x.Axis(c.Int("dim1"))));
  }
  c.Out(c.Transpose(x.id, order));
}

void Reshape(Call& c) {
  Exprs from = First(c).shape, to = c.OutShape();
  from.emplace_back(2);
  to.emplace_back(2);
  c.Out(c.Reshape(First(c).id, from, to));
}

void Expand(Call& c) {
  Exprs from = First(c).shape, to = c.OutShape();
  from.emplace_back(2);
  to.emplace_back(2);
  c.Out(c.Expand(First(c).id, from, to));
}

void Slice(Call& c) {
  const TensorRef x = First(c);
  const Expr start = c.Size("start", 0), end = c.Size("end", Expr(INT64_MAX));
  c.Out(c.Slice(x.id, x.Axis(c.Int("dim", 0)), start, end, c.Int("step", 1)));
}

void Select(Call& c) {
  const TensorRef x = First(c);
  c.Out(c.Select(x.id, x.Axis(c.Int("dim")), c.Size("index")));
}

void IndexSelect(Call& c) {
  const TensorRef x = First(c);
  c.Out(c.Add("Gather", {x.id, c.Tensor("index").id}, {{"axis", int64_t{x.Axis(c.Int("dim"))}}}));
}

/// roll(self, shifts, dims): what leaves at the end comes in at the start.
void Roll(Call& c) {
  const TensorRef x = First(c);
  const Exprs shifts = c.Sizes("shifts");
  const std::vector<int64_t> dims = c.Ints("dims");
  if (dims.size() != shifts.size()) c.Fail("of all elements together it is not supported for complex tensors.");
  ValueId v = x.id;
  for (size_t i = 0; i < dims.size(); ++i) {
    const int axis = x.Axis(dims[i]);
    const Expr size = x.shape[axis];
    if (size == Expr(0)) continue;
    // In [0, size], so that both parts are within the axis.
    const Expr cut = size - Expr::Call("PythonMod", {shifts[i], size});
    v = c.Concat({c.Slice(v, axis, cut, Expr(INT64_MAX)), c.Slice(v, axis, 0, cut)}, axis);
  }
  c.Out(v);
}

/// fftshift and ifftshift: `detail` "i". The middle of each axis comes to its start, or goes back.
void Shift(Call& c) {
  const TensorRef x = First(c);
  std::vector<int64_t> dims = c.Has("dim") ? c.Ints("dim") : std::vector<int64_t>();
  for (int i = 0; i < x.rank() && !c.Has("dim"); ++i) dims.push_back(i);
  ValueId v = x.id;
  for (const int64_t dim : dims) {
    const int axis = x.Axis(dim);
    const Expr size = x.shape[axis], half = FloorDiv(size, 2), cut = c.detail() == "i" ? half : size - half;
    v = c.Concat({c.Slice(v, axis, cut, Expr(INT64_MAX)), c.Slice(v, axis, 0, cut)}, axis);
  }
  c.Out(v);
}

void Flip(Call& c) {
  const TensorRef x = First(c);
  ValueId v = x.id;
  for (const int64_t dim : c.Ints("dims")) {
    v = c.Add("Slice", {v, c.IntsConstant({-1}), c.IntsConstant({INT64_MIN + 1}), c.IntsConstant({x.Axis(dim)}),
                        c.IntsConstant({-1})});
  }
  c.Out(v);
}

/// cat and stack: `detail` "new" for an axis of its own.
void Join(Call& c) {
  const DType real = RealOf(c.OutDtype());
  const int64_t dim = c.Int("dim", 0);
  const int axis = static_cast<int>(dim < 0 ? dim + c.OutRank() : dim);
  std::vector<ValueId> parts;
  for (const TensorRef& t : c.Tensors("tensors")) {
    const ValueId v = AsPair(c, {IsComplex(t.dtype) ? t.id : c.Cast(t.id, real), IsComplex(t.dtype)});
    parts.push_back(c.detail() == "new" ? c.Unsqueeze(v, {axis}) : v);
  }
  c.Out(c.Concat(parts, axis));
}

/// `detail`: ReduceSum or ReduceMean
void Reduce(Call& c) {
  const TensorRef x = First(c);
  std::vector<int64_t> axes;
  for (const int64_t dim : c.Has("dim") ? c.Ints("dim") : std::vector<int64_t>()) axes.push_back(x.Axis(dim));
  for (int i = 0; i < x.rank() && !c.Has("dim"); ++i) axes.push_back(i);
  const int64_t keep = c.Bool("keepdim", false) ? 1 : 0;
  c.Out(axes.empty() ? x.id : c.Add(c.detail(), {x.id, c.IntsConstant(axes)}, {{"keepdims", keep}}));
}

// ---- Transforms -------------------------------------------------------------------------------------------------

/// How a transform of n numbers is divided: not at all, by the root of n, by n. torch numbers them so.
enum class Norm : int64_t { kNone, kRoot, kAll };

Norm NormOf(Call& c, bool inverse) {
  const std::string norm = c.String("norm", "backward");
  if (norm == "ortho") return Norm::kRoot;
  return (norm == "backward") == inverse ? Norm::kAll : Norm::kNone;
}

/// Divides after ONNX's transform, which has divided by n where it is inverse.
ValueId Divided(Call& c, ValueId v, const Expr& n, Norm norm, bool inverse, DType real) {
  if (norm == (inverse ? Norm::kAll : Norm::kNone)) return v;
  const ValueId size = c.Scalar(n, real);
  const ValueId by = norm == Norm::kRoot ? c.Add("Sqrt", {size}) : size;
  return c.Add(inverse ? "Mul" : "Div", {v, by});
}

ValueId Dft(Call& c, ValueId pairs, const Expr& n, int axis, bool inverse, bool half) {
  return c.Add("DFT", {pairs, c.SizeScalar(n), c.SizeScalar(axis)},
               {{"inverse", int64_t{inverse}}, {"onesided", int64_t{half}}});
}

/// The axes of a transform and how long it is along each: `dim` and `s` or `n`, for one axis, two or all of them.
struct Axes {
  std::vector<int> axes;
  Exprs sizes;
};

Axes AxesOf(Call& c, const TensorRef& x) {
  Axes found;
  if (c.Has("dim")) {
    for (const int64_t axis : c.Ints("dim")) found.axes.push_back(x.Axis(axis));
  } else {
    const size_t most = c.Has("s") ? c.Sizes("s").size() : x.shape.size();
    const size_t count = c.detail().find('n') != std::string_view::npos   ? most
                         : c.detail().find('2') != std::string_view::npos ? 2
                                                                          : 1;
    for (size_t i = 0; i < count; ++i)
      found.axes.push_back(x.Axis(static_cast<int64_t>(i) - static_cast<int64_t>(count)));
  }
  for (const int axis : found.axes) found.sizes.push_back(x.shape.at(axis));
  Exprs asked = c.Has("s") ? c.Sizes("s") : Exprs();
  if (c.Has("n")) asked = {c.Size("n")};
  if (!asked.empty() && asked.size() != found.sizes.size())
    c.Fail("it has {} sizes for {} axes.", asked.size(), found.sizes.size());
  for (size_t i = 0; i < asked.size(); ++i) {
    if (!(asked[i] == Expr(-1))) found.sizes[i] = asked[i];
  }
  return found;
}

/// Transforms one axis after another. Of a real tensor the last is the first, of which `half` keeps the half that is
/// not the other's mirror.
ValueId Forward(Call& c, const TensorRef& x, const Axes& a, bool inverse, bool half, Norm norm, DType real) {
  ValueId v = IsComplex(x.dtype) ? x.id : c.Add("Unsqueeze", {c.Cast(x.id, real), c.IntsConstant({-1})});
  for (size_t i = a.axes.size(); i-- > 0;) {
    const bool first = i + 1 == a.axes.size();
    v = Divided(c, Dft(c, v, a.sizes[i], a.axes[i], inverse, half && first), a.sizes[i], norm, inverse, real);
  }
  return v;
}

/// The inverse along one axis, whose result is real: the other half of the spectrum is the mirrored conjugate of the
/// first, which has `held` numbers.
ValueId RealInverse(Call& c, ValueId pairs, const Expr& held, const Expr& n, int axis, Norm norm, DType real) {
  const Expr half = FloorDiv(n, 2) + Expr(1);
  if (!(half == held)) {
    if (!half.is_int() || !held.is_int() || half.int_value() > held.int_value()) {
      c.Fail("its length does not follow from the spectrum's: give n = 2 * (size - 1), or one more.");
    }
  }
  const ValueId front = half == held ? pairs : c.Slice(pairs, axis, 0, half);
  // 1 .. (n - 1) / 2, from the end to the start.
  const Expr rest = FloorDiv(n - Expr(1), 2);
  const ValueId middle = c.Slice(front, axis, 1, rest + Expr(1));
  const ValueId turned = c.Add("Slice", {middle, c.IntsConstant({-1}), c.IntsConstant({INT64_MIN + 1}),
                                         c.IntsConstant({axis}), c.IntsConstant({-1})});
  const ValueId all = c.Concat({front, Conjugate(c, turned, real)}, axis);
  return Divided(c, Part(c, Dft(c, all, n, axis, true, false), 0), n, norm, true, real);
}

/// fft, ifft, rfft and their forms of two and n axes. `detail`: "i" for the inverse or "h" for half, then "2" or "n".
void Fourier(Call& c) {
  const TensorRef x = c.Tensor("self");
  const bool inverse = c.detail().starts_with('i'), half = c.detail().starts_with('h');
  const DType real = RealOf(c.OutDtype());
  c.Out(Forward(c, x, AxesOf(c, x), inverse, half, NormOf(c, inverse), real));
}

/// irfft and its forms: the last axis is the one whose result is real.
void RealFourier(Call& c) {
  const TensorRef x = c.Tensor("self");
  const DType real = RealOf(x.dtype);
  Axes a = AxesOf(c, x);
  const int last = a.axes.back();
  const Expr held = x.shape.at(last);
  const Expr n = c.Has("n") || c.Has("s") ? a.sizes.back() : (held - Expr(1)) * Expr(2);
  a.axes.pop_back();
  a.sizes.pop_back();
  const Norm norm = NormOf(c, true);
  c.Out(RealInverse(c, Forward(c, x, a, true, false, norm, real), held, n, last, norm, real));
}

/// _fft_c2c(self, dim, normalization, forward) and _fft_r2c(self, dim, normalization, onesided), which torch takes the
/// others apart into.
void Lowered(Call& c) {
  const TensorRef x = c.Tensor("self");
  const bool inverse = !c.Bool("forward", true), half = c.Bool("onesided", false);
  c.Out(Forward(c, x, AxesOf(c, x), inverse, half, static_cast<Norm>(c.Int("normalization")), RealOf(c.OutDtype())));
}

/// _fft_c2r(self, dim, normalization, last_dim_size)
void LoweredReal(Call& c) {
  const TensorRef x = c.Tensor("self");
  const DType real = RealOf(x.dtype);
  Axes a = AxesOf(c, x);
  const int last = a.axes.back();
  a.axes.pop_back();
  a.sizes.pop_back();
  const auto norm = static_cast<Norm>(c.Int("normalization"));
  const ValueId v = Forward(c, x, a, true, false, norm, real);
  c.Out(RealInverse(c, v, x.shape.at(last), c.Size("last_dim_size"), last, norm, real));
}

void Angle(Call& c) {
  const TensorRef x = First(c);
  c.Out(AngleOf(c, Part(c, x.id, 1), Part(c, x.id, 0), RealOf(x.dtype)));
}

/// stft(self, n_fft, hop_length, win_length, window, normalized, onesided): [batch, frequencies, frames].
void Stft(Call& c) {
  const TensorRef x = c.Tensor("self"), given = c.OptionalTensor("window");
  const int64_t size = c.Int("n_fft"), hop = c.Int("hop_length", size / 4), width = c.Int("win_length", size);
  const DType real = RealOf(c.OutDtype());
  if (c.Bool("center", false)) c.Fail("pad the signal first.");
  if (IsComplex(x.dtype)) c.Fail("the signal must be real.");
  ValueId v = x.rank() == 1 ? c.Unsqueeze(x.id, {0}) : x.id;
  v = c.Add("Unsqueeze", {v, c.IntsConstant({-1})});
  ValueId window = given.defined() ? given.id : c.Full({Expr(width)}, 1, real);
  if (width < size) {
    const int64_t left = (size - width) / 2;
    window = c.Add("Pad", {window, c.IntsConstant({left, size - width - left})});
  }
  const bool half = c.Bool("onesided", true);
  ValueId y = c.Add("STFT", {v, c.SizeScalar(hop), window, c.SizeScalar(size)}, {{"onesided", int64_t{half}}});
  y = c.Transpose(y, {0, 2, 1, 3});
  if (c.Bool("normalized", false)) y = c.Add("Mul", {y, c.Scalar(1 / std::sqrt(static_cast<double>(size)), real)});
  c.Out(x.rank() == 1 ? c.Squeeze(y, {0}) : y);
}

constexpr Conversion kConversions[] = {
    {"complex.aten._conj", Conj},
    {"complex.aten._conj_physical", Conj},
    {"complex.aten._unsafe_view", Reshape},
    {"complex.aten.abs", Magnitude},
    {"complex.aten.add", Sum, "Add"},
    {"complex.aten.alias", Same},
    {"complex.aten.cat", Join},
    {"complex.aten.clone", Same},
    {"complex.aten.complex", Make},
    {"complex.aten.conj", Conj},
    {"complex.aten.conj_physical", Conj},
    {"complex.aten.contiguous", Same},
    {"complex.aten.detach", Same},
    {"complex.aten.div", Divide},
    {"complex.aten.exp", Exponential},
    {"complex.aten.expand", Expand},
    {"complex.aten._fft_c2c", Lowered},
    {"complex.aten._fft_c2r", LoweredReal},
    {"complex.aten._fft_r2c", Lowered},
    {"complex.aten.angle", Angle},
    {"complex.aten.fft_fft", Fourier},
    {"complex.aten.fft_fft2", Fourier, "2"},
    {"complex.aten.fft_fftn", Fourier, "n"},
    {"complex.aten.fft_fftshift", Shift},
    {"complex.aten.fft_ifftshift", Shift, "i"},
    {"aten.fft_fftshift", Shift},
    {"aten.fft_ifftshift", Shift, "i"},
    {"complex.aten.fft_ifft", Fourier, "i"},
    {"complex.aten.fft_ifft2", Fourier, "i2"},
    {"complex.aten.fft_ifftn", Fourier, "in"},
    {"complex.aten.fft_irfft", RealFourier},
    {"complex.aten.fft_irfft2", RealFourier, "2"},
    {"complex.aten.fft_irfftn", RealFourier, "n"},
    {"complex.aten.fft_rfft", Fourier, "h"},
    {"complex.aten.fft_rfft2", Fourier, "h2"},
    {"complex.aten.fft_rfftn", Fourier, "hn"},
    {"complex.aten.flatten", Reshape},
    {"complex.aten.flip", Flip},
    {"complex.aten.imag", Imaginary},
    {"complex.aten.index_select", IndexSelect},
    {"complex.aten.mean", Reduce, "ReduceMean"},
    {"complex.aten.mul", Multiply},
    {"complex.aten.neg", Negate},
    {"complex.aten.permute", Transpose},
    {"complex.aten.polar", Polar},
    {"complex.aten.real", Real},
    {"complex.aten.reshape", Reshape},
    {"complex.aten.resolve_conj", Same},
    {"complex.aten.roll", Roll},
    {"complex.aten.select", Select},
    {"complex.aten.slice", Slice},
    {"complex.aten.squeeze", Reshape},
    {"complex.aten.stack", Join, "new"},
    {"complex.aten.stft", Stft},
    {"complex.aten.sub", Sum, "Sub"},
    {"complex.aten.sum", Reduce, "ReduceSum"},
    {"complex.aten.transpose", Transpose},
    {"complex.aten.unsqueeze", Reshape},
    {"complex.aten.view", Reshape},
    {"complex.aten.view_as_complex", Same},
    {"complex.aten.view_as_real", Same},
};

}  // namespace

extern const ConversionTable kComplexTable = {std::begin(kConversions), std::end(kConversions)};

}  // namespace slipway::pt2
