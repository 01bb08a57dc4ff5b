#include "kernels/conv/conv.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "kernels/targets.h"
#include "kernels/testing.h"

namespace slipway::kernels {
namespace {

struct Case {
  ConvAttributes a;
  int64_t n, h, w;
  int64_t top = 0, left = 0, bottom = 0, right = 0;
  int64_t d = 1, front = 0, back = 0;
};

ConvShape ShapeOf(const Case& t) {
  return {.n = t.n,
          .d = t.d,
          .h = t.h,
          .w = t.w,
          .pad_front = t.front,
          .pad_top = t.top,
          .pad_left = t.left,
          .od = ConvOutputSize(t.d, t.a.kd, t.a.stride_d, t.a.dilation_d, t.front, t.back),
          .oh = ConvOutputSize(t.h, t.a.kh, t.a.stride_h, t.a.dilation_h, t.top, t.bottom),
          .ow = ConvOutputSize(t.w, t.a.kw, t.a.stride_w, t.a.dilation_w, t.left, t.right)};
}

std::string Describe(const Case& t) {
  const auto n = [](int64_t v) { return std::to_string(v); };
  return std::string("c") + n(t.a.c) + " oc" + n(t.a.oc) + " k" + n(t.a.kd) + "x" + n(t.a.kh) + "x" + n(t.a.kw) + " s" +
         n(t.a.stride_h) + "," + n(t.a.stride_w) + " d" + n(t.a.dilation_h) + "," + n(t.a.dilation_w) + " g" +
         n(t.a.groups) + " n" + n(t.n) + " " + n(t.d) + "x" + n(t.h) + "x" + n(t.w) + " pad " + n(t.top) + "," +
         n(t.left) + "," + n(t.bottom) + "," + n(t.right);
}

/// One output before the epilogue, and the sum of its products' magnitudes, which rounding errors are proportional to.
struct Sum {
  double value = 0;
  double magnitude = 0;
};
Sum PlainPixel(const Case& t, const ConvShape& s, const float* x, const float* weights, int64_t image, int64_t oz,
               int64_t oy, int64_t ox, int64_t o) {
  const ConvAttributes& a = t.a;
  const int64_t cg = a.c / a.groups;
  const int64_t group = o / (a.oc / a.groups);
  Sum sum;
  for (int64_t k = 0; k < a.kd * a.kh; ++k) {
    const int64_t kz = k / a.kh, ky = k % a.kh;
    for (int64_t kx = 0; kx < a.kw; ++kx) {
      const int64_t iz = oz * a.stride_d - t.front + kz * a.dilation_d;
      const int64_t iy = oy * a.stride_h - t.top + ky * a.dilation_h;
      const int64_t ix = ox * a.stride_w - t.left + kx * a.dilation_w;
      if (iz < 0 || iz >= s.d || iy < 0 || iy >= s.h || ix < 0 || ix >= s.w) continue;
      for (int64_t c = 0; c < cg; ++c) {
        const double product =
            static_cast<double>(x[(((image * s.d + iz) * s.h + iy) * s.w + ix) * a.c + group * cg + c]) *
            weights[(((o * cg + c) * a.kd + kz) * a.kh + ky) * a.kw + kx];
        sum.value += product;
        sum.magnitude += std::fabs(product);
      }
    }
  }
  return sum;
}

std::vector<Sum> PlainConv(const Case& t, const ConvShape& s, const float* x, const float* weights) {
  std::vector<Sum> y;
  for (int64_t i = 0; i < s.n * s.od * s.oh * s.ow; ++i) {
    for (int64_t o = 0; o < t.a.oc; ++o) {
      const int64_t plane = i / (s.oh * s.ow);
      y.push_back(PlainPixel(t, s, x, weights, plane / s.od, plane % s.od, i / s.ow % s.oh, i % s.ow, o));
    }
  }
  return y;
}

struct Operands {
  explicit Operands(const Case& t)
      : s(ShapeOf(t)),
        x(Numbers(t.n * t.d * t.h * t.w * t.a.c, 1)),
        weights(Numbers(t.a.oc * (t.a.c / t.a.groups) * t.a.kd * t.a.kh * t.a.kw, 2)),
        bias(Numbers(t.a.oc, 3)),
        residual(Numbers(s.n * s.od * s.oh * s.ow * t.a.oc, 4)),
        plain(PlainConv(t, s, x.data(), weights.data())) {}
  ConvShape s;
  std::vector<float> x, weights, bias, residual;
  std::vector<Sum> plain;
};

constexpr float kGuard = -12345;
constexpr size_t kGuards = 64;

/// Runs one algorithm and compares with the plain loops. `in_place`: the residual is the output.
void Check(const Case& t, const Operands& in, const PackedConv& conv, Epilogue e, bool in_place, int threads) {
  const size_t count = in.plain.size();
  std::vector<float> y(count + kGuards, kGuard);
  if (e.residual != nullptr && in_place) {
    std::copy(in.residual.begin(), in.residual.end(), y.begin());
    e.residual = y.data();
  }
  conv.Run({in.x.data()}, in.s, e, y.data(), Threads(threads));
  // Winograd's sums mix what the plain loops keep apart, so its bound is on the largest of an image.
  const ConvAlgorithm used = conv.Choose(in.s);
  double most = 0;
  for (const Sum& sum : in.plain) most = std::max(most, sum.magnitude);
  for (size_t i = 0; i < count; ++i) {
    const bool winograd = used >= ConvAlgorithm::kWinograd2;
    const double error = (winograd ? 2e-6 * most : 1e-6 * in.plain[i].magnitude) * e.scale;
    const size_t channel = i % static_cast<size_t>(t.a.oc);
    const double before =
        e.scale * in.plain[i].value + (e.bias ? e.bias[channel] : 0.0f) + (e.residual ? in.residual[i] : 0.0f);
    const double want = Activate(e, before);
    ASSERT_NEAR(y[i], want, 2 * error + 1e-6 * std::fabs(before) + 1e-6)
        << Describe(t) << " algorithm " << static_cast<int>(used) << " threads " << threads << " activation "
        << static_cast<int>(e.activation) << " residual " << (e.residual != nullptr) << " at " << i << " on "
        << IsaName();
  }
  for (size_t i = count; i < y.size(); ++i)
    ASSERT_EQ(y[i], kGuard) << Describe(t) << " wrote past the end on " << IsaName();
}

// clang-format off
const Case kCases[] = {
    // Pointwise.
    {{.c = 5, .oc = 7}, 2, 3, 5},
    {{.c = 64, .oc = 33}, 1, 7, 7},
    {{.c = 16, .oc = 24, .stride_h = 2, .stride_w = 2}, 2, 7, 5},
    {{.c = 8, .oc = 8}, 1, 3, 3, 1, 1, 1, 1},
    {{.c = 1, .oc = 1}, 1, 1, 1},
    // Rows of 7 taps at stride 2.
    {{.c = 3, .oc = 64, .kh = 7, .kw = 7, .stride_h = 2, .stride_w = 2}, 1, 50, 79, 3, 3, 3, 3},
    {{.c = 1, .oc = 33, .kh = 7, .kw = 7, .stride_h = 2, .stride_w = 2}, 2, 30, 64, 3, 3, 2, 2},
    {{.c = 5, .oc = 35, .kh = 3, .kw = 7, .stride_w = 2}, 1, 11, 600, 0, 8, 0, 1},
    {{.c = 8, .oc = 6, .kh = 4, .kw = 7, .stride_h = 2, .stride_w = 2}, 1, 9, 7, 1, 0, 0, 1},
    {{.c = 4, .oc = 40, .kh = 7, .kw = 7, .stride_h = 2, .stride_w = 2}, 1, 2, 71, 3, 3, 3, 3},
    // Implicit im2col.
    {{.c = 3, .oc = 17, .kh = 7, .kw = 7, .stride_h = 2, .stride_w = 2}, 2, 17, 15, 3, 3, 3, 3},
    {{.c = 3, .oc = 32, .kh = 3, .kw = 3, .stride_h = 2, .stride_w = 2}, 1, 16, 16, 0, 0, 1, 1},
    {{.c = 3, .oc = 20, .kh = 4, .kw = 4, .stride_h = 4, .stride_w = 4}, 2, 12, 9},
    {{.c = 19, .oc = 31, .kh = 3, .kw = 3, .stride_h = 2, .stride_w = 1}, 1, 9, 11, 1, 0, 2, 1},
    {{.c = 6, .oc = 9, .kh = 3, .kw = 3, .dilation_h = 2, .dilation_w = 2}, 1, 9, 9, 2, 2, 2, 2},
    {{.c = 6, .oc = 9, .kh = 2, .kw = 5, .dilation_h = 3}, 1, 9, 9, 1, 4, 0, 2},
    {{.c = 4, .oc = 6, .kh = 5, .kw = 5}, 1, 2, 2, 2, 2, 2, 2},
    {{.c = 130, .oc = 5, .kh = 1, .kw = 3}, 2, 1, 20, 0, 1, 0, 1},
    // Groups: wide, narrow enough to be merged, of one channel with several outputs, not a power of two.
    {{.c = 36, .oc = 40, .kh = 3, .kw = 3, .groups = 2}, 1, 6, 6, 1, 1, 1, 1},
    {{.c = 32, .oc = 32, .kh = 3, .kw = 3, .stride_h = 2, .stride_w = 2, .groups = 8}, 1, 7, 6, 1, 1, 1, 1},
    {{.c = 6, .oc = 18, .kh = 3, .kw = 3, .groups = 6}, 2, 5, 4, 1, 1, 1, 1},
    {{.c = 12, .oc = 6, .kh = 3, .kw = 2, .dilation_w = 2, .groups = 3}, 1, 5, 7, 0, 2, 1, 0},
    {{.c = 8, .oc = 12, .groups = 4}, 1, 5, 7},
    // Groups within a vector, several to a vector, with several outputs a channel, with a rest.
    {{.c = 64, .oc = 64, .kh = 3, .kw = 3, .groups = 4}, 2, 9, 8, 1, 1, 1, 1},
    {{.c = 36, .oc = 96, .kh = 3, .kw = 3, .stride_h = 2, .stride_w = 2, .groups = 3}, 1, 9, 17, 1, 1, 1, 1},
    {{.c = 40, .oc = 40, .kh = 3, .kw = 3, .groups = 10}, 1, 8, 15, 1, 1, 1, 1},
    {{.c = 24, .oc = 24, .kh = 5, .kw = 5, .groups = 3}, 1, 6, 9, 2, 2, 2, 2},
    {{.c = 13, .oc = 26, .kh = 3, .kw = 3, .groups = 13}, 2, 7, 9, 1, 1, 1, 1},
    {{.c = 10, .oc = 20, .kh = 3, .kw = 3, .stride_h = 2, .stride_w = 2, .dilation_w = 2, .groups = 5}, 1, 9, 11, 1, 2},
    {{.c = 5, .oc = 80, .kh = 1, .kw = 9, .groups = 5}, 1, 1, 31, 0, 4, 0, 4},
    {{.c = 48, .oc = 48, .kh = 1, .kw = 40, .groups = 3}, 1, 1, 50, 0, 20, 0, 19},
    {{.c = 48, .oc = 48, .groups = 12}, 1, 5, 7},
    // A signal in parts.
    {{.c = 1, .oc = 20, .kh = 1, .kw = 10, .stride_w = 5}, 1, 1, 3000, 0, 3, 0, 9},
    {{.c = 2, .oc = 3, .kh = 1, .kw = 3}, 1, 1, 700, 0, 1, 0, 1},
    // Volumes.
    {{.c = 7, .oc = 20, .kd = 3, .kh = 3, .kw = 3}, 2, 6, 5, 1, 1, 1, 1, 4, 1, 1},
    {{.c = 3, .oc = 18, .kd = 3, .kh = 5, .kw = 5, .stride_d = 2, .stride_h = 2, .stride_w = 2}, 1, 9, 11, 2, 2, 2, 2, 5, 0, 1},
    {{.c = 33, .oc = 40, .kd = 2, .kh = 1, .kw = 1, .dilation_d = 2}, 2, 3, 4, 0, 0, 0, 0, 6, 2, 0},
    {{.c = 12, .oc = 12, .kd = 3, .kh = 3, .kw = 3, .groups = 12}, 1, 5, 6, 1, 1, 1, 1, 4, 1, 1},
    {{.c = 16, .oc = 8, .kd = 1, .kh = 3, .kw = 3}, 2, 6, 7, 1, 1, 1, 1, 3},
    {{.c = 34, .oc = 36, .kd = 1, .kh = 3, .kw = 3}, 1, 9, 17, 1, 1, 1, 1, 5},
    {{.c = 16, .oc = 24, .stride_d = 2}, 1, 4, 5, 0, 0, 0, 0, 5},
    {{.c = 9, .oc = 24}, 2, 4, 5, 0, 0, 0, 0, 3},
    // Depthwise.
    {{.c = 16, .oc = 16, .kh = 3, .kw = 3, .groups = 16}, 2, 9, 8, 1, 1, 1, 1},
    {{.c = 37, .oc = 37, .kh = 3, .kw = 3, .groups = 37}, 1, 14, 16, 1, 1, 1, 1},
    {{.c = 24, .oc = 24, .kh = 3, .kw = 3, .stride_h = 2, .stride_w = 2, .groups = 24}, 1, 15, 30, 0, 0, 1, 1},
    {{.c = 70, .oc = 70, .kh = 5, .kw = 5, .groups = 70}, 1, 7, 7, 2, 2, 2, 2},
    {{.c = 9, .oc = 9, .kh = 5, .kw = 5, .stride_h = 2, .stride_w = 2, .groups = 9}, 2, 11, 33, 1, 2, 2, 2},
    {{.c = 33, .oc = 33, .kh = 7, .kw = 7, .groups = 33}, 1, 9, 29, 3, 3, 3, 3},
    {{.c = 5, .oc = 5, .kh = 7, .kw = 7, .stride_h = 2, .stride_w = 2, .groups = 5}, 1, 3, 4, 3, 3, 3, 3},
    {{.c = 3, .oc = 3, .kh = 7, .kw = 7, .groups = 3}, 1, 1, 1, 3, 3, 3, 3},
    {{.c = 130, .oc = 130, .kh = 7, .kw = 7, .groups = 130}, 1, 4, 9, 3, 3, 3, 3},
    {{.c = 20, .oc = 20, .kh = 3, .kw = 3, .dilation_h = 2, .dilation_w = 2, .groups = 20}, 1, 9, 11, 2, 2, 2, 2},
    {{.c = 18, .oc = 18, .kh = 1, .kw = 31, .groups = 18}, 2, 1, 40, 0, 15, 0, 15},
    {{.c = 7, .oc = 7, .kh = 2, .kw = 4, .stride_h = 1, .stride_w = 3, .groups = 7}, 1, 5, 17, 1, 0, 0, 2},
    {{.c = 4, .oc = 4, .kh = 3, .kw = 3, .dilation_h = 4, .groups = 4}, 1, 3, 8, 4, 1, 4, 1},
    // Winograd, also where Run would not choose it.
    {{.c = 32, .oc = 32, .kh = 3, .kw = 3}, 1, 16, 16, 1, 1, 1, 1},
    {{.c = 33, .oc = 71, .kh = 3, .kw = 3}, 2, 13, 11, 1, 1, 1, 1},
    {{.c = 64, .oc = 130, .kh = 3, .kw = 3}, 1, 7, 7, 1, 1, 1, 1},
    {{.c = 3, .oc = 5, .kh = 3, .kw = 3}, 1, 9, 10},
    {{.c = 17, .oc = 16, .kh = 3, .kw = 3}, 1, 1, 1, 1, 1, 1, 1},
    {{.c = 16, .oc = 40, .kh = 3, .kw = 3}, 3, 5, 6, 2, 0, 1, 2},
    {{.c = 40, .oc = 48, .kh = 3, .kw = 3}, 1, 50, 45, 1, 1, 1, 1},
    {{.c = 64, .oc = 72, .kh = 3, .kw = 3, .stride_h = 2, .stride_w = 2}, 2, 14, 14, 1, 1, 1, 1},
    {{.c = 33, .oc = 31, .kh = 3, .kw = 3, .stride_h = 2, .stride_w = 2}, 3, 12, 9, 0, 0, 1, 1},
    {{.c = 35, .oc = 64, .kh = 3, .kw = 3, .stride_h = 2, .stride_w = 2}, 1, 57, 50, 1, 1, 1, 1},
    {{.c = 5, .oc = 7, .kh = 3, .kw = 3, .stride_h = 2, .stride_w = 2}, 1, 1, 2, 1, 2, 1, 1},
};
// clang-format on

constexpr ConvAlgorithm kAlgorithms[] = {
    ConvAlgorithm::kGemm,      ConvAlgorithm::kDirect,          ConvAlgorithm::kWinograd2,   ConvAlgorithm::kWinograd3,
    ConvAlgorithm::kWinograd4, ConvAlgorithm::kWinogradStride2, ConvAlgorithm::kWinogradRows};

TEST(ConvTest, EveryAlgorithmMatchesPlainLoops) {
  MemoryStore store;
  for (const Case& t : kCases) {
    const Operands in(t);
    ForEachTarget([&] {
      for (const ConvAlgorithm algorithm : kAlgorithms) {
        if (!PackedConv::Supports(t.a, algorithm)) continue;
        const PackedConv conv(t.a, in.weights.data(), {Threads(1), store}, algorithm);
        ASSERT_EQ(conv.Choose(in.s), algorithm);
        Check(t, in, conv, {}, false, 1);
        Check(t, in, conv, {.bias = in.bias.data(), .activation = Activation::kRelu}, false, 2);
        Check(t, in, conv, {.scale = 0.5f, .bias = in.bias.data(), .residual = in.residual.data()}, true, 2);
      }
      Check(t, in, PackedConv(t.a, in.weights.data(), {Threads(2), store}), {}, false, 2);
      Check(t, in, PackedConv(t.a, in.weights.data(), {Threads(2), store}, &in.s), {.bias = in.bias.data()}, false, 1);
    });
  }
}

TEST(ConvTest, TheFastestIsChosenByShape) {
  struct Choice {
    int64_t size, c, oc, kernel, stride;
    ConvAlgorithm want;
  };
  const Choice choices[] = {
      {224, 3, 64, 7, 2, ConvAlgorithm::kWinogradRows},
      {56, 64, 64, 3, 1, ConvAlgorithm::kWinograd4},
      {28, 128, 128, 3, 1, ConvAlgorithm::kWinograd4},
      {14, 256, 256, 3, 1, ConvAlgorithm::kWinograd3},
      {7, 512, 512, 3, 1, ConvAlgorithm::kWinograd2},
      {1, 512, 512, 3, 1, ConvAlgorithm::kGemm},
      {56, 128, 128, 3, 2, ConvAlgorithm::kWinogradStride2},
      {14, 512, 512, 3, 2, ConvAlgorithm::kWinogradStride2},
      {4, 512, 512, 3, 2, ConvAlgorithm::kGemm},
      {160, 32, 64, 3, 2, ConvAlgorithm::kGemm},
      {56, 16, 64, 3, 1, ConvAlgorithm::kGemm},
      {8, 3, 64, 7, 2, ConvAlgorithm::kGemm},
  };
  for (const Choice& t : choices) {
    const ConvAttributes a{
        .c = t.c, .oc = t.oc, .kh = t.kernel, .kw = t.kernel, .stride_h = t.stride, .stride_w = t.stride};
    const int64_t pad = t.kernel / 2, out = ConvOutputSize(t.size, t.kernel, t.stride, 1, pad, pad);
    const ConvShape s{.n = 1, .h = t.size, .w = t.size, .pad_top = pad, .pad_left = pad, .oh = out, .ow = out};
    EXPECT_EQ(PackedConv::Fastest(a, s), t.want) << t.c << " channels of " << t.size;
  }
}

TEST(ConvTest, EveryActivation) {
  MemoryStore store;
  for (const Case& t : {kCases[1], kCases[6], kCases[19], kCases[32]}) {
    const Operands in(t);
    ForEachTarget([&] {
      const PackedConv conv(t.a, in.weights.data(), {Threads(1), store});
      for (int i = 0; i <= static_cast<int>(Activation::kHardSigmoid); ++i) {
        const Activation activation = static_cast<Activation>(i);
        const float alpha = activation == Activation::kClip ? -0.5f : 0.2f;
        Check(t, in, conv,
              {.bias = in.bias.data(),
               .residual = in.residual.data(),
               .activation = activation,
               .alpha = alpha,
               .beta = 0.6f},
              false, 2);
      }
    });
  }
}

TEST(ConvTest, AScaleIsMultipliedIntoTheInput) {
  MemoryStore store;
  for (const Case& t : {Case{{.c = 37, .oc = 40}, 2, 3, 5}, Case{{.c = 64, .oc = 33}, 1, 17, 13}}) {
    Operands in(t);
    ASSERT_TRUE(PackedConv::CanScale(t.a, in.s));
    const std::vector<float> scale = Numbers(t.n * t.a.c, 5);
    std::vector<float> scaled = in.x;
    const int64_t image = in.s.h * in.s.w * t.a.c;
    for (int64_t i = 0; i < t.n * image; ++i) scaled[i] *= scale[i / image * t.a.c + i % t.a.c];
    in.plain = PlainConv(t, in.s, scaled.data(), in.weights.data());
    ForEachTarget([&] {
      const PackedConv conv(t.a, in.weights.data(), {Threads(1), store});
      std::vector<float> y(in.plain.size());
      for (const int threads : {1, 2}) {
        conv.Run({in.x.data(), scale.data()}, in.s, {.bias = in.bias.data()}, y.data(), Threads(threads));
        for (size_t i = 0; i < y.size(); ++i) {
          ASSERT_NEAR(y[i], in.plain[i].value + in.bias[i % t.a.oc], 1e-5 * (1 + in.plain[i].magnitude)) << IsaName();
        }
      }
    });
  }
  EXPECT_FALSE(PackedConv::CanScale({.c = 4, .oc = 4, .stride_w = 2}, {.n = 1, .h = 1, .w = 8, .oh = 1, .ow = 4}));
  EXPECT_FALSE(PackedConv::CanScale({.c = 4, .oc = 4, .groups = 2}, {.n = 1, .h = 1, .w = 8, .oh = 1, .ow = 8}));
}

TEST(ConvTest, WinogradOverManyChannelsStaysWithinTheModelsTolerance) {
  MemoryStore store;
  const Case t{{.c = 512, .oc = 8, .kh = 3, .kw = 3}, 1, 14, 14, 1, 1, 1, 1};
  Operands in(t);
  // Behind a Relu inputs have a mean, the worst there is for sums of differences.
  for (float& x : in.x) x = std::max(x, 0.0f);
  in.plain = PlainConv(t, in.s, in.x.data(), in.weights.data());
  double most = 0;
  for (const Sum& sum : in.plain) most = std::max(most, std::fabs(sum.value));
  ForEachTarget([&] {
    for (const ConvAlgorithm algorithm :
         {ConvAlgorithm::kWinograd2, ConvAlgorithm::kWinograd3, ConvAlgorithm::kWinograd4}) {
      const PackedConv conv(t.a, in.weights.data(), {Threads(1), store}, algorithm);
      std::vector<float> y(in.plain.size());
      conv.Run({in.x.data()}, in.s, {}, y.data(), Threads(1));
      double error = 0;
      for (size_t i = 0; i < y.size(); ++i) error = std::max(error, std::fabs(y[i] - in.plain[i].value));
      EXPECT_LT(error / most, 1e-5) << IsaName();
    }
  });
}

TEST(ConvTest, NoOutput) {
  MemoryStore store;
  const ConvAttributes a{.c = 2, .oc = 3, .kh = 3, .kw = 3};
  const std::vector<float> weights = Numbers(a.oc * a.c * 9, 1);
  const PackedConv conv(a, weights.data(), {Threads(1), store});
  EXPECT_EQ(ConvOutputSize(2, 3, 1, 1, 0, 0), 0);
  conv.Run({nullptr}, {.n = 1, .h = 2, .w = 2}, {}, nullptr, Threads(1));
  conv.Run({nullptr}, {.n = 0, .h = 5, .w = 5, .oh = 3, .ow = 3}, {}, nullptr, Threads(1));
}

}  // namespace
}  // namespace slipway::kernels
