#include "kernels/elementwise/binary.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise/binary.cc"
#include "kernels/targets.h"
// After targets.h.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using Vec = hn::Vec<F32>;

struct Add {
  HWY_INLINE Vec operator()(Vec a, Vec b) const { return hn::Add(a, b); }
};
struct Sub {
  HWY_INLINE Vec operator()(Vec a, Vec b) const { return hn::Sub(a, b); }
};
struct Mul {
  HWY_INLINE Vec operator()(Vec a, Vec b) const { return hn::Mul(a, b); }
};
struct Div {
  HWY_INLINE Vec operator()(Vec a, Vec b) const { return hn::Div(a, b); }
};
// A comparison with NaN is false and chooses b, so that only a NaN in a needs a test of its own.
struct Max {
  HWY_INLINE Vec operator()(Vec a, Vec b) const { return hn::IfThenElse(hn::Eq(a, a), hn::IfThenElse(hn::Gt(a, b), a, b), a); }
};
struct Min {
  HWY_INLINE Vec operator()(Vec a, Vec b) const { return hn::IfThenElse(hn::Eq(a, a), hn::IfThenElse(hn::Lt(a, b), a, b), a); }
};
struct PRelu {
  HWY_INLINE Vec operator()(Vec a, Vec b) const { return hn::IfThenElse(hn::Lt(a, hn::Zero(F32())), hn::Mul(a, b), a); }
};

/// One row of either form: an operand that does not step is a constant vector.
template <bool kStepA, bool kStepB, class F>
HWY_INLINE void Row(const float* a, const float* b, float* y, int64_t n, F f) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const Vec a0 = hn::Set(d, a[0]);
  const Vec b0 = hn::Set(d, b[0]);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(f(kStepA ? hn::LoadU(d, a + i) : a0, kStepB ? hn::LoadU(d, b + i) : b0), d, y + i);
  }
  if (i == n) return;
  constexpr size_t kLanes = hn::MaxLanes(F32());
  HWY_ALIGN float left[kLanes] = {};
  HWY_ALIGN float right[kLanes] = {};
  if (kStepA) std::copy(a + i, a + n, left);
  if (kStepB) std::copy(b + i, b + n, right);
  hn::Store(f(kStepA ? hn::Load(d, left) : a0, kStepB ? hn::Load(d, right) : b0), d, left);
  std::copy(left, left + (n - i), y + i);
}

template <class F>
void RowOf(BroadcastForm form, const float* a, const float* b, float* y, int64_t n) {
  switch (form) {
    case BroadcastForm::kEqual: return Row<true, true>(a, b, y, n, F());
    case BroadcastForm::kScalarA: return Row<false, true>(a, b, y, n, F());
    case BroadcastForm::kScalarB: return Row<true, false>(a, b, y, n, F());
  }
}

using RowFunction = void (*)(BroadcastForm, const float*, const float*, float*, int64_t);

RowFunction RowFor(BinaryOp op) {
  // In the order of BinaryOp.
  static constexpr RowFunction kRows[] = {RowOf<Add>, RowOf<Sub>, RowOf<Mul>, RowOf<Div>, RowOf<Max>, RowOf<Min>, RowOf<PRelu>};
  return kRows[static_cast<size_t>(op)];
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace slipway::kernels {

HWY_EXPORT(RowFor);

void BinaryFloat(BinaryOp op, const BroadcastPlan& plan, const float* a, const float* b, float* y, const Threads& threads) {
  ChooseTarget();
  const auto row = HWY_DYNAMIC_DISPATCH(RowFor)(op);
  ForEachBroadcastRow(plan, threads, [&](int64_t a_at, int64_t b_at, int64_t y_at, int64_t n) {
    row(plan.form(), a + a_at, b + b_at, y + y_at, n);
  });
}

}  // namespace slipway::kernels
#endif  // HWY_ONCE
