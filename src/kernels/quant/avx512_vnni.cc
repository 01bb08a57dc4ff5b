#include "kernels/quant/avx512_vnni.h"

#include <array>
#include <cstring>
#include <utility>

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#define SLIPWAY_VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

namespace slipway::kernels {
namespace {

/// Sums run side by side where a tile of few rows has too few of them to hide an instruction's latency.
template <int kCols, int kRows>
SLIPWAY_VNNI void RunTile(const uint8_t* a, int64_t lda, const int8_t* b, int64_t steps, const VnniFetch& fetch,
                          int32_t* sums) {
  constexpr int kChains = kRows * kCols >= 6 ? 1 : kRows * kCols >= 3 ? 2 : 4;
  // Rows are addressed from one base in four, so that 12 of them take 5 registers.
  const uint8_t* base[(kRows + 3) / 4];
  for (int i = 0; i < (kRows + 3) / 4; ++i) base[i] = a + 4 * i * lda;
  const int64_t lda3 = 3 * lda;
  __m512i acc[kChains][kRows][kCols];
#pragma GCC unroll 4
  for (int u = 0; u < kChains; ++u) {
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
      for (int j = 0; j < kCols; ++j) acc[u][r][j] = _mm512_setzero_si512();
    }
  }
  constexpr bool kStream = kRows <= 4;  // bound by the stream of B
  const char* ahead = fetch.from;
  const int64_t ahead_step = fetch.step;
  int64_t s = 0;
  for (; s + kChains <= steps; s += kChains) {
#pragma GCC unroll 4
    for (int u = 0; u < kChains; ++u) {
      __m512i bv[kCols];
#pragma GCC unroll 2
      for (int j = 0; j < kCols; ++j) bv[j] = _mm512_loadu_si512(b + 64 * j);
      if constexpr (kStream) {
        for (int j = 0; j < kCols; ++j) _mm_prefetch(reinterpret_cast<const char*>(b) + 2048 + 64 * j, _MM_HINT_T0);
      } else {
        _mm_prefetch(ahead, _MM_HINT_T1);
        if (ahead_step > 64) _mm_prefetch(ahead + 64, _MM_HINT_T1);
        ahead += ahead_step;
      }
      b += 128;
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) {
        int32_t four;
        std::memcpy(&four, base[r / 4] + (r % 4 == 3 ? lda3 : r % 4 * lda), 4);
        const __m512i av = _mm512_set1_epi32(four);
#pragma GCC unroll 2
        for (int j = 0; j < kCols; ++j) acc[u][r][j] = _mm512_dpbusd_epi32(acc[u][r][j], av, bv[j]);
      }
      for (auto& p : base) p += 4;
    }
  }
  if constexpr (kChains > 1) {
    for (; s < steps; ++s) {
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) {
        int32_t four;
        std::memcpy(&four, base[r / 4] + (r % 4 == 3 ? lda3 : r % 4 * lda), 4);
        const __m512i av = _mm512_set1_epi32(four);
#pragma GCC unroll 2
        for (int j = 0; j < kCols; ++j)
          acc[0][r][j] = _mm512_dpbusd_epi32(acc[0][r][j], av, _mm512_loadu_si512(b + 64 * j));
      }
      for (auto& p : base) p += 4;
      b += 128;
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int j = 0; j < kCols; ++j) {
      __m512i sum = acc[0][r][j];
#pragma GCC unroll 4
      for (int u = 1; u < kChains; ++u) sum = _mm512_add_epi32(sum, acc[u][r][j]);
      _mm512_storeu_si512(sums + 32 * r + 16 * j, sum);
    }
  }
}

template <int kCols, int... kRows>
constexpr auto Table(std::integer_sequence<int, kRows...>) {
  return std::array<VnniTile, sizeof...(kRows)>{&RunTile<kCols, kRows + 1>...};
}

bool HasVnni() {
  static const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
  return has;
}

}  // namespace

VnniTile ChooseVnniTile(int rows, bool wide) {
  static constexpr auto kNarrow = Table<1>(std::make_integer_sequence<int, 12>());
  static constexpr auto kWide = Table<2>(std::make_integer_sequence<int, 12>());
  if (!HasVnni()) return nullptr;
  return wide ? kWide[rows - 1] : kNarrow[rows - 1];
}

}  // namespace slipway::kernels

#else

namespace slipway::kernels {
VnniTile ChooseVnniTile(int, bool) { return nullptr; }
}  // namespace slipway::kernels

#endif
