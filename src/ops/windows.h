#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ops/op.h"

namespace slipway {

/// What convolutions and pools have in common: a kernel that slides over the spatial axes.
struct WindowAttributes {
  enum class AutoPad : uint8_t { kNotSet, kSameUpper, kSameLower, kValid };
  AutoPad auto_pad = AutoPad::kNotSet;
  std::vector<int64_t> kernel;  ///< empty: the weights' (convolutions)
  std::vector<int64_t> strides;
  std::vector<int64_t> pads;  ///< begins, then ends
  std::vector<int64_t> dilations;
  bool ceil_mode = false;

  static WindowAttributes Parse(const Attributes& a);
  /// The same for pools, which have ceil_mode too.
  static WindowAttributes ParsePool(const Attributes& a);
  static AutoPad ParseAutoPad(const Attributes& a);
  /// Fills what was left out for `rank` spatial axes, and Fail()s where a list has another length, a stride, dilation
  /// or kernel is below 1, or a pad is negative.
  void Complete(const InferContext& c, int rank);

  int64_t Extent(int axis) const { return dilations[axis] * (kernel[axis] - 1) + 1; }
  /// Positions of the window along a spatial axis of that size.
  Dim OutputSize(const InferContext& c, int axis, const Dim& size) const;
  /// The padding before the axis, where it has that size and that many positions.
  int64_t PadBegin(int axis, int64_t size, int64_t positions) const;
  int64_t PadEnd(int axis, int64_t size, int64_t positions) const;
};

/// The output's shape: `channels` and the window's positions, in the layout of x ([N, C, spatial...] or [N, spatial...,
/// C]).
SymbolicShape WindowOutput(const InferContext& c, const WindowAttributes& window, const SymbolicShape& x,
                           const Dim& channels, bool channels_last);

}  // namespace slipway
