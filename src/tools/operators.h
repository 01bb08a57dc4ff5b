#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace slipway {

/// What Slipway says of one operator.
struct OperatorInfo {
  std::string domain;  ///< "ai.onnx" for the default one
  std::string name;
  int64_t first_opset = 1;  ///< of its domain: files from here on are read
  int64_t form = 1;         ///< the opset of the form that the code knows, which older ones are turned into
  std::string inputs;       ///< how many: "2", "1 to 3", "1 or more"
  std::string outputs;
  std::string types;      ///< of the first input: "any", "float, float16"
  std::string fast_path;  ///< the types that are computed in vectors: "float, halves"; empty: plain loops
  std::string isas;       ///< the instruction sets which have a form of their own of that
};

/// All operators, by domain (ai.onnx first), then by name.
std::vector<OperatorInfo> Operators();

}  // namespace slipway
