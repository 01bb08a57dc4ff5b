#include "kernels/peak.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "core/memory.h"
#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/peak.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// Twelve chains of multiply-adds, enough to fill two units of latency 4 or 5; gives the operations done.
double MultiplyAdds(int64_t rounds, float* sink) {
  const hn::ScalableTag<float> d;
  constexpr int kChains = 12;
  hn::Vec<decltype(d)> sum[kChains];
  for (auto& s : sum) s = hn::Zero(d);
  const auto a = hn::Set(d, sink[0]), b = hn::Set(d, sink[1]);
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
    for (auto& s : sum) s = hn::MulAdd(s, a, b);
  }
  auto all = sum[0];
  for (int i = 1; i < kChains; ++i) all = hn::Add(all, sum[i]);
  sink[0] = hn::GetLane(all) > 1e30f ? 0.0f : sink[0];
  return 2.0 * kChains * static_cast<double>(hn::Lanes(d)) * static_cast<double>(rounds);
}

/// Reads `count` floats, a multiple of 64 vectors.
float ReadAll(const float* x, int64_t count) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  for (int64_t i = 0; i < count; i += 4 * lanes) {
    s0 = hn::Add(s0, hn::LoadU(d, x + i));
    s1 = hn::Add(s1, hn::LoadU(d, x + i + lanes));
    s2 = hn::Add(s2, hn::LoadU(d, x + i + 2 * lanes));
    s3 = hn::Add(s3, hn::LoadU(d, x + i + 3 * lanes));
  }
  return hn::GetLane(hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)));
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace slipway::kernels {
namespace {

HWY_EXPORT(MultiplyAdds);
HWY_EXPORT(ReadAll);

constexpr int kTries = 5;

/// The best of a few tries of part(i), one a thread, each of which gives what it has done.
template <class F>
double Best(const Threads& threads, const F& part) {
  std::vector<double> done(static_cast<size_t>(threads.count()));
  double best = 0;
  for (int i = 0; i < kTries; ++i) {
    const auto start = std::chrono::steady_clock::now();
    threads.ParallelFor(threads.count(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) done[static_cast<size_t>(t)] = part(t);
    });
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    double sum = 0;
    for (const double d : done) sum += d;
    best = std::max(best, sum / took.count());
  }
  return best;
}

}  // namespace

Peaks MeasurePeaks(const Threads& threads) {
  ChooseTarget();
  const KeepWorkersAwake awake(threads);
  constexpr int64_t kRounds = 2'000'000;
  const double flops = Best(threads, [](int64_t) {
    float sink[] = {0.999f, 0.001f};
    return HWY_DYNAMIC_DISPATCH(MultiplyAdds)(kRounds, sink);
  });
  // Several times the last cache of most machines.
  constexpr int64_t kBytes = int64_t{256} << 20;
  const int64_t part = kBytes / threads.count() / (1 << 16) * (1 << 16);
  if (part == 0) return {.flops = flops};
  const auto memory = AllocateMemory(static_cast<size_t>(part * threads.count()));
  if (!memory) throw std::bad_alloc();
  const auto at = [&](int64_t t) { return memory.get() + t * part; };
  threads.ParallelFor(threads.count(), 1, [&](int64_t begin, int64_t end) {
    std::memset(at(begin), 0, static_cast<size_t>((end - begin) * part));
  });
  volatile float sink = 0;
  const double bytes = Best(threads, [&](int64_t t) {
    const int64_t floats = part / static_cast<int64_t>(sizeof(float));
    sink = HWY_DYNAMIC_DISPATCH(ReadAll)(reinterpret_cast<const float*>(at(t)), floats);
    return static_cast<double>(part);
  });
  return {.flops = flops, .bytes = bytes};
}

}  // namespace slipway::kernels
#endif  // HWY_ONCE
