#pragma once

#include <string>
#include <string_view>

#include "core/mapped_file.h"
#include "graph/graph.h"

namespace slipway {

/// Reads an .onnx file. The file is mapped: large weights stay where they lie, and so does external data, which must be
/// in the file's folder or below. Nodes of older opsets are upgraded, model-local functions are inlined. Throws
/// Error(kBadFile) or Error(kBadGraph) naming what is at fault; nothing that a file holds can do worse.
Model ReadModel(const std::string& path);

/// The same from a file's bytes, which are copied. Without a folder there can be no external data. With `as_written`,
/// nodes of other domains than ONNX's are not taken apart: the graph is to be written again, not run.
Model ReadModel(std::string_view bytes, const std::string& folder, bool as_written = false);

/// The model that WriteCompiledGraph() wrote, `bytes` of `file`, from which its tensors' data comes. Constants without
/// data are those that were packed.
Model ReadCompiledGraph(std::string_view bytes, std::shared_ptr<const MappedFile> file);

}  // namespace slipway
