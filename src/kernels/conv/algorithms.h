#pragma once

#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <memory>

#include "kernels/conv/conv.h"

namespace slipway::kernels {

std::unique_ptr<ConvKernel> MakeGemmConv(const ConvAttributes& attributes, const float* weights,
                                         const Threads& threads);
std::unique_ptr<ConvKernel> MakeDepthwiseConv(const ConvAttributes& attributes, const float* weights);
/// `tile` outputs a side: 2 or 4.
std::unique_ptr<ConvKernel> MakeWinogradConv(const ConvAttributes& attributes, const float* weights, int tile,
                                             const Threads& threads);

constexpr int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t AlignUp(int64_t a, int64_t b) { return CeilDiv(a, b) * b; }

/// Uninitialized floats, 64-byte aligned.
using FloatBuffer = hwy::AlignedFreeUniquePtr<float[]>;
inline FloatBuffer AllocateFloats(int64_t count) {
  return hwy::AllocateAligned<float>(static_cast<size_t>(std::max<int64_t>(count, 1)));
}

}  // namespace slipway::kernels
