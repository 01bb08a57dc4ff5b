#include "kernels/elementwise/sine.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise/sine.cc"
#include "kernels/targets.h"
// After targets.h.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

#include "kernels/row-inl.h"

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {
namespace {

/// `fast` where every lane is small enough for its reduction, else `plain` lane by lane.
template <class Fast>
void MapTurns(const float* x, float* y, int64_t n, const Fast& fast, float (*plain)(float)) {
  const F32 d;
  MapRow(x, y, n, [&](Vec v, int64_t) HWY_ATTR {
    if (hn::AllTrue(d, hn::Lt(hn::Abs(v), hn::Set(d, 30000.0f)))) return fast(v);
    HWY_ALIGN float lane[kLanes];
    hn::Store(v, d, lane);
    for (float& one : lane) one = plain(one);
    return hn::Load(d, lane);
  });
}

void SineRange(bool cosine, const float* x, float* y, int64_t n) {
  const F32 d;
  if (cosine)
    return MapTurns(
        x, y, n, [&](Vec v) HWY_ATTR { return hn::Cos(d, v); }, [](float one) { return std::cos(one); });
  MapTurns(
      x, y, n, [&](Vec v) HWY_ATTR { return hn::Sin(d, v); }, [](float one) { return std::sin(one); });
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace slipway::kernels {

HWY_EXPORT(SineRange);

void SineFloat(bool cosine, const float* x, float* y, int64_t n, const Threads& threads) {
  ChooseTarget();
  const auto range = HWY_DYNAMIC_DISPATCH(SineRange);
  threads.ParallelFor(n, 16384, [&](int64_t begin, int64_t end) { range(cosine, x + begin, y + begin, end - begin); });
}

}  // namespace slipway::kernels
#endif  // HWY_ONCE
