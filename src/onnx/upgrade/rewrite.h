#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "onnx/upgrade/rules.h"

namespace slipway::onnx {

/// A node that is taken apart into nodes of ai.onnx (and ai.slipway): they are added before it, and the last takes over
/// its name and outputs.
class Rewrite {
 public:
  Rewrite(Graph& graph, NodeId id) : g_(graph), id_(id), before_(graph, id), node_(graph.node(id)) {}

  const Attributes& attributes() const { return node_.attributes; }
  const Before& before() const { return before_; }
  bool Has(size_t i) const { return node_.input(i) != kNone; }
  bool HasOut(size_t i) const { return node_.output(i) != kNone; }
  ValueId In(size_t i) const { return Required(node_, i); }
  const Tensor* Constant(size_t i) const { return Has(i) ? g_.Constant(node_.input(i)) : nullptr; }
  /// -1: not known.
  int RankOf(size_t i) const {
    if (!Has(i)) return -1;
    const SymbolicShape& shape = g_.value(node_.input(i)).type.shape;
    return shape.has_rank() ? shape.rank() : -1;
  }

  ValueId Add(std::string_view op_type, std::vector<ValueId> inputs, Attributes attributes = {},
              std::string_view domain = kOnnxDomain) const {
    const ValueId out = before_.Add(op_type, std::move(inputs), std::move(attributes));
    g_.node(g_.value(out).producer).domain = domain;
    return out;
  }
  /// x + input i, or x where that is left out.
  ValueId Plus(ValueId x, size_t i) const { return Has(i) ? Add("Add", {x, In(i)}) : x; }
  ValueId Number(std::string_view what, float value, ValueId like) const { return before_.Scalar(what, value, like); }

  /// The node's outputs are those of one node. `outputs` gives the place that each of its own takes there.
  void Become(std::string_view op_type, std::vector<ValueId> inputs, Attributes attributes = {},
              std::string_view domain = kOnnxDomain, const std::vector<size_t>& outputs = {}) {
    Node next{.name = node_.name,
              .op_type = std::string(op_type),
              .domain = std::string(domain),
              .inputs = std::move(inputs),
              .outputs = node_.outputs,
              .attributes = std::move(attributes)};
    if (!outputs.empty()) {
      next.outputs.assign(*std::max_element(outputs.begin(), outputs.end()) + 1, kNone);
      for (size_t i = 0; i < outputs.size(); ++i) next.outputs[outputs[i]] = node_.output(i);
    }
    while (!next.outputs.empty() && next.outputs.back() == kNone) next.outputs.pop_back();
    while (!next.inputs.empty() && next.inputs.back() == kNone) next.inputs.pop_back();
    g_.RemoveNode(id_);
    g_.AddNode(std::move(next));
  }

  /// Output i is an identity of x; for the outputs that Become is not to give.
  void Give(size_t i, ValueId x) {
    const ValueId y = g_.node(id_).outputs[i];
    Node& node = g_.node(id_);
    node.outputs[i] = kNone;
    node_.outputs[i] = kNone;
    g_.value(y).producer = kNone;
    g_.AddNode({.name = g_.value(y).name + "/given", .op_type = "Identity", .inputs = {x}, .outputs = {y}}, id_);
  }

  /// What `activation` names, of x; its parameters in the order of ONNX's attributes.
  void BecomeActivation(ValueId x, const std::string& activation, const std::vector<float>& parameters);

 private:
  Graph& g_;
  NodeId id_;
  Before before_;
  Node node_;  // a copy: what is added to the graph moves its nodes' neighbours
};

Attributes Without(Attributes a, std::initializer_list<std::string_view> names);
/// Conv with the attributes activation and activation_params, a bias (input 2) and a summand (3), given its weights.
void BecomeFusedConv(Rewrite& r, ValueId weights);
/// The operators of com.microsoft.nchwc. False where there is no such.
bool TakeApartBlocked(Rewrite& r, std::string_view op_type);

}  // namespace slipway::onnx
