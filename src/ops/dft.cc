#include <cstring>

#include "core/dtype_visit.h"
#include "kernels/fft.h"
#include "ops/indexing.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

using kernels::Complex;

/// A transform's memory, for one thread.
template <class R>
struct Buffers {
  std::vector<kernels::ComplexOf<R>> in, out, scratch;
  explicit Buffers(const kernels::FftOf<R>& fft) : in(fft.size()), out(fft.size()), scratch(fft.scratch()) {}
};

/// Halves by way of float.
template <class T>
double ToDouble(T x) {
  if constexpr (std::is_arithmetic_v<T>) return x;
  return static_cast<float>(x);
}
template <class T>
T FromDouble(double x) {
  if constexpr (std::is_arithmetic_v<T>) return static_cast<T>(x);
  return T(static_cast<float>(x));
}

/// Whether a last axis tells real numbers (1) from complex ones (2); Fail()s for other sizes.
void ExpectComponents(const InferContext& c, const Dim& last) {
  if (last.is_const() && last.value() != 1 && last.value() != 2)
    c.Fail("the last axis of {} has size {}, but must be 1 (real) or 2 (complex).", c.InputName(0), last.value());
}

void ExpectLength(const InferContext& c, int64_t n, std::string_view what) {
  // Twice the length has to be countable where the transform is a convolution.
  if (n < 1 || n > int64_t{1} << 40) c.Fail("{} is {}.", what, n);
}

}  // namespace

/// The discrete Fourier transform along an axis, or its inverse; of real input the half that tells all (onesided), and
/// from that half back to real numbers. ONNX DFT, since 20.
struct DFT {
  bool inverse = false;
  bool onesided = false;
  static DFT Parse(const Attributes& a) {
    return {.inverse = a.Int("inverse", 0) != 0, .onesided = a.Int("onesided", 0) != 0};
  }

  void Infer(InferContext& c) const {
    for (int i = 1; i <= 2; ++i) {
      if (c.Has(i)) c.ExpectElem(i, i == 1 ? kIndexTypes : TypeSet{DType::kInt64});
    }
    const auto length = c.Has(1) ? ConstInt(c, 1) : std::nullopt;
    if (length) ExpectLength(c, *length, "dft_length");
    if (!c.HasRank(0)) return c.Out(0, c.Elem(0));
    SymbolicShape out = c.Shape(0);
    const int rank = out.rank();
    if (rank < 2) c.Fail("{} has rank {}, but needs 2 or more.", c.InputName(0), rank);
    const Dim components = out[rank - 1];
    ExpectComponents(c, components);
    if (onesided && !inverse && components == Dim(2)) c.Fail("a transform of complex numbers cannot be onesided.");
    out[rank - 1] = inverse && onesided ? 1 : 2;
    const auto axis = c.Has(2) ? ConstInt(c, 2) : std::optional<int64_t>(-2);
    if (!axis) {
      // Whichever axis it is, its size may change where a length is given, or half is left out.
      const bool changes = c.Has(1) || onesided;
      for (int i = 0; changes && i < rank - 1; ++i) out[i] = Dim::Unknown();
      return c.Out(0, c.Elem(0), out);
    }
    const int64_t at = c.Axis(*axis, rank);
    if (at == rank - 1) c.Fail("axis {} is that of real and imaginary parts.", *axis);
    Dim& size = out[static_cast<int>(at)];
    const auto symbol = c.Has(1) ? ShapeInts(c, 1) : std::nullopt;
    Dim n = length ? Dim(*length) : symbol && symbol->size() == 1 ? (*symbol)[0] : Dim::Unknown();
    if (!c.Has(1)) {
      n = inverse && onesided ? (size - 1) * 2 : size;
      if (n.is_const()) ExpectLength(c, n.value(), "the transform's length");
    }
    size = onesided && !inverse ? FloorDiv(n, 2) + 1 : n;
    c.Out(0, c.Elem(0), out);
  }

  void Run(RunContext& c) const {
    if (c.Out(0).size() == 0) return;
    const Shape& in = c.In(0).shape();
    const int64_t given = c.Has(2) ? *c.In(2).data<int64_t>() : -2;
    if (given < -in.rank() || given >= in.rank() - 1 || given == -1)
      c.Fail("axis is {}, but must be one of {} before that of real and imaginary parts.", given, in.rank() - 1);
    const int axis = ModAxis(given, in.rank());
    int64_t n = c.Out(0).shape()[axis];
    if (onesided && !inverse) n = c.Has(1) ? ToInts(c.In(1))[0] : in[axis];
    VisitFloat(c.In(0).dtype(), [&]<class T>() {
      // Complex numbers as NumPy has them, in their own precision and with the same sums.
      const bool in_float =
          !std::is_same_v<T, double> && in.Back(0) == 2 && !onesided && kernels::Fft::HasSmallFactors(n);
      in_float ? RunTyped<T, float>(c, axis, n) : RunTyped<T, double>(c, axis, n);
    });
  }

 private:
  /// Transforms of n along the axis, computed in R.
  template <class T, class R>
  void RunTyped(RunContext& c, int axis, int64_t n) const {
    const Shape &in = c.In(0).shape(), &out = c.Out(0).shape();
    const int64_t parts = in.Back(0), out_parts = out.Back(0), have = in[axis], give = out[axis];
    const kernels::FftOf<R> fft(n);
    const int64_t inner = in.SizeFrom(axis + 1) / parts, lines = in.SizeTo(axis) * inner;
    // Half a spectrum holds the frequencies from 0 to n / 2.
    const int64_t read = std::min(have, inverse && onesided ? n / 2 + 1 : n);
    const R scale = inverse ? 1 / static_cast<R>(n) : 1;
    c.threads().ParallelFor(lines, GrainFor(n * 64), [&](int64_t begin, int64_t end) {
      Buffers<R> b(fft);
      for (int64_t line = begin; line < end; ++line) {
        const int64_t outer = line / inner, at = line % inner;
        const T* from = c.In(0).data<T>() + (outer * have * inner + at) * parts;
        std::fill(b.in.begin(), b.in.end(), kernels::ComplexOf<R>{});
        for (int64_t i = 0; i < read; ++i) {
          const T* element = from + i * inner * parts;
          b.in[i] = {static_cast<R>(ToDouble(element[0])), parts == 2 ? static_cast<R>(ToDouble(element[1])) : 0};
          // The inverse is the conjugate's transform, conjugated.
          if (inverse) b.in[i].im = -b.in[i].im;
        }
        if (inverse && onesided) Mirror(b.in, n);
        fft.Run(b.in.data(), b.out.data(), b.scratch.data());
        T* to = c.Out(0).data<T>() + (outer * give * inner + at) * out_parts;
        for (int64_t i = 0; i < give; ++i) {
          T* element = to + i * inner * out_parts;
          element[0] = FromDouble<T>(b.out[i].re * scale);
          if (out_parts == 2) element[1] = FromDouble<T>((inverse ? -b.out[i].im : b.out[i].im) * scale);
        }
      }
    });
  }

  /// The other half of a real signal's spectrum. The frequencies 0 and n / 2 are real.
  template <class R>
  static void Mirror(std::vector<kernels::ComplexOf<R>>& x, int64_t n) {
    x[0].im = 0;
    if (n % 2 == 0) x[n / 2].im = 0;
    for (int64_t i = 1; i < n - i; ++i) x[n - i] = {x[i].re, -x[i].im};
  }
};
extern const OpDef kDFT = Define<DFT>({.name = "DFT", .since = 20, .max_inputs = 3, .types = kFloatTypes});

/// The Fourier transforms of the frames of a signal [batch, length, 1 or 2], each times a window. ONNX STFT, since 17.
struct STFT {
  bool onesided = true;
  static STFT Parse(const Attributes& a) { return {.onesided = a.Int("onesided", 1) != 0}; }

  void Infer(InferContext& c) const {
    c.ExpectElem(1, kIndexTypes);
    if (c.Has(2)) {
      c.ExpectSameElem(2, 0);
      c.ExpectRank(2, 1, 1);
    }
    if (c.Has(3)) c.ExpectElem(3, kIndexTypes);
    c.ExpectRank(0, 3, 3);
    const auto step = ConstInt(c, 1);
    if (step && *step < 1) c.Fail("frame_step is {}.", *step);
    const Dim window = c.Has(2) && c.HasRank(2) ? c.Shape(2)[0] : Dim::Unknown();
    Dim frame = window;
    if (c.Has(3)) {
      const auto length = ConstInt(c, 3);
      frame = length ? Dim(*length) : Dim::Unknown();
      if (frame.Differs(window))
        c.Fail("frame_length is {}, but the window's {}.", frame.ToString(), window.ToString());
    } else if (!c.Has(2) && c.HasRank(0)) {
      frame = c.Shape(0)[1];
    }
    if (frame.is_const()) ExpectLength(c, frame.value(), "frame_length");
    Dim batch = Dim::Unknown(), frames = Dim::Unknown();
    if (c.HasRank(0)) {
      const SymbolicShape& x = c.Shape(0);
      ExpectComponents(c, x[2]);
      if (onesided && x[2] == Dim(2)) c.Fail("a transform of complex numbers cannot be onesided.");
      if (x[1].is_const() && frame.is_const() && frame.value() > x[1].value())
        c.Fail("a frame of {} does not fit into a signal of {}.", frame.value(), x[1].value());
      batch = x[0];
      if (step) frames = FloorDiv(x[1] - frame, *step) + 1;
    }
    c.Out(0, c.Elem(0), {batch, frames, onesided ? FloorDiv(frame, 2) + 1 : frame, 2});
  }

  void Run(RunContext& c) const {
    if (c.Out(0).size() == 0) return;
    VisitFloat(c.In(0).dtype(), [&]<class T>() { RunTyped<T>(c); });
  }

 private:
  template <class T>
  void RunTyped(RunContext& c) const {
    const Shape &in = c.In(0).shape(), &out = c.Out(0).shape();
    const int64_t length = in[1], parts = in[2], step = ToInts(c.In(1))[0], frames = out[1], bins = out[2];
    const int64_t n = c.Has(3) ? ToInts(c.In(3))[0] : c.Has(2) ? c.In(2).size() : length;
    std::vector<double> window(n, 1.0);
    for (int64_t i = 0; c.Has(2) && i < n; ++i) window[i] = ToDouble(c.In(2).data<T>()[i]);
    const kernels::Fft fft(n);
    // Two frames of real numbers are one of complex numbers: they part by symmetry.
    const int64_t together = parts == 1 ? 2 : 1, pairs = (frames + together - 1) / together;
    c.threads().ParallelFor(in[0] * pairs, GrainFor(n * 64), [&](int64_t begin, int64_t end) {
      Buffers<double> b(fft);
      for (int64_t p = begin; p < end; ++p) {
        const int64_t batch = p / pairs, frame = p % pairs * together;
        const bool two = together == 2 && frame + 1 < frames;
        const T* from = c.In(0).data<T>() + (batch * length + frame * step) * parts;
        for (int64_t i = 0; i < n; ++i) {
          const double im = parts == 2 ? ToDouble(from[2 * i + 1]) : two ? ToDouble(from[step + i]) : 0;
          b.in[i] = {ToDouble(from[parts * i]) * window[i], im * window[i]};
        }
        fft.Run(b.in.data(), b.out.data(), b.scratch.data());
        T* to = c.Out(0).data<T>() + (batch * frames + frame) * bins * 2;
        for (int64_t k = 0; k < bins; ++k) {
          const Complex a = b.out[k], z = b.out[k == 0 ? 0 : n - k];
          const Complex first = two ? Complex{(a.re + z.re) / 2, (a.im - z.im) / 2} : a;
          to[2 * k] = FromDouble<T>(first.re);
          to[2 * k + 1] = FromDouble<T>(first.im);
          if (!two) continue;
          to[2 * (bins + k)] = FromDouble<T>((a.im + z.im) / 2);
          to[2 * (bins + k) + 1] = FromDouble<T>((z.re - a.re) / 2);
        }
      }
    });
  }
};
extern const OpDef kSTFT =
    Define<STFT>({.name = "STFT", .since = 17, .min_inputs = 2, .max_inputs = 4, .types = kFloatTypes});

}  // namespace slipway
