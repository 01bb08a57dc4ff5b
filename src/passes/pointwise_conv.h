#pragma once

#include "graph/graph.h"

namespace slipway {

/// A convolution that is a product of the pixels where they are: 1x1 at stride 1, not grouped, not padded.
bool IsPointwise(const Graph& graph, const Node& conv);

}  // namespace slipway
