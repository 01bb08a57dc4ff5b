// Rows of floats whose last columns do not fill a vector, for inclusion once a target.

#include <hwy/highway.h>

#include <cstdint>

#if defined(SLIPWAY_KERNELS_GEMM_COLUMNS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLIPWAY_KERNELS_GEMM_COLUMNS_INL_H_
#undef SLIPWAY_KERNELS_GEMM_COLUMNS_INL_H_
#else
#define SLIPWAY_KERNELS_GEMM_COLUMNS_INL_H_
#endif

#if HWY_COMPILER_CLANG
#define SLIPWAY_UNROLL _Pragma("clang loop unroll(full)")
#else
#define SLIPWAY_UNROLL _Pragma("GCC unroll 32")
#endif

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::ScalableTag<float>;
using FloatVec = hn::Vec<FloatTag>;
constexpr int kLanes = hn::MaxLanes(FloatTag());

/// A packed matrix is panels this wide (gemm.h); the last is one vector wide where that holds its columns.
constexpr int kTileCols = 2;
constexpr int kPanelWidth = kTileCols * kLanes;

/// Columns [from, from + kLanes) of a row of which n columns exist; what does not exist is zero and not touched.
HWY_INLINE FloatVec LoadColumns(const float* row, int from, int n) {
  const FloatTag d;
  if (HWY_LIKELY(n - from >= kLanes)) return hn::LoadU(d, row + from);
#if HWY_TARGET <= HWY_AVX2 && HWY_ARCH_X86
  return n > from ? hn::MaskedLoad(hn::FirstN(d, n - from), d, row + from) : hn::Zero(d);
#else
  alignas(64) float lanes[kLanes] = {};
  for (int i = 0; i < n - from; ++i) lanes[i] = row[from + i];
  return hn::Load(d, lanes);
#endif
}

HWY_INLINE void StoreColumns(FloatVec v, float* row, int from, int n) {
  const FloatTag d;
  if (HWY_LIKELY(n - from >= kLanes)) return hn::StoreU(v, d, row + from);
#if HWY_TARGET <= HWY_AVX2 && HWY_ARCH_X86
  if (n > from) hn::BlendedStore(v, hn::FirstN(d, n - from), d, row + from);
#else
  alignas(64) float lanes[kLanes];
  hn::Store(v, d, lanes);
  for (int i = 0; i < n - from; ++i) row[from + i] = lanes[i];
#endif
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#endif  // SLIPWAY_KERNELS_GEMM_COLUMNS_INL_H_
