#include "kernels/conv/pool.h"

#include <algorithm>

#include "kernels/conv/algorithms.h"
#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/pool.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/conv/output-inl.h"

#ifndef SLIPWAY_KERNELS_CONV_POOL_TYPES
#define SLIPWAY_KERNELS_CONV_POOL_TYPES
namespace slipway::kernels {
namespace {

/// The taps of a window that lie inside of the image, and what its sum is multiplied by.
struct PoolWindow {
  const float* x;  ///< the first tap, channel 0
  int64_t rows;
  int64_t columns;
  int64_t row_step;
  int64_t column_step;
  float factor;
};

/// Along one axis: taps [begin, end) of `kernel` are in [0, size), the first at `start`.
struct PoolTaps {
  PoolTaps(int64_t start, int64_t kernel, int64_t dilation, int64_t size) {
    begin = start >= 0 ? 0 : std::min(kernel, CeilDiv(-start, dilation));
    end = start >= size ? begin : std::max(begin, std::min(kernel, CeilDiv(size - start, dilation)));
  }
  int64_t begin;
  int64_t end;
};

}  // namespace
}  // namespace slipway::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {
namespace {

struct MaxOf {
  static HWY_INLINE ConvVec Start() { return hn::Set(ConvTag(), -kInfinity); }
  // The comparison with NaN is false either way round, so what is NaN stays.
  static HWY_INLINE ConvVec Add(ConvVec sum, ConvVec x) {
    return hn::IfThenElse(hn::Or(hn::Gt(x, sum), hn::IsNaN(x)), x, sum);
  }
  static HWY_INLINE ConvVec Finish(ConvVec sum, float /*factor*/) { return sum; }
};

struct MeanOf {
  static HWY_INLINE ConvVec Start() { return hn::Zero(ConvTag()); }
  static HWY_INLINE ConvVec Add(ConvVec sum, ConvVec x) { return hn::Add(sum, x); }
  static HWY_INLINE ConvVec Finish(ConvVec sum, float factor) { return hn::Mul(sum, hn::Set(ConvTag(), factor)); }
};

/// kVectors vectors of channels of one window from channel c on; the last has `lanes` of them.
template <class Op, int kVectors>
HWY_INLINE void PoolVectors(const PoolWindow& w, int64_t c, size_t lanes, float* y) {
  const int64_t step = static_cast<int64_t>(hn::Lanes(ConvTag()));
  ConvVec sum[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) sum[v] = Op::Start();
  for (int64_t i = 0; i < w.rows; ++i) {
    const float* x = w.x + i * w.row_step + c;
    for (int64_t j = 0; j < w.columns; ++j, x += w.column_step) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[v] = Op::Add(sum[v], LoadFirst(x + v * step, lanes));
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) StoreFirst(Op::Finish(sum[v], w.factor), y + c + v * step, lanes);
}

template <class Op>
void PoolChannels(const PoolWindow& w, int64_t channels, float* y) {
  constexpr int kVectors = 4;
  const int64_t step = static_cast<int64_t>(hn::Lanes(ConvTag()));
  int64_t c = 0;
  for (; c + kVectors * step <= channels; c += kVectors * step) {
    PoolVectors<Op, kVectors>(w, c, hn::Lanes(ConvTag()), y);
  }
  for (; c + step <= channels; c += step) PoolVectors<Op, 1>(w, c, hn::Lanes(ConvTag()), y);
  if (c < channels) PoolVectors<Op, 1>(w, c, static_cast<size_t>(channels - c), y);
}

void MaxWindow(const PoolWindow& w, int64_t channels, float* y) { PoolChannels<MaxOf>(w, channels, y); }
void MeanWindow(const PoolWindow& w, int64_t channels, float* y) { PoolChannels<MeanOf>(w, channels, y); }

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace slipway::kernels {
namespace {

HWY_EXPORT(MaxWindow);
HWY_EXPORT(MeanWindow);

using WindowFunction = void (*)(const PoolWindow&, int64_t, float*);

constexpr int64_t kWorthAThread = 1 << 15;

/// Taps that count: those inside of the image, or with `padded` those inside of the padded image.
int64_t Counted(int64_t start, const PoolTaps& inside, int64_t kernel, int64_t dilation, int64_t padded_size,
                bool padded) {
  if (!padded) return inside.end - inside.begin;
  return start >= padded_size ? 0 : std::min(kernel, CeilDiv(padded_size - start, dilation));
}

void Pool(const float* x, const PoolShape& s, bool count_padding, WindowFunction window, float* y,
          const Threads& threads) {
  const int64_t row_work = std::max<int64_t>(1, s.ow * s.c * s.kh * s.kw);
  threads.ParallelFor(s.n * s.oh, std::max<int64_t>(1, kWorthAThread / row_work), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t y0 = row % s.oh * s.stride_h - s.pad_top;
      const PoolTaps rows(y0, s.kh, s.dilation_h, s.h);
      const int64_t counted_rows = Counted(y0, rows, s.kh, s.dilation_h, s.h + s.pad_bottom, count_padding);
      for (int64_t ox = 0; ox < s.ow; ++ox) {
        const int64_t x0 = ox * s.stride_w - s.pad_left;
        const PoolTaps columns(x0, s.kw, s.dilation_w, s.w);
        const int64_t count = counted_rows * Counted(x0, columns, s.kw, s.dilation_w, s.w + s.pad_right, count_padding);
        const int64_t iy = row / s.oh * s.h + y0 + rows.begin * s.dilation_h;
        const int64_t ix = x0 + columns.begin * s.dilation_w;
        window({.x = x + (iy * s.w + ix) * s.c,
                .rows = rows.end - rows.begin,
                .columns = columns.end - columns.begin,
                .row_step = s.dilation_h * s.w * s.c,
                .column_step = s.dilation_w * s.c,
                .factor = count > 0 ? 1.0f / static_cast<float>(count) : 0.0f},
               s.c, y + (row * s.ow + ox) * s.c);
      }
    }
  });
}

}  // namespace

void MaxPool(const float* x, const PoolShape& shape, float* y, const Threads& threads) {
  ChooseTarget();
  Pool(x, shape, false, HWY_DYNAMIC_DISPATCH(MaxWindow), y, threads);
}

void AveragePool(const float* x, const PoolShape& shape, bool count_padding, float* y, const Threads& threads) {
  ChooseTarget();
  Pool(x, shape, count_padding, HWY_DYNAMIC_DISPATCH(MeanWindow), y, threads);
}

}  // namespace slipway::kernels
#endif
