#include "kernels/conv/pool_planes.h"

#include <algorithm>
#include <limits>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/pool_planes.cc"
#include "kernels/targets.h"
// After targets.h.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

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

struct PlaneMax {
  static constexpr float kStart = -std::numeric_limits<float>::infinity();
  // What is NaN stays: its comparison is false either way round.
  static HWY_INLINE float Add(float sum, float x) { return (x > sum) | (x != x) ? x : sum; }
};
struct PlaneSum {
  static constexpr float kStart = 0;
  static HWY_INLINE float Add(float sum, float x) { return sum + x; }
};

/// out[o] = row[o * stride] and the taps behind it. The loops of usual strides become vectors.
template <class Op, int64_t kStride>
HWY_INLINE void Columns(const float* row, const PoolShape& s, float* out) {
  const int64_t stride = kStride ? kStride : s.stride_w;
  const int64_t n = s.ow;
  if (s.kw == 2) {
    for (int64_t o = 0; o < n; ++o) out[o] = Op::Add(row[o * stride], row[o * stride + s.dilation_w]);
    return;
  }
  if (s.kw == 3) {
    for (int64_t o = 0; o < n; ++o) {
      const float* at = row + o * stride;
      out[o] = Op::Add(Op::Add(at[0], at[s.dilation_w]), at[2 * s.dilation_w]);
    }
    return;
  }
  for (int64_t o = 0; o < n; ++o) out[o] = row[o * stride];
  for (int64_t t = 1; t < s.kw; ++t) {
    for (int64_t o = 0; o < n; ++o) out[o] = Op::Add(out[o], row[o * stride + t * s.dilation_w]);
  }
}

template <class Op>
void PlaneRows(const PlanesJob& job, int64_t begin, int64_t end) {
  const PoolShape& s = *job.s;
  // A row of the image with what lies left and right of it, as far as the windows reach.
  const int64_t reach = (s.ow - 1) * s.stride_w + (s.kw - 1) * s.dilation_w + 1;
  std::vector<float> padded(std::max(reach, s.pad_left + s.w), Op::kStart);
  float* row = padded.data() + s.pad_left;
  for (int64_t r = begin; r < end; ++r) {
    const int64_t oy = r % s.oh, top = oy * s.stride_h - s.pad_top;
    const float* plane = job.x + r / s.oh * s.h * s.w;
    bool first = true;
    for (int64_t t = 0; t < s.kh; ++t) {
      const int64_t y = top + t * s.dilation_h;
      if (y < 0 || y >= s.h) continue;
      const float* from = plane + y * s.w;
      if (first) {
        std::copy_n(from, s.w, row);
      } else {
        for (int64_t i = 0; i < s.w; ++i) row[i] = Op::Add(row[i], from[i]);
      }
      first = false;
    }
    if (first) std::fill_n(row, s.w, Op::kStart);
    float* out = job.y + r * s.ow;
    if (s.stride_w == 1) {
      Columns<Op, 1>(padded.data(), s, out);
    } else if (s.stride_w == 2) {
      Columns<Op, 2>(padded.data(), s, out);
    } else {
      Columns<Op, 0>(padded.data(), s, out);
    }
    if (!job.mean) continue;
    const float* factors = job.factors + oy * s.ow;
    for (int64_t o = 0; o < s.ow; ++o) out[o] *= factors[o];
  }
}

void RunPlanes(const PlanesJob& job, int64_t begin, int64_t end) {
  job.mean ? PlaneRows<PlaneSum>(job, begin, end) : PlaneRows<PlaneMax>(job, begin, end);
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
