// The activations of epilogue.h on float vectors, for inclusion once a target after foreach_target.h.

#include <hwy/highway.h>

#include "kernels/epilogue.h"
#include "kernels/vector_math-inl.h"

#if defined(SLIPWAY_KERNELS_EPILOGUE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLIPWAY_KERNELS_EPILOGUE_INL_H_
#undef SLIPWAY_KERNELS_EPILOGUE_INL_H_
#else
#define SLIPWAY_KERNELS_EPILOGUE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {

constexpr float kInfinity = __builtin_huge_valf();

/// Calls f(activate), where activate(d, v) is the activation that the epilogue names as an inlinable function object;
/// so that a loop inside f has no switch in it.
template <class F>
HWY_INLINE void WithActivation(const Epilogue& e, const F& f) {
  const float alpha = e.alpha;
  const float beta = e.beta;
  switch (e.activation) {
    case Activation::kNone:
      return f([](auto d, auto v) HWY_ATTR { return v; });
    case Activation::kRelu:
      return f([](auto d, auto v) HWY_ATTR { return ClampNumber(d, v, 0.0f, kInfinity); });
    case Activation::kClip:
      return f([alpha, beta](auto d, auto v) HWY_ATTR { return ClampNumber(d, v, alpha, beta); });
    case Activation::kLeakyRelu:
      return f([alpha](auto d, auto v)
                   HWY_ATTR { return hn::IfThenElse(hn::Lt(v, hn::Zero(d)), hn::Mul(v, hn::Set(d, alpha)), v); });
    case Activation::kGelu:
      return f([](auto d, auto v) HWY_ATTR { return Gelu(d, v); });
    case Activation::kGeluTanh:
      return f([](auto d, auto v) HWY_ATTR { return GeluTanh(d, v); });
    case Activation::kSilu:
      return f([](auto d, auto v) HWY_ATTR { return Silu(d, v); });
    case Activation::kSigmoid:
      return f([](auto d, auto v) HWY_ATTR { return Sigmoid(d, v); });
    case Activation::kTanh:
      return f([](auto d, auto v) HWY_ATTR { return Tanh(d, v); });
    case Activation::kHardSwish:
      return f([](auto d, auto v) HWY_ATTR {
        const auto gate = hn::MulAdd(v, hn::Set(d, 1.0f / 6), hn::Set(d, 0.5f));
        return hn::Mul(v, ClampNumber(d, gate, 0.0f, 1.0f));
      });
    case Activation::kHardSigmoid:
      return f([alpha, beta](auto d, auto v)
                   HWY_ATTR { return ClampNumber(d, hn::MulAdd(v, hn::Set(d, alpha), hn::Set(d, beta)), 0.0f, 1.0f); });
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#endif  // SLIPWAY_KERNELS_EPILOGUE_INL_H_
