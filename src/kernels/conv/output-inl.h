// Loading and storing rows of channels that may end within a vector, and the epilogue on the way out.

#include <hwy/highway.h>

#include "kernels/epilogue-inl.h"

#if defined(SLIPWAY_KERNELS_CONV_OUTPUT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLIPWAY_KERNELS_CONV_OUTPUT_INL_H_
#undef SLIPWAY_KERNELS_CONV_OUTPUT_INL_H_
#else
#define SLIPWAY_KERNELS_CONV_OUTPUT_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {
namespace {

using ConvTag = hn::ScalableTag<float>;
using ConvVec = hn::Vec<ConvTag>;

// Below AVX2 a masked store is a load, a blend and a store, which would race with the thread that owns the next pixel.
constexpr bool kNativeMasks = HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3;

/// The first min(count, lanes) floats at `from`, zeros behind.
HWY_INLINE ConvVec LoadFirst(const float* from, size_t count) {
  const ConvTag d;
  if (count >= hn::Lanes(d)) return hn::LoadU(d, from);
  if constexpr (kNativeMasks) {
    return hn::MaskedLoad(hn::FirstN(d, count), d, from);
  } else {
    HWY_ALIGN float buffer[hn::MaxLanes(ConvTag())] = {};
    for (size_t i = 0; i < count; ++i) buffer[i] = from[i];
    return hn::Load(d, buffer);
  }
}

/// Writes the first min(count, lanes) floats of v and touches nothing behind them.
HWY_INLINE void StoreFirst(ConvVec v, float* to, size_t count) {
  const ConvTag d;
  if (count >= hn::Lanes(d)) return hn::StoreU(v, d, to);
  if constexpr (kNativeMasks) {
    hn::BlendedStore(v, hn::FirstN(d, count), d, to);
  } else {
    HWY_ALIGN float buffer[hn::MaxLanes(ConvTag())];
    hn::Store(v, d, buffer);
    for (size_t i = 0; i < count; ++i) to[i] = buffer[i];
  }
}

[[maybe_unused]] HWY_NOINLINE void ActivateVectors(const Epilogue& e, ConvVec* v, int64_t count) {
  WithActivation(e, [&](auto activate) HWY_ATTR {
    for (int64_t i = 0; i < count; ++i) v[i] = activate(ConvTag(), v[i]);
  });
}

/// y of `count` pixels of a row, a vector of channels each: v through the epilogue. `at` is the offset of the first
/// pixel's channel `channel` in the output, whose pixels are `pixel` floats long; only `lanes` channels of the vector
/// exist.
template <int kMost>
HWY_INLINE void StorePixels(const Epilogue& e, const ConvVec* v, int64_t count, float* y, int64_t at, int64_t pixel,
                            int64_t channel, size_t lanes) {
  const ConvTag d;
  const ConvVec scale = hn::Set(d, e.scale);
  const ConvVec bias = e.bias == nullptr ? hn::Zero(d) : LoadFirst(e.bias + channel, lanes);
  ConvVec out[kMost];
#pragma GCC unroll 8
  for (int p = 0; p < kMost; ++p) out[p] = hn::MulAdd(v[p], scale, bias);
  if (e.residual != nullptr) {
#pragma GCC unroll 8
    for (int p = 0; p < kMost; ++p) {
      if (p < count) out[p] = hn::Add(out[p], LoadFirst(e.residual + at + p * pixel, lanes));
    }
  }
  // The common ones here, the others, which are long, once.
  if (e.activation == Activation::kRelu || e.activation == Activation::kClip) {
    const bool clip = e.activation == Activation::kClip;
    const float low = clip ? e.alpha : 0.0f;
    const float high = clip ? e.beta : kInfinity;
#pragma GCC unroll 8
    for (int p = 0; p < kMost; ++p) out[p] = ClampNumber(d, out[p], low, high);
  } else if (e.activation != Activation::kNone) {
    // By way of a copy, so that `out` may stay in registers on the other paths.
    ConvVec copy[kMost];
    for (int p = 0; p < kMost; ++p) copy[p] = out[p];
    ActivateVectors(e, copy, count);
    for (int p = 0; p < kMost; ++p) out[p] = copy[p];
  }
#pragma GCC unroll 8
  for (int p = 0; p < kMost; ++p) {
    if (p < count) StoreFirst(out[p], y + at + p * pixel, lanes);
  }
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#endif  // SLIPWAY_KERNELS_CONV_OUTPUT_INL_H_
