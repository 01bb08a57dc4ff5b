// The inner kernels of products of bytes, for inclusion once a target.

#include <hwy/highway.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

#include "kernels/epilogue-inl.h"
#include "kernels/gemm/columns-inl.h"
#include "kernels/quant/int_job.h"

#if defined(SLIPWAY_KERNELS_QUANT_INT_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLIPWAY_KERNELS_QUANT_INT_TILE_INL_H_
#undef SLIPWAY_KERNELS_QUANT_INT_TILE_INL_H_
#else
#define SLIPWAY_KERNELS_QUANT_INT_TILE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {

using IntTag = hn::RebindToSigned<FloatTag>;
using IntVec = hn::Vec<IntTag>;
constexpr int kPairWidth = 2 * kLanes;
#if HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM_A64
constexpr int kPairRows = 12;
#else
constexpr int kPairRows = 5;
#endif

/// sum + a_low * b_low + a_high * b_high in each lane, of 16-bit halves.
HWY_INLINE IntVec PairDot(IntVec a, IntVec b, IntVec sum) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
  const hn::Repartition<int16_t, IntTag> d16;
  IntVec unused = sum;
  return hn::ReorderWidenMulAccumulate(IntTag(), hn::BitCast(d16, a), hn::BitCast(d16, b), sum, unused);
#else
  const auto low = [](IntVec v) HWY_ATTR { return hn::ShiftRight<16>(hn::ShiftLeft<16>(v)); };
  const IntVec even = hn::Mul(low(a), low(b));
  return hn::Add(sum, hn::Add(even, hn::Mul(hn::ShiftRight<16>(a), hn::ShiftRight<16>(b))));
#endif
}

template <int kRows, int kCols>
HWY_NOINLINE void RunPairTile(const int16_t* a, int64_t lda, const int32_t* b, int64_t steps, int32_t* sums) {
  const IntTag d;
  constexpr int kBases = (kRows + 3) / 4;
  const int16_t* base[kBases];
  for (int i = 0; i < kBases; ++i) base[i] = a + 4 * i * lda;
  const int64_t lda3 = 3 * lda;
  IntVec acc[kRows][kCols];
  SLIPWAY_UNROLL
  for (int r = 0; r < kRows; ++r) {
    SLIPWAY_UNROLL
    for (int j = 0; j < kCols; ++j) acc[r][j] = hn::Zero(d);
  }
  for (int64_t s = 0; s < steps; ++s) {
    IntVec bv[kCols];
    SLIPWAY_UNROLL
    for (int j = 0; j < kCols; ++j) bv[j] = hn::LoadU(d, b + j * kLanes);
    SLIPWAY_UNROLL
    for (int r = 0; r < kRows; ++r) {
      int32_t pair;
      std::memcpy(&pair, base[r / 4] + (r % 4 == 3 ? lda3 : r % 4 * lda), sizeof(pair));
      const IntVec av = hn::Set(d, pair);
      SLIPWAY_UNROLL
      for (int j = 0; j < kCols; ++j) acc[r][j] = PairDot(av, bv[j], acc[r][j]);
    }
    for (int i = 0; i < kBases; ++i) base[i] += 2;
    b += kPairWidth;
  }
  SLIPWAY_UNROLL
  for (int r = 0; r < kRows; ++r) {
    SLIPWAY_UNROLL
    for (int j = 0; j < kCols; ++j) hn::StoreU(acc[r][j], d, sums + r * kPairWidth + j * kLanes);
  }
}

using PairTile = void (*)(const int16_t*, int64_t, const int32_t*, int64_t, int32_t*);

template <int kCols, int... kRows>
constexpr auto PairTable(std::integer_sequence<int, kRows...>) {
  return std::array<PairTile, sizeof...(kRows)>{&RunPairTile<kRows + 1, kCols>...};
}
HWY_INLINE PairTile ChoosePairTile(int rows, bool wide) {
  static constexpr auto kNarrow = PairTable<1>(std::make_integer_sequence<int, kPairRows>());
  static constexpr auto kWide = PairTable<2>(std::make_integer_sequence<int, kPairRows>());
  return wide ? kWide[rows - 1] : kNarrow[rows - 1];
}

/// Makes the row's bytes unsigned and gives their sum.
HWY_INLINE int32_t FinishRow(uint8_t* row, int64_t k, bool is_signed) {
  const uint8_t flip = is_signed ? 0x80 : 0;
  uint32_t sum = 0;
  int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::ScalableTag<uint8_t> d;
  const hn::Repartition<uint64_t, decltype(d)> d64;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto flips = hn::Set(d, flip);
  auto sums = hn::Zero(d64);
  for (; i + lanes <= k; i += lanes) {
    const auto v = hn::Xor(hn::LoadU(d, row + i), flips);
    if (is_signed) hn::StoreU(v, d, row + i);
    sums = hn::Add(sums, hn::SumsOf8(v));
  }
  sum = static_cast<uint32_t>(hn::GetLane(hn::SumOfLanes(d64, sums)));
#endif
  for (; i < k; ++i) sum += row[i] ^= flip;
  return static_cast<int32_t>(sum);
}

HWY_INLINE void WidenRow(const uint8_t* row, int64_t k, int16_t* out) {
  for (int64_t i = 0; i < k; ++i) out[i] = row[i];
}

/// A tile's sums as they should be, a vector of columns after the other: columns(first column)(row, sums).
template <class Columns>
HWY_INLINE void ForEachVector(const IntJob& job, int64_t row, int rows, int64_t col, int n, const int32_t* sums,
                              int width, const int32_t* row_sums, const Columns& columns) {
  const IntTag d;
  for (int j = 0; j < n; j += kLanes) {
    const auto store = columns(j);
    const IntVec add = hn::LoadU(d, job.add + col + j);
    const IntVec times_a = job.times_a ? hn::LoadU(d, job.times_a + col + j) : hn::Zero(d);
    const IntVec times_sum = job.times_sum ? hn::LoadU(d, job.times_sum + col + j) : hn::Zero(d);
    for (int r = 0; r < rows; ++r) {
      IntVec v = hn::Add(hn::LoadU(d, sums + r * width + j), add);
      if (job.times_a) {
        const IntVec a_zero = hn::Set(d, job.result->a_zero.data[row + r] + (job.a_is_signed ? 128 : 0));
        v = hn::Sub(v, hn::Mul(a_zero, times_a));
      }
      if (job.times_sum) v = hn::Sub(v, hn::Mul(hn::Set(d, row_sums[r]), times_sum));
      store(r, v);
    }
  }
}

/// round(v * scale) within [low, high], of half a vector's lanes.
template <class V, class S>
HWY_INLINE auto Requantized(V v, S scale, double low, double high) {
  const hn::Rebind<double, hn::DFromV<V>> dd;
  const auto product = hn::Mul(hn::PromoteTo(dd, v), hn::PromoteTo(dd, scale));
  // NaN, from a scale that is none, gives the lowest.
  const auto least = hn::Set(dd, low);
  const auto above = hn::IfThenElse(hn::Lt(least, product), product, least);
  return hn::DemoteTo(hn::DFromV<V>(), hn::Round(hn::Min(above, hn::Set(dd, high))));
}

/// The scales of columns [col + j, col + n), as many as a vector holds.
HWY_INLINE FloatVec LoadScale(const IntResult& result, int64_t col, int j, int n) {
  return result.scale.many ? LoadColumns(result.scale.data + col, j, n) : hn::Set(FloatTag(), *result.scale.data);
}

void FinishBytes(const IntJob& job, int64_t row, int rows, int64_t col, int n, const int32_t* sums, int width,
                 const int32_t* row_sums) {
  const IntTag d;
  const IntResult& result = *job.result;
  const bool is_signed = result.kind == IntResult::Kind::kInt8;
  const int zero = result.zero;
  const double low = (is_signed ? -128 : 0) - zero, high = (is_signed ? 127 : 255) - zero;
  auto* out = static_cast<uint8_t*>(result.data) + row * result.stride + col;
  ForEachVector(job, row, rows, col, n, sums, width, row_sums, [&](int j) HWY_ATTR {
    const FloatVec scale = LoadScale(result, col, j, n);
    return [&, scale, j](int r, IntVec v) HWY_ATTR {
      alignas(64) int32_t lanes[kLanes];
#if HWY_TARGET == HWY_SCALAR
      hn::Store(Requantized(v, scale, low, high), d, lanes);
#else
      const hn::Half<IntTag> dh;
      const hn::Half<FloatTag> dfh;
      hn::Store(Requantized(hn::LowerHalf(dh, v), hn::LowerHalf(dfh, scale), low, high), dh, lanes);
      hn::Store(Requantized(hn::UpperHalf(dh, v), hn::UpperHalf(dfh, scale), low, high), dh, lanes + kLanes / 2);
#endif
      uint8_t* to = out + r * result.stride + j;
      const int count = n - j < kLanes ? n - j : kLanes;
      for (int i = 0; i < count; ++i) to[i] = static_cast<uint8_t>(lanes[i] + zero);
    };
  });
}

void FinishFloats(const IntJob& job, int64_t row, int rows, int64_t col, int n, const int32_t* sums, int width,
                  const int32_t* row_sums) {
  const FloatTag df;
  const IntResult& result = *job.result;
  const Epilogue& e = result.epilogue;
  float* out = static_cast<float*>(result.data) + row * result.stride + col;
  const float* residual = e.residual == nullptr ? nullptr : e.residual + row * e.residual_stride + col;
  WithActivation(e, [&](const auto& activate) HWY_ATTR {
    ForEachVector(job, row, rows, col, n, sums, width, row_sums, [&](int j) HWY_ATTR {
      const FloatVec scale = LoadScale(result, col, j, n);
      const FloatVec bias = e.bias == nullptr ? hn::Zero(df) : LoadColumns(e.bias + col, j, n);
      return [&, scale, bias, j](int r, IntVec v) HWY_ATTR {
        FloatVec f = hn::Mul(hn::ConvertTo(df, v), scale);
        if (e.bias != nullptr) f = hn::Add(f, bias);
        if (residual != nullptr) f = hn::Add(f, LoadColumns(residual + r * e.residual_stride, j, n));
        StoreColumns(activate(df, f), out + r * result.stride, j, n);
      };
    });
  });
}

/// Takes a tile's raw sums to the result.
void FinishTile(const IntJob& job, int64_t row, int rows, int64_t col, int n, const int32_t* sums, int width,
                const int32_t* row_sums) {
  const IntResult& result = *job.result;
  if (result.kind == IntResult::Kind::kFloat) return FinishFloats(job, row, rows, col, n, sums, width, row_sums);
  if (result.kind != IntResult::Kind::kInt32) return FinishBytes(job, row, rows, col, n, sums, width, row_sums);
  float* out = static_cast<float*>(result.data) + row * result.stride + col;
  ForEachVector(job, row, rows, col, n, sums, width, row_sums, [&](int j) HWY_ATTR {
    return [&, j](int r, IntVec v)
               HWY_ATTR { StoreColumns(hn::BitCast(FloatTag(), v), out + r * result.stride, j, n); };
  });
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#endif  // SLIPWAY_KERNELS_QUANT_INT_TILE_INL_H_
