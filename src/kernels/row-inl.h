// Passes over a row of floats of any length, for inclusion once a target after foreach_target.h.

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#if defined(SLIPWAY_KERNELS_ROW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLIPWAY_KERNELS_ROW_INL_H_
#undef SLIPWAY_KERNELS_ROW_INL_H_
#else
#define SLIPWAY_KERNELS_ROW_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using Vec = hn::Vec<F32>;
constexpr int64_t kLanes = hn::MaxLanes(F32());
constexpr float kInf = std::numeric_limits<float>::infinity();

// Masked loads and stores touch only the chosen lanes on AVX2 and AVX-512; on the others they may touch the whole
// vector.

/// The first n < kLanes elements at x, and `fill` in the lanes behind them.
HWY_INLINE Vec LoadPart(F32 d, const float* x, int64_t n, float fill) {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2
  const auto mask = hn::FirstN(d, static_cast<size_t>(n));
  return hn::IfThenElse(mask, hn::MaskedLoad(mask, d, x), hn::Set(d, fill));
#else
  HWY_ALIGN float part[kLanes];
  std::fill(std::copy(x, x + n, part), part + kLanes, fill);
  return hn::Load(d, part);
#endif
}

HWY_INLINE void StorePart(F32 d, Vec v, float* y, int64_t n) {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2
  hn::BlendedStore(v, hn::FirstN(d, static_cast<size_t>(n)), d, y);
#else
  HWY_ALIGN float part[kLanes];
  hn::Store(v, d, part);
  std::copy(part, part + n, y);
#endif
}

/// y[i] = f(x[i], i) by vectors; the lanes that f sees past the end hold 0 and are dropped.
template <class F>
HWY_INLINE void MapRow(const float* x, float* y, int64_t n, const F& f) {
  const F32 d;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) hn::StoreU(f(hn::LoadU(d, x + i), i), d, y + i);
  if (i < n) StorePart(d, f(LoadPart(d, x + i, n - i, 0), i), y + i, n - i);
}

struct SumOp {
  static constexpr float kIdentity = 0;
  static HWY_INLINE Vec Combine(Vec a, Vec b) { return hn::Add(a, b); }
  static float Across(Vec v) { return hn::GetLane(hn::SumOfLanes(F32(), v)); }
};

/// Lane by lane, for what Highway has no reduction for.
template <class Op>
float AcrossLanes(Vec v) {
  HWY_ALIGN float lane[kLanes];
  hn::Store(v, F32(), lane);
  const hn::CappedTag<float, 1> one;
  auto all = hn::Set(one, lane[0]);
  for (int64_t i = 1; i < kLanes; ++i) all = Op::Combine(all, hn::Set(one, lane[i]));
  return hn::GetLane(all);
}

struct ProductOp {
  static constexpr float kIdentity = 1;
  template <class V>
  static HWY_INLINE V Combine(V a, V b) {
    return hn::Mul(a, b);
  }
  static float Across(Vec v) { return AcrossLanes<ProductOp>(v); }
};

// Comparisons with NaN choose b, so that only a NaN in a needs a test of its own.
struct MaxOp {
  static constexpr float kIdentity = -kInf;
  template <class V>
  static HWY_INLINE V Combine(V a, V b) {
    return hn::IfThenElse(hn::Eq(a, a), hn::IfThenElse(hn::Gt(a, b), a, b), a);
  }
  static float Across(Vec v) { return AcrossLanes<MaxOp>(v); }
};
struct MinOp {
  static constexpr float kIdentity = kInf;
  template <class V>
  static HWY_INLINE V Combine(V a, V b) {
    return hn::IfThenElse(hn::Eq(a, a), hn::IfThenElse(hn::Lt(a, b), a, b), a);
  }
  static float Across(Vec v) { return AcrossLanes<MinOp>(v); }
};
/// The greatest where NaN may be dropped: what a softmax subtracts.
struct FastMaxOp {
  static constexpr float kIdentity = -kInf;
  static HWY_INLINE Vec Combine(Vec a, Vec b) { return hn::Max(b, a); }
  static float Across(Vec v) { return hn::GetLane(hn::MaxOfLanes(F32(), v)); }
};

/// Op over `start` and f(x[i]). Four chains hide the latency of an addition; their length also bounds the rounding
/// error of a sum.
template <class Op, class F>
HWY_INLINE float ReduceRow(const float* x, int64_t n, const F& f, float start = Op::kIdentity) {
  const F32 d;
  const Vec identity = hn::Set(d, Op::kIdentity);
  Vec a = hn::IfThenElse(hn::FirstN(d, 1), hn::Set(d, start), identity);
  Vec b = identity;
  int64_t i = 0;
  if (n >= 4 * kLanes) {
    Vec c = identity;
    Vec e = identity;
    for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
      a = Op::Combine(a, f(hn::LoadU(d, x + i)));
      b = Op::Combine(b, f(hn::LoadU(d, x + i + kLanes)));
      c = Op::Combine(c, f(hn::LoadU(d, x + i + 2 * kLanes)));
      e = Op::Combine(e, f(hn::LoadU(d, x + i + 3 * kLanes)));
    }
    a = Op::Combine(a, c);
    b = Op::Combine(b, e);
  }
  for (; i + kLanes <= n; i += kLanes) a = Op::Combine(a, f(hn::LoadU(d, x + i)));
  if (i < n) {
    const auto used = hn::FirstN(d, static_cast<size_t>(n - i));
    b = Op::Combine(b, hn::IfThenElse(used, f(LoadPart(d, x + i, n - i, 0)), identity));
  }
  return Op::Across(Op::Combine(a, b));
}

/// The sum of f(x[i]) with blocks added up in double, so that long rows lose nothing.
template <class F>
HWY_INLINE double SumRow(const float* x, int64_t n, const F& f) {
  constexpr int64_t kBlock = 4096;
  double sum = 0;
  for (int64_t i = 0; i < n; i += kBlock) sum += ReduceRow<SumOp>(x + i, std::min(kBlock, n - i), f);
  return sum;
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#endif  // SLIPWAY_KERNELS_ROW_INL_H_
