#pragma once

#include <ostream>
#include <string>
#include <unordered_map>

#include "graph/graph.h"

namespace slipway {

/// The newest opset of ai.onnx, which models are written at where nothing else is said.
inline constexpr int64_t kNewestWritten = 0;

/// The model as an .onnx file's bytes, weights included. Values and nodes keep their names, made unique where they are
/// not. `opset` of ai.onnx is what onnx::ConvertOpset brought the graph to; otherwise it is at the newest. Throws
/// Error(kUnsupported) where that is more than the 2 GB that the format can hold.
std::string WriteModel(const Model& model, int64_t opset = kNewestWritten);

/// What is to stand in nodes' doc_string, by the nodes' names; "a/b" is found for what a rewrite called "a/b/Add" too.
using NodeDocs = std::unordered_map<std::string, std::string>;

/// Writes the same to a file. Weights go into the file `<path>.data` beside it where there are `external_above` bytes
/// of them or more. Throws Error(kBadFile) where a file cannot be written.
void WriteModel(const Model& model, const std::string& path, int64_t external_above = int64_t{2000} << 20,
                int64_t opset = kNewestWritten, const NodeDocs& docs = {});

/// The same as bytes whose larger tensors go to `out`, of which `*offset` bytes are written already, and that refer to
/// them there; constants without data stay without. For compiled models, which are one file.
std::string WriteCompiledGraph(const Model& model, std::ostream& out, int64_t* offset);

}  // namespace slipway
