#include "kernels/reduce/normalize.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/reduce/normalize.cc"
#include "kernels/targets.h"
// After targets.h.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/row-inl.h"

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {
namespace {

struct Moments {
  float mean;
  float inv_std;
};

/// Two passes: a sum of squares less the squared mean would cancel.
Moments MomentsOf(const float* t, int64_t n, float epsilon, bool rms) {
  const F32 d;
  const double count = static_cast<double>(n);
  const float mean = rms ? 0.0f : static_cast<float>(SumRow(t, n, [](Vec v) HWY_ATTR { return v; }) / count);
  const Vec shift = hn::Set(d, mean);
  const double squares = SumRow(t, n, [&](Vec v) HWY_ATTR {
    const Vec centred = hn::Sub(v, shift);
    return hn::Mul(centred, centred);
  });
  return {mean, static_cast<float>(1 / std::sqrt(squares / count + double{epsilon}))};
}

HWY_INLINE Vec LoadAt(F32 d, const float* x, int64_t i, int64_t n) {
  return i + kLanes <= n ? hn::LoadU(d, x + i) : LoadPart(d, x + i, n - i, 0);
}

void AddRow(const float* x, const float* residual, const float* bias, float* t, int64_t n) {
  const F32 d;
  MapRow(x, t, n, [&](Vec v, int64_t i) HWY_ATTR {
    if (residual) v = hn::Add(v, LoadAt(d, residual, i, n));
    return bias ? hn::Add(v, LoadAt(d, bias, i, n)) : v;
  });
}

void WriteRow(const float* t, float* y, int64_t n, Moments m, const float* scale, const float* bias) {
  const F32 d;
  const Vec shift = hn::Set(d, m.mean);
  const Vec factor = hn::Set(d, m.inv_std);
  const auto normal = [&](Vec v) HWY_ATTR { return hn::Mul(hn::Sub(v, shift), factor); };
  if (scale && bias) {
    MapRow(t, y, n, [&](Vec v, int64_t i) HWY_ATTR {
      return hn::MulAdd(normal(v), LoadAt(d, scale, i, n), LoadAt(d, bias, i, n));
    });
  } else if (scale) {
    MapRow(t, y, n, [&](Vec v, int64_t i) HWY_ATTR { return hn::Mul(normal(v), LoadAt(d, scale, i, n)); });
  } else if (bias) {
    MapRow(t, y, n, [&](Vec v, int64_t i) HWY_ATTR { return hn::Add(normal(v), LoadAt(d, bias, i, n)); });
  } else {
    MapRow(t, y, n, [&](Vec v, int64_t) HWY_ATTR { return normal(v); });
  }
}

void NormalizeRange(const NormArgs& args, int64_t begin, int64_t end) {
  const int64_t n = args.size;
  for (int64_t r = begin; r < end; ++r) {
    const float* t = args.x + r * n;
    if (args.residual || args.residual_bias || args.sum) {
      float* sum = (args.sum ? args.sum : args.y) + r * n;
      AddRow(t, args.residual ? args.residual + r * n : nullptr, args.residual_bias, sum, n);
      t = sum;
    }
    const Moments m = MomentsOf(t, n, args.epsilon, args.rms);
    WriteRow(t, args.y + r * n, n, m, args.scale, args.bias);
    if (args.mean && !args.rms) args.mean[r] = m.mean;
    if (args.inv_std) args.inv_std[r] = m.inv_std;
  }
}

/// One group of `channels` channels.
void NormalizeGroup(const float* x, float* y, int64_t channels, int64_t spatial, const float* scale, const float* bias,
                    float epsilon) {
  const F32 d;
  const Moments m = MomentsOf(x, channels * spatial, epsilon, false);
  const Vec shift = hn::Set(d, m.mean);
  for (int64_t c = 0; c < channels; ++c) {
    const Vec factor = hn::Set(d, m.inv_std * (scale ? scale[c] : 1.0f));
    const Vec add = hn::Set(d, bias ? bias[c] : 0.0f);
    MapRow(x + c * spatial, y + c * spatial, spatial,
           [&](Vec v, int64_t) HWY_ATTR { return hn::MulAdd(hn::Sub(v, shift), factor, add); });
  }
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace slipway::kernels {

HWY_EXPORT(NormalizeRange);
HWY_EXPORT(NormalizeGroup);

constexpr int64_t kGrain = 16384;  // Elements: microseconds of work.

void NormalizeRows(const NormArgs& args, const Threads& threads) {
  if (args.rows <= 0 || args.size <= 0) return;
  ChooseTarget();
  const auto range = HWY_DYNAMIC_DISPATCH(NormalizeRange);
  threads.ParallelFor(args.rows, std::max<int64_t>(1, kGrain / args.size),
                      [&](int64_t begin, int64_t end) { range(args, begin, end); });
}

void NormalizeGroups(const float* x, float* y, int64_t batch, int64_t channels, int64_t spatial, int64_t groups,
                     const float* scale, const float* bias, float epsilon, const Threads& threads) {
  if (batch <= 0 || channels <= 0 || spatial <= 0) return;
  ChooseTarget();
  const auto normalize = HWY_DYNAMIC_DISPATCH(NormalizeGroup);
  const int64_t width = channels / groups;
  const int64_t size = width * spatial;
  threads.ParallelFor(batch * groups, std::max<int64_t>(1, kGrain / size), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % groups * width;
      normalize(x + i * size, y + i * size, width, spatial, scale ? scale + first : nullptr,
                bias ? bias + first : nullptr, epsilon);
    }
  });
}

}  // namespace slipway::kernels
#endif  // HWY_ONCE
