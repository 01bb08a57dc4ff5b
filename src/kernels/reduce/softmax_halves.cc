#include "kernels/reduce/softmax_halves.h"

#include <vector>

#include "kernels/elementwise/halves.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/reduce/softmax_halves.cc"
#include "kernels/targets.h"
// After targets.h.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/row-inl.h"
#include "kernels/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {
namespace {

/// Drops the low `kBits` of each float to nearest, ties to even.
template <int kBits, class D, class V>
HWY_INLINE V DropBits(D d, V v) {
  const hn::RebindToUnsigned<D> du;
  const auto bits = hn::BitCast(du, v);
  const auto odd = hn::And(hn::ShiftRight<kBits>(bits), hn::Set(du, 1u));
  const auto up = hn::Add(bits, hn::Add(odd, hn::Set(du, (1u << (kBits - 1)) - 1)));
  return hn::BitCast(d, hn::And(up, hn::Set(du, ~((1u << kBits) - 1))));
}

struct ToBFloat16 {
  static constexpr bool kRoundsSums = true;
  template <class D, class V>
  static HWY_INLINE V Round(D d, V v) {
    return hn::IfThenElse(hn::Eq(v, v), DropBits<16>(d, v), v);
  }
};

struct ToFloat16 {
  static constexpr bool kRoundsSums = false;
  template <class D, class V>
  static HWY_INLINE V Round(D d, V v) {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2
    return hn::PromoteTo(d, hn::DemoteTo(hn::Rebind<hwy::float16_t, D>(), v));
#else
    const V size = hn::Abs(v);
    // Below 2^-14 the steps are 2^-24, which are a float's from 1/2 on.
    const V half = hn::Set(d, 0.5f);
    const V small = hn::CopySign(hn::Sub(hn::Add(size, half), half), v);
    const V large =
        hn::IfThenElse(hn::Ge(size, hn::Set(d, 65520.0f)), hn::CopySign(hn::Set(d, kInf), v), DropBits<13>(d, v));
    const V number = hn::IfThenElse(hn::Lt(size, hn::Set(d, 6.103515625e-5f)), small, large);
    return hn::IfThenElse(hn::Eq(v, v), number, v);
#endif
  }
};

template <class Half>
float RoundOne(float x) {
  const hn::CappedTag<float, 1> d;
  return hn::GetLane(Half::Round(d, hn::Set(d, x)));
}

template <class Half>
void RoundedRow(float* x, int64_t n) {
  const F32 d;
  const float greatest = ReduceRow<FastMaxOp>(x, n, [](Vec v) HWY_ATTR { return v; });
  if (greatest == -kInf) {
    bool hidden = true;  // NaN is no maximum
    for (int64_t i = 0; i < n; ++i) hidden &= x[i] == -kInf;
    if (hidden) {
      std::fill_n(x, n, 0.0f);
      return;
    }
  }
  const Vec shift = hn::Set(d, greatest);
  MapRow(x, x, n,
         [&](Vec v, int64_t) HWY_ATTR { return Half::Round(d, ExpFlush(d, Half::Round(d, hn::Sub(v, shift)))); });
  float sum = 0;
  if (Half::kRoundsSums && n <= kRoundedSums) {
    for (int64_t i = 0; i < n; ++i) sum = RoundOne<Half>(sum + x[i]);
  } else {
    sum = RoundOne<Half>(ReduceRow<SumOp>(x, n, [](Vec v) HWY_ATTR { return v; }));
  }
  const Vec all = hn::Set(d, sum);
  MapRow(x, x, n, [&](Vec v, int64_t) HWY_ATTR { return Half::Round(d, hn::Div(v, all)); });
}

template <class Half>
void ScaleRow(float scale, const float* x, float* y, int64_t n) {
  const F32 d;
  const Vec s = hn::Set(d, scale);
  MapRow(x, y, n, [&](Vec v, int64_t) HWY_ATTR { return Half::Round(d, hn::Mul(v, s)); });
}

void SoftmaxRoundedRows(bool brain, float* x, int64_t rows, int64_t n) {
  for (int64_t r = 0; r < rows; ++r) brain ? RoundedRow<ToBFloat16>(x + r * n, n) : RoundedRow<ToFloat16>(x + r * n, n);
}

void ScaleRounded(bool brain, float scale, const float* x, float* y, int64_t n) {
  brain ? ScaleRow<ToBFloat16>(scale, x, y, n) : ScaleRow<ToFloat16>(scale, x, y, n);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace slipway::kernels {

HWY_EXPORT(SoftmaxRoundedRows);
HWY_EXPORT(ScaleRounded);

void ScaleInHalves(DType half, float scale, const float* x, float* y, int64_t n) {
  ChooseTarget();
  HWY_DYNAMIC_DISPATCH(ScaleRounded)(half == DType::kBFloat16, scale, x, y, n);
}

void SoftmaxInHalves(DType half, float* x, int64_t rows, int64_t n) {
  ChooseTarget();
  if (n > 0) HWY_DYNAMIC_DISPATCH(SoftmaxRoundedRows)(half == DType::kBFloat16, x, rows, n);
}

void SoftmaxOfHalves(DType half, const void* x, void* y, int64_t rows, int64_t n, const Threads& threads) {
  if (rows <= 0 || n <= 0) return;
  static const Threads one(1);
  const auto* from = static_cast<const uint16_t*>(x);
  auto* to = static_cast<uint16_t*>(y);
  threads.ParallelFor(rows, std::max<int64_t>(1, 8192 / n), [&](int64_t begin, int64_t end) {
    std::vector<float> row(n);
    for (int64_t r = begin; r < end; ++r) {
      HalvesToFloats(half, from + r * n, row.data(), n, one);
      SoftmaxInHalves(half, row.data(), 1, n);
      FloatsToHalves(half, row.data(), to + r * n, n, one);
    }
  });
}

}  // namespace slipway::kernels
#endif  // HWY_ONCE
