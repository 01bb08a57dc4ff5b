#pragma once

#include <algorithm>
#include <memory>

#include "kernels/conv/conv.h"

namespace slipway::kernels {

std::unique_ptr<ConvKernel> MakeGemmConv(const ConvAttributes& attributes, const float* weights,
                                         const Packing& packing);
/// What it gives, with weights that are packed some output channels at a time, for this run alone.
void GemmConvOnce(const ConvAttributes& attributes, const float* weights, const ConvInput& x, const ConvShape& shape,
                  const Epilogue& epilogue, float* y, const Threads& threads);
std::unique_ptr<ConvKernel> MakeDirectConv(const ConvAttributes& attributes, const float* weights,
                                           const Packing& packing);
/// `algorithm`: one of the kWinograd…. Without `packing` each run packs the weights, some output channels at a time.
std::unique_ptr<ConvKernel> MakeWinogradConv(const ConvAttributes& attributes, const float* weights,
                                             ConvAlgorithm algorithm, const Packing* packing);

constexpr int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t AlignUp(int64_t a, int64_t b) { return CeilDiv(a, b) * b; }

/// `count` floats of the store, written by fill(float*) where they are not there yet.
template <class F>
std::shared_ptr<const float> FloatBlock(WeightStore& store, int64_t count, const F& fill) {
  const auto block = store.Block(static_cast<size_t>(count) * sizeof(float),
                                 [&](std::byte* out) { fill(reinterpret_cast<float*>(out)); });
  return {block, reinterpret_cast<const float*>(block.get())};
}

}  // namespace slipway::kernels
