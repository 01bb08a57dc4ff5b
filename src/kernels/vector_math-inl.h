// Elementary functions on float vectors, for inclusion once a target after foreach_target.h (no #pragma once: the guard
// toggles with HWY_TARGET_TOGGLE).
//
// Errors as measured on every target over a million floats spread over the whole range. NaN gives NaN everywhere.
//   Exp       2 ulp, denormal results included; -inf gives 0, above 88.72 gives inf
//   ExpFlush  2 ulp; results under 1.2e-38 are 0, above 88.37 gives inf: what a softmax or sigmoid wants
//   Log       2 ulp; log(0) = -inf, log(x < 0) = NaN, denormals right
//   Erf       6e-7 relative; exactly +-1 from |x| = 3.92
//   Tanh      4e-7 relative; exactly +-1 from |x| = 9.01
//   Sigmoid   4 ulp above 1.2e-38, 0 under it
//   Gelu, GeluTanh, Silu   error under 5e-7 |x|; 0 where the gate underflows

#include <hwy/highway.h>

#if defined(SLIPWAY_KERNELS_VECTOR_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLIPWAY_KERNELS_VECTOR_MATH_INL_H_
#undef SLIPWAY_KERNELS_VECTOR_MATH_INL_H_
#else
#define SLIPWAY_KERNELS_VECTOR_MATH_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// c0 + c1 x + c2 x^2 + …
template <class D, class V>
HWY_INLINE V Polynomial(D d, V /*x*/, float c0) {
  return hn::Set(d, c0);
}
template <class D, class V, class... C>
HWY_INLINE V Polynomial(D d, V x, float c0, C... c) {
  return hn::MulAdd(Polynomial(d, x, c...), x, hn::Set(d, c0));
}

/// x = n ln 2 + r: gives 1.5 * 2^23 + n, whose low bits are the integer n, and e^r. |n| must stay under 2^22.
template <class D, class V>
HWY_INLINE V ExpReduce(D d, V x, V& magic_n) {
  const V magic = hn::Set(d, 12582912.0f);
  magic_n = hn::MulAdd(x, hn::Set(d, 1.44269504f), magic);
  const V n = hn::Sub(magic_n, magic);
  V r = hn::NegMulAdd(n, hn::Set(d, 0.693145752f), x);
  r = hn::NegMulAdd(n, hn::Set(d, 1.42860677e-6f), r);
  return Polynomial(d, r, 1.0f, 1.0f, 0.5f, 0.16666518f, 0.041666206f, 0.008368884f, 0.0013950479f);
}

/// Clamp that gives NaN for NaN: x86's min and max return their second operand then, the plain ones the number.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V ClampNumber(D d, V x, float low, float high) {
#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128
  x = hn::IfThenElse(hn::Gt(x, hn::Set(d, high)), hn::Set(d, high), x);
  return hn::IfThenElse(hn::Lt(x, hn::Set(d, low)), hn::Set(d, low), x);
#else
  return hn::Max(hn::Set(d, low), hn::Min(hn::Set(d, high), x));
#endif
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V ExpFlush(D d, V x) {
  const hn::RebindToSigned<D> di;
  // n is in [-127, 128], whose biased exponents
  // 0 and 255 are zero and infinity.
  x = ClampNumber(d, x, -88.0f, 88.6f);
  V magic_n;
  const V p = ExpReduce(d, x, magic_n);
  const auto bits = hn::ShiftLeft<23>(hn::Add(hn::BitCast(di, magic_n), hn::Set(di, 127)));
  return hn::Mul(p, hn::BitCast(d, bits));
}

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
/// p 2^n, rounded once: the instruction does what Exp otherwise needs seven for.
HWY_INLINE hn::Vec512<float> TimesPowerOf2(hn::Vec512<float> p, hn::Vec512<float> n) {
  return {_mm512_scalef_ps(p.raw, n.raw)};
}
HWY_INLINE hn::Vec256<float> TimesPowerOf2(hn::Vec256<float> p, hn::Vec256<float> n) {
  return {_mm256_scalef_ps(p.raw, n.raw)};
}
template <size_t kLanes>
HWY_INLINE hn::Vec128<float, kLanes> TimesPowerOf2(hn::Vec128<float, kLanes> p, hn::Vec128<float, kLanes> n) {
  return {_mm_scalef_ps(p.raw, n.raw)};
}
#endif

template <class D, class V = hn::Vec<D>>
HWY_INLINE V Exp(D d, V x) {
  x = ClampNumber(d, x, -105.0f, 89.0f);
  V magic_n;
  const V p = ExpReduce(d, x, magic_n);
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  return TimesPowerOf2(p, hn::Sub(magic_n, hn::Set(d, 12582912.0f)));
#else
  const hn::RebindToSigned<D> di;
  // Two factors, since 2^n itself is out of range at both ends.
  const auto n = hn::Sub(hn::BitCast(di, magic_n), hn::Set(di, 0x4B400000));
  const auto half = hn::ShiftRight<1>(n);
  const auto one = hn::Set(di, 127);
  const V a = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(half, one)));
  const V b = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(hn::Sub(n, half), one)));
  return hn::Mul(hn::Mul(p, a), b);
#endif
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V Log(D d, V x) {
  const hn::RebindToSigned<D> di;
  const auto denormal = hn::Lt(x, hn::Set(d, 1.17549435e-38f));
  const V scaled = hn::IfThenElse(denormal, hn::Mul(x, hn::Set(d, 8388608.0f)), x);
  // Adding the distance from sqrt(1/2) to 1 makes the exponent change at sqrt(1/2): the mantissa is in [0.707, 1.414).
  const auto bits = hn::Add(hn::BitCast(di, scaled), hn::Set(di, 0x3F800000 - 0x3F3504F3));
  const auto exponent = hn::Sub(hn::ShiftRight<23>(bits), hn::Set(di, 127));
  const auto m = hn::Add(hn::And(bits, hn::Set(di, 0x007FFFFF)), hn::Set(di, 0x3F3504F3));
  V e = hn::ConvertTo(d, exponent);
  e = hn::IfThenElse(denormal, hn::Sub(e, hn::Set(d, 23.0f)), e);
  const V f = hn::Sub(hn::BitCast(d, m), hn::Set(d, 1.0f));
  const V f2 = hn::Mul(f, f);
  V p = Polynomial(d, f, 0.33333331f, -0.25000823f, 0.20001227f, -0.16623357f, 0.14201762f, -0.13160194f, 0.12761550f,
                   -0.076344296f);
  p = hn::MulAdd(hn::Mul(f2, f), p, hn::Mul(e, hn::Set(d, 1.42860677e-6f)));
  p = hn::NegMulAdd(hn::Set(d, 0.5f), f2, p);
  V y = hn::MulAdd(e, hn::Set(d, 0.693145752f), hn::Add(f, p));
  const V inf = hn::BitCast(d, hn::Set(di, 0x7F800000));
  y = hn::IfThenElse(hn::Eq(x, inf), inf, y);
  y = hn::IfThenElse(hn::Eq(x, hn::Zero(d)), hn::Neg(inf), y);
  const V nan = hn::BitCast(d, hn::Set(di, 0x7FC00000));
  return hn::IfThenElse(hn::Ge(x, hn::Zero(d)), y, nan);
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V Erf(D d, V x) {
  const V t = hn::Mul(x, x);
  const V p = Polynomial(d, t, 1.1283791f, 0.19040544f, 0.052748594f, 3.7655744e-3f, 2.8488197e-4f, 2.0500984e-6f);
  const V q = Polynomial(d, t, 1.0f, 0.50207520f, 0.11410870f, 0.014969132f, 1.1625245e-3f, 3.8091788e-5f);
  const V y = hn::Div(hn::Mul(x, p), q);
  const V one = hn::Set(d, 1.0f);
  return hn::IfThenElse(hn::Gt(hn::Abs(x), hn::Set(d, 3.92f)), hn::CopySign(one, x), y);
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V Tanh(D d, V x) {
  const V t = hn::Mul(x, x);
  const V p = Polynomial(d, t, 1.0f, 0.13680390f, 3.8689233e-3f, 2.8019489e-5f, 3.0614000e-8f, -1.2224998e-11f);
  const V q = Polynomial(d, t, 1.0f, 0.47013721f, 0.027248017f, 3.9396816e-4f, 1.2882072e-6f);
  const V y = hn::Div(hn::Mul(x, p), q);
  const V one = hn::Set(d, 1.0f);
  return hn::IfThenElse(hn::Gt(hn::Abs(x), hn::Set(d, 9.01f)), hn::CopySign(one, x), y);
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V Sigmoid(D d, V x) {
  const V one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, ExpFlush(d, hn::Neg(x))));
}

/// x sigmoid(u). What e^-u lacks in precision at its ends counts for nothing there, so that one step of reduction will
/// do.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Gated(D d, V x, V u) {
  const V minus_log2e = hn::Set(d, -1.44269504f);
  const V one = hn::Set(d, 1.0f);
  const auto power_of_2 = [d](V f) HWY_ATTR {
    return Polynomial(d, f, 1.0f, 0.69314694f, 0.2402212f, 0.05550713f, 0.009675541f, 0.0013276472f);
  };
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  // The instruction's limits are those that are wanted: nothing has to be kept in range.
  const V y = hn::Mul(u, minus_log2e);
  const V n = hn::Round(y);
  return hn::Div(x, hn::Add(one, TimesPowerOf2(power_of_2(hn::Sub(y, n)), n)));
#else
  const hn::RebindToSigned<D> di;
  const auto closed = hn::Lt(u, hn::Set(d, -87.0f));
  u = hn::Min(u, hn::Set(d, 87.0f));
  const V magic = hn::Set(d, 12582912.0f);
  const V magic_n = hn::MulAdd(u, minus_log2e, magic);
  const V p = power_of_2(hn::MulAdd(u, minus_log2e, hn::Sub(magic, magic_n)));
  const V e = hn::BitCast(d, hn::Add(hn::BitCast(di, p), hn::ShiftLeft<23>(hn::BitCast(di, magic_n))));
  const V inf = hn::BitCast(d, hn::Set(di, 0x7F800000));
  return hn::Div(x, hn::IfThenElse(closed, inf, hn::Add(one, e)));
#endif
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V Silu(D d, V x) {
  return Gated(d, x, x);
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V Gelu(D d, V x) {
  const V half = hn::Mul(x, hn::Set(d, 0.5f));
  return hn::MulAdd(half, Erf(d, hn::Mul(x, hn::Set(d, 0.70710678f))), half);
}

/// 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), as x sigmoid(2 u), which is the same and keeps the negative tail.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V GeluTanh(D d, V x) {
  return Gated(d, x, hn::Mul(x, hn::MulAdd(hn::Mul(x, x), hn::Set(d, 0.071354816f), hn::Set(d, 1.5957691f))));
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#endif  // SLIPWAY_KERNELS_VECTOR_MATH_INL_H_
