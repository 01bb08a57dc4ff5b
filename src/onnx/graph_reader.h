#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "graph/graph.h"
#include "onnx/tensor_reader.h"
#include "onnx/wire.h"

namespace slipway::onnx {

using Opsets = std::map<std::string, int64_t>;  // by domain, "" for ai.onnx

/// A NodeProto's fields; attributes are still bytes.
struct NodeFields {
  std::string name, op_type, domain, overload;
  std::vector<std::string> inputs, outputs;
  std::vector<Bytes> attributes;
};

/// A model-local function: the calls of it are replaced by its nodes.
struct FunctionFields {
  std::string name, domain, overload;
  std::vector<std::string> inputs, outputs;
  std::vector<Bytes> nodes, defaults;
  Opsets opsets;
};

/// What all graphs of a model share while it is read.
struct ModelContext {
  TensorReader tensors;
  std::map<std::string, FunctionFields> functions;  // by "domain:name:overload"
  int64_t budget = 2'000'000;                       // nodes that may yet be read
  int64_t long_prefixes = 0;
  int depth = 0;            // of subgraphs and calls
  bool as_written = false;  // nodes of other domains than ONNX's stay what they are
};

/// AttributeProto.AttributeType.
enum class AttributeKind : int64_t {
  kNothing = 0,
  kFloat = 1,
  kInt = 2,
  kString = 3,
  kTensor = 4,
  kGraph = 5,
  kFloats = 6,
  kInts = 7,
  kStrings = 8,
  kTensors = 9,
  kGraphs = 10,
  kSparse = 11,
  kSparses = 12,
  kType = 13,
};

/// An AttributeProto's fields.
struct AttributeFields {
  std::string name, ref, text;
  AttributeKind kind = AttributeKind::kNothing;
  int64_t number = 0;
  float real = 0;
  std::vector<int64_t> ints;
  std::vector<float> floats;
  std::vector<std::string> strings;
  std::vector<Bytes> tensors;
  Bytes message;  // of a tensor, sparse tensor, graph or type
};

/// How deep subgraphs and calls may be nested.
inline constexpr int kMaxDepth = 200;

NodeFields ReadNode(Bytes message);
/// Throws Error(kBadGraph) where the name is missing, or the value is not of the kind that the attribute says it is.
AttributeFields ReadAttributeFields(Bytes message);
/// The first graph among an attribute's values.
std::optional<Bytes> GraphOf(Bytes attribute);
FunctionFields ReadFunction(Bytes message);
std::string FunctionKey(const std::string& domain, const std::string& name, const std::string& overload);
/// Throws Error(kBadGraph) where functions call each other in a circle, or where the calls in the model's graph unfold
/// to far more than a file of `size` bytes warrants: each level of calls can double it.
void CheckCalls(const std::map<std::string, FunctionFields>& functions, Bytes graph, size_t size);
/// A TypeProto; nested more than a few levels deep it is an error.
Type ReadType(Bytes message, int depth = 0);

/// Reads one GraphProto into a Graph; subgraphs have a reader of their own with this one as the parent.
class GraphReader {
 public:
  GraphReader(ModelContext& context, const Opsets& opsets, GraphReader* parent);

  /// Reads the graph; `overridable` gains initializers that are inputs too.
  void Read(Bytes message, std::vector<std::string>* overridable);
  std::unique_ptr<Graph> Take() { return std::move(graph_); }

 private:
  /// Names to values: the graph's own, or a function's while one is inlined.
  using Names = std::unordered_map<std::string, ValueId>;
  struct Scope {
    Names names;
    const Opsets* opsets;
    std::string prefix;                                                 // of new names: the calls on the way
    const std::unordered_map<std::string, Bytes>* arguments = nullptr;  // attributes of the call, for ref_attr_name
  };
  struct Parts;

  void ReadValues(const Parts& parts, std::vector<std::string>* overridable);
  std::vector<NodeFields> Sort(const std::vector<Bytes>& nodes, const Scope& scope) const;
  void ReadNodes(const std::vector<Bytes>& nodes, Scope& scope);
  void AddNode(const NodeFields& fields, Scope& scope);
  void AddConstant(const NodeFields& fields, Scope& scope);
  void Inline(const NodeFields& call, const FunctionFields& function, Scope& scope);
  void ReadAttribute(Bytes message, Scope& scope, Node& node);
  void ReadGraphAttribute(const std::string& name, Bytes message, Scope& scope, Node& node);
  ValueId Define(const std::string& name, Scope& scope);
  ValueId DefineConstant(const std::string& name, Tensor tensor, Scope& scope);
  /// The value of a name, captured from the graph around where it is not this one's; kNone for a function's input that
  /// the call leaves out.
  ValueId Find(const std::string& name, const Scope& scope);
  /// The value of a node's input, kNone for the name "". Throws Error(kBadGraph) where there is none.
  ValueId Resolve(const std::string& name, const Scope& scope);

  ModelContext& context_;
  GraphReader* parent_;
  std::unique_ptr<Graph> graph_;
  Scope scope_;
  Scope* outer_ = nullptr;                       // in a subgraph: the scope of the node that holds it
  std::vector<ValueId> captured_;                // in a subgraph: the parent's values, in the order of graph_->captures
  std::unordered_map<std::string, Type> types_;  // declared
};

}  // namespace slipway::onnx
