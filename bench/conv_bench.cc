// Convolution layers of image models at 224 x 224, one image. GFLOP/s count the direct algorithm's products, so
// Winograd may pass the peak of the cores. SLIPWAY_ISA chooses the instruction set.

#include <benchmark/benchmark.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "kernels/conv/conv.h"
#include "kernels/conv/layout.h"
#include "kernels/conv/pool.h"

namespace slipway::bench {
namespace {

using kernels::Activation;
using kernels::ConvAlgorithm;
using kernels::ConvAttributes;
using kernels::ConvShape;
using kernels::PackedConv;

/// A square layer with symmetric padding.
struct Layer {
  const char* name;
  int64_t size, c, oc, kernel, stride, pad, groups;
};

constexpr Layer kLayers[] = {
    {"resnet50/stem", 224, 3, 64, 7, 2, 3, 1},
    {"resnet50/1x1_56_64_64", 56, 64, 64, 1, 1, 0, 1},
    {"resnet50/3x3_56_64", 56, 64, 64, 3, 1, 1, 1},
    {"resnet50/1x1_56_64_256", 56, 64, 256, 1, 1, 0, 1},
    {"resnet50/3x3s2_56_128", 56, 128, 128, 3, 2, 1, 1},
    {"resnet50/3x3_28_128", 28, 128, 128, 3, 1, 1, 1},
    {"resnet50/1x1s2_56_256_512", 56, 256, 512, 1, 2, 0, 1},
    {"resnet50/3x3s2_28_256", 28, 256, 256, 3, 2, 1, 1},
    {"resnet50/3x3_14_256", 14, 256, 256, 3, 1, 1, 1},
    {"resnet50/1x1_14_1024_256", 14, 1024, 256, 1, 1, 0, 1},
    {"resnet50/3x3s2_14_512", 14, 512, 512, 3, 2, 1, 1},
    {"resnet50/3x3_7_512", 7, 512, 512, 3, 1, 1, 1},
    {"resnet50/1x1_7_512_2048", 7, 512, 2048, 1, 1, 0, 1},
    {"resnet18/3x3s2_56_64_128", 56, 64, 128, 3, 2, 1, 1},
    {"resnet18/3x3s2_28_128_256", 28, 128, 256, 3, 2, 1, 1},
    {"resnet18/3x3s2_14_256_512", 14, 256, 512, 3, 2, 1, 1},
    {"yolo/3x3s2_160_32_64", 160, 32, 64, 3, 2, 1, 1},
    {"mobilenetv2/stem", 224, 3, 32, 3, 2, 1, 1},
    {"mobilenetv2/dw3_112_32", 112, 32, 32, 3, 1, 1, 32},
    {"mobilenetv2/1x1_112_32_16", 112, 32, 16, 1, 1, 0, 1},
    {"mobilenetv2/dw3s2_112_96", 112, 96, 96, 3, 2, 1, 96},
    {"mobilenetv2/1x1_56_24_144", 56, 24, 144, 1, 1, 0, 1},
    {"mobilenetv2/dw3_56_144", 56, 144, 144, 3, 1, 1, 144},
    {"mobilenetv2/dw3_14_384", 14, 384, 384, 3, 1, 1, 384},
    {"mobilenetv2/1x1_14_384_64", 14, 384, 64, 1, 1, 0, 1},
    {"mobilenetv2/dw3_7_960", 7, 960, 960, 3, 1, 1, 960},
    {"mobilenetv2/1x1_7_320_1280", 7, 320, 1280, 1, 1, 0, 1},
    {"efficientnet_b0/dw5s2_56_144", 56, 144, 144, 5, 2, 2, 144},
    {"efficientnet_b0/dw5_28_240", 28, 240, 240, 5, 1, 2, 240},
    {"efficientnet_b0/dw5_14_672", 14, 672, 672, 5, 1, 2, 672},
    {"efficientnet_b0/dw5_7_1152", 7, 1152, 1152, 5, 1, 2, 1152},
    {"convnext_tiny/patch4", 224, 3, 96, 4, 4, 0, 1},
    {"convnext_tiny/dw7_56_96", 56, 96, 96, 7, 1, 3, 96},
    {"convnext_tiny/dw7_28_192", 28, 192, 192, 7, 1, 3, 192},
    {"convnext_tiny/dw7_14_384", 14, 384, 384, 7, 1, 3, 384},
    {"convnext_tiny/dw7_7_768", 7, 768, 768, 7, 1, 3, 768},
    {"vit/patch16", 224, 3, 768, 16, 16, 0, 1},
    {"resnext50/3x3_56_128_g32", 56, 128, 128, 3, 1, 1, 32},
};

constexpr size_t kColdBytes = 96 << 20;
constexpr const char* kAlgorithms[] = {"gemm", "direct", "f2", "f3", "f4", "rows", "stride2"};

ConvAttributes AttributesOf(const Layer& l) {
  return {.c = l.c,
          .oc = l.oc,
          .kh = l.kernel,
          .kw = l.kernel,
          .stride_h = l.stride,
          .stride_w = l.stride,
          .groups = l.groups};
}

void RunLayer(benchmark::State& state, const Layer& l, const ConvAlgorithm* algorithm, int thread_count) {
  const ConvAttributes a = AttributesOf(l);
  const int64_t out = kernels::ConvOutputSize(l.size, l.kernel, l.stride, 1, l.pad, l.pad);
  const ConvShape s{.n = 1, .h = l.size, .w = l.size, .pad_top = l.pad, .pad_left = l.pad, .oh = out, .ow = out};
  const int64_t products = l.c / l.groups * l.kernel * l.kernel;
  const std::vector<float> x(static_cast<size_t>(l.size * l.size * l.c), 0.5f);
  const std::vector<float> weights(static_cast<size_t>(l.oc * products), 0.25f);
  const std::vector<float> bias(static_cast<size_t>(l.oc), 0.125f);
  std::vector<float> y(static_cast<size_t>(out * out * l.oc));
  const Threads threads(thread_count);
  MemoryStore store;
  // Between two runs of a layer of a model its weights leave the caches: a choice has to be right with cold ones.
  std::vector<std::unique_ptr<PackedConv>> convs;
  do {
    convs.push_back(
        algorithm == nullptr
            ? std::make_unique<PackedConv>(a, weights.data(), kernels::Packing{threads, store}, &s)
            : std::make_unique<PackedConv>(a, weights.data(), kernels::Packing{threads, store}, *algorithm));
  } while (algorithm != nullptr && convs.size() * convs[0]->Bytes() < kColdBytes);
  const KeepWorkersAwake awake(threads);
  size_t turn = 0;
  for (auto _ : state) {
    convs[turn++ % convs.size()]->Run({x.data()}, s, {.bias = bias.data(), .activation = Activation::kRelu}, y.data(),
                                      threads);
    benchmark::ClobberMemory();
  }
  state.SetLabel(kAlgorithms[static_cast<int>(convs[0]->Choose(s))]);
  state.counters["GFLOP/s"] = benchmark::Counter(2e-9 * static_cast<double>(out * out * l.oc * products),
                                                 benchmark::Counter::kIsIterationInvariantRate);
}

void ToChannelsLast(benchmark::State& state, int64_t c, int64_t pixels) {
  const std::vector<float> x(static_cast<size_t>(c * pixels), 1);
  std::vector<float> y(x.size());
  for (auto _ : state) {
    kernels::ToChannelsLast(x.data(), 1, c, pixels, y.data(), Threads(1));
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(2 * x.size() * sizeof(float)));
}

void MaxPool3x3(benchmark::State& state) {
  const kernels::PoolShape s{.n = 1,
                             .h = 112,
                             .w = 112,
                             .c = 64,
                             .kh = 3,
                             .kw = 3,
                             .stride_h = 2,
                             .stride_w = 2,
                             .pad_top = 1,
                             .pad_left = 1,
                             .pad_bottom = 1,
                             .pad_right = 1,
                             .oh = 56,
                             .ow = 56};
  const std::vector<float> x(static_cast<size_t>(s.h * s.w * s.c), 1);
  std::vector<float> y(static_cast<size_t>(s.oh * s.ow * s.c));
  for (auto _ : state) {
    kernels::MaxPool(x.data(), s, y.data(), Threads(1));
    benchmark::ClobberMemory();
  }
}

void RegisterAll() {
  for (const int threads : {1, 2}) {
    const std::string suffix = "/threads:" + std::to_string(threads);
    for (const Layer& l : kLayers) {
      benchmark::RegisterBenchmark((l.name + suffix).c_str(), [&l, threads](benchmark::State& s) {
        RunLayer(s, l, nullptr, threads);
      })->UseRealTime();
    }
    for (const Layer& l : kLayers) {
      if (l.kernel < 3 || l.groups != 1) continue;
      for (int i = 0; i < PackedConv::kAlgorithms; ++i) {
        const auto algorithm = static_cast<ConvAlgorithm>(i);
        if (!PackedConv::Supports(AttributesOf(l), algorithm)) continue;
        const std::string name = "choice/" + (l.name + suffix) + "/" + kAlgorithms[static_cast<int>(algorithm)];
        benchmark::RegisterBenchmark(name.c_str(), [&l, threads, algorithm](benchmark::State& s) {
          RunLayer(s, l, &algorithm, threads);
        })->UseRealTime();
      }
    }
  }
  benchmark::RegisterBenchmark("layout/3x224x224", [](benchmark::State& s) { ToChannelsLast(s, 3, 224 * 224); });
  benchmark::RegisterBenchmark("layout/64x56x56", [](benchmark::State& s) { ToChannelsLast(s, 64, 56 * 56); });
  benchmark::RegisterBenchmark("layout/1024x14x14", [](benchmark::State& s) { ToChannelsLast(s, 1024, 14 * 14); });
  benchmark::RegisterBenchmark("maxpool3x3s2/112x112x64", MaxPool3x3);
}

}  // namespace
}  // namespace slipway::bench

int main(int argc, char** argv) {
  slipway::bench::RegisterAll();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
