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

}  // namespace
}  // namespace slipway::kernels
