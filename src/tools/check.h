#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tools/random_inputs.h"

namespace slipway {

/// Something that keeps a model from running.
struct Finding {
  Code code = Code::kBadGraph;
  std::string node;     ///< its name; "" where no single node is at fault
  std::string op_type;  ///< the node's
  std::string message;
  std::string advice;
};

/// Reads a model and checks its structure, that Slipway has its operators, types and shapes, and that it can be planned
/// at the sizes. Goes on after a finding where that makes sense, so that one call gives all. Empty: the model runs.
std::vector<Finding> Check(const std::string& path, const InputSizes& sizes = {});

/// "kBadGraph" as "bad graph", for people and JSON.
std::string_view Name(Code code);

}  // namespace slipway
