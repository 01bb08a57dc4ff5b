#include "kernels/quant/quantize.h"

#include <algorithm>
#include <vector>

#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quant/quantize.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void FindExtent(const float* x, int64_t n, Extent& extent) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  float low = 0, high = 0;
  int64_t i = 0;
  if (n >= lanes) {
    auto least = hn::Zero(d), most = hn::Zero(d), least2 = least, most2 = most;
    // A comparison that NaN fails keeps what was there.
    const auto take = [&](auto v, auto& l, auto& h) HWY_ATTR {
      l = hn::IfThenElse(hn::Lt(v, l), v, l);
      h = hn::IfThenElse(hn::Lt(h, v), v, h);
    };
    for (; i + 2 * lanes <= n; i += 2 * lanes) {
      take(hn::LoadU(d, x + i), least, most);
      take(hn::LoadU(d, x + i + lanes), least2, most2);
    }
    take(least2, least, most);
    take(most2, least, most);
    low = hn::GetLane(hn::MinOfLanes(d, least));
    high = hn::GetLane(hn::MaxOfLanes(d, most));
  }
  for (; i < n; ++i) {
    low = x[i] < low ? x[i] : low;
    high = x[i] > high ? x[i] : high;
  }
  extent = {low, high};
}

void QuantizeBytes(const float* x, int64_t n, float scale, int32_t zero, uint8_t* y) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::Rebind<uint8_t, decltype(d)> db;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto by = hn::Set(d, scale), low = hn::Set(d, static_cast<float>(-zero)),
             high = hn::Set(d, static_cast<float>(255 - zero));
  const auto z = hn::Set(di, zero);
  const auto quantize = [&](auto v) HWY_ATTR {
    v = hn::Div(v, by);
    v = hn::IfThenElse(hn::Lt(low, v), v, low);
    return hn::Add(hn::NearestInt(hn::Min(v, high)), z);
  };
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(hn::DemoteTo(db, quantize(hn::LoadU(d, x + i))), db, y + i);
  const hn::CappedTag<float, 1> d1;
  const hn::RebindToSigned<decltype(d1)> di1;
  for (; i < n; ++i) {
    auto v = hn::Div(hn::Set(d1, x[i]), hn::Set(d1, scale));
    const auto least = hn::Set(d1, static_cast<float>(-zero));
    v = hn::IfThenElse(hn::Lt(least, v), v, least);
    v = hn::Min(v, hn::Set(d1, static_cast<float>(255 - zero)));
    y[i] = static_cast<uint8_t>(hn::GetLane(hn::Add(hn::NearestInt(v), hn::Set(di1, zero))));
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace slipway::kernels {

HWY_EXPORT(FindExtent);
HWY_EXPORT(QuantizeBytes);

namespace {
constexpr int64_t kShare = 16384;
}

Extent MinMaxWithZero(const float* x, int64_t n, const Threads& threads) {
  ChooseTarget();
  std::vector<Extent> extents(threads.count(), Extent{0, 0});
  threads.ParallelForIndexed(n, kShare, [&](int64_t begin, int64_t end, int thread) {
    Extent part;
    HWY_DYNAMIC_DISPATCH(FindExtent)(x + begin, end - begin, part);
    Extent& all = extents[thread];
    all = {std::min(all.low, part.low), std::max(all.high, part.high)};
  });
  for (const Extent& e : extents) extents[0] = {std::min(extents[0].low, e.low), std::max(extents[0].high, e.high)};
  return extents[0];
}

void QuantizeToBytes(const float* x, int64_t n, float scale, int32_t zero, uint8_t* y, const Threads& threads) {
  ChooseTarget();
  threads.ParallelFor(n, kShare, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(QuantizeBytes)(x + begin, end - begin, scale, zero, y + begin);
  });
}

}  // namespace slipway::kernels
#endif  // HWY_ONCE
