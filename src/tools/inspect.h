#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "slipway/session.h"
#include "tools/planned.h"
#include "tools/random_inputs.h"

namespace slipway {

/// A graph in numbers, those of its subgraphs included but for `flops`.
struct GraphSummary {
  int64_t nodes = 0;
  std::map<std::string, int64_t>
      operators;           ///< by type, with the domain before it where that is not ONNX's: "ai.slipway.FusedConv"
  int64_t parameters = 0;  ///< elements of all constants
  int64_t parameter_bytes = 0;
  /// Two for each multiplication with addition in matrix products, convolutions, attention and recurrent layers at the
  /// input shapes, and bytes of the arena that intermediate values need; neither where the graph cannot be planned.
  std::optional<int64_t> flops;
  std::optional<size_t> arena_bytes;
  std::string no_plan;  ///< why it cannot be
};

struct Inspection {
  ModelInfo info;
  std::vector<ValueInfo> inputs, outputs;
  std::map<std::string, Shape> shapes;  ///< of the inputs, as the sizes settle them
  GraphSummary before, after;           ///< as in the file, and optimized
  std::optional<Compiled> compiled;     ///< of a compiled model, whose file holds the optimized graph
};

struct InspectOptions {
  int level = 3;  ///< of optimization
  InputSizes sizes;
};

/// Describes a model file, runnable or not. Throws Error where it cannot be read, or the sizes do not fit its inputs.
Inspection Inspect(const std::string& path, const InspectOptions& options = {});

}  // namespace slipway
