#pragma once

#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "graph/dim.h"
#include "slipway/tensor.h"

namespace slipway {

class Graph;

/// The type of a value.
struct Type {
  enum class Kind : uint8_t { kTensor, kSequence, kOptional, kMap };
  Kind kind = Kind::kTensor;
  DType elem = DType::kUndefined;       ///< of a tensor; the key type of a map
  SymbolicShape shape;                  ///< of a tensor
  std::shared_ptr<const Type> element;  ///< what a sequence or optional holds; what a map's keys lead to

  static Type TensorOf(DType elem, SymbolicShape shape = {}) { return {.elem = elem, .shape = std::move(shape)}; }
  static Type SequenceOf(Type element) {
    return {.kind = Kind::kSequence, .element = std::make_shared<const Type>(std::move(element))};
  }
  static Type OptionalOf(Type element) {
    return {.kind = Kind::kOptional, .element = std::make_shared<const Type>(std::move(element))};
  }
  static Type MapOf(DType key, Type element) {
    return {.kind = Kind::kMap, .elem = key, .element = std::make_shared<const Type>(std::move(element))};
  }
  bool known() const { return kind != Kind::kTensor || elem != DType::kUndefined; }
  /// "float [batch, 768]", "seq(int64 [...])"; onnxruntime's spelling ("tensor(float)") is made at the Python edge.
  std::string ToString() const;
};

using Attribute = std::variant<int64_t, float, std::string, Tensor, Type, std::shared_ptr<Graph>, std::vector<int64_t>,
                               std::vector<float>, std::vector<std::string>, std::vector<Tensor>>;

/// A node's attributes. The getters return the default where the attribute is absent, and throw Error(kBadGraph)
/// naming the attribute where it is of another type.
class Attributes {
 public:
  Attributes() = default;
  Attributes(std::initializer_list<std::pair<std::string, Attribute>> items) : items_(items) {}
  bool Has(std::string_view name) const { return Find(name) != nullptr; }
  const Attribute* Find(std::string_view name) const;
  void Set(std::string name, Attribute value);
  void Remove(std::string_view name);
  bool empty() const { return items_.empty(); }
  auto begin() const { return items_.begin(); }
  auto end() const { return items_.end(); }
  auto begin() { return items_.begin(); }
  auto end() { return items_.end(); }

  int64_t Int(std::string_view name, int64_t otherwise) const;
  float Float(std::string_view name, float otherwise) const;
  std::string String(std::string_view name, std::string_view otherwise) const;
  std::vector<int64_t> Ints(std::string_view name, std::vector<int64_t> otherwise = {}) const;
  std::vector<float> Floats(std::string_view name, std::vector<float> otherwise = {}) const;
  std::vector<std::string> Strings(std::string_view name, std::vector<std::string> otherwise = {}) const;
  /// Null where absent.
  const Tensor* GetTensor(std::string_view name) const;
  std::shared_ptr<Graph> GetGraph(std::string_view name) const;
  /// As above, for what has no default: absent throws too.
  int64_t RequiredInt(std::string_view name) const;
  std::string RequiredString(std::string_view name) const;
  std::vector<int64_t> RequiredInts(std::string_view name) const;

 private:
  template <class T>
  const T* Get(std::string_view name, const char* wanted) const;
  std::vector<std::pair<std::string, Attribute>> items_;
};

using ValueId = int32_t;
using NodeId = int32_t;
/// An optional input or output that is left out.
inline constexpr int32_t kNone = -1;

/// Domains. The default one is ai.onnx; Slipway's own holds the fused forms that ONNX has no operator for.
inline constexpr std::string_view kOnnxDomain = "";
inline constexpr std::string_view kMlDomain = "ai.onnx.ml";
inline constexpr std::string_view kMicrosoftDomain = "com.microsoft";
inline constexpr std::string_view kSlipwayDomain = "ai.slipway";

struct Node {
  std::string name;
  std::string op_type;
  std::string domain;
  std::vector<ValueId> inputs;   ///< kNone for an input left out
  std::vector<ValueId> outputs;  ///< kNone for an output left out
  Attributes attributes;
  /// Values of this graph that the node's subgraphs read. Each subgraph's `captures` is as long, and holds the value
  /// inside that stands for it (kNone where that subgraph does not read it).
  std::vector<ValueId> captures;

  bool Is(std::string_view type, std::string_view in_domain = kOnnxDomain) const {
    return op_type == type && domain == in_domain;
  }
  ValueId input(size_t i) const { return i < inputs.size() ? inputs[i] : kNone; }
  ValueId output(size_t i) const { return i < outputs.size() ? outputs[i] : kNone; }
  /// "node 'Conv_12' (Conv)", for messages; a node without a name is named by its first output.
  std::string Describe(const Graph& graph) const;
};

/// What a model is: nodes in an order in which each comes after what it reads, and the values between them. Every value
/// is an input, a constant, a capture, or the output of exactly one node. Node and value ids stay valid until the thing
/// is removed.
class Graph {
 public:
  struct ValueInfo {
    std::string name;
    Type type;
    std::optional<Tensor> constant;
    NodeId producer = kNone;
    std::vector<NodeId> users;  ///< one entry a use, captures included
  };

  std::string name;
  std::string doc;
  std::vector<ValueId> inputs;    ///< what a caller feeds, in the file's order
  std::vector<ValueId> outputs;   ///< a value may stand here more than once, and may be an input
  std::vector<ValueId> captures;  ///< in a subgraph: see Node::captures

  ValueId AddValue(std::string name, Type type = {});
  ValueId AddConstant(std::string name, Tensor value);
  /// Appends after the nodes so far, or before `before`; links producers and users.
  NodeId AddNode(Node node, NodeId before = kNone);
  void RemoveNode(NodeId id);
  /// Every use of `from` (as an input, a capture or a graph output) becomes a use of `to`.
  void ReplaceUses(ValueId from, ValueId to);
  void SetInput(NodeId node, size_t index, ValueId value);
  /// Turns a value into a constant: it loses its producer (which keeps the output slot as kNone).
  void MakeConstant(ValueId id, Tensor value);

  /// Node ids in execution order.
  const std::vector<NodeId>& order() const { return order_; }
  const Node& node(NodeId id) const { return *nodes_[id]; }
  Node& node(NodeId id) { return *nodes_[id]; }
  bool alive(NodeId id) const { return nodes_[id] != nullptr; }
  const ValueInfo& value(ValueId id) const { return values_[id]; }
  ValueInfo& value(ValueId id) { return values_[id]; }
  size_t num_values() const { return values_.size(); }

  /// The node that gives the value; null for inputs and constants.
  const Node* Producer(ValueId id) const;
  /// The value's tensor where it is a constant, else null; kNone gives null.
  const Tensor* Constant(ValueId id) const;
  bool IsOutput(ValueId id) const;
  /// True where the value has one use in all, graph outputs counted.
  bool HasOneUse(ValueId id) const;

 private:
  void Link(NodeId id);
  void Unlink(NodeId id);

  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<ValueInfo> values_;
  std::vector<NodeId> order_;
};

/// A graph and what its file says about it.
struct Model {
  std::shared_ptr<Graph> graph;
  std::string path;  ///< for messages; "" when it came from memory
  int64_t ir_version = 0;
  std::map<std::string, int64_t> opsets;  ///< as the file had them; the graph itself is at the newest
  std::string producer_name, producer_version, domain, doc;
  int64_t model_version = 0;
  std::map<std::string, std::string> metadata;
  /// The names of initializers that are listed as graph inputs too: a caller may feed them.
  std::vector<std::string> overridable;
};

/// Checks the structure: order, links, single producers, no kNone where a value must be. Throws Error(kBadGraph) naming
/// the node or value.
void Verify(const Graph& graph);

}  // namespace slipway
