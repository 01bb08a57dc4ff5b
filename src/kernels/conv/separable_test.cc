// A separable convolution gives what its convolutions give one after the other.
#include "kernels/conv/separable.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/targets.h"
#include "kernels/testing.h"

namespace slipway::kernels {
namespace {

struct Case {
  int64_t n, h, w, narrow, wide, out;
  int64_t kernel, stride, dilation;
  bool expand, project, residual;
};

constexpr Case kCases[] = {
    {1, 7, 9, 5, 20, 6, 3, 1, 1, true, true, false},         // small: one convolution after the other
    {1, 61, 40, 8, 48, 8, 3, 1, 1, true, true, true},        // bands of several rows
    {2, 62, 41, 16, 96, 24, 3, 2, 1, true, true, false},     // stride 2, a last band that is short
    {3, 40, 33, 12, 72, 12, 5, 1, 1, true, true, true},      // several images
    {1, 57, 64, 24, 144, 144, 5, 2, 1, true, false, false},  // no projection
    {1, 64, 64, 64, 64, 32, 3, 1, 1, false, true, false},    // no expansion
    {1, 90, 300, 16, 160, 16, 7, 1, 2, true, true, true},    // one row alone is more than a cache holds
    {9, 12, 12, 8, 130, 8, 3, 1, 1, true, true, true},       // an image a task
    {1, 40, 128, 8, 96, 8, 1, 3, 1, true, true, false},      // rows that no output needs
};

class Convolution {
 public:
  Convolution(const ConvAttributes& a, uint32_t seed, const Packing& packing)
      : bias_(Numbers(a.oc, seed + 1)),
        packed_(a, Numbers(a.oc * a.c / a.groups * a.kh * a.kw, seed).data(), packing,
                a.groups > 1 ? ConvAlgorithm::kDirect : ConvAlgorithm::kGemm) {}
  const PackedConv& packed() const { return packed_; }
  Epilogue epilogue(Activation activation) const { return {.bias = bias_.data(), .activation = activation}; }

 private:
  std::vector<float> bias_;
  PackedConv packed_;
};

ConvShape Pixels(int64_t n, int64_t h, int64_t w) { return {.n = n, .h = h, .w = w, .oh = h, .ow = w}; }

void Check(const Case& t) {
  MemoryStore store;
  const Packing packing = {Threads(1), store};
  const int64_t pad = (t.kernel - 1) * t.dilation / 2;
  const ConvAttributes window = {.c = t.wide,
                                 .oc = t.wide,
                                 .kh = t.kernel,
                                 .kw = t.kernel,
                                 .stride_h = t.stride,
                                 .stride_w = t.stride,
                                 .dilation_h = t.dilation,
                                 .dilation_w = t.dilation,
                                 .groups = t.wide};
  ConvShape s = {.n = t.n, .h = t.h, .w = t.w, .pad_top = pad, .pad_left = pad};
  s.oh = ConvOutputSize(t.h, t.kernel, t.stride, t.dilation, pad, pad);
  s.ow = ConvOutputSize(t.w, t.kernel, t.stride, t.dilation, pad, pad);
  const Convolution expand({.c = t.narrow, .oc = t.wide}, 1, packing), depthwise(window, 2, packing),
      project({.c = t.wide, .oc = t.out}, 3, packing);
  SeparableConv::Epilogues e = {.expand = expand.epilogue(Activation::kSilu),
                                .depthwise = depthwise.epilogue(Activation::kRelu),
                                .project = project.epilogue(Activation::kNone)};
  const int64_t pixels = s.n * s.oh * s.ow, channels = t.project ? t.out : t.wide;
  const std::vector<float> residual = Numbers(pixels * channels, 4);
  if (t.residual) e.project.residual = residual.data();
  const std::vector<float> x = Numbers(t.n * t.h * t.w * (t.expand ? t.narrow : t.wide), 5);
  std::vector<float> in = x, wide(pixels * t.wide), want(pixels * channels);
  if (t.expand) {
    in.resize(t.n * t.h * t.w * t.wide);
    expand.packed().Run({x.data()}, Pixels(t.n, t.h, t.w), e.expand, in.data(), Threads(1));
  }
  depthwise.packed().Run({in.data()}, s, e.depthwise, t.project ? wide.data() : want.data(), Threads(1));
  if (t.project) project.packed().Run({wide.data()}, Pixels(s.n, s.oh, s.ow), e.project, want.data(), Threads(1));

  const SeparableConv conv = {t.expand ? &expand.packed() : nullptr, &depthwise.packed(),
                              t.project ? &project.packed() : nullptr};
  for (const int threads : {1, 2, 3}) {
    std::vector<float> got(want.size(), -12345);
    conv.Run(x.data(), s, e, got.data(), Threads(threads));
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_NEAR(got[i], want[i], 1e-4) << "at " << i << " of " << t.h << " x " << t.w << ", " << threads
                                         << " threads, on " << IsaName();
    }
  }
}

TEST(SeparableConvTest, GivesWhatItsConvolutionsGive) {
  for (const Case& t : kCases) ForEachTarget([&] { Check(t); });
}

}  // namespace
}  // namespace slipway::kernels
