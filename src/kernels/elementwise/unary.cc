#include "kernels/elementwise/unary.h"

#include "kernels/elementwise/sine.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise/unary.cc"
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

/// e^x - 1 for x <= 0: near 0, where the subtraction would cancel, by its series.
HWY_INLINE Vec ExpMinusOne(F32 d, Vec x) {
  const Vec series =
      hn::Mul(x, Polynomial(d, x, 1.0f, 0.5f, 0.16666667f, 0.041666668f, 0.0083333338f, 0.0013888889f, 1.984127e-4f));
  const Vec plain = hn::Sub(ExpFlush(d, x), hn::Set(d, 1.0f));
  return hn::IfThenElse(hn::Gt(x, hn::Set(d, -0.35f)), series, plain);
}

/// log(1 + e) for e in [0, 1]: 2 atanh(e / (2 + e)), whose argument is at most a third.
HWY_INLINE Vec LogOnePlus(F32 d, Vec e) {
  const Vec t = hn::Div(e, hn::Add(e, hn::Set(d, 2.0f)));
  const Vec t2 = hn::Mul(t, t);
  return hn::Mul(t,
                 Polynomial(d, t2, 2.0f, 0.66666669f, 0.40000001f, 0.28571430f, 0.22222222f, 0.18181819f, 0.15384616f));
}

/// x's NaN, else y: for functions built from Min and Max, which drop it on some targets.
HWY_INLINE Vec KeepNaN(F32 d, Vec x, Vec y) { return hn::IfThenElse(hn::Eq(x, x), y, x); }

/// Bounds that keep NaN on every target, by comparisons that are false for it.
HWY_INLINE Vec AtLeast(Vec v, Vec low) { return hn::IfThenElse(hn::Lt(v, low), low, v); }
HWY_INLINE Vec AtMost(Vec v, Vec high) { return hn::IfThenElse(hn::Gt(v, high), high, v); }

void UnaryRange(UnaryOp op, const float* x, float* y, int64_t n, float alpha, float beta) {
  const F32 d;
  const Vec zero = hn::Zero(d);
  const Vec one = hn::Set(d, 1.0f);
  const Vec a = hn::Set(d, alpha);
  const Vec b = hn::Set(d, beta);
  const auto loop = [&](const auto& f) HWY_ATTR { MapRow(x, y, n, [&](Vec v, int64_t) HWY_ATTR { return f(v); }); };
  switch (op) {
    case UnaryOp::kAbs:
      return loop([&](Vec v) HWY_ATTR { return hn::Abs(v); });
    case UnaryOp::kNeg:
      return loop([&](Vec v) HWY_ATTR { return hn::Neg(v); });
    case UnaryOp::kExp:
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
      return loop([&](Vec v) HWY_ATTR { return Exp(d, v); });
#else
      // Where no result is near an end of the range, one factor of a power of two does.
      return loop([&](Vec v) HWY_ATTR {
        return hn::AllTrue(d, hn::Lt(hn::Abs(v), hn::Set(d, 87.0f))) ? ExpFlush(d, v) : Exp(d, v);
      });
#endif
    case UnaryOp::kLog:
      return loop([&](Vec v) HWY_ATTR { return Log(d, v); });
    case UnaryOp::kSqrt:
      return loop([&](Vec v) HWY_ATTR { return hn::Sqrt(v); });
    case UnaryOp::kReciprocal:
      return loop([&](Vec v) HWY_ATTR { return hn::Div(one, v); });
    case UnaryOp::kSquare:
      return loop([&](Vec v) HWY_ATTR { return hn::Mul(v, v); });
    case UnaryOp::kRelu:
      return loop([&](Vec v) HWY_ATTR { return AtLeast(v, zero); });
    case UnaryOp::kLeakyRelu:
      return loop([&](Vec v) HWY_ATTR { return hn::IfThenElse(hn::Lt(v, zero), hn::Mul(v, a), v); });
    case UnaryOp::kThresholdedRelu:
      return loop([&](Vec v) HWY_ATTR { return hn::IfThenElse(hn::Le(v, a), zero, v); });
    case UnaryOp::kElu:
      return loop([&](Vec v) HWY_ATTR { return hn::IfThenElse(hn::Lt(v, zero), hn::Mul(a, ExpMinusOne(d, v)), v); });
    case UnaryOp::kSelu:
      return loop([&](Vec v) HWY_ATTR {
        return hn::Mul(b, hn::IfThenElse(hn::Le(v, zero), hn::Mul(a, ExpMinusOne(d, v)), v));
      });
    case UnaryOp::kCelu: {
      const Vec inverse = hn::Set(d, 1 / alpha);
      // With alpha below 0 the exponent of a negative v is positive.
      return loop([&](Vec v) HWY_ATTR {
        const Vec u = hn::Mul(v, inverse);
        const Vec e = hn::IfThenElse(hn::Gt(u, zero), hn::Sub(Exp(d, u), one), ExpMinusOne(d, u));
        return KeepNaN(d, v, hn::Add(AtLeast(v, zero), AtMost(hn::Mul(a, e), zero)));
      });
    }
    case UnaryOp::kSigmoid:
      return loop([&](Vec v) HWY_ATTR { return Sigmoid(d, v); });
    case UnaryOp::kHardSigmoid:
      return loop([&](Vec v) HWY_ATTR { return AtLeast(AtMost(hn::MulAdd(a, v, b), one), zero); });
    case UnaryOp::kHardSwish: {
      const Vec sixth = hn::Set(d, 1.0f / 6);
      const Vec half = hn::Set(d, 0.5f);
      return loop([&](Vec v) HWY_ATTR { return hn::Mul(v, AtLeast(AtMost(hn::MulAdd(v, sixth, half), one), zero)); });
    }
    case UnaryOp::kTanh:
      return loop([&](Vec v) HWY_ATTR { return Tanh(d, v); });
    case UnaryOp::kErf:
      return loop([&](Vec v) HWY_ATTR { return Erf(d, v); });
    case UnaryOp::kGelu:
      return loop([&](Vec v) HWY_ATTR { return Gelu(d, v); });
    case UnaryOp::kGeluTanh:
      return loop([&](Vec v) HWY_ATTR { return GeluTanh(d, v); });
    case UnaryOp::kSilu:
      return loop([&](Vec v) HWY_ATTR { return hn::Div(v, hn::Add(one, ExpFlush(d, hn::Neg(hn::Mul(a, v))))); });
    case UnaryOp::kMish: {
      // tanh(log(1 + e)) = w / (w + 2) with w = e (e + 2): no logarithm, and no cancellation. Past 20 it is 1.
      const Vec two = hn::Set(d, 2.0f);
      const Vec most = hn::Set(d, 20.0f);
      return loop([&](Vec v) HWY_ATTR {
        const Vec e = ExpFlush(d, AtMost(v, most));
        const Vec w = hn::Mul(e, hn::Add(e, two));
        return hn::Mul(v, hn::Div(w, hn::Add(w, two)));
      });
    }
    case UnaryOp::kSoftplus:
      return loop([&](Vec v)
                      HWY_ATTR { return hn::Add(AtLeast(v, zero), LogOnePlus(d, ExpFlush(d, hn::Neg(hn::Abs(v))))); });
    case UnaryOp::kSoftsign:
      return loop([&](Vec v) HWY_ATTR { return hn::Div(v, hn::Add(one, hn::Abs(v))); });
    case UnaryOp::kFloor:
      return loop([&](Vec v) HWY_ATTR { return hn::Floor(v); });
    case UnaryOp::kCeil:
      return loop([&](Vec v) HWY_ATTR { return hn::Ceil(v); });
    case UnaryOp::kRound:
      return loop([&](Vec v) HWY_ATTR { return hn::Round(v); });
    case UnaryOp::kSign:
      return loop([&](Vec v)
                      HWY_ATTR { return KeepNaN(d, v, hn::IfThenElse(hn::Eq(v, zero), zero, hn::CopySign(one, v))); });
    case UnaryOp::kClip:
      return loop([&](Vec v) HWY_ATTR { return AtMost(AtLeast(v, a), b); });
    case UnaryOp::kLinear:
      return loop([&](Vec v) HWY_ATTR { return hn::MulAdd(v, a, b); });
    case UnaryOp::kSin:
    case UnaryOp::kCos:
      return;  // sine.cc
  }
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace slipway::kernels {

HWY_EXPORT(UnaryRange);

void UnaryFloat(UnaryOp op, const float* x, float* y, int64_t n, float alpha, float beta, const Threads& threads) {
  if (op == UnaryOp::kSin || op == UnaryOp::kCos) return SineFloat(op == UnaryOp::kCos, x, y, n, threads);
  ChooseTarget();
  const auto range = HWY_DYNAMIC_DISPATCH(UnaryRange);
  // A range stays in L2 and takes microseconds, well above the cost of handing it over.
  threads.ParallelFor(n, 16384,
                      [&](int64_t begin, int64_t end) { range(op, x + begin, y + begin, end - begin, alpha, beta); });
}

}  // namespace slipway::kernels
#endif  // HWY_ONCE
