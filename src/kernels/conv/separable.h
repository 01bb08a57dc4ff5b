#pragma once

#include "kernels/conv/conv.h"

namespace slipway::kernels {

/// A depthwise convolution with the 1x1 convolutions around it, as MobileNet and EfficientNet chain them: what lies
/// between them is several times as large as what goes in and out. A few rows at a time go through all of them, so that
/// it never leaves the cache.
struct SeparableConv {
  const PackedConv* expand;  ///< 1x1, PackedConv::CanScale(); null: none
  const PackedConv* depthwise;
  const PackedConv* project;  ///< 1x1; null: none

  struct Epilogues {
    Epilogue expand;
    Epilogue depthwise;
    Epilogue project;
  };

  /// `shape` is the depthwise convolution's; only the last of those that are there may have a residual.
  void Run(const float* x, const ConvShape& shape, const Epilogues& epilogues, float* y, const Threads& threads) const;
};

}  // namespace slipway::kernels
