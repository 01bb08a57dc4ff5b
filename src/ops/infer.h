#pragma once

#include "ops/op.h"

namespace slipway {

/// Runs one node's shape rule on what is known of its inputs and sets the types of its outputs; `ints`, indexed by
/// value, holds the known contents of integer values and gains those of the outputs. For passes that add nodes;
/// InferTypes does whole graphs.
using KnownInts = std::vector<std::optional<SymbolicInts>>;
void InferNode(Graph& graph, NodeId id, KnownInts* ints = nullptr);

/// The same, with results left in the context for the caller to use.
void FillInferInputs(InferContext& c, const KnownInts* ints);

}  // namespace slipway
