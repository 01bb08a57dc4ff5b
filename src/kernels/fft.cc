#include "kernels/fft.h"

#include <cmath>
#include <numbers>

namespace slipway::kernels {
namespace {

constexpr int64_t kLargestRadix = 13;

/// exp(-2 pi i k / n).
Complex Root(int64_t k, int64_t n) {
  const double angle = 2 * std::numbers::pi * static_cast<double>(k % n) / static_cast<double>(n);
  return {std::cos(angle), -std::sin(angle)};
}

}  // namespace

Fft::Fft(int64_t n) : n_(n) {
  int64_t rest = n;
  for (int64_t p : {int64_t{4}, int64_t{2}, int64_t{3}, int64_t{5}, int64_t{7}, int64_t{11}, kLargestRadix}) {
    for (; rest % p == 0; rest /= p) factors_.push_back(p);
  }
  if (rest == 1) {
    roots_.resize(n);
    for (int64_t k = 0; k < n; ++k) roots_[k] = Root(k, n);
    return;
  }
  int64_t m = 1;
  while (m < 2 * n - 1) m *= 2;
  convolution_ = std::make_unique<Fft>(m);
  chirp_.resize(n);
  // k^2 modulo 2 n, step by step: the square itself may not fit.
  for (int64_t k = 0, square = 0; k < n; ++k) {
    chirp_[k] = Root(square, 2 * n);
    square = (square + 2 * k + 1) % (2 * n);
  }
  std::vector<Complex> kernel(m), scratch(convolution_->scratch());
  for (int64_t k = 0; k < n; ++k) {
    kernel[k] = {chirp_[k].re, -chirp_[k].im};
    if (k > 0) kernel[m - k] = kernel[k];
  }
  chirp_spectrum_.resize(m);
  convolution_->Run(kernel.data(), chirp_spectrum_.data(), scratch.data());
}

int64_t Fft::scratch() const { return convolution_ ? 2 * convolution_->size() : 0; }

void Fft::Run(const Complex* in, Complex* out, Complex* scratch) const {
  if (convolution_) return Bluestein(in, out, scratch);
  Mixed(in, 1, out, n_, 0);
}

void Fft::Mixed(const Complex* in, int64_t stride, Complex* out, int64_t n, size_t factor) const {
  if (n == 1) {
    out[0] = in[0];
    return;
  }
  const int64_t p = factors_[factor], m = n / p, step = n_ / n;
  for (int64_t r = 0; r < p; ++r) Mixed(in + r * stride, stride * p, out + r * m, m, factor + 1);
  if (p == 4) {
    for (int64_t k = 0; k < m; ++k) {
      const Complex a = out[k], b = out[m + k] * roots_[k * step], c = out[2 * m + k] * roots_[2 * k * step],
                    d = out[3 * m + k] * roots_[3 * k * step];
      const Complex even = a + c, odd = a - c, sum = b + d, turned = {b.im - d.im, d.re - b.re};
      out[k] = even + sum;
      out[m + k] = odd + turned;
      out[2 * m + k] = even - sum;
      out[3 * m + k] = odd - turned;
    }
    return;
  }
  Complex terms[kLargestRadix];
  for (int64_t k = 0; k < m; ++k) {
    for (int64_t r = 0; r < p; ++r) terms[r] = out[r * m + k] * roots_[r * k * step];
    for (int64_t q = 0; q < p; ++q) {
      Complex sum = terms[0];
      for (int64_t r = 1; r < p; ++r) sum = sum + terms[r] * roots_[r * q % p * (n_ / p)];
      out[q * m + k] = sum;
    }
  }
}

void Fft::Bluestein(const Complex* in, Complex* out, Complex* scratch) const {
  const int64_t m = convolution_->size();
  Complex *a = scratch, *b = scratch + m;
  for (int64_t k = 0; k < m; ++k) a[k] = k < n_ ? in[k] * chirp_[k] : Complex{};
  convolution_->Run(a, b, nullptr);
  // The inverse transform is the forward one of the conjugate, conjugated.
  for (int64_t k = 0; k < m; ++k) {
    const Complex product = b[k] * chirp_spectrum_[k];
    b[k] = {product.re, -product.im};
  }
  convolution_->Run(b, a, nullptr);
  const double scale = 1.0 / static_cast<double>(m);
  for (int64_t k = 0; k < n_; ++k) out[k] = Complex{a[k].re * scale, -a[k].im * scale} * chirp_[k];
}

}  // namespace slipway::kernels
