#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace slipway::kernels {

template <class T>
struct ComplexOf {
  T re = 0;
  T im = 0;
  friend ComplexOf operator+(ComplexOf a, ComplexOf b) { return {a.re + b.re, a.im + b.im}; }
  friend ComplexOf operator-(ComplexOf a, ComplexOf b) { return {a.re - b.re, a.im - b.im}; }
  friend ComplexOf operator*(ComplexOf a, ComplexOf b) {
    return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
  }
  friend ComplexOf operator*(T a, ComplexOf b) { return {a * b.re, a * b.im}; }
};
using Complex = ComplexOf<double>;

/// The discrete Fourier transform of one length, forward: out[k] = sum over j of in[j] exp(-2 pi i j k / n), in float
/// or double. Lengths of prime factors up to 13 go by mixed radix, others, in double only, as a convolution
/// (Bluestein): n log n either way. The passes and the order of their sums are those that NumPy's transform has.
template <class T>
class FftOf {
 public:
  using Complex = ComplexOf<T>;
  /// Whether a length has prime factors up to 13 only.
  static bool HasSmallFactors(int64_t n);
  explicit FftOf(int64_t n);
  int64_t size() const { return n_; }
  /// Elements of scratch memory that Run wants.
  int64_t scratch() const;
  /// `out` may not overlap `in`. Safe from many threads, each with its own scratch memory.
  void Run(const Complex* in, Complex* out, Complex* scratch) const;

 private:
  void Pass(const Complex* in, Complex* out, int64_t radix, int64_t done) const;
  void Bluestein(const Complex* in, Complex* out, Complex* scratch) const;

  int64_t n_;
  std::vector<int64_t> factors_;
  std::vector<Complex> roots_;          ///< exp(-2 pi i k / n)
  std::unique_ptr<FftOf> convolution_;  ///< of a power of two, for Bluestein
  std::vector<Complex> chirp_;          ///< exp(-pi i k^2 / n)
  std::vector<Complex> chirp_spectrum_;
};
using Fft = FftOf<double>;

}  // namespace slipway::kernels
