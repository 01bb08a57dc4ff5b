// The inner kernel of the matrix product: a tile of C held in registers, for inclusion once a target.

#include <hwy/highway.h>

#include <array>
#include <cstdint>
#include <utility>

#include "kernels/epilogue-inl.h"
#include "kernels/gemm/columns-inl.h"

#if defined(SLIPWAY_KERNELS_GEMM_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLIPWAY_KERNELS_GEMM_TILE_INL_H_
#undef SLIPWAY_KERNELS_GEMM_TILE_INL_H_
#else
#define SLIPWAY_KERNELS_GEMM_TILE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {

// Accumulators, one row of B and one element of A must fit the registers: 32 on AVX-512 and 64-bit ARM, 16 elsewhere.
#if HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM_A64
constexpr int kTileRows = 12;
#else
constexpr int kTileRows = 6;
#endif

/// A place of C that has a share in a tile's sums (strassen-inl.h): c = activation(bias + add + scales * sums), or
/// - scales * sums.
struct Share {
  float* c;
  const float* scales;  ///< or null
  const float* bias;    ///< or null
  const float* add;     ///< C itself, or the residual where this is the first share, or null
  int64_t add_stride;
  bool minus;  ///< without a bias
  bool activate;
};

/// One tile's part of a product over k columns of A, or `segments` times as many.
struct Tile {
  const float* a;
  int64_t lda;
  int64_t segments;      ///< runs of k columns that a row of A has
  int64_t segment_skip;  ///< elements of A between the end of one and the next
  const float* b;        ///< k rows, ldb apart, of as many whole vectors as the tile has columns
  int64_t ldb;
  int64_t k;
  const float* second;   ///< of Right's sum or difference, in the form of b
  float* result;         ///< where that goes
  const char* prefetch;  ///< what a coming tile reads of B: fetched to L2 meanwhile, prefetch_step bytes a step of k
  int64_t prefetch_step;
  float* c;
  int64_t ldc;
  int n;                  ///< columns to store
  bool first;             ///< part of the sum: bias and residual come in here, so that a residual may be C itself
  bool last;              ///< activation comes in here
  const float* bias;      ///< at the tile's first column, or null
  const float* residual;  ///< at the tile's first element, or null
  const float* scales;    ///< at the tile's first column, or null
  const Epilogue* epilogue;
  const Share* shares;  ///< of a shared tile, instead of first, last, bias, residual and scales
  int share_count;
};

/// Applies the activation to a tile that is stored already: it is in the L1 cache, and one loop an activation
/// keeps the code small where a copy for every tile shape would not be.
HWY_NOINLINE void ActivateTile(const Epilogue& epilogue, float* c, int64_t ldc, int rows, int n) {
  WithActivation(epilogue, [&](const auto& activate) HWY_ATTR {
    const FloatTag d;
    for (int r = 0; r < rows; ++r) {
      float* row = c + r * ldc;
      for (int col = 0; col < n; col += kLanes) {
        StoreColumns(activate(d, LoadColumns(row, col, n)), row, col, n);
      }
    }
  });
}

/// The scale of all columns times those of the n there are, if there are any.
template <int kCols>
HWY_INLINE void LoadScales(float scale, const float* scales, int n, FloatVec (&out)[kCols]) {
  const FloatTag d;
  SLIPWAY_UNROLL
  for (int j = 0; j < kCols; ++j) {
    out[j] = hn::Set(d, scale);
    if (scales != nullptr) out[j] = hn::Mul(out[j], LoadColumns(scales, j * kLanes, n));
  }
}

template <int kRows, int kCols>
HWY_INLINE void ScaleTile(const Tile& t, int n, FloatVec (&acc)[kRows][kCols]) {
  if (t.epilogue->scale == 1.0f && t.scales == nullptr) return;
  FloatVec scales[kCols];
  LoadScales(t.epilogue->scale, t.scales, n, scales);
  SLIPWAY_UNROLL
  for (int r = 0; r < kRows; ++r) {
    SLIPWAY_UNROLL
    for (int j = 0; j < kCols; ++j) acc[r][j] = hn::Mul(acc[r][j], scales[j]);
  }
}

/// Takes the sums of a tile to C. kWhole: all columns exist.
template <int kRows, int kCols, bool kWhole>
HWY_INLINE void FinishTile(const Tile& t, FloatVec (&acc)[kRows][kCols]) {
  const FloatTag d;
  const int n = kWhole ? kCols * kLanes : t.n;
  ScaleTile(t, n, acc);
  if (t.first && t.bias != nullptr) {
    FloatVec bias[kCols];
    SLIPWAY_UNROLL
    for (int j = 0; j < kCols; ++j) bias[j] = LoadColumns(t.bias, j * kLanes, n);
    SLIPWAY_UNROLL
    for (int r = 0; r < kRows; ++r) {
      SLIPWAY_UNROLL
      for (int j = 0; j < kCols; ++j) acc[r][j] = hn::Add(acc[r][j], bias[j]);
    }
  }
  const float* add = t.first ? t.residual : t.c;
  if (add != nullptr) {
    const int64_t stride = t.first ? t.epilogue->residual_stride : t.ldc;
    SLIPWAY_UNROLL
    for (int r = 0; r < kRows; ++r) {
      SLIPWAY_UNROLL
      for (int j = 0; j < kCols; ++j) acc[r][j] = hn::Add(acc[r][j], LoadColumns(add + r * stride, j * kLanes, n));
    }
  }
  const Activation activation = t.last ? t.epilogue->activation : Activation::kNone;
  if (activation == Activation::kRelu || activation == Activation::kClip) {
    const bool relu = activation == Activation::kRelu;
    const float low = relu ? 0.0f : t.epilogue->alpha;
    const float high = relu ? kInfinity : t.epilogue->beta;
    SLIPWAY_UNROLL
    for (int r = 0; r < kRows; ++r) {
      SLIPWAY_UNROLL
      for (int j = 0; j < kCols; ++j) acc[r][j] = ClampNumber(d, acc[r][j], low, high);
    }
  }
  SLIPWAY_UNROLL
  for (int r = 0; r < kRows; ++r) {
    SLIPWAY_UNROLL
    for (int j = 0; j < kCols; ++j) StoreColumns(acc[r][j], t.c + r * t.ldc, j * kLanes, n);
  }
  if (activation > Activation::kClip) ActivateTile(*t.epilogue, t.c, t.ldc, kRows, t.n);
}

/// Takes the sums of a tile to one place. kScaled: they are scaled, which takes an instruction more for each.
template <bool kScaled, int kRows, int kCols>
HWY_INLINE void AddShare(const Tile& t, const Share& share, const FloatVec (&acc)[kRows][kCols]) {
  const FloatTag d;
  FloatVec scales[kCols];
  if constexpr (kScaled) LoadScales(t.epilogue->scale, share.scales, kCols * kLanes, scales);
  const auto sum = [&](int r, int j) HWY_ATTR {
    if constexpr (kScaled) {
      return hn::Mul(acc[r][j], scales[j]);
    } else {
      return acc[r][j];
    }
  };
  const auto add = [&](int r, int j) HWY_ATTR { return hn::LoadU(d, share.add + r * share.add_stride + j * kLanes); };
  const auto store = [&](const auto& value) HWY_ATTR {
    SLIPWAY_UNROLL
    for (int r = 0; r < kRows; ++r) {
      SLIPWAY_UNROLL
      for (int j = 0; j < kCols; ++j) hn::StoreU(value(r, j), d, share.c + r * t.ldc + j * kLanes);
    }
  };
  if (share.minus) {
    store([&](int r, int j) HWY_ATTR { return hn::Sub(add(r, j), sum(r, j)); });
  } else if (share.bias == nullptr && share.add != nullptr) {
    store([&](int r, int j) HWY_ATTR { return hn::Add(add(r, j), sum(r, j)); });
  } else {
    FloatVec bias[kCols];
    for (int j = 0; j < kCols; ++j)
      bias[j] = share.bias == nullptr ? hn::Zero(d) : hn::LoadU(d, share.bias + j * kLanes);
    if (share.add == nullptr) {
      store([&](int r, int j) HWY_ATTR { return hn::Add(bias[j], sum(r, j)); });
    } else {
      store([&](int r, int j) HWY_ATTR { return hn::Add(hn::Add(add(r, j), bias[j]), sum(r, j)); });
    }
  }
  if (share.activate) ActivateTile(*t.epilogue, share.c, t.ldc, kRows, kCols * kLanes);
}

/// What a tile's rows of A are multiplied by: its panel of B, or the sum or difference with a second one. That is made
/// on the way, by one addition for all of the tile's rows, and kept for the next tiles.
enum class Right { kPanel, kSum, kDifference };

/// Adds the products of one row of B with kRows elements of A. Rows are addressed from one base in four, so that the
/// addresses of 12 rows take 5 registers.
template <int kRows, int kCols, Right kRight>
HWY_INLINE void Step(const float* const (&a)[(kRows + 3) / 4], int64_t lda, int64_t lda3, const float* b,
                     const float* second, float* result, FloatVec (&acc)[kRows][kCols]) {
  const FloatTag d;
  FloatVec bv[kCols];
  SLIPWAY_UNROLL
  for (int j = 0; j < kCols; ++j) {
    bv[j] = hn::LoadU(d, b + j * kLanes);
    if constexpr (kRight != Right::kPanel) {
      const FloatVec other = hn::LoadU(d, second + j * kLanes);
      bv[j] = kRight == Right::kSum ? hn::Add(bv[j], other) : hn::Sub(bv[j], other);
      hn::StoreU(bv[j], d, result + j * kLanes);
    }
  }
  SLIPWAY_UNROLL
  for (int r = 0; r < kRows; ++r) {
    const float* base = a[r / 4];
    const int64_t offset = r % 4 == 3 ? lda3 : r % 4 * lda;
    const FloatVec av = hn::Set(d, base[offset]);
    SLIPWAY_UNROLL
    for (int j = 0; j < kCols; ++j) acc[r][j] = hn::MulAdd(av, bv[j], acc[r][j]);
  }
}

/// kUnroll sums run side by side where a tile of few rows has too few of them to hide the latency of an addition. That
/// is by rows alone: equal columns have equal sums, whether their panel is whole or the narrow last one.
template <int kRows, int kCols, Right kRight, bool kShared>
HWY_NOINLINE void RunTile(const Tile& t) {
  constexpr int kChains = kRows * kTileCols;
  constexpr int kUnroll = kChains >= 8 ? 1 : kChains >= 4 ? 2 : 4;
  // A tile of few rows is bound by the stream of B, which the hardware's prefetch loses at every page.
  constexpr bool kStream = kRows * 3 <= kTileRows;
  const FloatTag d;
  FloatVec acc[kUnroll][kRows][kCols];
  SLIPWAY_UNROLL
  for (int u = 0; u < kUnroll; ++u) {
    SLIPWAY_UNROLL
    for (int r = 0; r < kRows; ++r) {
      SLIPWAY_UNROLL
      for (int j = 0; j < kCols; ++j) acc[u][r][j] = hn::Zero(d);
    }
  }
  constexpr int kBases = (kRows + 3) / 4;
  const int64_t lda = t.lda;
  const int64_t lda3 = 3 * lda;
  const int64_t ldb = t.ldb;
  const float* a[kBases];
  for (int i = 0; i < kBases; ++i) a[i] = t.a + 4 * i * lda;
  const float* b = t.b;
  const float* second = t.second;
  float* result = t.result;
  const char* prefetch = t.prefetch;
  const int64_t prefetch_step = t.prefetch_step;
  const auto next = [&]() HWY_ATTR {
    b += ldb;
    if constexpr (kRight != Right::kPanel) second += ldb, result += ldb;
    for (int i = 0; i < kBases; ++i) ++a[i];
  };
  if constexpr (!kStream) {
    for (int r = 0; r < kRows; ++r) {
      for (int j = 0; j < kCols; ++j) __builtin_prefetch(t.c + r * t.ldc + j * kLanes, 1, 3);
    }
  }
  for (int64_t segment = t.segments;;) {
    int64_t k = t.k;
    for (; k >= kUnroll; k -= kUnroll) {
      SLIPWAY_UNROLL
      for (int u = 0; u < kUnroll; ++u) {
        if constexpr (kStream) {
          for (int j = 0; j < kCols; ++j) __builtin_prefetch(b + 1024 + j * kLanes, 0, 3);
        } else if constexpr (kCols > 1) {
          constexpr int kLineBytes = 64;
          __builtin_prefetch(prefetch, 0, 2);
          // One tile fetches a whole row of the panel a step.
          if (prefetch_step > kLineBytes) __builtin_prefetch(prefetch + kLineBytes, 0, 2);
          prefetch += prefetch_step;
        }
        Step<kRows, kCols, kRight>(a, lda, lda3, b, second, result, acc[u]);
        next();
      }
    }
    if constexpr (kUnroll > 1) {
      for (; k > 0; --k) {
        Step<kRows, kCols, kRight>(a, lda, lda3, b, second, result, acc[0]);
        next();
      }
    }
    if (HWY_LIKELY(--segment == 0)) break;
    for (int i = 0; i < kBases; ++i) a[i] += t.segment_skip;
  }
  if constexpr (kUnroll > 1) {
    SLIPWAY_UNROLL
    for (int u = 1; u < kUnroll; ++u) {
      SLIPWAY_UNROLL
      for (int r = 0; r < kRows; ++r) {
        SLIPWAY_UNROLL
        for (int j = 0; j < kCols; ++j) acc[0][r][j] = hn::Add(acc[0][r][j], acc[u][r][j]);
      }
    }
  }
  if constexpr (kShared) {
    if (HWY_LIKELY(t.epilogue->scale == 1.0f && t.epilogue->scales == nullptr)) {
      for (int i = 0; i < t.share_count; ++i) AddShare<false>(t, t.shares[i], acc[0]);
    } else {
      for (int i = 0; i < t.share_count; ++i) AddShare<true>(t, t.shares[i], acc[0]);
    }
  } else if (HWY_LIKELY(t.n == kCols * kLanes)) {
    FinishTile<kRows, kCols, true>(t, acc[0]);
  } else {
    FinishTile<kRows, kCols, false>(t, acc[0]);
  }
}

using TileFunction = void (*)(const Tile&);

template <int kCols, Right kRight, bool kShared, int... kRows>
constexpr auto TileTable(std::integer_sequence<int, kRows...>) {
  return std::array<TileFunction, sizeof...(kRows)>{&RunTile<kRows + 1, kCols, kRight, kShared>...};
}

/// The kernel for a tile of 1 to kTileRows rows and 1 or kTileCols vectors of columns.
HWY_INLINE TileFunction ChooseTile(int rows, int cols) {
  constexpr auto kRows = std::make_integer_sequence<int, kTileRows>();
  static constexpr auto kNarrow = TileTable<1, Right::kPanel, false>(kRows);
  static constexpr auto kWide = TileTable<kTileCols, Right::kPanel, false>(kRows);
  return cols == 1 ? kNarrow[rows - 1] : kWide[rows - 1];
}

/// The kernel for a tile of kTileCols vectors of columns that is shared.
HWY_INLINE TileFunction ChooseSharedTile(int rows, Right right) {
  constexpr auto kRows = std::make_integer_sequence<int, kTileRows>();
  static constexpr std::array<TileFunction, kTileRows> kTables[] = {
      TileTable<kTileCols, Right::kPanel, true>(kRows), TileTable<kTileCols, Right::kSum, true>(kRows),
      TileTable<kTileCols, Right::kDifference, true>(kRows)};
  return kTables[static_cast<int>(right)][rows - 1];
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#endif  // SLIPWAY_KERNELS_GEMM_TILE_INL_H_
