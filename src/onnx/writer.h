#pragma once

#include <string>

#include "graph/graph.h"

namespace slipway {

/// The newest opset of ai.onnx, which models are written at where nothing else is said.
inline constexpr int64_t kNewestWritten = 0;

/// The model as an .onnx file's bytes, weights included. Values and nodes keep their names, made unique where they are
/// not. `opset` of ai.onnx is what onnx::ConvertOpset brought the graph to; otherwise it is at the newest. Throws
/// Error(kUnsupported) where that is more than the 2 GB that the format can hold.
std::string WriteModel(const Model& model, int64_t opset = kNewestWritten);

/// Writes the same to a file. Weights go into the file `<path>.data` beside it where there are `external_above` bytes
/// of them or more. Throws Error(kBadFile) where a file cannot be written.
void WriteModel(const Model& model, const std::string& path, int64_t external_above = int64_t{2000} << 20,
                int64_t opset = kNewestWritten);

}  // namespace slipway
