#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "graph/graph.h"

namespace slipway {

/// Brings a model at the newest opset, as ReadModel gives it, to another one of ai.onnx; WriteModel then wants to be
/// told that opset. Throws Error naming the node that cannot be expressed in it, or whose types do not fit.
void ConvertOpset(Model& model, int64_t opset);

/// What ConvertFile did.
struct ConversionReport {
  int64_t from = 0, to = 0;  ///< opsets of ai.onnx
  int64_t nodes_before = 0, nodes_after = 0;
};

/// Reads a model and writes it at an opset. Throws Error as ReadModel, ConvertOpset and WriteModel do.
ConversionReport ConvertFile(const std::string& from, const std::string& to, int64_t opset);
/// The same to bytes, from a file or from bytes.
std::string ConvertFile(const std::string& from, int64_t opset);
std::string ConvertBytes(std::string_view model, int64_t opset);

}  // namespace slipway
