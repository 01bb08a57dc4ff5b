#include "kernels/fft.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace slipway::kernels {
namespace {

/// Every length up to 70 (all radices, and primes by convolution), and some long ones, against the definition.
TEST(Fft, IsTheSumThatDefinesIt) {
  std::vector<int64_t> lengths = {97, 128, 210, 243, 509, 1001, 1024};
  for (int64_t n = 1; n <= 70; ++n) lengths.push_back(n);
  for (int64_t n : lengths) {
    const Fft fft(n);
    std::vector<Complex> in(n), out(n), scratch(fft.scratch());
    for (int64_t i = 0; i < n; ++i)
      in[i] = {std::sin(3.7 * static_cast<double>(i)), std::cos(1.3 * static_cast<double>(i * i))};
    fft.Run(in.data(), out.data(), scratch.data());
    for (int64_t k = 0; k < n; ++k) {
      Complex sum;
      for (int64_t j = 0; j < n; ++j) {
        const double angle = -2 * std::numbers::pi * static_cast<double>(j * k % n) / static_cast<double>(n);
        sum = sum + in[j] * Complex{std::cos(angle), std::sin(angle)};
      }
      ASSERT_NEAR(out[k].re, sum.re, 1e-11 * static_cast<double>(n)) << n << " at " << k;
      ASSERT_NEAR(out[k].im, sum.im, 1e-11 * static_cast<double>(n)) << n << " at " << k;
    }
  }
}

/// In float as in double, to what float holds; lengths of small factors only.
TEST(Fft, InFloat) {
  for (int64_t n = 1; n <= 1100; ++n) {
    if (!FftOf<float>::HasSmallFactors(n)) continue;
    const FftOf<float> fft(n);
    const Fft exact(n);
    std::vector<ComplexOf<float>> in(n), out(n), scratch(fft.scratch());
    std::vector<Complex> wide(n), want(n), wide_scratch(exact.scratch());
    for (int64_t i = 0; i < n; ++i) {
      in[i] = {std::sin(3.7f * static_cast<float>(i)), std::cos(1.3f * static_cast<float>(i))};
      wide[i] = {in[i].re, in[i].im};
    }
    fft.Run(in.data(), out.data(), scratch.data());
    exact.Run(wide.data(), want.data(), wide_scratch.data());
    for (int64_t k = 0; k < n; ++k) {
      const double bound = 3e-6 * std::sqrt(static_cast<double>(n)) + 3e-7 * std::hypot(want[k].re, want[k].im);
      ASSERT_NEAR(out[k].re, want[k].re, bound) << n << " at " << k;
      ASSERT_NEAR(out[k].im, want[k].im, bound) << n << " at " << k;
    }
  }
}

}  // namespace
}  // namespace slipway::kernels
