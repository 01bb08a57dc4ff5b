#include "kernels/conv/pool_planes.h"

#include <algorithm>
#include <vector>

#include "kernels/conv/algorithms.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/pool_planes.cc"
#include "kernels/targets.h"
// After targets.h.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/row-inl.h"

#ifndef SLIPWAY_KERNELS_CONV_PLANE_TYPES
#define SLIPWAY_KERNELS_CONV_PLANE_TYPES
namespace slipway::kernels {
namespace {

/// Output rows [begin, end), counted through all planes.
struct PlanesJob {
  const float* x;
  const PoolShape* s;
  bool mean;
  const float* factors;  ///< for `mean`: [oh, ow], what a window's sum is multiplied by
  float* y;
};

}  // namespace
}  // namespace slipway::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {
namespace {

// Rows are read at places where they were not written: of vectors of 64 bytes nearly each would lie in two lines.
using Part = hn::CappedTag<float, 8>;
constexpr int64_t kPart = std::min<int64_t>(8, kLanes);
using One = hn::CappedTag<float, 1>;

struct PlaneSum {
  static constexpr float kIdentity = 0;
  template <class V>
  static HWY_INLINE V Combine(V a, V b) {
    return hn::Add(a, b);
  }
};

/// The taps of the windows that begin at from, from + stride, …, a vector of them.
template <class Op>
HWY_INLINE hn::Vec<Part> Windows(const float* from, const PoolShape& s) {
  const Part d;
  if (s.stride_w == 1) {
    auto sum = hn::LoadU(d, from);
    for (int64_t t = 1; t < s.kw; ++t) sum = Op::Combine(sum, hn::LoadU(d, from + t * s.dilation_w));
    return sum;
  }
  hn::Vec<Part> even, odd;
  hn::LoadInterleaved2(d, from, even, odd);
  auto sum = even;
  int64_t t = 1;
  if (s.dilation_w == 1 && s.kw > 1) {
    sum = Op::Combine(sum, odd);
    t = 2;
  }
  for (; t < s.kw; ++t) {
    hn::LoadInterleaved2(d, from + t * s.dilation_w, even, odd);
    sum = Op::Combine(sum, even);
  }
  return sum;
}

/// y[o] = row[o * stride] and the taps behind it, times factors[o] where there are any. `row` reaches as far as whole
/// vectors of outputs do.
template <class Op>
void Columns(const float* row, const PoolShape& s, const float* factors, float* y) {
  const Part d;
  int64_t o = 0;
  for (; s.stride_w <= 2 && o + kPart <= s.ow; o += kPart) {
    auto sum = Windows<Op>(row + o * s.stride_w, s);
    if (factors) sum = hn::Mul(sum, hn::LoadU(d, factors + o));
    hn::StoreU(sum, d, y + o);
  }
  for (; o < s.ow; ++o) {
    auto sum = hn::Set(One(), row[o * s.stride_w]);
    for (int64_t t = 1; t < s.kw; ++t) sum = Op::Combine(sum, hn::Set(One(), row[o * s.stride_w + t * s.dilation_w]));
    y[o] = hn::GetLane(sum) * (factors ? factors[o] : 1.0f);
  }
}

/// The rows that output row r, counted through all planes, sees, brought together.
template <class Op>
void JoinRows(const PlanesJob& job, int64_t r, float* row) {
  const Part d;
  const PoolShape& s = *job.s;
  const int64_t top = r % s.oh * s.stride_h - s.pad_top;
  const int64_t first = top >= 0 ? 0 : CeilDiv(-top, s.dilation_h);
  const int64_t end = top >= s.h ? 0 : std::min(s.kh, CeilDiv(s.h - top, s.dilation_h)), step = s.dilation_h * s.w;
  if (first >= end) {
    std::fill_n(row, s.w, Op::kIdentity);
    return;
  }
  const float* from = job.x + r / s.oh * s.h * s.w + (top + first * s.dilation_h) * s.w;
  int64_t i = 0;
  for (; i + kPart <= s.w; i += kPart) {
    auto sum = hn::LoadU(d, from + i);
    for (int64_t t = 1; t < end - first; ++t) sum = Op::Combine(sum, hn::LoadU(d, from + t * step + i));
    hn::StoreU(sum, d, row + i);
  }
  for (; i < s.w; ++i) {
    auto sum = hn::Set(One(), from[i]);
    for (int64_t t = 1; t < end - first; ++t) sum = Op::Combine(sum, hn::Set(One(), from[t * step + i]));
    row[i] = hn::GetLane(sum);
  }
}

template <class Op>
void PlaneRows(const PlanesJob& job, int64_t begin, int64_t end) {
  const PoolShape& s = *job.s;
  // A row of the image with what lies left and right of it, as far as whole vectors of windows reach. Some rows at a
  // time: one that was only just written is not quickly read at other places.
  constexpr int64_t kRows = 8;
  const int64_t reach = std::max((s.ow + kPart) * s.stride_w + (s.kw - 1) * s.dilation_w + kPart, s.pad_left + s.w);
  std::vector<float> padded(kRows * reach, Op::kIdentity);
  for (int64_t r = begin; r < end; r += kRows) {
    const int64_t rows = std::min(kRows, end - r);
    for (int64_t i = 0; i < rows; ++i) JoinRows<Op>(job, r + i, padded.data() + i * reach + s.pad_left);
    for (int64_t i = 0; i < rows; ++i) {
      const float* factors = job.mean ? job.factors + (r + i) % s.oh * s.ow : nullptr;
      Columns<Op>(padded.data() + i * reach, s, factors, job.y + (r + i) * s.ow);
    }
  }
}

void RunPlanes(const PlanesJob& job, int64_t begin, int64_t end) {
  job.mean ? PlaneRows<PlaneSum>(job, begin, end) : PlaneRows<MaxOp>(job, begin, end);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace slipway::kernels {
namespace {

HWY_EXPORT(RunPlanes);

/// The taps of each of `out` windows along an axis that count: those in the image, or with `padding` in its padding
/// too.
std::vector<int64_t> TapCounts(int64_t out, int64_t kernel, int64_t stride, int64_t dilation, int64_t pad_begin,
                               int64_t size, int64_t pad_end, bool padding) {
  std::vector<int64_t> counts(out, 0);
  for (int64_t o = 0; o < out; ++o) {
    for (int64_t t = 0; t < kernel; ++t) {
      const int64_t at = o * stride - pad_begin + t * dilation;
      counts[o] += padding ? at < size + pad_end : at >= 0 && at < size;
    }
  }
  return counts;
}

void Planes(const PlanesJob& job, int64_t planes, const Threads& threads) {
  const auto run = HWY_DYNAMIC_DISPATCH(RunPlanes);
  const PoolShape& s = *job.s;
  threads.ParallelFor(planes * s.oh, std::max<int64_t>(1, 16384 / (1 + s.w * s.kh)),
                      [&](int64_t begin, int64_t end) { run(job, begin, end); });
}

}  // namespace

void MaxPoolPlanes(const float* x, int64_t planes, const PoolShape& shape, float* y, const Threads& threads) {
  ChooseTarget();
  Planes({.x = x, .s = &shape, .mean = false, .factors = nullptr, .y = y}, planes, threads);
}

void AveragePoolPlanes(const float* x, int64_t planes, const PoolShape& shape, bool count_padding, float* y,
                       const Threads& threads) {
  ChooseTarget();
  const PoolShape& s = shape;
  const std::vector<int64_t> rows =
      TapCounts(s.oh, s.kh, s.stride_h, s.dilation_h, s.pad_top, s.h, s.pad_bottom, count_padding);
  const std::vector<int64_t> columns =
      TapCounts(s.ow, s.kw, s.stride_w, s.dilation_w, s.pad_left, s.w, s.pad_right, count_padding);
  std::vector<float> factors(s.oh * s.ow);
  for (int64_t i = 0; i < s.oh; ++i) {
    for (int64_t j = 0; j < s.ow; ++j) {
      const int64_t count = rows[i] * columns[j];
      factors[i * s.ow + j] = count > 0 ? 1.0f / static_cast<float>(count) : 0.0f;
    }
  }
  Planes({.x = x, .s = &shape, .mean = true, .factors = factors.data(), .y = y}, planes, threads);
}

}  // namespace slipway::kernels
#endif  // HWY_ONCE
