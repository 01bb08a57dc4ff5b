// The matrix product against the FMA peak of the cores it runs on. The peak is measured in turns with the product, so
// that a clock that changes or a neighbour on the machine hits both. SLIPWAY_ISA chooses the instruction set.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "kernels/gemm/gemm.h"
#include "kernels/gemm/scratch.h"
#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "gemm_bench.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace slipway::bench {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// `count` rounds of 12 independent multiply-adds; the floating-point operations that makes.
int64_t MultiplyAdds(int64_t count, float* sink) {
  const hn::ScalableTag<float> d;
  auto x = hn::Set(d, *sink);
  hn::Vec<decltype(d)> sum[12];
  for (auto& s : sum) s = x;
  for (int64_t i = 0; i < count; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < 12; ++j) sum[j] = hn::MulAdd(sum[j], x, x);
  }
  for (int j = 1; j < 12; ++j) sum[0] = hn::Add(sum[0], sum[j]);
  hn::StoreU(sum[0], d, sink);
  return count * 12 * 2 * static_cast<int64_t>(hn::Lanes(d));
}

}  // namespace HWY_NAMESPACE
}  // namespace slipway::bench
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace slipway::bench {
namespace {

HWY_EXPORT(MultiplyAdds);

double Seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double Median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + v.size() / 2, v.end());
  return v[v.size() / 2];
}

/// Operations a second of multiply-adds on registers, on all of `threads`.
double PeakOnce(const Threads& threads) {
  std::vector<int64_t> flops(threads.count());
  const double start = Seconds();
  threads.ParallelFor(threads.count(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float sink[64] = {};
      flops[i] = HWY_DYNAMIC_DISPATCH(MultiplyAdds)(100000, sink);
      benchmark::DoNotOptimize(sink);
    }
  });
  const double seconds = Seconds() - start;
  int64_t sum = 0;
  for (const int64_t f : flops) sum += f;
  return sum / seconds;
}

struct Shape {
  int64_t m, k, n;
};
const Shape kShapes[] = {
    {128, 768, 768},  {128, 768, 3072},   {128, 3072, 768}, {128, 3072, 3072}, {197, 768, 2304}, {128, 384, 1536},
    {512, 512, 512},  {1024, 1024, 1024}, {1, 768, 768},    {1, 768, 3072},    {2, 768, 768},    {4, 768, 3072},
    {8, 768, 768},    {16, 768, 768},     {16, 768, 3072},  {3136, 64, 64},    {12544, 32, 16},  {196, 2304, 256},
    {49, 4608, 512},  {784, 144, 24},     {196, 384, 1536}, {196, 1536, 384},  {784, 192, 768},  {784, 768, 192},
    {196, 256, 1024}, {196, 1024, 256},   {196, 480, 112},  {3136, 24, 144},   {128, 64, 128},   {16, 64, 64},
    {16, 128, 128},   {32, 128, 128},     {1, 256, 1000},   {1, 256, 256},     {8, 128, 128},    {25088, 96, 384},
    {25088, 384, 96}, {6272, 192, 768},   {6272, 768, 192},
};

/// The right-hand matrix: packed and used again and again, packed and one of many so that it comes from memory as a
/// large model's weights do, or a transposed one that is packed on the way.
enum class Right { kWarm, kCold, kUnpacked };

void Run(benchmark::State& state, Shape s, int thread_count, kernels::Activation activation, Right right) {
  const Threads threads(thread_count);
  const KeepWorkersAwake awake(threads);
  kernels::Scratch memory[4];
  float* a = memory[0].Reserve(s.m * s.k);
  float* b = memory[1].Reserve(s.k * s.n);
  float* c = memory[2].Reserve(s.m * s.n);
  constexpr size_t kFarMoreThanCaches = 256 << 20;
  const size_t bytes = kernels::PackedBytes(s.k, s.n);
  const size_t copies = right == Right::kCold ? kFarMoreThanCaches / bytes + 1 : 1;
  float* out = memory[3].Reserve(copies * bytes / sizeof(float));
  for (int64_t i = 0; i < s.m * s.k; ++i) a[i] = static_cast<float>(rand()) / RAND_MAX - 0.5f;
  for (int64_t i = 0; i < s.k * s.n; ++i) b[i] = static_cast<float>(rand()) / RAND_MAX - 0.5f;
  std::vector<kernels::PackedMatrix> packed;
  for (size_t i = 0; i < copies; ++i) {
    packed.push_back(kernels::PackMatrix(b, s.k, s.n, s.n, 1, out + i * bytes / sizeof(float), threads));
  }
  size_t turn = 0;
  const kernels::Epilogue epilogue{.activation = activation};
  const double flops = 2.0 * s.m * s.k * s.n;
  const int repeats = static_cast<int>(std::max(1.0, 2e7 / flops));
  std::vector<double> seconds, peaks;
  for (auto _ : state) {
    peaks.push_back(PeakOnce(threads));
    const double start = Seconds();
    for (int i = 0; i < repeats; ++i) {
      if (right == Right::kUnpacked) {
        kernels::GemmUnpacked(s.m, s.n, s.k, a, s.k, b, 1, s.k, c, s.n, epilogue, threads);
      } else {
        kernels::Gemm(s.m, a, s.k, packed[turn++ % copies], c, s.n, epilogue, threads);
      }
    }
    seconds.push_back((Seconds() - start) / repeats);
    state.SetIterationTime(seconds.back());
  }
  const double rate = flops / Median(seconds);
  state.counters["GFLOPs"] = rate / 1e9;
  state.counters["peak"] = Median(peaks) / 1e9;
  state.counters["percent"] = 100 * rate / Median(peaks);
  // The quickest of each: what is left when neighbours take no time on the cores.
  state.counters["best_percent"] =
      100 * flops / *std::min_element(seconds.begin(), seconds.end()) / *std::max_element(peaks.begin(), peaks.end());
}

void Register() {
  const auto add = [](const std::string& kind, int threads, const Shape& s, kernels::Activation activation,
                      Right right) {
    const std::string name = std::string(kernels::IsaName()) + "/" + std::to_string(threads) + "T/" + kind +
                             std::to_string(s.m) + "x" + std::to_string(s.k) + "x" + std::to_string(s.n);
    benchmark::RegisterBenchmark(name.c_str(), Run, s, threads, activation, right)->UseManualTime()->Iterations(100);
  };
  for (const int threads : {1, 2}) {
    for (const Shape& s : kShapes) add("", threads, s, kernels::Activation::kNone, Right::kWarm);
    for (const Shape& s : {Shape{128, 768, 768}, Shape{128, 768, 3072}, Shape{128, 3072, 768}, Shape{197, 768, 768},
                           Shape{197, 768, 3072}, Shape{128, 384, 384}, Shape{196, 384, 1536}}) {
      add("cold/", threads, s, kernels::Activation::kNone, Right::kCold);
    }
    add("gelu/", threads, {128, 768, 3072}, kernels::Activation::kGelu, Right::kWarm);
    for (const Shape& s : {Shape{128, 64, 128}, Shape{128, 768, 768}, Shape{8, 768, 768}}) {
      add("transposed_unpacked/", threads, s, kernels::Activation::kNone, Right::kUnpacked);
    }
  }
}

}  // namespace
}  // namespace slipway::bench

int main(int argc, char** argv) {
  slipway::bench::Register();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
#endif  // HWY_ONCE
