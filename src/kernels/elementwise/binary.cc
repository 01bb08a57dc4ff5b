#include "kernels/elementwise/binary.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise/binary.cc"
#include "kernels/targets.h"
// After targets.h.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/row-inl.h"

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {
namespace {

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
  HWY_INLINE Vec operator()(Vec a, Vec b) const {
    return hn::IfThenElse(hn::Eq(a, a), hn::IfThenElse(hn::Gt(a, b), a, b), a);
  }
};
struct Min {
  HWY_INLINE Vec operator()(Vec a, Vec b) const {
    return hn::IfThenElse(hn::Eq(a, a), hn::IfThenElse(hn::Lt(a, b), a, b), a);
  }
};
struct PRelu {
  HWY_INLINE Vec operator()(Vec a, Vec b) const { return hn::IfThenElse(hn::Lt(a, hn::Zero(F32())), hn::Mul(a, b), a); }
};

/// One row of either form: an operand that does not step is a constant vector.
template <bool kStepA, bool kStepB, class F>
HWY_INLINE void Row(const float* a, const float* b, float* y, int64_t n, F f) {
  const F32 d;
  const Vec a0 = hn::Set(d, a[0]);
  const Vec b0 = hn::Set(d, b[0]);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    hn::StoreU(f(kStepA ? hn::LoadU(d, a + i) : a0, kStepB ? hn::LoadU(d, b + i) : b0), d, y + i);
  }
  if (i == n) return;
  const int64_t left = n - i;
  StorePart(d, f(kStepA ? LoadPart(d, a + i, left, 0) : a0, kStepB ? LoadPart(d, b + i, left, 0) : b0), y + i, left);
}

template <class F>
void RowOf(BroadcastForm form, const float* a, const float* b, float* y, int64_t n) {
  switch (form) {
    case BroadcastForm::kEqual:
      return Row<true, true>(a, b, y, n, F());
    case BroadcastForm::kScalarA:
      return Row<false, true>(a, b, y, n, F());
    case BroadcastForm::kScalarB:
      return Row<true, false>(a, b, y, n, F());
  }
}

using RowFunction = void (*)(BroadcastForm, const float*, const float*, float*, int64_t);

RowFunction RowFor(BinaryOp op) {
  // In the order of BinaryOp.
  static constexpr RowFunction kRows[] = {RowOf<Add>, RowOf<Sub>, RowOf<Mul>,  RowOf<Div>,
                                          RowOf<Max>, RowOf<Min>, RowOf<PRelu>};
  return kRows[static_cast<size_t>(op)];
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace slipway::kernels {

HWY_EXPORT(RowFor);

void BinaryFloat(BinaryOp op, const BroadcastPlan& plan, const float* a, const float* b, float* y,
                 const Threads& threads) {
  ChooseTarget();
  const auto row = HWY_DYNAMIC_DISPATCH(RowFor)(op);
  ForEachBroadcastRow(plan, threads, [&](int64_t a_at, int64_t b_at, int64_t y_at, int64_t n) {
    row(plan.form(), a + a_at, b + b_at, y + y_at, n);
  });
}

}  // namespace slipway::kernels
#endif  // HWY_ONCE
