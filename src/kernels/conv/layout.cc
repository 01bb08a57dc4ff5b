#include "kernels/conv/layout.h"

#include <algorithm>

#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/layout.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

void TransposePlain(const float* in, int64_t rows, int64_t columns, int64_t in_stride, float* out, int64_t out_stride) {
  for (int64_t j = 0; j < columns; ++j) {
    for (int64_t i = 0; i < rows; ++i) out[j * out_stride + i] = in[i * in_stride + j];
  }
}

HWY_INLINE void Transpose4x4(const float* in, int64_t in_stride, float* out, int64_t out_stride) {
#if HWY_TARGET == HWY_SCALAR
  TransposePlain(in, 4, 4, in_stride, out, out_stride);
#else
  const hn::FixedTag<float, 4> d;
  const hn::RepartitionToWide<decltype(d)> pairs;
  const auto a = hn::LoadU(d, in);
  const auto b = hn::LoadU(d, in + in_stride);
  const auto e = hn::LoadU(d, in + 2 * in_stride);
  const auto f = hn::LoadU(d, in + 3 * in_stride);
  const auto low_ab = hn::BitCast(pairs, hn::InterleaveLower(d, a, b));
  const auto low_ef = hn::BitCast(pairs, hn::InterleaveLower(d, e, f));
  const auto high_ab = hn::BitCast(pairs, hn::InterleaveUpper(d, a, b));
  const auto high_ef = hn::BitCast(pairs, hn::InterleaveUpper(d, e, f));
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, low_ab, low_ef)), d, out);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, low_ab, low_ef)), d, out + out_stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, high_ab, high_ef)), d, out + 2 * out_stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, high_ab, high_ef)), d, out + 3 * out_stride);
#endif
}

void TransposeBlock(const float* in, int64_t rows, int64_t columns, int64_t in_stride, float* out, int64_t out_stride) {
  // A cache line of each row is read at a time, and the lines written to stay in the cache until they are full.
  constexpr int64_t kLine = 16;
  const int64_t rows4 = rows / 4 * 4;
  for (int64_t j0 = 0; j0 < columns; j0 += kLine) {
    const int64_t end = std::min(columns, j0 + kLine);
    const int64_t end4 = j0 + (end - j0) / 4 * 4;
    for (int64_t i = 0; i < rows4; i += 4) {
      const float* from = in + i * in_stride;
      float* to = out + i;
      for (int64_t j = j0; j < end4; j += 4) Transpose4x4(from + j, in_stride, to + j * out_stride, out_stride);
      TransposePlain(from + end4, 4, end - end4, in_stride, to + end4 * out_stride, out_stride);
    }
    TransposePlain(in + rows4 * in_stride + j0, rows - rows4, end - j0, in_stride, out + j0 * out_stride + rows4,
                   out_stride);
  }
}

/// rows = 3: an image's planes of colours to pixels.
void Interleave3(const float* in, int64_t columns, int64_t in_stride, float* out) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t j = 0;
  for (; j + lanes <= columns; j += lanes) {
    hn::StoreInterleaved3(hn::LoadU(d, in + j), hn::LoadU(d, in + in_stride + j), hn::LoadU(d, in + 2 * in_stride + j),
                          d, out + 3 * j);
  }
  TransposePlain(in + j, 3, columns - j, in_stride, out + 3 * j, 3);
}

/// Columns [begin, end) of one matrix of [rows][columns].
void TransposeColumns(const float* in, int64_t rows, int64_t columns, int64_t begin, int64_t end, float* out) {
  if (rows == 3) return Interleave3(in + begin, end - begin, columns, out + begin * 3);
  TransposeBlock(in + begin, rows, end - begin, columns, out + begin * rows, rows);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace slipway::kernels {
namespace {
HWY_EXPORT(TransposeColumns);
}  // namespace

void TransposeMatrices(const float* in, int64_t n, int64_t rows, int64_t columns, float* out, const Threads& threads) {
  ChooseTarget();
  constexpr int64_t kColumns = 64;
  constexpr int64_t kWorthAThread = 1 << 15;
  const int64_t blocks = (columns + kColumns - 1) / kColumns;
  const int64_t grain = std::max<int64_t>(1, kWorthAThread / (kColumns * std::max<int64_t>(1, rows)));
  threads.ParallelFor(n * blocks, grain, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t matrix = begin / blocks;
      const int64_t last = std::min(end, (matrix + 1) * blocks);
      const int64_t offset = matrix * rows * columns;
      HWY_DYNAMIC_DISPATCH(TransposeColumns)
      (in + offset, rows, columns, begin % blocks * kColumns, std::min(columns, (last - matrix * blocks) * kColumns),
       out + offset);
      begin = last;
    }
  });
}

}  // namespace slipway::kernels
#endif
