#include <gtest/gtest.h>

#include <vector>

#include "kernels/conv/conv.h"
#include "kernels/targets.h"
#include "kernels/testing.h"

namespace slipway::kernels {
namespace {

struct Case {
  const char* name;
  ConvAttributes a;
  int64_t n, side, pad;
  bool scaled = false;
};

void Check(const Case& t, int count) {
  const ConvAttributes& a = t.a;
  const int64_t out = ConvOutputSize(t.side, a.kh, a.stride_h, 1, t.pad, t.pad);
  const ConvShape s{.n = t.n, .h = t.side, .w = t.side, .pad_top = t.pad, .pad_left = t.pad, .oh = out, .ow = out};
  const std::vector<float> x = Numbers(t.n * t.side * t.side * a.c, 1), bias = Numbers(a.oc, 3);
  const std::vector<float> w = Numbers(a.oc * a.c / a.groups * a.kh * a.kw, 2), scale = Numbers(t.n * a.c, 5);
  const std::vector<float> residual = Numbers(t.n * out * out * a.oc, 4);
  const Epilogue e{.bias = bias.data(), .residual = residual.data(), .activation = Activation::kRelu};
  const ConvInput input{x.data(), t.scaled ? scale.data() : nullptr};
  const Threads threads(count);
  MemoryStore store;
  std::vector<float> want(residual.size(), 7), got = want;
  PackedConv(a, w.data(), {threads, store}, &s).Run(input, s, e, want.data(), threads);
  ConvOnce(a, w.data(), input, s, e, got.data(), threads);
  for (size_t i = 0; i < want.size(); ++i) {
    ASSERT_NEAR(got[i], want[i], 1e-3) << t.name << " with " << count << " threads at " << i << " on " << IsaName();
  }
}

TEST(ConvOnce, GivesWhatPackedWeightsGive) {
  const Case cases[] = {
      {"1x1", {.c = 96, .oc = 200}, 2, 9, 0},
      {"1x1 with a scale", {.c = 96, .oc = 200}, 2, 9, 0, true},
      {"1x1 with a scale, in parts", {.c = 1100, .oc = 1000}, 2, 3, 0, true},
      {"1x1, stride 2, in parts", {.c = 1024, .oc = 1100, .stride_h = 2, .stride_w = 2}, 1, 8, 0},
      {"stem", {.c = 3, .oc = 40, .kh = 7, .kw = 7, .stride_h = 2, .stride_w = 2}, 1, 40, 3},
      {"stem, long rows", {.c = 3, .oc = 40, .kh = 7, .kw = 7, .stride_h = 2, .stride_w = 2}, 1, 80, 3},
      {"5x5, in parts", {.c = 256, .oc = 200, .kh = 5, .kw = 5}, 1, 6, 2},
      {"3x3, many tiles", {.c = 64, .oc = 72, .kh = 3, .kw = 3}, 1, 60, 1},
      {"3x3, few tiles", {.c = 300, .oc = 200, .kh = 3, .kw = 3}, 1, 8, 1},
      {"3x3, stride 2", {.c = 130, .oc = 150, .kh = 3, .kw = 3, .stride_h = 2, .stride_w = 2}, 1, 16, 1},
      {"groups", {.c = 64, .oc = 64, .kh = 3, .kw = 3, .groups = 2}, 1, 9, 1},
      {"narrow groups", {.c = 64, .oc = 64, .kh = 3, .kw = 3, .groups = 16}, 1, 9, 1},
      {"depthwise", {.c = 50, .oc = 50, .kh = 3, .kw = 3, .groups = 50}, 2, 9, 1},
  };
  ForEachTarget([&] {
    for (const Case& t : cases) {
      for (const int threads : {1, 2}) Check(t, threads);
    }
  });
}

}  // namespace
}  // namespace slipway::kernels
