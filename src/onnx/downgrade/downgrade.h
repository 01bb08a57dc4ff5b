#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "graph/graph.h"

namespace slipway::onnx {

/// The oldest opset of ai.onnx that models are converted to.
inline constexpr int64_t kOldestOpset = 7;

/// What conversion asks about the nodes that it adds; a room that has shape rules answers.
struct Inference {
  /// Sets the types of a new node's outputs.
  std::function<void(Graph& graph, NodeId id)> infer;
  /// The contents of an integer value, where they are known.
  std::function<std::optional<std::vector<int64_t>>(const Graph& graph, ValueId value)> ints;
};

/// Rewrites a model, which is at the newest opset of ai.onnx, in the forms of opset `target`: attributes for inputs and
/// the other way round, casts around operators that do not take a type yet, decompositions for operators that came
/// later. Types must have been inferred. Notes the opset and the IR version that goes with it in the model. Throws
/// Error(kUnsupported) naming the node and the opset from which on it can be expressed.
void ConvertOpset(Model& model, int64_t target, const Inference& inference);

/// The IR version that came with an opset; at least 4, the first in which weights are no inputs.
int64_t IrVersionOf(int64_t opset);

}  // namespace slipway::onnx
