#pragma once

#include <string>

#include "graph/graph.h"

namespace slipway::onnx {

/// The newest opset of ai.onnx that operators are written for.
inline constexpr int64_t kNewestOpset = 28;
/// The same of ai.onnx.ml.
inline constexpr int64_t kNewestMlOpset = 5;

/// The opset that an operator of ai.onnx came with; 1 for what was always there, and for what ONNX does not have.
int64_t FirstOpset(const std::string& op);

/// Turns a node of opset `version` of its domain into the newest form, which is the one that operators know. May add
/// nodes and constants before it. Throws Error(kBadGraph).
void Upgrade(Graph& graph, NodeId id, int64_t version);

}  // namespace slipway::onnx
