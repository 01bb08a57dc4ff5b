#include <cmath>

#include "pt2/converter.h"

// ONNX has complex numbers in its signal operators alone, and there as pairs: a complex tensor is a real one with an
// axis more at its end, [real, imaginary]. The targets here are those of nodes that read or give complex tensors.

namespace slipway::pt2 {
namespace {

DType RealOf(DType type) { return type == DType::kComplex128 ? DType::kDouble : DType::kFloat; }

TensorRef First(Call& c) { return c.Tensor(c.node().inputs.at(0).first); }

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

// ---- Transforms -------------------------------------------------------------------------------------------------

/// The scale that a norm asks for after ONNX's transform, which divides by n when it is inverse. 0: none.
double Scale(Call& c, bool inverse, const Expr& n) {
  const std::string norm = c.String("norm", "backward");
  if (norm == "backward") return 1;
  if (!n.is_int()) c.Fail("norm '{}' of a length that varies is not supported.", norm);
  const auto count = static_cast<double>(n.int_value());
  const double root = norm == "ortho" ? std::sqrt(count) : count;
  return inverse ? root : 1 / root;
}

ValueId Scaled(Call& c, ValueId v, double by, DType real) {
  return by == 1 ? v : c.Add("Mul", {v, c.Scalar(by, real)});
}

ValueId Dft(Call& c, ValueId pairs, const Expr& n, int axis, bool inverse, bool half) {
  return c.Add("DFT", {pairs, c.SizeScalar(n), c.SizeScalar(axis)},
               {{"inverse", int64_t{inverse}}, {"onesided", int64_t{half}}});
}

/// fft, ifft, rfft along one axis: `detail` is one of "", "inverse", "half".
void Fourier(Call& c) {
  const TensorRef x = c.Tensor("self");
  const int axis = x.Axis(c.Int("dim", -1));
  const Expr n = c.Has("n") ? c.Size("n") : x.shape.at(axis);
  const bool inverse = c.detail() == "inverse", half = c.detail() == "half";
  const DType real = RealOf(c.OutDtype());
  const ValueId v = IsComplex(x.dtype) ? x.id : c.Add("Unsqueeze", {c.Cast(x.id, real), c.IntsConstant({-1})});
  c.Out(Scaled(c, Dft(c, v, n, axis, inverse, half), Scale(c, inverse, n), real));
}

/// irfft: the other half of the spectrum is the mirrored conjugate of the first.
void RealInverse(Call& c) {
  const TensorRef x = c.Tensor("self");
  const int axis = x.Axis(c.Int("dim", -1));
  const Expr held = x.shape.at(axis);
  const Expr n = c.Has("n") ? c.Size("n") : (held - Expr(1)) * Expr(2);
  const DType real = RealOf(x.dtype);
  const Expr half = FloorDiv(n, 2) + Expr(1);
  if (!(half == held)) {
    if (!half.is_int() || !held.is_int() || half.int_value() > held.int_value()) {
      c.Fail("its length does not follow from the spectrum's: give n = 2 * (size - 1), or one more.");
    }
  }
  const ValueId front = half == held ? x.id : c.Slice(x.id, axis, 0, half);
  // 1 .. (n - 1) / 2, from the end to the start.
  const Expr rest = FloorDiv(n - Expr(1), 2);
  const ValueId middle = c.Slice(front, axis, 1, rest + Expr(1));
  const ValueId turned = c.Add("Slice", {middle, c.IntsConstant({-1}), c.IntsConstant({INT64_MIN + 1}),
                                         c.IntsConstant({axis}), c.IntsConstant({-1})});
  const ValueId all = c.Concat({front, Conjugate(c, turned, real)}, axis);
  const ValueId y = Part(c, Dft(c, all, n, axis, true, false), 0);
  c.Out(Scaled(c, y, Scale(c, true, n), real));
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
    {"complex.aten.clone", Same},
    {"complex.aten.complex", Make},
    {"complex.aten.conj", Conj},
    {"complex.aten.conj_physical", Conj},
    {"complex.aten.contiguous", Same},
    {"complex.aten.detach", Same},
    {"complex.aten.div", Divide},
    {"complex.aten.exp", Exponential},
    {"complex.aten.fft_fft", Fourier},
    {"complex.aten.fft_ifft", Fourier, "inverse"},
    {"complex.aten.fft_irfft", RealInverse},
    {"complex.aten.fft_rfft", Fourier, "half"},
    {"complex.aten.flatten", Reshape},
    {"complex.aten.imag", Imaginary},
    {"complex.aten.mul", Multiply},
    {"complex.aten.neg", Negate},
    {"complex.aten.permute", Transpose},
    {"complex.aten.polar", Polar},
    {"complex.aten.real", Real},
    {"complex.aten.reshape", Reshape},
    {"complex.aten.resolve_conj", Same},
    {"complex.aten.stft", Stft},
    {"complex.aten.sub", Sum, "Sub"},
    {"complex.aten.transpose", Transpose},
    {"complex.aten.unsqueeze", Reshape},
    {"complex.aten.view", Reshape},
    {"complex.aten.view_as_complex", Same},
    {"complex.aten.view_as_real", Same},
};

}  // namespace

extern const ConversionTable kComplexTable = {std::begin(kConversions), std::end(kConversions)};

}  // namespace slipway::pt2
