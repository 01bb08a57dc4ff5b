// One row of an online softmax, for inclusion once a target after foreach_target.h.

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "kernels/attention/attention.h"
#include "kernels/vector_math-inl.h"

#if defined(SLIPWAY_KERNELS_ATTENTION_SOFTMAX_ROW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLIPWAY_KERNELS_ATTENTION_SOFTMAX_ROW_INL_H_
#undef SLIPWAY_KERNELS_ATTENTION_SOFTMAX_ROW_INL_H_
#else
#define SLIPWAY_KERNELS_ATTENTION_SOFTMAX_ROW_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// s = cap * tanh(s / cap); writes up to a vector past n.
inline void SoftcapRow(float* s, int64_t n, float cap) {
  const hn::ScalableTag<float> d;
  const auto factor = hn::Set(d, cap);
  const auto inverse = hn::Set(d, 1 / cap);
  for (int64_t j = 0; j < n; j += static_cast<int64_t>(hn::Lanes(d))) {
    hn::StoreU(hn::Mul(factor, Tanh(d, hn::Mul(hn::LoadU(d, s + j), inverse))), d, s + j);
  }
}

/// Applies the mask of one query to its scores for keys [first, first + n).
inline void AddMaskRow(const AttentionMask& mask, int64_t batch, int64_t head, int64_t query, int64_t first, int64_t n,
                       float* s) {
  const int64_t at =
      batch * mask.batch_stride + head * mask.head_stride + query * mask.row_stride + first * mask.col_stride;
  const int64_t stride = mask.col_stride;
  if (mask.add && stride == 1) {
    for (int64_t j = 0; j < n; ++j) s[j] += mask.add[at + j];
  } else if (mask.add) {
    for (int64_t j = 0; j < n; ++j) s[j] += mask.add[at + j * stride];
  }
  constexpr float kHidden = -std::numeric_limits<float>::infinity();
  if (mask.keep && stride == 1) {
    for (int64_t j = 0; j < n; ++j) s[j] = mask.keep[at + j] ? s[j] : kHidden;
  } else if (mask.keep) {
    for (int64_t j = 0; j < n; ++j) s[j] = mask.keep[at + j * stride] ? s[j] : kHidden;
  }
}

/// The greatest of `max` and scores [begin, end), NaN left out. Makes the others of [0, padded) -inf; padded is a
/// multiple of the lanes.
inline float GreatestOf(float* s, int64_t begin, int64_t end, int64_t padded, float max) {
  const hn::ScalableTag<float> d;
  constexpr float kHidden = -std::numeric_limits<float>::infinity();
  std::fill(s, s + begin, kHidden);
  std::fill(s + end, s + padded, kHidden);
  auto greatest = hn::Set(d, max);
  for (int64_t j = 0; j < padded; j += static_cast<int64_t>(hn::Lanes(d)))
    greatest = hn::Max(hn::LoadU(d, s + j), greatest);
  return hn::GetLane(hn::MaxOfLanes(d, greatest));
}

/// 2^t for t up to a little over 0; under 2^-126 it is 0 or next to it, and 0 for -inf.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V PowerOf2(D d, V t) {
  const auto polynomial = [&](V f) HWY_ATTR {
    return Polynomial(d, f, 1.0f, 0.69314694f, 0.2402212f, 0.05550713f, 0.009675541f, 0.0013276472f);
  };
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  if constexpr (sizeof(V) == 64) {
    const V f = {_mm512_reduce_ps(t.raw, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
    return TimesPowerOf2(polynomial(f), hn::Sub(t, f));
  }
#endif
  const hn::RebindToSigned<D> di;
  // From -127.5 on, where the polynomial is not under 1 at -127 itself, the sum below has no sign.
#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128
  t = hn::IfThenElse(hn::Lt(t, hn::Set(d, -127.0f)), hn::Set(d, -127.0f), t);
#else
  t = hn::Max(hn::Set(d, -127.0f), t);  // gives NaN for NaN
#endif
  const V magic = hn::Set(d, 12582912.0f);
  const V magic_n = hn::Add(t, magic);
  const V p = polynomial(hn::Sub(t, hn::Sub(magic_n, magic)));
  return hn::BitCast(d, hn::Add(hn::BitCast(di, p), hn::ShiftLeft<23>(hn::BitCast(di, magic_n))));
}

/// Replaces scores [0, padded) by their exponentials relative to `max`, which was `before` for the keys before these.
/// Adds them to `total`; returns the factor for what was summed before.
inline float ExponentialsOf(float* s, int64_t padded, float before, float max, float& total) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  constexpr float kHidden = -std::numeric_limits<float>::infinity();
  // All hidden so far: exp(-inf - 0) is the 0 wanted, where exp(-inf + inf) would be NaN for good.
  const float base = max == kHidden ? 0.0f : max;
  const auto shift = hn::Set(d, base), log2e = hn::Set(d, 1.44269504f);
  const auto exponential = [&](auto x) HWY_ATTR { return PowerOf2(d, hn::Mul(hn::Sub(x, shift), log2e)); };
  auto sum = hn::Zero(d);
  for (int64_t j = 0; j < padded; j += lanes) {
    const auto e = exponential(hn::LoadU(d, s + j));
    hn::StoreU(e, d, s + j);
    sum = hn::Add(sum, e);
  }
  // Before the first key seen there is nothing to scale.
  const float factor = before == base || before == kHidden ? 1.0f : hn::GetLane(exponential(hn::Set(d, before)));
  total = total * factor + hn::GetLane(hn::SumOfLanes(d, sum));
  return factor;
}

inline void ScaleRow(float* x, int64_t n, float factor) {
  const hn::ScalableTag<float> d;
  for (int64_t j = 0; j < n; j += static_cast<int64_t>(hn::Lanes(d))) {
    hn::StoreU(hn::Mul(hn::LoadU(d, x + j), hn::Set(d, factor)), d, x + j);
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#endif  // SLIPWAY_KERNELS_ATTENTION_SOFTMAX_ROW_INL_H_
