// Attention in the shapes of common models; items are multiply-adds, so items/s x 2 is FLOP/s.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/attention/attention.h"

namespace slipway::kernels {
namespace {

void BM_Attention(benchmark::State& state) {
  const int64_t heads = state.range(0), queries = state.range(1), keys = state.range(2), size = state.range(3);
  const int64_t row = heads * size;
  std::vector<float> q(queries * row, 0.5f), k(keys * row, 0.25f), v(keys * row, 1.0f), out(queries * row);
  AttentionArgs args = {
      .heads = heads, .kv_heads = heads, .queries = queries, .keys = keys, .size = size, .value_size = size};
  args.q = {q.data(), 0, size, row};
  args.k = {k.data(), 0, size, row};
  args.v = {v.data(), 0, size, row};
  args.out = {out.data(), 0, size, row};
  args.scale = 1 / std::sqrt(static_cast<float>(size));
  args.window_right = state.range(5) ? 0 : -1;
  // 1: a mask that hides nothing; 2: one that hides what comes later, as exporters write it.
  std::vector<float> mask(state.range(6) ? queries * keys : 0);
  for (int64_t i = 0; state.range(6) == 2 && i < queries; ++i)
    std::fill(mask.begin() + i * keys + std::min(i + 1, keys), mask.begin() + (i + 1) * keys, -3.4028235e38f);
  if (state.range(6)) args.mask = {.add = mask.data(), .row_stride = keys};
  const Threads threads(static_cast<int>(state.range(4)));
  for (auto _ : state) Attention(args, threads);
  state.SetItemsProcessed(state.iterations() * 2 * heads * queries * keys * size);
}
BENCHMARK(BM_Attention)
    ->ArgNames({"heads", "queries", "keys", "size", "threads", "causal", "mask"})
    ->Args({12, 128, 128, 64, 1, 0, 0})
    ->Args({12, 128, 128, 64, 2, 0, 0})
    ->Args({16, 128, 128, 64, 1, 0, 0})
    ->Args({12, 128, 128, 32, 1, 0, 0})
    ->Args({12, 128, 128, 32, 1, 0, 1})
    ->Args({12, 128, 128, 32, 2, 0, 1})
    ->Args({12, 128, 128, 64, 1, 0, 2})
    ->Args({12, 128, 128, 64, 2, 0, 2})
    ->Args({12, 197, 197, 64, 1, 0, 0})
    ->Args({12, 197, 197, 64, 2, 0, 0})
    ->Args({12, 1024, 1024, 64, 1, 0, 0})
    ->Args({12, 1024, 1024, 64, 1, 1, 0})
    ->Args({12, 1, 512, 64, 1, 0, 0});

}  // namespace
}  // namespace slipway::kernels

BENCHMARK_MAIN();
