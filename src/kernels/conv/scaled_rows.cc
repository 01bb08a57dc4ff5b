#include "kernels/conv/scaled_rows.h"

#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/scaled_rows.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

void MultiplyRow(const float* x, const float* scale, int64_t count, float* out) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::Mul(hn::LoadU(d, x + i), hn::LoadU(d, scale + i)), d, out + i);
  }
  for (; i < count; ++i) out[i] = x[i] * scale[i];
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace slipway::kernels {
namespace {
HWY_EXPORT(MultiplyRow);
}  // namespace

void ScaledRows::Read(int64_t row, int64_t rows, int64_t col, int64_t cols, float* out, int64_t stride) const {
  const auto multiply = HWY_DYNAMIC_DISPATCH(MultiplyRow);
  for (int64_t r = row; r < row + rows; ++r, out += stride) {
    multiply(x_ + r * c_ + col, scale_ + r / pixels_ * c_ + col, cols, out);
  }
}

}  // namespace slipway::kernels
#endif
