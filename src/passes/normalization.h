#pragma once

#include <initializer_list>
#include <string_view>

#include "graph/patch.h"
#include "graph/pattern.h"

namespace slipway {

/// A normalization over the last axis taken apart, as node `op_type`. The match has x, eps, the ReduceMeans called
/// `means`, and where there are any gamma and beta.
Result Normalization(const Graph& graph, NodeId id, const Match& match, std::initializer_list<std::string_view> means,
                     const char* op_type);

/// What the last step of a normalization may be.
bool MayEndNormalization(const Node& node);

}  // namespace slipway
