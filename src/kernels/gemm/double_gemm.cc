#include "kernels/gemm/double_gemm.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gemm/double_gemm.cc"
#include "kernels/targets.h"
// After targets.h.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef SLIPWAY_KERNELS_GEMM_DOUBLE_JOB
#define SLIPWAY_KERNELS_GEMM_DOUBLE_JOB
namespace slipway::kernels {
namespace {

struct DoubleJob {
  int64_t m, n, k;
  DoubleMatrix a, b;
  double* c;
  int64_t ldc;
};

}  // namespace
}  // namespace slipway::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
#if HWY_HAVE_FLOAT64
using F64 = hn::ScalableTag<double>;
constexpr int kDoubles = hn::MaxLanes(F64());
#else
using F64 = hn::CappedTag<double, 1>;
constexpr int kDoubles = 1;
#endif
constexpr int kTileRows = 6;
constexpr int kTileVectors = 2;
constexpr int kWidth = kTileVectors * kDoubles;
constexpr int64_t kDepth = 256;  // of a panel: kDepth rows of it stay in the L1 cache

/// kRows x kWidth of C: set where `first`, else added to. Of its columns n are stored.
template <int kRows>
void DoubleTile(const double* a, int64_t row_stride, int64_t col_stride, const double* panel, int64_t k, double* c,
                int64_t ldc, int64_t n, bool first) {
  const F64 d;
  hn::Vec<F64> sum[kRows][kTileVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kTileVectors; ++v) sum[r][v] = hn::Zero(d);
  }
  for (int64_t i = 0; i < k; ++i, a += col_stride, panel += kWidth) {
    hn::Vec<F64> b[kTileVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kTileVectors; ++v) b[v] = hn::Load(d, panel + v * kDoubles);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const auto x = hn::Set(d, a[r * row_stride]);
#pragma GCC unroll 8
      for (int v = 0; v < kTileVectors; ++v) sum[r][v] = hn::MulAdd(x, b[v], sum[r][v]);
    }
  }
  HWY_ALIGN double row[kWidth];
  for (int r = 0; r < kRows; ++r, c += ldc) {
#pragma GCC unroll 8
    for (int v = 0; v < kTileVectors; ++v) hn::Store(sum[r][v], d, row + v * kDoubles);
    for (int64_t j = 0; j < n; ++j) c[j] = first ? row[j] : c[j] + row[j];
  }
}

using TileOf = void (*)(const double*, int64_t, int64_t, const double*, int64_t, double*, int64_t, int64_t, bool);
template <int... kRows>
constexpr std::array<TileOf, sizeof...(kRows)> Tiles(std::integer_sequence<int, kRows...>) {
  return {&DoubleTile<kRows + 1>...};
}

/// Columns [begin, end) of panels, all rows.
void DoublePanels(const DoubleJob& job, int64_t begin, int64_t end) {
  static constexpr auto kTiles = Tiles(std::make_integer_sequence<int, kTileRows>());
  alignas(64) double panel[kDepth * kWidth];
  for (int64_t col = begin * kWidth; col < std::min(job.n, end * kWidth); col += kWidth) {
    const int64_t n = std::min<int64_t>(kWidth, job.n - col);
    for (int64_t from = 0; from == 0 || from < job.k; from += kDepth) {
      const int64_t k = std::min(kDepth, job.k - from);
      const double* b = job.b.data + from * job.b.row_stride + col * job.b.col_stride;
      for (int64_t i = 0; i < k; ++i) {
        double* row = panel + i * kWidth;
        for (int64_t j = 0; j < n; ++j) row[j] = b[i * job.b.row_stride + j * job.b.col_stride];
        std::fill(row + n, row + kWidth, 0.0);
      }
      const double* a = job.a.data + from * job.a.col_stride;
      for (int64_t r = 0; r < job.m; r += kTileRows) {
        const int64_t rows = std::min<int64_t>(kTileRows, job.m - r);
        kTiles[rows - 1](a + r * job.a.row_stride, job.a.row_stride, job.a.col_stride, panel, k,
                         job.c + r * job.ldc + col, job.ldc, n, from == 0);
      }
    }
  }
}

int64_t DoubleWidth() { return kWidth; }

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace slipway::kernels {

HWY_EXPORT(DoublePanels);
HWY_EXPORT(DoubleWidth);

void DoubleGemm(int64_t m, int64_t n, int64_t k, const DoubleMatrix& a, const DoubleMatrix& b, double* c, int64_t ldc,
                const Threads& threads) {
  ChooseTarget();
  if (m <= 0 || n <= 0) return;
  const DoubleJob job = {m, n, k, a, b, c, ldc};
  const auto panels = HWY_DYNAMIC_DISPATCH(DoublePanels);
  const int64_t width = HWY_DYNAMIC_DISPATCH(DoubleWidth)();
  constexpr int64_t kWork = 1 << 16;  // multiplications worth handing over
  threads.ParallelFor((n + width - 1) / width, 1 + kWork / (1 + m * k * width),
                      [&](int64_t begin, int64_t end) { panels(job, begin, end); });
}

}  // namespace slipway::kernels
#endif  // HWY_ONCE
