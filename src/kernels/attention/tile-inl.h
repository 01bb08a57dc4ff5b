// Register tiles and packing for attention, for inclusion once a target after foreach_target.h.

#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

#if defined(SLIPWAY_KERNELS_ATTENTION_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLIPWAY_KERNELS_ATTENTION_TILE_INL_H_
#undef SLIPWAY_KERNELS_ATTENTION_TILE_INL_H_
#else
#define SLIPWAY_KERNELS_ATTENTION_TILE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
constexpr int64_t kLanes = hn::MaxLanes(F32());
constexpr int64_t kPanel = 2 * kLanes;

// 12 x 2 vectors of sums need 24 of 32 registers, 6 x 2 need 12 of 16.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON
constexpr int kTileRows = 12;
#else
constexpr int kTileRows = 6;
#endif

#undef SLIPWAY_UNROLL
#define SLIPWAY_UNROLL _Pragma("GCC unroll 16")

// Scores of a query tile and blocks of query rows both lie this far apart: a constant, so that one register addresses
// all rows of a register tile, and no power of two, so that rows do not compete for the same cache sets.
constexpr int64_t kBlock = 256;
constexpr int64_t kRowStride = kBlock + 16;

/// c[M, V vectors] (rows ldc apart) = or += a[M, depth] (rows kRowStride apart) x b[depth, V vectors] (rows ldb apart).
template <int M, int V>
void RegisterTile(int64_t depth, const float* HWY_RESTRICT a, const float* HWY_RESTRICT b, int64_t ldb,
                  float* HWY_RESTRICT c, int64_t ldc, bool accumulate) {
  const F32 d;
  // Unrolled throughout: an index the compiler cannot see would put the sums in memory.
  hn::Vec<F32> sum[M][V];
  SLIPWAY_UNROLL
  for (int r = 0; r < M; ++r) {
    SLIPWAY_UNROLL
    for (int v = 0; v < V; ++v) sum[r][v] = hn::Zero(d);
  }
  for (int64_t k = 0; k < depth; ++k, b += ldb) {
    hn::Vec<F32> right[V];
    SLIPWAY_UNROLL
    for (int v = 0; v < V; ++v) right[v] = hn::LoadU(d, b + v * kLanes);
    SLIPWAY_UNROLL
    for (int r = 0; r < M; ++r) {
      const auto left = hn::Set(d, a[r * kRowStride + k]);
      SLIPWAY_UNROLL
      for (int v = 0; v < V; ++v) sum[r][v] = hn::MulAdd(left, right[v], sum[r][v]);
    }
  }
  if (accumulate) {
    SLIPWAY_UNROLL
    for (int r = 0; r < M; ++r) {
      SLIPWAY_UNROLL
      for (int v = 0; v < V; ++v) sum[r][v] = hn::Add(sum[r][v], hn::LoadU(d, c + r * ldc + v * kLanes));
    }
  }
  SLIPWAY_UNROLL
  for (int r = 0; r < M; ++r) {
    SLIPWAY_UNROLL
    for (int v = 0; v < V; ++v) hn::StoreU(sum[r][v], d, c + r * ldc + v * kLanes);
  }
}

using TileFunction = void (*)(int64_t, const float*, const float*, int64_t, float*, int64_t, bool);

template <int V, int... M>
constexpr std::array<TileFunction, sizeof...(M)> TilesOf(std::integer_sequence<int, M...>) {
  return {&RegisterTile<M + 1, V>...};
}
constexpr std::array<std::array<TileFunction, kTileRows>, 2> kTiles = {
    TilesOf<1>(std::make_integer_sequence<int, kTileRows>()), TilesOf<2>(std::make_integer_sequence<int, kTileRows>())};

/// c[rows, vectors] = or += a[rows, depth] x b, whose panel p of kPanel columns starts at b + p * panel_stride.
inline void TileProduct(int64_t rows, int64_t vectors, int64_t depth, const float* a, const float* b, int64_t ldb,
                        int64_t panel_stride, float* c, int64_t ldc, bool accumulate) {
  const int64_t parts = (rows + kTileRows - 1) / kTileRows;
  for (int64_t v = 0; v < vectors; v += 2, b += panel_stride) {
    const auto& tiles = kTiles[vectors - v == 1 ? 0 : 1];
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t begin = rows * part / parts;
      const int64_t count = rows * (part + 1) / parts - begin;
      tiles[count - 1](depth, a + begin * kRowStride, b, ldb, c + begin * ldc + v * kLanes, ldc, accumulate);
    }
  }
}

/// Four vectors of which vector i holds row 4 g + i in its 128-bit block g become vectors of one column each.
template <class Vec>
HWY_INLINE void Transpose4(F32 d, const Vec* in, float* out, int64_t stride) {
#if HWY_TARGET != HWY_SCALAR
  const hn::Repartition<uint64_t, F32> d64;
  const auto low01 = hn::BitCast(d64, hn::InterleaveLower(d, in[0], in[1]));
  const auto low23 = hn::BitCast(d64, hn::InterleaveLower(d, in[2], in[3]));
  const auto high01 = hn::BitCast(d64, hn::InterleaveUpper(d, in[0], in[1]));
  const auto high23 = hn::BitCast(d64, hn::InterleaveUpper(d, in[2], in[3]));
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, low01, low23)), d, out);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, low01, low23)), d, out + stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, high01, high23)), d, out + 2 * stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, high01, high23)), d, out + 3 * stride);
#endif
}

/// Writes columns of keys [first, first + kLanes) of k to out, element i of a key at out + i * kPanel. Keys from `keys`
/// on repeat the last: their scores are never read.
inline void PackKeyVector(const float* k, int64_t row_stride, int64_t first, int64_t keys, int64_t size, float* out) {
  const F32 d;
  const float* row[kLanes];
  for (int64_t j = 0; j < kLanes; ++j) row[j] = k + std::min(first + j, keys - 1) * row_stride;
  int64_t i = 0;
  if constexpr (kLanes >= 4) {
    for (; i + 4 <= size; i += 4) {
      hn::Vec<F32> in[4];
      for (int64_t r = 0; r < 4; ++r) {
        in[r] = hn::LoadDup128(d, row[kLanes - 4 + r] + i);
        for (int64_t g = kLanes - 8; g >= 0; g -= 4) {
          in[r] = hn::IfThenElse(hn::FirstN(d, static_cast<size_t>(g + 4)), hn::LoadDup128(d, row[g + r] + i), in[r]);
        }
      }
      Transpose4(d, in, out + i * kPanel, kPanel);
    }
  }
  for (; i < size; ++i) {
    for (int64_t j = 0; j < kLanes; ++j) out[i * kPanel + j] = row[j][i];
  }
}

/// Packs keys [0, keys) as panels [size, kPanel] of k transposed.
inline void PackKeys(const float* k, int64_t row_stride, int64_t keys, int64_t size, float* out) {
  for (int64_t first = 0; first < keys; first += kLanes) {
    PackKeyVector(k, row_stride, first, keys, size, out + first / kPanel * kPanel * size + first % kPanel);
  }
}

/// Copies rows of `size` elements to rows `padded` apart, filled up with zeros.
inline void PackValues(const float* v, int64_t row_stride, int64_t keys, int64_t size, int64_t padded, float* out) {
  for (int64_t j = 0; j < keys; ++j) {
    std::memcpy(out + j * padded, v + j * row_stride, static_cast<size_t>(size) * sizeof(float));
    std::fill(out + j * padded + size, out + (j + 1) * padded, 0.0f);
  }
}

/// scores[M, keys] = q[M, size] k^T straight from k, for so few queries that transposing k would cost more. size is a
/// multiple of kLanes.
template <int M>
void ScoresInPlace(const float* q, const float* k, int64_t row_stride, int64_t keys, int64_t size, float* scores) {
  const F32 d;
  constexpr int kKeys = 4;
  for (int64_t first = 0; first < keys; first += kKeys) {
    const float* row[kKeys];
    for (int64_t j = 0; j < kKeys; ++j) row[j] = k + std::min(first + j, keys - 1) * row_stride;
    hn::Vec<F32> sum[M][kKeys];
    for (int r = 0; r < M; ++r) {
      for (int j = 0; j < kKeys; ++j) sum[r][j] = hn::Zero(d);
    }
    for (int64_t i = 0; i < size; i += kLanes) {
      hn::Vec<F32> left[M];
      for (int r = 0; r < M; ++r) left[r] = hn::LoadU(d, q + r * kRowStride + i);
      for (int j = 0; j < kKeys; ++j) {
        const auto right = hn::LoadU(d, row[j] + i);
        for (int r = 0; r < M; ++r) sum[r][j] = hn::MulAdd(left[r], right, sum[r][j]);
      }
    }
    for (int r = 0; r < M; ++r) {
      for (int j = 0; j < kKeys; ++j) scores[r * kRowStride + first + j] = hn::GetLane(hn::SumOfLanes(d, sum[r][j]));
    }
  }
}
constexpr int kFewRows = 4;
constexpr void (*kScoresInPlace[kFewRows])(const float*, const float*, int64_t, int64_t, int64_t, float*) = {
    ScoresInPlace<1>, ScoresInPlace<2>, ScoresInPlace<3>, ScoresInPlace<4>};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#endif  // SLIPWAY_KERNELS_ATTENTION_TILE_INL_H_
