#include "kernels/copy/sample.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/copy/sample.cc"
#include "kernels/targets.h"
// After targets.h.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

void SampleSquares(const float* image, int64_t row, const int64_t* corner, const float* weights, int64_t n,
                   float* out) {
  int64_t p = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::FixedTag<float, 4> d;
  const auto weighed = [&](int64_t p) HWY_ATTR {
    const float* at = image + corner[p];
    const auto top = hn::LoadU(hn::FixedTag<float, 2>(), at), bottom = hn::LoadU(hn::FixedTag<float, 2>(), at + row);
    return hn::Mul(hn::Combine(d, bottom, top), hn::LoadU(d, weights + 4 * p));
  };
  for (; p + 4 <= n; p += 4) {
    const auto a = weighed(p), b = weighed(p + 1), c = weighed(p + 2), e = weighed(p + 3);
    // [a0+a1 ...]: each row's two pixels first, then the two rows.
    const auto ab = hn::Add(hn::ConcatEven(d, b, a), hn::ConcatOdd(d, b, a));
    const auto ce = hn::Add(hn::ConcatEven(d, e, c), hn::ConcatOdd(d, e, c));
    hn::StoreU(hn::Add(hn::ConcatEven(d, ce, ab), hn::ConcatOdd(d, ce, ab)), d, out + p);
  }
#endif
  for (; p < n; ++p) {
    const float *at = image + corner[p], *w = weights + 4 * p;
    out[p] = (w[0] * at[0] + w[1] * at[1]) + (w[2] * at[row] + w[3] * at[row + 1]);
  }
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace slipway::kernels {

HWY_EXPORT(SampleSquares);

void SampleSquares(const float* image, int64_t row, const int64_t* corner, const float* weights, int64_t n,
                   float* out) {
  ChooseTarget();
  HWY_DYNAMIC_DISPATCH(SampleSquares)(image, row, corner, weights, n, out);
}

}  // namespace slipway::kernels
#endif
