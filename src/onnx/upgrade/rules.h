#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "graph/graph.h"

namespace slipway::onnx {

/// Rewrites a node of an older opset in place, or into several.
using Apply = std::function<void(Graph& graph, NodeId id)>;

[[noreturn]] void FailUpgrade(Code code, const std::string& what);

/// Adds nodes and constants before a node, named after its first output.
class Before {
 public:
  Before(Graph& graph, NodeId at);
  ValueId Ints(std::string_view what, std::vector<int64_t> values) const;
  ValueId Constant(std::string_view what, Tensor value) const;
  ValueId Add(std::string_view op_type, std::vector<ValueId> inputs, Attributes attributes = {}) const;
  /// As many ones as x has axes from `start` on, int64.
  ValueId Ones(ValueId x, int64_t start) const;
  /// The scalar in the element type of `like`.
  ValueId Scalar(std::string_view what, float value, ValueId like) const;

 private:
  Graph& g_;
  NodeId at_;
  std::string label_;
  std::string node_label_;
};

/// An attribute list of one item.
Attributes One(std::string name, Attribute value);
/// The element type of a value where the file says it, or what the value is computed from does; else kUndefined.
DType ElemOf(const Graph& graph, ValueId value);
/// The node's input, which the rule cannot do without.
ValueId Required(const Node& node, size_t index);

/// Attributes of ints, floats, one int or one float that became input `index`: a list, an int64 of `shape` ([1] or []),
/// or a scalar of the type of input 0. Absent ones stay absent.
Apply IntsToInput(std::string name, size_t index);
Apply FloatsToInput(std::string name, size_t index);
Apply IntToInput(std::string name, size_t index, Shape shape);
Apply FloatToInput(std::string name, size_t index);
/// Removes attributes that say nothing any more.
Apply Drop(std::vector<std::string> names);
/// Writes out what used to be the default.
Apply Default(std::string name, Attribute value);
/// Gives a value of a string attribute its new name.
Apply RenameValue(std::string attribute, std::string from, std::string to);
Apply RenameOp(std::string to);
Apply Unsupported(std::string why);
/// One after the other.
Apply All(std::vector<Apply> rules);

/// The second operand was aligned with `axis` of the first where `broadcast` was set.
void OldBroadcast(Graph& graph, NodeId id);
/// A slope of one axis was aligned with the channels.
void AlignSlope(Graph& graph, NodeId id);
/// Tile repeated along one axis.
void TileOneAxis(Graph& graph, NodeId id);
/// Softmax and its kin worked on a matrix: axes before `axis` times axes from it on.
void FlattenAround(Graph& graph, NodeId id);
/// Training was told by the number of outputs, and statistics could be kept for each position.
void PlainBatchNormalization(Graph& graph, NodeId id);
/// GroupNormalization-18 scales each group, -21 each channel.
void ScalePerChannel(Graph& graph, NodeId id);
/// Resize and Upsample of inputs X and scales.
void ScalesToThird(Graph& graph, NodeId id);
/// The scales of Upsample-1: height and width apart.
void HeightAndWidth(Graph& graph, NodeId id);
/// Inputs of Resize that are not used were empty tensors.
void DropEmptyInputs(Graph& graph, NodeId id);
/// Mod of floats was for fmod 1 alone.
void FloatsWantFmod(Graph& graph, NodeId id);
void CastByName(Graph& graph, NodeId id);
/// LabelEncoder-1 mapped strings to their places in a list, or the other way round, as CategoryMapper does.
void ClassesToCategories(Graph& graph, NodeId id);
/// Split without sizes cut into as many parts as it has outputs; since opset 18 it says the number.
void CountOutputs(Graph& graph, NodeId id);
/// SoftmaxCrossEntropyLoss is NegativeLogLikelihoodLoss of LogSoftmax.
void LogSoftmaxThenLoss(Graph& graph, NodeId id);
/// Gradient is the nodes that compute it, by reverse-mode differentiation.
void ExpandGradient(Graph& graph, NodeId id);
/// Scan-8 had a batch in front of everything, of items that might differ in length.
void ScanEachItem(Graph& graph, NodeId id);
/// p of LpPool and GlobalLpPool was a float.
void IntegerP(Graph& graph, NodeId id);

/// Operators that onnxruntime writes into files, in com.microsoft and in ai.onnx, and that nodes of ONNX's own
/// operators can stand for. False where the node is none of them.
bool TakeApart(Graph& graph, NodeId id);

}  // namespace slipway::onnx
