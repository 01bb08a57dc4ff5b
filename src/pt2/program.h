#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "pt2/expr.h"
#include "slipway/tensor.h"

namespace slipway::pt2 {

struct TorchGraph;

/// An argument of a node, or an input or output of a graph. Lists hold arguments, whatever the schema calls them.
struct Argument {
  enum class Kind : uint8_t {
    kNone,
    kTensor,  // text: the value's name; the same for the three that follow
    kSymInt,
    kSymFloat,
    kSymBool,
    kInt,  // number; the same for types, memory formats and layouts (torch's codes)
    kBool,
    kScalarType,
    kMemoryFormat,
    kLayout,
    kFloat,   // real
    kString,  // text; the same for devices, operators, custom objects and tokens
    kDevice,
    kOperator,
    kCustomObject,
    kToken,
    kComplex,  // real, imaginary
    kGraph,    // graph; text: its name
    kList,     // items
    kDict,     // items, keys
  };
  Kind kind = Kind::kNone;
  int64_t number = 0;
  double real = 0, imaginary = 0;
  std::string text;
  std::vector<Argument> items;
  std::vector<std::string> keys;
  std::shared_ptr<const TorchGraph> graph;

  bool is(Kind k) const { return kind == k; }
};

/// What torch.export knows of a tensor without running anything.
struct TensorMeta {
  DType dtype = DType::kUndefined;
  std::vector<Expr> sizes;
  std::vector<Expr> strides;
};

struct TorchNode {
  std::string name;
  std::string target;  ///< "aten.linear.default": without "torch.ops."
  std::vector<std::pair<std::string, Argument>> inputs;
  std::vector<Argument> outputs;
  std::string stack_trace;   ///< the user's source lines, innermost last
  std::string module_stack;  ///< "key,path,class;..."

  const Argument* Find(std::string_view argument) const;
  /// "model.py:12: y = self.linear(x)", "" where not known.
  std::string SourceLine() const;
  /// "encoder.layer.0.attention": the innermost module that the node was traced in.
  std::string ModulePath() const;
};

struct TorchGraph {
  std::vector<Argument> inputs, outputs;
  std::vector<TorchNode> nodes;
  std::unordered_map<std::string, TensorMeta> tensors;
  /// Sizes, numbers and conditions by the names that nodes know them by.
  std::unordered_map<std::string, Expr> symbols;
  bool single_output = false;
};

struct InputSpec {
  enum class Kind : uint8_t { kUser, kParameter, kBuffer, kConstant, kCustomObject, kToken, kFixed };
  Kind kind = Kind::kUser;
  Argument argument;
  std::string target;  ///< a parameter's, buffer's or constant's name
};

struct OutputSpec {
  enum class Kind : uint8_t { kUser, kMutation, kOther };
  Kind kind = Kind::kUser;
  Argument argument;
  std::string target;  ///< of a mutation: the buffer, parameter or input
};

struct Range {
  int64_t low = 0;
  int64_t high = std::numeric_limits<int64_t>::max();
};

/// model.json, read.
struct TorchProgram {
  TorchGraph graph;
  std::vector<InputSpec> inputs;
  std::vector<OutputSpec> outputs;
  std::map<std::string, Range> ranges;  ///< by symbol
  std::string torch_version;
};

/// Throws Error(kBadFile) where the text is no program of a known version.
TorchProgram ReadProgram(std::string_view json);

/// A TensorMeta on its own, as weights' lists have them.
struct StoredMeta {
  DType dtype = DType::kUndefined;
  std::vector<int64_t> sizes, strides;
  int64_t offset = 0;  ///< in elements
};

/// One entry of model_weights_config.json or model_constants_config.json.
struct StoredTensor {
  std::string name, path;
  bool pickled = false;
  bool has_meta = false;
  StoredMeta meta;
};
std::vector<StoredTensor> ReadWeightsConfig(std::string_view json);

/// torch's code of an element type as Slipway's; kUndefined for what ONNX does not have.
DType FromScalarType(int64_t code);

}  // namespace slipway::pt2
