#pragma once

#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "graph/graph.h"

namespace slipway::pt2 {

/// A program as torch.export wrote it: model.json and what it names.
struct Program {
  std::string json;
  std::string path;                            ///< for messages; "" when it came from memory
  std::map<std::string, Tensor> tensors;       ///< parameters, buffers and constants by their names in the signature
  std::map<std::string, std::string> aliases;  ///< tied ones: name -> the name that holds the data
};

/// Reads a .pt2 archive. The file is mapped and weights stay in place. Throws Error(kBadFile).
Program ReadArchive(const std::string& path);

using AxisNames = std::vector<std::map<int, std::string>>;

struct ConvertOptions {
  /// Of the inputs and outputs that are tensors, in order; those not named bear the program's names.
  std::vector<std::string> input_names, output_names;
  /// For each of them, what an axis that varies is to be called.
  AxisNames input_axes, output_axes;
  bool fold_constants = true;
  /// False: parameters and buffers are inputs of the model, under their names and shapes, after the program's own.
  bool weights = true;
  /// A serialized ModelProto for an operator, by its target ("mylib.op.default"), whose nodes stand in its place. Its
  /// inputs are the tensors and symbolic numbers among the arguments, its outputs the results, in order.
  std::map<std::string, std::string> translations;
  /// Written into the file's metadata_props.
  std::map<std::string, std::string> metadata;
  int opset = 0;  ///< for messages about what cannot be converted; 0: not known
};

/// What a conversion did.
struct Report {
  int program_nodes = 0;    ///< in the program
  int converted_nodes = 0;  ///< as converted
  int nodes = 0;            ///< after simplification
  std::map<std::string, double> seconds;
  std::vector<std::string> warnings;
  std::unordered_map<std::string, std::string> node_docs;  ///< the user's source line, by the names of nodes
};

/// The program as a model at the newest opset. Throws Error naming the operator, its source line, and what to do.
Model Convert(const Program& program, const ConvertOptions& options, Report* report = nullptr);

}  // namespace slipway::pt2
