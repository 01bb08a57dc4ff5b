#pragma once

#include <optional>
#include <vector>

#include "graph/patch.h"

namespace slipway {

/// Puts y = scale[c] * Conv(x)[c] + shift[c] into the convolution's weight and bias. An empty scale is all ones;
/// numbers are held in double so that folding several steps rounds once each. Skips where weight or bias is no float
/// constant.
Result FoldIntoConv(const Graph& graph, const Node& conv, ValueId replaced, const std::vector<double>& scale,
                    const std::vector<double>& shift);

/// The Conv that gives `v`, where nothing else uses it, its weight is a float constant and its bias one or left out;
/// else null.
const Node* FoldableConv(const Graph& graph, ValueId v);

/// How many channels the convolution gives.
int64_t OutputChannels(const Graph& graph, const Node& conv);

}  // namespace slipway
