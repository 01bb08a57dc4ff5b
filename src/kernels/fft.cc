#include "kernels/fft.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace slipway::kernels {
namespace {

constexpr int64_t kLargestRadix = 13;

/// exp(-2 pi i k / n).
template <class T>
ComplexOf<T> Root(int64_t k, int64_t n) {
  const double angle = 2 * std::numbers::pi * static_cast<double>(k % n) / static_cast<double>(n);
  return {static_cast<T>(std::cos(angle)), static_cast<T>(-std::sin(angle))};
}

/// The factors of n up to kLargestRadix, in the order of the passes; `rest` is what they leave.
std::vector<int64_t> Factors(int64_t n, int64_t& rest) {
  std::vector<int64_t> factors;
  for (; n % 4 == 0; n /= 4) factors.push_back(4);
  if (n % 2 == 0) {
    factors.insert(factors.begin(), 2);
    n /= 2;
  }
  for (int64_t p = 3; p <= kLargestRadix; p += 2) {
    for (; n % p == 0; n /= p) factors.push_back(p);
  }
  rest = n;
  return factors;
}

}  // namespace

template <class T>
bool FftOf<T>::HasSmallFactors(int64_t n) {
  int64_t rest = 0;
  Factors(n, rest);
  return rest == 1;
}

template <class T>
FftOf<T>::FftOf(int64_t n) : n_(n) {
  int64_t rest = 0;
  factors_ = Factors(n, rest);
  if (rest == 1) {
    roots_.resize(n);
    for (int64_t k = 0; k < n; ++k) roots_[k] = Root<T>(k, n);
    return;
  }
  int64_t m = 1;
  while (m < 2 * n - 1) m *= 2;
  convolution_ = std::make_unique<FftOf>(m);
  chirp_.resize(n);
  // k^2 modulo 2 n, step by step: the square itself may not fit.
  for (int64_t k = 0, square = 0; k < n; ++k) {
    chirp_[k] = Root<T>(square, 2 * n);
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

template <class T>
int64_t FftOf<T>::scratch() const {
  return convolution_ ? 3 * convolution_->size() : n_;
}

template <class T>
void FftOf<T>::Run(const Complex* in, Complex* out, Complex* scratch) const {
  if (convolution_) return Bluestein(in, out, scratch);
  if (factors_.empty()) {
    std::copy_n(in, n_, out);
    return;
  }
  // Back and forth between the two, so that the last pass ends in `out`.
  Complex *to = factors_.size() % 2 ? out : scratch, *other = factors_.size() % 2 ? scratch : out;
  int64_t done = 1;
  for (const int64_t radix : factors_) {
    Pass(in, to, radix, done);
    done *= radix;
    in = to;
    std::swap(to, other);
  }
}

/// Transforms of `radix` elements each, n / (radix * done) apart, and their turning for the passes to come.
template <class T>
void FftOf<T>::Pass(const Complex* in, Complex* out, int64_t radix, int64_t done) const {
  const int64_t apart = n_ / (radix * done);
  const auto turn = [&](const Complex& x, int64_t j, int64_t i) { return i == 0 ? x : x * roots_[j * done * i]; };
  for (int64_t k = 0; k < done; ++k) {
    const Complex* from = in + k * radix * apart;
    Complex* to = out + k * apart;
    const int64_t row = apart * done;  // from a result to the next
    if (radix == 2) {
      for (int64_t i = 0; i < apart; ++i) {
        const Complex a = from[i], b = from[i + apart];
        to[i] = a + b;
        to[i + row] = turn(a - b, 1, i);
      }
    } else if (radix == 4) {
      for (int64_t i = 0; i < apart; ++i) {
        const Complex a = from[i], b = from[i + apart], c = from[i + 2 * apart], d = from[i + 3 * apart];
        const Complex even = a + c, odd = a - c, sum = b + d, turned = {b.im - d.im, d.re - b.re};
        to[i] = even + sum;
        to[i + row] = turn(odd + turned, 1, i);
        to[i + 2 * row] = turn(even - sum, 2, i);
        to[i + 3 * row] = turn(odd - turned, 3, i);
      }
    } else {
      const int64_t half = radix / 2, step = n_ / radix;
      Complex sum[kLargestRadix / 2], difference[kLargestRadix / 2];
      for (int64_t i = 0; i < apart; ++i) {
        const Complex first = from[i];
        Complex all = first;
        for (int64_t m = 1; m <= half; ++m) {
          const Complex a = from[i + m * apart], b = from[i + (radix - m) * apart];
          sum[m - 1] = a + b;
          difference[m - 1] = a - b;
          all = all + sum[m - 1];
        }
        to[i] = all;
        for (int64_t j = 1; j <= half; ++j) {
          // The results j and radix - j have these parts, the one plus, the other minus i times the odd one.
          Complex even = first + roots_[j * step].re * sum[0];
          Complex odd = roots_[j * step].im * difference[0];
          for (int64_t m = 2; m <= half; ++m) {
            const Complex& root = roots_[j * m % radix * step];
            even = even + root.re * sum[m - 1];
            odd = odd + root.im * difference[m - 1];
          }
          const Complex turned = {-odd.im, odd.re};
          to[i + j * row] = turn(even + turned, j, i);
          to[i + (radix - j) * row] = turn(even - turned, radix - j, i);
        }
      }
    }
  }
}

template <class T>
void FftOf<T>::Bluestein(const Complex* in, Complex* out, Complex* scratch) const {
  const int64_t m = convolution_->size();
  Complex *a = scratch, *b = scratch + m;
  for (int64_t k = 0; k < m; ++k) a[k] = k < n_ ? in[k] * chirp_[k] : Complex{};
  convolution_->Run(a, b, scratch + 2 * m);
  // The inverse transform is the forward one of the conjugate, conjugated.
  for (int64_t k = 0; k < m; ++k) {
    const Complex product = b[k] * chirp_spectrum_[k];
    b[k] = {product.re, -product.im};
  }
  convolution_->Run(b, a, scratch + 2 * m);
  const T scale = 1 / static_cast<T>(m);
  for (int64_t k = 0; k < n_; ++k) out[k] = Complex{a[k].re * scale, -a[k].im * scale} * chirp_[k];
}

template class FftOf<float>;
template class FftOf<double>;

}  // namespace slipway::kernels
