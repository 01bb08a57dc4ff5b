// Products of bytes beside those of floats of the same sizes, in turns; `times` is how much quicker bytes are.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "kernels/gemm/gemm.h"
#include "kernels/gemm/scratch.h"
#include "kernels/quant/int_gemm.h"
#include "kernels/targets.h"

namespace slipway::bench {
namespace {

double Seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double Median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + v.size() / 2, v.end());
  return v[v.size() / 2];
}

struct Shape {
  int64_t m, k, n;
};
const Shape kShapes[] = {
    {128, 768, 768}, {128, 768, 3072}, {128, 3072, 768}, {197, 768, 2304}, {128, 384, 1536}, {512, 512, 512},
    {1, 768, 768},   {1, 768, 3072},   {4, 768, 3072},   {16, 768, 768},   {16, 768, 3072},  {3136, 64, 64},
    {49, 4608, 512}, {196, 2304, 256}, {784, 144, 24},   {1, 256, 1000},
};

void Run(benchmark::State& state, Shape s, int thread_count, kernels::DotForm form) {
  const Threads threads(thread_count);
  const KeepWorkersAwake awake(threads);
  kernels::Scratch memory[5];
  float* a = memory[0].Reserve(s.m * s.k);
  float* b = memory[1].Reserve(s.k * s.n);
  float* c = memory[2].Reserve(s.m * s.n);
  float* out = memory[3].Reserve(kernels::PackedBytes(s.k, s.n) / sizeof(float));
  float* int_out = memory[4].Reserve(kernels::PackedIntBytes(s.k, s.n, form) / sizeof(float));
  std::vector<uint8_t> bytes(s.m * s.k), weights(s.k * s.n);
  for (int64_t i = 0; i < s.m * s.k; ++i) a[i] = static_cast<float>(bytes[i] = static_cast<uint8_t>(i % 251));
  for (int64_t i = 0; i < s.k * s.n; ++i) b[i] = static_cast<float>(weights[i] = static_cast<uint8_t>(i % 127));
  const kernels::PackedMatrix packed = kernels::PackMatrix(b, s.k, s.n, s.n, 1, out, threads);
  const kernels::PackedIntMatrix int_packed =
      kernels::PackIntMatrix(weights.data(), true, s.k, s.n, s.n, 1, int_out, threads, form);
  const float scale = 0.01f;
  const int32_t zero = 128;
  const kernels::IntResult result = {.kind = kernels::IntResult::Kind::kFloat,
                                     .data = c,
                                     .stride = s.n,
                                     .a_zero = {&zero, false},
                                     .scale = {&scale, false}};
  const kernels::ByteArrayRows rows(bytes.data(), s.k, s.k);
  const double operations = 2.0 * s.m * s.k * s.n;
  const int repeats = static_cast<int>(std::max(1.0, 2e7 / operations));
  std::vector<double> seconds, float_seconds;
  for (auto _ : state) {
    double start = Seconds();
    for (int i = 0; i < repeats; ++i) kernels::Gemm(s.m, a, s.k, packed, c, s.n, {}, threads);
    float_seconds.push_back((Seconds() - start) / repeats);
    start = Seconds();
    for (int i = 0; i < repeats; ++i) kernels::IntGemm(s.m, rows, false, int_packed, result, threads);
    seconds.push_back((Seconds() - start) / repeats);
    state.SetIterationTime(seconds.back());
  }
  state.counters["GOPs"] = operations / Median(seconds) / 1e9;
  state.counters["float"] = operations / Median(float_seconds) / 1e9;
  state.counters["times"] = Median(float_seconds) / Median(seconds);
  state.counters["best_times"] =
      *std::min_element(float_seconds.begin(), float_seconds.end()) / *std::min_element(seconds.begin(), seconds.end());
}

void Register() {
  for (const int threads : {1, 2}) {
    for (const kernels::DotForm form : {kernels::DotForm::kPairs, kernels::DotForm::kVnni}) {
      const bool vnni = form == kernels::DotForm::kVnni;
      if (vnni && kernels::BestDotForm() != form) continue;
      for (const Shape& s : kShapes) {
        const std::string name = std::string(kernels::IsaName()) + "/" + std::to_string(threads) + "T/" +
                                 (vnni ? "vnni/" : "pairs/") + std::to_string(s.m) + "x" + std::to_string(s.k) + "x" +
                                 std::to_string(s.n);
        benchmark::RegisterBenchmark(name.c_str(), Run, s, threads, form)->UseManualTime()->Iterations(50);
      }
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
