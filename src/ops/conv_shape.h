#pragma once

#include "ops/windows.h"

namespace slipway {

/// The shape rule that convolutions share: input 0 is the image, input `w` the weights [out channels, channels / group,
/// kernel...]. Fail()s where they do not fit.
SymbolicShape ConvOutput(const InferContext& c, const WindowAttributes& window, int64_t group, bool channels_last,
                         int w);

/// Fail()s where input `bias` is not one number for each of the weights' output channels.
void CheckConvBias(const InferContext& c, int bias, int w);

/// The window with the weights' kernel and all defaults; without a kernel where its sizes are not known.
WindowAttributes ConvWindow(const InferContext& c, const WindowAttributes& window, int w);

/// The same for what a shape rule has checked.
void FillConvWindow(WindowAttributes& window, const Shape& w);

}  // namespace slipway
