#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "graph/graph.h"
#include "onnx/downgrade/downgrade.h"

namespace slipway::onnx {

/// One node's way down: what a rule sees of it, and what it puts in its place. New nodes are in the newest form and
/// are brought down after it.
class Rewrite {
 public:
  Rewrite(Graph& graph, NodeId id, int64_t opset, const Inference& inference)
      : g(graph), id(id), target(opset), inference_(inference), label_(LabelOf(graph, id)) {}

  Graph& g;
  const NodeId id;
  const int64_t target;

  // The node.
  Node& node() const { return g.node(id); }
  Attributes& attributes() const { return g.node(id).attributes; }
  bool Has(size_t i) const { return node().input(i) != kNone; }
  bool Gives(size_t i) const;
  /// The node's input; Error where it is missing.
  ValueId In(size_t i) const;
  void RemoveInput(size_t i);
  [[noreturn]] void Fail(const std::string& why) const;

  // Values.
  DType Elem(ValueId v) const;
  bool HasRank(ValueId v) const { return g.value(v).type.shape.has_rank(); }
  /// The number of axes; Error where it is not known.
  int64_t Rank(ValueId v) const;
  /// An axis counted from the front.
  int64_t Axis(ValueId v, int64_t axis) const;
  /// The size of an axis where it is a number.
  std::optional<int64_t> Size(ValueId v, int64_t axis) const;
  std::optional<std::vector<int64_t>> Known(ValueId v) const { return inference_.ints(g, v); }
  /// The contents of an integer value; Error where only a run tells them.
  std::vector<int64_t> Fixed(ValueId v, std::string_view what) const;
  /// The contents of a scalar, as a number, where it is a constant.
  std::optional<double> Number(ValueId v) const;

  // New constants.
  ValueId Constant(Tensor t);
  ValueId Ints(const std::vector<int64_t>& values);
  ValueId Int(int64_t value);
  /// A scalar of the type.
  ValueId Num(double value, DType type);
  ValueId Like(double value, ValueId v) { return Num(value, Elem(v)); }
  /// A constant of floats in the type.
  ValueId Floats(const Shape& shape, const std::vector<float>& values, DType type);

  // New nodes.
  ValueId Op(std::string_view op, std::vector<ValueId> inputs, Attributes attributes = {});
  std::vector<ValueId> Ops(std::string_view op, std::vector<ValueId> inputs, size_t outputs, Attributes a = {});
  ValueId Add(ValueId a, ValueId b) { return Op("Add", {a, b}); }
  ValueId Sub(ValueId a, ValueId b) { return Op("Sub", {a, b}); }
  ValueId Mul(ValueId a, ValueId b) { return Op("Mul", {a, b}); }
  ValueId Div(ValueId a, ValueId b) { return Op("Div", {a, b}); }
  ValueId Not(ValueId a) { return Op("Not", {a}); }
  ValueId Select(ValueId c, ValueId a, ValueId b) { return Op("Where", {c, a, b}); }
  /// The value itself where it has the type.
  ValueId Cast(ValueId v, DType to);
  /// Two names: {1} would pass for a ValueId.
  ValueId ReshapeBy(ValueId v, ValueId shape) { return Op("Reshape", {v, shape}); }
  ValueId Reshape(ValueId v, const std::vector<int64_t>& shape) { return ReshapeBy(v, Ints(shape)); }
  ValueId Unsqueeze(ValueId v, const std::vector<int64_t>& axes) { return Op("Unsqueeze", {v, Ints(axes)}); }
  ValueId Squeeze(ValueId v, const std::vector<int64_t>& axes) { return Op("Squeeze", {v, Ints(axes)}); }
  ValueId Transpose(ValueId v, const std::vector<int64_t>& perm) { return Op("Transpose", {v}, {{"perm", perm}}); }
  ValueId Concat(const std::vector<ValueId>& parts, int64_t axis) { return Op("Concat", parts, {{"axis", axis}}); }
  ValueId Slice(ValueId v, int64_t axis, int64_t begin, int64_t end, int64_t step = 1);
  ValueId Cut(ValueId v, int64_t axis, ValueId begin, ValueId end);
  ValueId Reduce(std::string_view op, ValueId v, const std::vector<int64_t>& axes, bool keep = true);
  /// The sizes of v, int64.
  ValueId ShapeOf(ValueId v);
  /// The size of an axis as int64 [1].
  ValueId SizeOf(ValueId v, int64_t axis);
  /// 0, 1, ... up to the number of `count`, an int64 [1].
  ValueId Count(ValueId count);
  /// A tensor of the shape full of one number.
  ValueId Full(ValueId shape, double value, DType type);

  /// A node that holds graphs, and the types of what it gives.
  std::vector<ValueId> AddNode(Node node, const std::vector<Type>& types);
  /// Adds a node that has its older form already.
  void Place(Node copy);
  /// Puts values in the place of the node's outputs, and removes it.
  void Become(const std::vector<ValueId>& values);
  /// Writes the node out as another operator with other inputs.
  void Become(std::string_view op, std::vector<ValueId> inputs, Attributes attributes = {}) {
    Become({Op(op, std::move(inputs), std::move(attributes))});
  }
  bool done() const { return !g.alive(id); }
  const std::vector<NodeId>& added() const { return added_; }

 private:
  static std::string LabelOf(const Graph& g, NodeId id);
  const Inference& inference_;
  std::string label_;
  std::vector<NodeId> added_;
};

/// Brings a node from the form of its table's opset down to the one before.
using Lower = std::function<void(Rewrite& r)>;

/// Casts around a node whose types the opset does not let it have. Throws where no cast keeps the meaning.
void WidenTypes(Rewrite& r);
/// True where some form of the operator up to the opset takes the type as its input 0.
bool Takes(std::string_view op, int64_t opset, DType type);
bool IsFloat(DType type);
bool IsSigned(DType type);

}  // namespace slipway::onnx
