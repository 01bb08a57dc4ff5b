#include "kernels/gemm/gemm.h"

#include <algorithm>
#include <cstring>

#include "kernels/gemm/gemm_job.h"
#include "kernels/gemm/scratch.h"
#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gemm/gemm.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/gemm/panels-inl.h"
#include "kernels/gemm/strassen-inl.h"
#include "kernels/gemm/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {

// A panel's block of B, kBlockK x kPanelWidth, stays in the L2 cache while the rows of A pass over it; a block of A, at
// most kBlockA floats, stays there while the panels of B pass over that. An eighth of the cache leaves room for the
// block's part of C, whose lines then go to memory near one another.
constexpr int64_t kBlockK = 1024;
constexpr int64_t kBlockA = 32 * 1024;
// A left-hand matrix of more floats is no longer in the L2 cache since it was made, and is fetched tile by tile.
constexpr int64_t kFarA = 64 * 1024;
// Under this many multiply-adds sharing the work costs more than it saves. One row is bound by the reading of B
// instead, and counts as two.
constexpr int64_t kParallelWork = 256 * 1024;
// As many are worth a turn of their own: fewer at a time leave one thread with more to do at the end.
constexpr int64_t kTurnWork = 64 * 1024;

/// How a product is cut up: blocks of rows, blocks of k, and the tasks, which are (row block, panel) pairs.
struct Blocking {
  int64_t panels;
  int64_t block_m;
  int64_t blocks_m;
  int64_t block_k;
  int64_t grain;
  bool copy_a;
};

Blocking ChooseBlocking(const GemmJob& job, int threads) {
  Blocking s;
  const int64_t k = std::max<int64_t>(1, job.b.k);
  s.panels = DivideUp(job.b.n, kPanelWidth);
  // Few rows leave room for more of k, up to not cutting it at all.
  const int64_t max_k = std::max(kBlockK, kBlockA / job.m);
  s.block_k = job.segments > 1 ? k : RoundUp(DivideUp(k, DivideUp(k, max_k)), 8);
  const int64_t max_m = std::max<int64_t>(kTileRows, kBlockA / std::min(s.block_k, k));
  s.blocks_m = DivideUp(job.m, max_m);
  // Rows a multiple of 4 KB apart compete for the same few lines of the L1 cache.
  s.copy_a = job.source != nullptr || (job.lda % 1024 == 0 && job.m > 4);
  const int64_t wanted_tasks = threads == 1 ? 1 : 4 * threads;
  // If there are rows enough, a range of tasks is a block of rows with all panels: each thread writes lines of C of its
  // own, and copies the rows once. A matrix that is packed on the way would be packed again for each block.
  const int64_t row_ranges = job.m / (4 * kTileRows);
  const bool whole_rows = s.copy_a ? row_ranges >= threads : job.packed && row_ranges >= wanted_tasks;
  const int64_t panels_apart = whole_rows ? 1 : s.panels;
  const int64_t least_m = whole_rows ? 4 * kTileRows : 2 * kTileRows;
  if (s.blocks_m * panels_apart < wanted_tasks) {
    s.blocks_m = std::max(s.blocks_m, std::min(DivideUp(wanted_tasks, panels_apart), job.m / least_m));
  }
  if (whole_rows) s.blocks_m = RoundUp(s.blocks_m, threads);
  s.block_m = DivideUp(job.m, s.blocks_m);
  s.blocks_m = DivideUp(job.m, s.block_m);
  const int64_t tasks = s.blocks_m * s.panels;
  s.grain = whole_rows ? s.panels
            : s.copy_a ? DivideUp(tasks, threads)
                       : std::min(DivideUp(tasks, threads), DivideUp(kTurnWork, s.block_m * k * kPanelWidth));
  return s;
}

/// Where a tile finds rows [k0, k0 + t.k) of the panel at column col, in t.b and t.ldb. `scratch` takes panels that are
/// packed on the way.
HWY_INLINE void FindPanel(const GemmJob& job, int64_t col, int64_t k0, int cols, float* scratch, Tile& t) {
  const PackedMatrix& b = job.b;
  t.ldb = cols * kLanes;
  if (job.packed) {
    t.b = b.data + col * b.k + k0 * t.ldb;
    return;
  }
  t.b = b.data + k0 * job.b_row_stride + col * job.b_col_stride;
  // One pass of a tile over the panel: copying it first would only be a second one.
  if (job.m <= kTileRows && job.b_col_stride == 1 && t.n == t.ldb) {
    t.ldb = job.b_row_stride;
    return;
  }
  PackPanel(t.b, t.k, t.n, job.b_row_stride, job.b_col_stride, t.ldb, scratch);
  t.b = scratch;
}

/// Rows [row, row + rows) of the product for panels [panel, panel_end).
void RunBlock(const GemmJob& job, const Blocking& s, int64_t row, int64_t rows, int64_t panel, int64_t panel_end) {
  static thread_local Scratch scratch, panel_memory;
  const PackedMatrix& b = job.b;
  const int64_t tiles = DivideUp(rows, kTileRows);
  const int64_t padded_k = s.block_k + 16;
  float* panel_scratch = job.packed ? nullptr : panel_memory.Reserve(s.block_k * kPanelWidth);
  const int64_t residual_stride = job.epilogue->residual_stride;
  float* copy = s.copy_a ? scratch.Reserve(rows * padded_k) : nullptr;
  int64_t k0 = 0;
  do {
    Tile t{};
    const int64_t columns = std::min(s.block_k, b.k - k0);
    t.k = columns / job.segments;
    t.lda = job.lda;
    const float* a = job.source == nullptr ? job.a + row * job.lda + k0 : copy;
    if (s.copy_a) {
      if (job.source != nullptr) {
        if (columns > 0) job.source->Read(row, rows, k0, columns, copy, padded_k);
      } else {
        for (int64_t r = 0; r < rows; ++r) std::memcpy(copy + r * padded_k, a + r * job.lda, columns * sizeof(float));
      }
      a = copy;
      t.lda = padded_k;
    }
    t.first = k0 == 0;
    t.last = k0 + columns == b.k;
    t.segments = job.segments;
    t.segment_skip = job.segment_stride - t.k;
    t.ldc = job.ldc;
    t.epilogue = job.epilogue;
    for (int64_t p = panel; p < panel_end; ++p) {
      const int64_t col = p * kPanelWidth;
      t.n = static_cast<int>(std::min<int64_t>(b.n - col, kPanelWidth));
      const int cols = t.n <= kLanes ? 1 : kTileCols;
      FindPanel(job, col, k0, cols, panel_scratch, t);
      // A thread's next task is most often the next panel.
      const float* other = b.next != nullptr ? b.next : t.b;
      t.prefetch = reinterpret_cast<const char*>(p + 1 < s.panels && job.packed ? t.b + b.k * t.ldb : other);
      int64_t prefetch_bytes = columns * t.ldb * sizeof(float) / tiles;
      t.prefetch_step = DivideUp(t.ldb * sizeof(float), tiles);
      // The first panel's tiles fetch the next tile's rows instead, where those lie side by side.
      if (p == panel && !s.copy_a && t.lda == columns && job.m * columns > kFarA) {
        t.prefetch_step = rows / tiles * sizeof(float);
        prefetch_bytes = columns * t.prefetch_step;
        t.prefetch = reinterpret_cast<const char*>(a) + prefetch_bytes;
      }
      const Epilogue e = job.epilogue->From(col);
      t.bias = e.bias;
      t.scales = e.scales;
      t.a = a;
      t.c = job.c + row * job.ldc + col;
      t.residual = e.residual == nullptr ? nullptr : e.residual + row * residual_stride;
      for (int64_t i = 0; i < tiles; ++i) {
        // Rows are shared out evenly, so that no tile is left with one or two.
        const int64_t tile_rows = rows / tiles + (i < rows % tiles ? 1 : 0);
        ChooseTile(static_cast<int>(tile_rows), cols)(t);
        t.a += tile_rows * t.lda;
        t.c += tile_rows * t.ldc;
        t.prefetch += prefetch_bytes;
        if (t.residual != nullptr) t.residual += tile_rows * residual_stride;
      }
    }
    k0 += columns;
  } while (k0 < b.k);
}

/// sums[col] += a[k] * B[k][begin + col] for kRows rows from k on and `count` columns.
template <int kRows>
HWY_INLINE void AddRows(const GemmJob& job, int64_t k, int64_t begin, int64_t count, float* sums) {
  const FloatTag d;
  FloatVec a[kRows];
  for (int i = 0; i < kRows; ++i) a[i] = hn::Set(d, job.a[k + i]);
  const float* b = job.b.data + k * job.b_row_stride + begin;
  for (int64_t col = 0; col < count; col += kLanes) {
    const int left = static_cast<int>(std::min<int64_t>(kLanes, count - col));
    FloatVec sum = hn::Load(d, sums + col);
    SLIPWAY_UNROLL
    for (int i = 0; i < kRows; ++i) sum = hn::MulAdd(a[i], LoadColumns(b + i * job.b_row_stride + col, 0, left), sum);
    hn::Store(sum, d, sums + col);
  }
}

/// Columns [begin, end) of one row's product with rows of B that lie in memory as such: they are read in the order of
/// memory, where a tile would go down 128 bytes of each.
void MultiplyRow(const GemmJob& job, int64_t begin, int64_t end) {
  constexpr int64_t kColumns = 1024;  // whose sums stay in the L1 cache
  constexpr int kAtOnce = 4;
  const FloatTag d;
  HWY_ALIGN float sums[kColumns];
  for (; begin < end; begin += kColumns) {
    const int64_t count = std::min(kColumns, end - begin);
    std::memset(sums, 0, sizeof(sums));
    int64_t k = 0;
    for (; k + kAtOnce <= job.b.k; k += kAtOnce) AddRows<kAtOnce>(job, k, begin, count, sums);
    for (; k < job.b.k; ++k) AddRows<1>(job, k, begin, count, sums);
    const Epilogue& e = *job.epilogue;
    WithActivation(e, [&](const auto& activate) HWY_ATTR {
      for (int64_t col = 0; col < count; col += kLanes) {
        const int left = static_cast<int>(std::min<int64_t>(kLanes, count - col));
        FloatVec y = hn::Mul(hn::Load(d, sums + col), hn::Set(d, e.scale));
        if (e.scales != nullptr) y = hn::Mul(y, LoadColumns(e.scales + begin + col, 0, left));
        if (e.bias != nullptr) y = hn::Add(y, LoadColumns(e.bias + begin + col, 0, left));
        if (e.residual != nullptr) y = hn::Add(y, LoadColumns(e.residual + begin + col, 0, left));
        StoreColumns(activate(d, y), job.c + begin + col, 0, left);
      }
    });
  }
}

/// Columns of the product from `begin` on.
GemmJob ColumnsFrom(GemmJob job, int64_t begin, Epilogue& epilogue) {
  epilogue = job.epilogue->From(begin);
  job.epilogue = &epilogue;
  job.c += begin;
  job.b.data += job.packed ? begin * job.b.k : begin * job.b_col_stride;
  job.b.n -= begin;
  return job;
}

void RunGemm(const GemmJob& job, const Threads& threads) {
  if (job.m <= 0 || job.b.n <= 0) return;
  if (SuitsStrassen(job, threads.count())) {
    RunStrassen(job, threads);
    Epilogue rest;
    return RunGemm(ColumnsFrom(job, StrassenColumns(job), rest), threads);
  }
  if (job.m == 1 && !job.packed && job.b_col_stride == 1 && job.source == nullptr && job.b.k > 0) {
    const int64_t grain = std::max<int64_t>(64, kTurnWork / job.b.k);
    return threads.ParallelFor(DivideUp(job.b.n, kLanes), DivideUp(grain, kLanes), [&](int64_t begin, int64_t end) {
      MultiplyRow(job, begin * kLanes, std::min(job.b.n, end * kLanes));
    });
  }
  const bool small = std::max<int64_t>(2, job.m) * job.b.n * std::max<int64_t>(1, job.b.k) < kParallelWork;
  const Blocking s = ChooseBlocking(job, small ? 1 : threads.count());
  const auto run = [&](int64_t begin, int64_t end) HWY_ATTR {
    for (int64_t task = begin; task < end;) {
      const int64_t block = task / s.panels;
      const int64_t panel = task % s.panels;
      const int64_t panel_end = std::min(s.panels, panel + end - task);
      const int64_t row = block * s.block_m;
      RunBlock(job, s, row, std::min(s.block_m, job.m - row), panel, panel_end);
      task += panel_end - panel;
    }
  };
  const int64_t tasks = s.blocks_m * s.panels;
  if (small || threads.count() == 1) return run(0, tasks);
  threads.ParallelFor(tasks, s.grain, run);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace slipway::kernels {

HWY_EXPORT(PaddedColumns);
HWY_EXPORT(PackPanels);
HWY_EXPORT(RunGemm);
HWY_EXPORT(ChooseStrassenDepth);

size_t PackedBytes(int64_t k, int64_t n) {
  ChooseTarget();
  return std::max<int64_t>(64, RoundUp(k * HWY_DYNAMIC_DISPATCH(PaddedColumns)(n) * sizeof(float), 64));
}

PackedMatrix PackMatrix(const float* b, int64_t k, int64_t n, int64_t row_stride, int64_t col_stride, float* out,
                        const Threads& threads) {
  ChooseTarget();
  HWY_DYNAMIC_DISPATCH(PackPanels)(b, 0, k, k, n, row_stride, col_stride, out, threads);
  return {.k = k, .n = n, .data = out};
}

void PackMatrixRows(const float* b, int64_t first, int64_t last, int64_t k, int64_t n, int64_t row_stride,
                    int64_t col_stride, float* out, const Threads& threads) {
  ChooseTarget();
  HWY_DYNAMIC_DISPATCH(PackPanels)(b, first, last, k, n, row_stride, col_stride, out, threads);
}

int64_t StrassenDepth(int64_t m, int64_t n, int64_t k, std::optional<bool> strassen, const Threads& threads) {
  ChooseTarget();
  GemmJob job{};
  job.m = m;
  job.b.k = k;
  job.b.n = n;
  job.b.strassen = strassen;
  return HWY_DYNAMIC_DISPATCH(ChooseStrassenDepth)(job, threads.count());
}

void Gemm(int64_t m, const float* a, int64_t lda, const PackedMatrix& b, float* c, int64_t ldc,
          const Epilogue& epilogue, const Threads& threads) {
  ChooseTarget();
  HWY_DYNAMIC_DISPATCH(RunGemm)({m, a, lda, nullptr, b, true, 0, 0, c, ldc, &epilogue}, threads);
}

void Gemm(int64_t m, const RowSource& a, const PackedMatrix& b, float* c, int64_t ldc, const Epilogue& epilogue,
          const Threads& threads) {
  ChooseTarget();
  HWY_DYNAMIC_DISPATCH(RunGemm)({m, nullptr, 0, &a, b, true, 0, 0, c, ldc, &epilogue}, threads);
}

void Gemm(int64_t m, const WindowRows& a, const PackedMatrix& b, float* c, int64_t ldc, const Epilogue& epilogue) {
  ChooseTarget();
  HWY_DYNAMIC_DISPATCH(RunGemm)
  ({m, a.data, a.row_stride, nullptr, b, true, 0, 0, c, ldc, &epilogue, a.segments, a.segment_stride}, Threads(1));
}

void GemmUnpacked(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t b_row_stride,
                  int64_t b_col_stride, float* c, int64_t ldc, const Epilogue& epilogue, const Threads& threads) {
  ChooseTarget();
  const GemmJob job = {m, a, lda, nullptr, {k, n, b}, false, b_row_stride, b_col_stride, c, ldc, &epilogue};
  HWY_DYNAMIC_DISPATCH(RunGemm)(job, threads);
}

}  // namespace slipway::kernels
#endif  // HWY_ONCE
