#pragma once

#include <algorithm>
#include <cstring>
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

/// 7 taps along a row at stride 2.
std::unique_ptr<ConvKernel> MakeWinogradRowsConv(const ConvAttributes& attributes, const float* weights,
                                                 const Packing& packing);

/// Products of convolutions do not take Strassen's step: few are large enough to gain by it, and output channels with
/// the same weights stay the same to the last bit.
constexpr bool kStrassen = false;

constexpr int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t AlignUp(int64_t a, int64_t b) { return CeilDiv(a, b) * b; }

inline void ZeroRun(int64_t count, float* to) {
  if (count > 0) std::memset(to, 0, static_cast<size_t>(count) * sizeof(float));
}

/// `columns` pixels of c channels of an image's row of `width` from column `from` on, zeros outside of it; of no row
/// (null), all zeros.
inline void ReadLine(const float* row, int64_t width, int64_t c, int64_t from, int64_t columns, float* out) {
  const int64_t lo = row != nullptr ? std::clamp<int64_t>(-from, 0, columns) : columns;
  const int64_t hi = std::clamp(width - from, lo, columns);
  ZeroRun(lo * c, out);
  if (hi > lo) std::memcpy(out + lo * c, row + (from + lo) * c, static_cast<size_t>((hi - lo) * c) * sizeof(float));
  ZeroRun((columns - hi) * c, out + hi * c);
}

/// `count` floats of the store, written by fill(float*) where they are not there yet.
template <class F>
std::shared_ptr<const float> FloatBlock(WeightStore& store, int64_t count, const F& fill) {
  const auto block = store.Block(static_cast<size_t>(count) * sizeof(float),
                                 [&](std::byte* out) { fill(reinterpret_cast<float*>(out)); });
  return {block, reinterpret_cast<const float*>(block.get())};
}

}  // namespace slipway::kernels
