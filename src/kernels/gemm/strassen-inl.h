// One step of Strassen's algorithm above the tiles, for inclusion once a target.
//
// A tile of C twice as high and twice as wide as a tile of registers, and as deep as two blocks of k, is made of seven
// products of half its extents instead of eight (V. Strassen, Gaussian elimination is not optimal, 1969):
//
//   (A11 + A22) (B11 + B22)   to C11 and C22
//   (A21 + A22)  B11          to C21, from C22
//    A11        (B12 - B22)   to C12 and C22
//    A22        (B21 - B11)   to C11 and C21
//   (A11 + A12)  B22          to C12, from C11
//   (A21 - A11) (B11 + B12)   to C22
//   (A12 - A22) (B21 + B22)   to C11
//
// An eighth of the multiplications is saved, and no memory is taken for C: a product's tile goes from the registers to
// both places. Sums of A are made once for all of B's panels. Sums of B's panels, which would double the weights'
// memory if they were kept, are made by the first tile of rows that meets them, in the shade of its multiplications.
//
// The sums mix two rows, two columns and two places of k, so that an element's error is one of the largest numbers
// among them: rows or columns whose magnitudes differ much are multiplied the plain way (kEven), which also keeps
// NaN, infinity and exact zeros in their own rows and columns.

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

#include "kernels/gemm/columns-inl.h"
#include "kernels/gemm/gemm_job.h"
#include "kernels/gemm/panels-inl.h"
#include "kernels/gemm/scratch.h"
#include "kernels/gemm/tile-inl.h"

#if defined(SLIPWAY_KERNELS_GEMM_STRASSEN_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLIPWAY_KERNELS_GEMM_STRASSEN_INL_H_
#undef SLIPWAY_KERNELS_GEMM_STRASSEN_INL_H_
#else
#define SLIPWAY_KERNELS_GEMM_STRASSEN_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {

// Quarters of B and C: by rows (k of B, rows of C), then columns.
enum Quarter { k11, k12, k21, k22 };
// Left-hand operands: the five sums, which are stored in this order, and two quarters of A itself.
enum Left { kDiagonal, kLower, kUpper, kLeftDown, kRightUp, kA11, kA22 };
constexpr int kSums = 5;

/// A product, and what becomes of it in one or two quarters of C.
struct Product {
  Left left;
  Right right;
  Quarter panel, second;
  int count;
  struct {
    Quarter quarter;
    bool first, last, minus;
  } parts[2];
};

constexpr Product kProducts[] = {
    {kDiagonal, Right::kSum, k11, k22, 2, {{k11, true, false, false}, {k22, true, false, false}}},
    {kLower, Right::kPanel, k11, k11, 2, {{k21, true, false, false}, {k22, false, false, true}}},
    {kA11, Right::kDifference, k12, k22, 2, {{k12, true, false, false}, {k22, false, false, false}}},
    {kA22, Right::kDifference, k21, k11, 2, {{k11, false, false, false}, {k21, false, true, false}}},
    {kUpper, Right::kPanel, k22, k22, 2, {{k12, false, true, false}, {k11, false, false, true}}},
    {kLeftDown, Right::kSum, k11, k12, 1, {{k22, false, true, false}}},
    {kRightUp, Right::kSum, k21, k22, 1, {{k11, false, true, false}}},
};

// Two panels of a whole block of k and a sum of half their depth stay in the L2 cache.
constexpr int64_t kMostHalfK = ColumnNotes::kBlockK / 2;
// Sums of A that are kept at a time, in floats of A.
constexpr int64_t kRowsTimesK = 128 * 1024;
// Under these extents the sums cost what the eighth product does.
constexpr int64_t kLeastRows = 64;
constexpr int64_t kLeastK = 384;
constexpr int64_t kLeastPairs = 6;
// As many pairs of panels are enough for sums of A of their own.
constexpr int64_t kPartPairs = 12;

/// Rows are mixed where the largest number of both is at most this many times the mean of either. Plain sums of 400
/// products and more have errors of the same order: those of one number that is 512 times the others'.
constexpr float kEven = 512;

/// `most`: the largest of `count` magnitudes; `least`: their sum, or the least of several.
HWY_INLINE bool IsEven(float most, float least, int64_t count) {
  return most * static_cast<float>(count) <= kEven * least && kEven * least < kInfinity;
}

/// The rows of a product as pairs of tiles, one above the other. By the product's extents alone: the result does not
/// depend on how the work is shared out.
struct PairedRows {
  int64_t half;   ///< rows of all upper tiles
  int64_t tiles;  ///< pairs
  int64_t tail;   ///< rows behind them that are no part of a pair

  int64_t TileRows(int64_t i) const { return half / tiles + (i < half % tiles ? 1 : 0); }
  /// Rows of the upper tiles before the i-th.
  int64_t Before(int64_t i) const { return half / tiles * i + std::min(i, half % tiles); }
};

PairedRows PairRows(int64_t m) {
  PairedRows rows{};
  // One odd row would take the time of a few.
  rows.tail = m % 2 == 0 ? 0 : 5;
  rows.half = (m - rows.tail) / 2;
  // An even number falls to two threads in equal parts.
  rows.tiles = DivideUp(rows.half, kTileRows);
  if (rows.tiles > 1) rows.tiles = RoundUp(rows.tiles, 2);
  return rows;
}

/// One block of k for pairs of tiles [begin, end), and what was made of A there.
struct StrassenBlock {
  const GemmJob& job;
  PairedRows rows;
  int64_t begin, end;
  int64_t block;   ///< its number
  int64_t k;       ///< where it begins
  int64_t half_k;  ///< half its extent
  bool copy_a;     ///< A11 and A22 are stored, too
  int64_t stride;  ///< of a row of sums
  int64_t apart;   ///< from a sum to the next
  float* sums;
  bool* even;  ///< of each pair

  bool first() const { return k == 0; }
  bool last() const { return k + 2 * half_k == job.b.k; }
  /// Where the tile's rows of a sum are.
  float* Sum(int left, int64_t tile) const {
    return sums + left * apart + (rows.Before(tile) - rows.Before(begin)) * stride;
  }
};

HWY_INLINE float Largest(FloatVec v) { return hn::GetLane(hn::MaxOfLanes(FloatTag(), v)); }
HWY_INLINE float Total(FloatVec v) { return hn::GetLane(hn::SumOfLanes(FloatTag(), v)); }

/// Makes the sums of one pair of tiles of A.
void SumRows(const StrassenBlock& s, int64_t tile) {
  const FloatTag d;
  const int64_t half_k = s.half_k;
  const int64_t before = s.rows.Before(tile), count = s.rows.TileRows(tile);
  const float* upper = s.job.a + 2 * before * s.job.lda + s.k;
  const float* lower = upper + count * s.job.lda;
  bool even = true;
  for (int64_t r = 0; r < count; ++r) {
    float* out[kSums + 2];
    for (int i = 0; i < kSums + (s.copy_a ? 2 : 0); ++i) out[i] = s.Sum(i, tile) + r * s.stride;
    FloatVec most = hn::Zero(d), upper_total = hn::Zero(d), lower_total = hn::Zero(d);
    for (int64_t k = 0; k < half_k; k += kLanes) {
      const int n = static_cast<int>(std::min<int64_t>(half_k - k, kLanes));
      const FloatVec a11 = LoadColumns(upper + k, 0, n), a12 = LoadColumns(upper + half_k + k, 0, n);
      const FloatVec a21 = LoadColumns(lower + k, 0, n), a22 = LoadColumns(lower + half_k + k, 0, n);
      hn::StoreU(hn::Add(a11, a22), d, out[kDiagonal] + k);
      hn::StoreU(hn::Add(a21, a22), d, out[kLower] + k);
      hn::StoreU(hn::Add(a11, a12), d, out[kUpper] + k);
      hn::StoreU(hn::Sub(a21, a11), d, out[kLeftDown] + k);
      hn::StoreU(hn::Sub(a12, a22), d, out[kRightUp] + k);
      if (s.copy_a) {
        hn::StoreU(a11, d, out[kA11] + k);
        hn::StoreU(a22, d, out[kA22] + k);
      }
      const FloatVec s11 = hn::Abs(a11), s12 = hn::Abs(a12), s21 = hn::Abs(a21), s22 = hn::Abs(a22);
      most = hn::Max(most, hn::Max(hn::Max(s11, s12), hn::Max(s21, s22)));
      upper_total = hn::Add(upper_total, hn::Add(s11, s12));
      lower_total = hn::Add(lower_total, hn::Add(s21, s22));
    }
    // NaN may pass a maximum or minimum, but neither sum.
    const float upper_sum = Total(upper_total), lower_sum = Total(lower_total);
    even = even && IsEven(Largest(most), upper_sum, 2 * half_k) && IsEven(Largest(most), lower_sum, 2 * half_k);
    upper += s.job.lda;
    lower += s.job.lda;
  }
  s.even[tile - s.begin] = even;
}

/// Whether the columns of two panels are even: as for rows, their largest number is near the least of their means.
bool EvenPanels(const float* const (&panels)[2], int64_t rows) {
  const FloatTag d;
  FloatVec most = hn::Zero(d);
  float least = kInfinity;
  for (const float* panel : panels) {
    FloatVec total[kTileCols];
    for (FloatVec& t : total) t = hn::Zero(d);
    for (int64_t k = 0; k < rows; ++k) {
      for (int j = 0; j < kTileCols; ++j) {
        const FloatVec v = hn::Abs(hn::Load(d, panel + k * kPanelWidth + j * kLanes));
        most = hn::Max(most, v);
        total[j] = hn::Add(total[j], v);
      }
    }
    for (const FloatVec& t : total) {
      if (!(Total(t) < kInfinity)) return false;  // NaN would pass the minimum
      least = std::min(least, hn::GetLane(hn::MinOfLanes(d, t)));
    }
  }
  return IsEven(Largest(most), least, rows);
}

/// EvenPanels, which a packed matrix remembers.
bool EvenColumns(const StrassenBlock& s, int64_t col, const float* const (&panels)[2]) {
  ColumnNotes* notes = s.job.b.notes;
  if (notes == nullptr) return EvenPanels(panels, 2 * s.half_k);
  std::atomic<ColumnNotes::Note>& note = notes->At(col / (2 * kPanelWidth), s.block);
  const ColumnNotes::Note seen = note.load(std::memory_order_relaxed);
  if (seen != ColumnNotes::kUnknown) return seen == ColumnNotes::kEven;
  const bool even = EvenPanels(panels, 2 * s.half_k);
  note.store(even ? ColumnNotes::kEven : ColumnNotes::kUneven, std::memory_order_relaxed);
  return even;
}

/// Rows [row, row + rows) of two panels, the plain way.
void MultiplyPlain(const StrassenBlock& s, int64_t row, int64_t rows, int64_t col, const float* const (&panels)[2]) {
  const GemmJob& job = s.job;
  const Epilogue& e = *job.epilogue;
  const int64_t tiles = DivideUp(rows, kTileRows);
  Tile t{};
  t.lda = job.lda;
  t.segments = 1;
  t.ldb = kPanelWidth;
  t.k = 2 * s.half_k;
  t.ldc = job.ldc;
  t.n = kPanelWidth;
  t.first = s.first();
  t.last = s.last();
  t.epilogue = job.epilogue;
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t tile_rows = rows / tiles + (i < rows % tiles ? 1 : 0);
    t.a = job.a + row * job.lda + s.k;
    for (int j = 0; j < 2; ++j) {
      const int64_t at = col + j * kPanelWidth;
      t.b = panels[j];
      t.prefetch = reinterpret_cast<const char*>(t.b);
      t.c = job.c + row * job.ldc + at;
      const Epilogue here = e.From(at);
      t.bias = here.bias;
      t.scales = here.scales;
      t.residual = here.residual == nullptr ? nullptr : here.residual + row * e.residual_stride;
      ChooseTile(static_cast<int>(tile_rows), kTileCols)(t);
    }
    row += tile_rows;
  }
}

/// The seven products of all pairs of tiles with two panels.
void MultiplyPair(const StrassenBlock& s, int64_t col, const float* const (&panels)[2], const float* const (&next)[2],
                  float* sum) {
  const GemmJob& job = s.job;
  const Epilogue& e = *job.epilogue;
  const int64_t half_k = s.half_k;
  const float* quarters[] = {panels[0], panels[1], panels[0] + half_k * kPanelWidth, panels[1] + half_k * kPanelWidth};
  Tile t{};
  t.segments = 1;
  t.ldb = kPanelWidth;
  t.k = half_k;
  t.ldc = job.ldc;
  t.epilogue = job.epilogue;
  t.result = sum;
  // The next panels are fetched meanwhile: the first while four products are made, the second while three are.
  const int64_t panel_bytes = 2 * half_k * kPanelWidth * sizeof(float);
  int64_t prefetch_bytes = 0;
  for (const Product& p : kProducts) {
    const int64_t number = &p - kProducts;
    if (number == 0 || number == 4) {
      prefetch_bytes = DivideUp(panel_bytes, (number == 0 ? 4 : 3) * (s.end - s.begin));
      t.prefetch = reinterpret_cast<const char*>(next[number == 0 ? 0 : 1]);
      t.prefetch_step = DivideUp(prefetch_bytes, half_k);
    }
    Right right = p.right;
    t.b = quarters[p.panel];
    t.second = quarters[p.second];
    for (int64_t i = s.begin; i < s.end; ++i) {
      if (!s.even[i - s.begin]) continue;
      const int64_t count = s.rows.TileRows(i);
      const int64_t row = 2 * s.rows.Before(i);
      if (p.left < kSums || s.copy_a) {
        t.a = s.Sum(p.left, i);
        t.lda = s.stride;
      } else {
        t.a = job.a + s.k + (p.left == kA11 ? row * job.lda : (row + count) * job.lda + half_k);
        t.lda = job.lda;
      }
      Share shares[2];
      for (int j = 0; j < p.count; ++j) {
        const auto [quarter, first_there, last_there, minus] = p.parts[j];
        const bool first = first_there && s.first();
        const int64_t at_row = row + (quarter == k21 || quarter == k22 ? count : 0);
        const int64_t at = col + (quarter == k12 || quarter == k22 ? kPanelWidth : 0);
        Share& share = shares[j];
        share.c = job.c + at_row * job.ldc + at;
        share.scales = e.scales == nullptr ? nullptr : e.scales + at;
        share.bias = first && e.bias != nullptr ? e.bias + at : nullptr;
        share.add_stride = first ? e.residual_stride : job.ldc;
        share.add = !first ? share.c : e.residual == nullptr ? nullptr : e.residual + at_row * share.add_stride + at;
        share.minus = minus;
        share.activate = last_there && s.last() && e.activation != Activation::kNone;
      }
      t.shares = shares;
      t.share_count = p.count;
      t.c = shares[0].c;
      ChooseSharedTile(static_cast<int>(count), right)(t);
      t.prefetch += prefetch_bytes;
      if (right != Right::kPanel) {
        right = Right::kPanel;
        t.b = sum;
      }
    }
  }
  for (int64_t i = s.begin; i < s.end; ++i) {
    if (s.even[i - s.begin]) continue;
    MultiplyPlain(s, 2 * s.rows.Before(i), 2 * s.rows.TileRows(i), col, panels);
  }
}

/// All pairs of tiles, and the tail with the last of them, by the two panels at col.
void MultiplyPanels(const StrassenBlock& s, int64_t col) {
  static thread_local Scratch scratch;
  const GemmJob& job = s.job;
  const int64_t half_floats = s.half_k * kPanelWidth;
  float* memory = scratch.Reserve((job.packed ? 1 : 5) * half_floats);
  const float* panels[2];
  const float* next[2];
  for (int j = 0; j < 2; ++j) {
    const int64_t at = col + j * kPanelWidth;
    if (job.packed) {
      panels[j] = job.b.data + at * job.b.k + s.k * kPanelWidth;
      // A thread's next task is most often the next two panels.
      next[j] = panels[j] + (at + 3 * kPanelWidth <= job.b.n ? 2 * job.b.k * kPanelWidth : 0);
    } else {
      float* panel = memory + (1 + 2 * j) * half_floats;
      PackPanel(job.b.data + s.k * job.b_row_stride + at * job.b_col_stride, 2 * s.half_k, kPanelWidth,
                job.b_row_stride, job.b_col_stride, kPanelWidth, panel);
      panels[j] = next[j] = panel;
    }
  }
  if (EvenColumns(s, col, panels)) {
    MultiplyPair(s, col, panels, next, memory);
  } else {
    const int64_t row = 2 * s.rows.Before(s.begin);
    MultiplyPlain(s, row, 2 * s.rows.Before(s.end) - row, col, panels);
  }
  if (s.end == s.rows.tiles && s.rows.tail > 0) {
    MultiplyPlain(s, 2 * s.rows.half, s.rows.tail, col, panels);
  }
}

/// Half of how deep k is cut.
int64_t HalfDepth(int64_t k) { return RoundUp(DivideUp(k / 2, DivideUp(k / 2, kMostHalfK)), 8); }

/// Pairs of tiles [begin, end) by pairs of panels [panel, panel_end).
void RunPairs(const GemmJob& job, const PairedRows& rows, int64_t begin, int64_t end, int64_t panel,
              int64_t panel_end) {
  static thread_local Scratch scratch;
  const int64_t k = job.b.k;
  const int64_t half_k = HalfDepth(k);
  const bool copy_a = job.lda % 1024 == 0;
  const int64_t stride = half_k + 16;
  // Sums a multiple of 4 KB apart would compete for the same few lines of the L1 cache.
  const int64_t apart = RoundUp((rows.Before(end) - rows.Before(begin)) * stride, 1024) + 80;
  const int64_t floats = (kSums + (copy_a ? 2 : 0)) * apart;
  float* sums = scratch.Reserve(floats + DivideUp(end - begin, sizeof(float)));
  bool* even = reinterpret_cast<bool*>(sums + floats);
  for (int64_t k0 = 0, block = 0; k0 < k; k0 += 2 * half_k, ++block) {
    const StrassenBlock s{.job = job,
                          .rows = rows,
                          .begin = begin,
                          .end = end,
                          .block = block,
                          .k = k0,
                          .half_k = std::min(half_k, (k - k0) / 2),
                          .copy_a = copy_a,
                          .stride = stride,
                          .apart = apart,
                          .sums = sums,
                          .even = even};
    for (int64_t i = begin; i < end; ++i) SumRows(s, i);
    for (int64_t p = panel; p < panel_end; ++p) MultiplyPanels(s, p * 2 * kPanelWidth);
  }
}

/// How a product is shared out: groups of pairs of tiles by parts of the pairs of panels.
struct StrassenShares {
  int64_t groups;
  int64_t parts;
};

StrassenShares ChooseShares(const GemmJob& job, bool packed, const PairedRows& rows, int threads) {
  const int64_t pairs = job.b.n / (2 * kPanelWidth);
  const int64_t block_k = std::min(job.b.k, 2 * kMostHalfK);
  StrassenShares s{.groups = DivideUp(job.m * block_k, kRowsTimesK), .parts = 1};
  if (s.groups < threads) {
    // Each part makes the sums of A anew, each group those of B, and packs it if it is not.
    s.parts = std::min<int64_t>(threads, pairs / kPartPairs);
    if (s.parts < DivideUp(threads, s.groups) && packed) {
      s.groups = std::max(s.groups, std::min(DivideUp(threads, std::max<int64_t>(1, s.parts)), rows.tiles / 3));
    }
    s.parts = DivideUp(threads, s.groups);
  }
  if (s.groups > threads) s.groups = RoundUp(s.groups, threads);
  s.groups = std::min(s.groups, rows.tiles);
  return s;
}

/// Whether one step of Strassen's pays for the product: then RunStrassen takes its first StrassenColumns. A matrix that
/// is not packed yet is treated as if it were: a session's first run gives what the next ones do.
bool SuitsStrassen(const GemmJob& job, int threads) {
  if (job.source != nullptr || job.segments > 1 || job.m < kLeastRows || job.b.k < kLeastK || job.b.k % 2 != 0) {
    return false;
  }
  const int64_t pairs = job.b.n / (2 * kPanelWidth);
  if (job.b.strassen.has_value()) return *job.b.strassen && pairs > 0;
  return pairs >= kLeastPairs * ChooseShares(job, true, PairRows(job.m), threads).parts;
}

int64_t ChooseStrassenDepth(const GemmJob& job, int threads) {
  return SuitsStrassen(job, threads) ? 2 * HalfDepth(job.b.k) : 0;
}

int64_t StrassenColumns(const GemmJob& job) { return job.b.n / (2 * kPanelWidth) * (2 * kPanelWidth); }

void RunStrassen(const GemmJob& job, const Threads& threads) {
  const int64_t pairs = job.b.n / (2 * kPanelWidth);
  const PairedRows rows = PairRows(job.m);
  const StrassenShares s = ChooseShares(job, job.packed, rows, threads.count());
  threads.ParallelFor(s.groups * s.parts, 1, [&](int64_t begin, int64_t end) HWY_ATTR {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t group = i / s.parts, part = i % s.parts;
      RunPairs(job, rows, rows.tiles * group / s.groups, rows.tiles * (group + 1) / s.groups, pairs * part / s.parts,
               pairs * (part + 1) / s.parts);
    }
  });
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#endif  // SLIPWAY_KERNELS_GEMM_STRASSEN_INL_H_
