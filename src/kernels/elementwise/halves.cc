#include "kernels/elementwise/halves.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise/halves.cc"
#include "kernels/targets.h"
// After targets.h.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using U32 = hn::RebindToUnsigned<F32>;
using U16 = hn::Rebind<uint16_t, F32>;
using F16 = hn::Rebind<hwy::float16_t, F32>;

// SSE4 has no conversions of float16.
constexpr bool kHasF16 = HWY_TARGET != HWY_SSE4 && HWY_TARGET != HWY_SSSE3 && HWY_TARGET != HWY_SCALAR;

/// Calls f(i) for whole vectors and g(i) for what is left.
template <class F, class G>
HWY_INLINE void Walk(int64_t n, const F& f, const G& g) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(F32()));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) f(i);
  for (; i < n; ++i) g(i);
}

void WidenBFloat16(const uint16_t* x, float* y, int64_t n) {
  Walk(
      n,
      [&](int64_t i) HWY_ATTR {
        const auto wide = hn::ShiftLeft<16>(hn::PromoteTo(U32(), hn::LoadU(U16(), x + i)));
        hn::StoreU(hn::BitCast(F32(), wide), F32(), y + i);
      },
      [&](int64_t i) { y[i] = static_cast<float>(reinterpret_cast<const BFloat16*>(x)[i]); });
}

void NarrowBFloat16(const float* x, uint16_t* y, int64_t n) {
  const U32 d;
  const hn::RebindToSigned<U32> di;
  Walk(
      n,
      [&](int64_t i) HWY_ATTR {
        const auto v = hn::LoadU(F32(), x + i);
        const auto bits = hn::BitCast(d, v);
        const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d, 1u));
        const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(d, 0x7FFFu))));
        const auto quiet = hn::Or(hn::ShiftRight<16>(bits), hn::Set(d, 0x40u));
        const auto is_number = hn::RebindMask(d, hn::Eq(v, v));
        hn::StoreU(hn::DemoteTo(U16(), hn::BitCast(di, hn::IfThenElse(is_number, rounded, quiet))), U16(), y + i);
      },
      [&](int64_t i) { reinterpret_cast<BFloat16*>(y)[i] = BFloat16(x[i]); });
}

void WidenFloat16(const uint16_t* x, float* y, int64_t n) {
  const auto one = [&](int64_t i) { y[i] = static_cast<float>(reinterpret_cast<const Float16*>(x)[i]); };
  const auto many = [&](int64_t i) HWY_ATTR {
    hn::StoreU(hn::PromoteTo(F32(), hn::LoadU(F16(), reinterpret_cast<const hwy::float16_t*>(x) + i)), F32(), y + i);
  };
  if constexpr (kHasF16) return Walk(n, many, one);
  for (int64_t i = 0; i < n; ++i) one(i);
}

void NarrowFloat16(const float* x, uint16_t* y, int64_t n) {
  const auto one = [&](int64_t i) { reinterpret_cast<Float16*>(y)[i] = Float16(x[i]); };
  const auto many = [&](int64_t i) HWY_ATTR {
    hn::StoreU(hn::DemoteTo(F16(), hn::LoadU(F32(), x + i)), F16(), reinterpret_cast<hwy::float16_t*>(y) + i);
  };
  if constexpr (kHasF16) return Walk(n, many, one);
  for (int64_t i = 0; i < n; ++i) one(i);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace slipway::kernels {

HWY_EXPORT(WidenBFloat16);
HWY_EXPORT(NarrowBFloat16);
HWY_EXPORT(WidenFloat16);
HWY_EXPORT(NarrowFloat16);

void HalvesToFloats(DType half, const void* x, float* y, int64_t n, const Threads& threads) {
  ChooseTarget();
  const auto widen = half == DType::kFloat16 ? HWY_DYNAMIC_DISPATCH(WidenFloat16) : HWY_DYNAMIC_DISPATCH(WidenBFloat16);
  const auto* from = static_cast<const uint16_t*>(x);
  threads.ParallelFor(n, 16384, [&](int64_t begin, int64_t end) { widen(from + begin, y + begin, end - begin); });
}

void FloatsToHalves(DType half, const float* x, void* y, int64_t n, const Threads& threads) {
  ChooseTarget();
  const auto narrow =
      half == DType::kFloat16 ? HWY_DYNAMIC_DISPATCH(NarrowFloat16) : HWY_DYNAMIC_DISPATCH(NarrowBFloat16);
  auto* to = static_cast<uint16_t*>(y);
  threads.ParallelFor(n, 16384, [&](int64_t begin, int64_t end) { narrow(x + begin, to + begin, end - begin); });
}

}  // namespace slipway::kernels
#endif  // HWY_ONCE
