#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace slipway::kernels {

struct Complex {
  double re = 0;
  double im = 0;
  friend Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
  friend Complex operator-(Complex a, Complex b) { return {a.re - b.re, a.im - b.im}; }
  friend Complex operator*(Complex a, Complex b) { return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re}; }
};

/// The discrete Fourier transform of one length, forward: out[k] = sum over j of in[j] exp(-2 pi i j k / n). Lengths of
/// small prime factors go by mixed radix, others as a convolution (Bluestein): n log n either way.
class Fft {
 public:
  explicit Fft(int64_t n);
  int64_t size() const { return n_; }
  /// Elements of scratch memory that Run wants.
  int64_t scratch() const;
  /// `out` may not overlap `in`. Safe from many threads, each with its own scratch memory.
  void Run(const Complex* in, Complex* out, Complex* scratch) const;

 private:
  void Mixed(const Complex* in, int64_t stride, Complex* out, int64_t n, size_t factor) const;
  void Bluestein(const Complex* in, Complex* out, Complex* scratch) const;

  int64_t n_;
  std::vector<int64_t> factors_;
  std::vector<Complex> roots_;        ///< exp(-2 pi i k / n)
  std::unique_ptr<Fft> convolution_;  ///< of a power of two, for Bluestein
  std::vector<Complex> chirp_;        ///< exp(-pi i k^2 / n)
  std::vector<Complex> chirp_spectrum_;
};

}  // namespace slipway::kernels
