#include "quant/quantize_dynamic.h"

#include <algorithm>
#include <map>
#include <tuple>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "ops/op.h"
#include "quant/weights.h"

namespace slipway {
namespace {

constexpr std::string_view kOpTypes[] = {"Conv", "Gather", "Gemm", "MatMul"};

/// A value as bytes, with its scale and zero point.
struct Bytes {
  ValueId values;
  ValueId scale;
  ValueId zero;
};

class DynamicQuantizer {
 public:
  DynamicQuantizer(Graph& graph, const DynamicQuantization& options) : graph_(graph), options_(options) {}

  int Run() {
    int rewritten = 0;
    const std::vector<NodeId> order = graph_.order();
    for (const NodeId id : order) {
      if (options_.subgraphs) {
        for (auto& [name, attribute] : graph_.node(id).attributes) {
          if (auto* sub = std::get_if<std::shared_ptr<Graph>>(&attribute))
            rewritten += DynamicQuantizer(**sub, options_).Run();
        }
      }
      rewritten += Wanted(graph_.node(id)) && Rewrite(id);
    }
    return rewritten;
  }

 private:
  bool Wanted(const Node& node) const {
    const auto has = [&](const auto& list, const std::string& name) {
      return std::find(std::begin(list), std::end(list), name) != std::end(list);
    };
    if (!node.domain.empty() || !has(kOpTypes, node.op_type)) return false;
    if (!options_.op_types.empty() && !has(options_.op_types, node.op_type)) return false;
    if (!options_.nodes.empty() && !has(options_.nodes, node.name)) return false;
    return !has(options_.exclude_nodes, node.name);
  }

  /// A float weight's tensor, or null.
  const Tensor* Weight(ValueId v) const {
    const Tensor* t = graph_.Constant(v);
    return t && t->dtype() == DType::kFloat && t->size() > 0 ? t : nullptr;
  }

  bool Rewrite(NodeId id) {
    const Node& node = graph_.node(id);
    if (node.Is("MatMul")) return RewriteMatMul(id);
    if (node.Is("Gemm")) return RewriteGemm(id);
    if (node.Is("Conv")) return RewriteConv(id);
    return RewriteGather(id);
  }

  bool RewriteMatMul(NodeId id) {
    const Node& node = graph_.node(id);
    const Tensor* b = Weight(node.input(1));
    if (!IsFloat(node.input(0)) || (!b && (options_.constant_b_only || !IsFloat(node.input(1))))) return false;
    if (b && b->shape().rank() < 1) return false;
    // A column's zero point belongs to all matrices only where there is one.
    const bool columns = b && options_.per_channel && b->shape().rank() == 2;
    const Bytes right = b ? OfWeight(node.input(1), columns ? 1 : -1) : OfActivation(id, node.input(1));
    const Bytes left = OfActivation(id, node.input(0));
    Finish(id, "MatMulInteger", left, right, right.scale, {});
    return true;
  }

  /// As a MatMul and an Add.
  bool RewriteGemm(NodeId id) {
    const Node& node = graph_.node(id);
    const Tensor* b = Weight(node.input(1));
    const Attributes& a = node.attributes;
    if (!b || b->shape().rank() != 2 || !IsFloat(node.input(0)) || a.Int("transA", 0) != 0 ||
        a.Float("alpha", 1) != 1 || a.Float("beta", 1) != 1)
      return false;
    const ValueId bias = node.input(2);
    const Bytes right = OfWeight(node.input(1), options_.per_channel ? 1 : -1, a.Int("transB", 0) != 0);
    const Bytes left = OfActivation(id, node.input(0));
    Finish(id, "MatMulInteger", left, right, right.scale, {}, bias);
    return true;
  }

  bool RewriteConv(NodeId id) {
    const Node& node = graph_.node(id);
    const Tensor* w = Weight(node.input(1));
    if (!w || w->shape().rank() < 3 || !IsFloat(node.input(0))) return false;
    const Tensor* bias = nullptr;
    if (node.input(2) != kNone) {
      bias = Weight(node.input(2));
      if (!bias) return false;
    }
    const Bytes right = OfWeight(node.input(1), options_.per_channel ? 0 : -1);
    // Along the channels of [n, channels, spatial...].
    Shape along{w->shape()[0]};
    for (int i = 2; i < w->shape().rank(); ++i) along.push_back(1);
    ValueId scale = right.scale;
    const Tensor numbers = *graph_.Constant(scale);
    if (numbers.shape().rank() == 1)
      scale = Constant(
          node.output(0), "scale",
          Tensor(DType::kFloat, along, const_cast<void*>(numbers.raw()), std::make_shared<const Tensor>(numbers)));
    ValueId add = kNone;
    if (bias) {
      const Tensor shared = *bias;
      add = Constant(
          node.output(0), "bias",
          Tensor(DType::kFloat, along, const_cast<void*>(shared.raw()), std::make_shared<const Tensor>(shared)));
    }
    const Bytes left = OfActivation(id, node.input(0));
    Finish(id, "ConvInteger", left, right, scale, graph_.node(id).attributes, add);
    return true;
  }

  bool RewriteGather(NodeId id) {
    const Node& node = graph_.node(id);
    if (!Weight(node.input(0))) return false;
    const Bytes table = OfTable(node.input(0));
    const ValueId taken = Add(id, "Gather", {table.values, node.input(1)}, node.attributes, "quantized");
    Replace(id, Add(id, "DequantizeLinear", {taken, table.scale, table.zero}, {}, "dequantized"));
    return true;
  }

  /// The integer operator, its result as float and scaled, and what is added to that, in the place of node `id`.
  void Finish(NodeId id, std::string_view op_type, const Bytes& left, const Bytes& right, ValueId right_scale,
              Attributes attributes, ValueId bias = kNone) {
    const ValueId sums =
        Add(id, op_type, {left.values, right.values, left.zero, right.zero}, std::move(attributes), "quantized");
    const ValueId floats = Add(id, "Cast", {sums}, {{"to", static_cast<int64_t>(DType::kFloat)}}, "cast");
    const ValueId scale = Add(id, "Mul", {left.scale, right_scale}, {}, "scales");
    ValueId result = Add(id, "Mul", {floats, scale}, {}, "scaled");
    if (bias != kNone) result = Add(id, "Add", {result, bias}, {}, "biased");
    Replace(id, result);
  }

  bool IsFloat(ValueId v) const { return v != kNone && graph_.value(v).type.elem == DType::kFloat; }

  Bytes OfWeight(ValueId v, int axis, bool transpose = false) {
    const auto key = std::tuple(v, axis, transpose);
    if (const auto found = weights_.find(key); found != weights_.end()) return found->second;
    Tensor weight = *graph_.Constant(v);
    if (transpose) {
      const int64_t rows = weight.shape()[0], columns = weight.shape()[1];
      Tensor turned(DType::kFloat, {columns, rows});
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < columns; ++j)
          turned.data<float>()[j * rows + i] = weight.data<float>()[i * columns + j];
      }
      weight = std::move(turned);
    }
    const QuantizedWeight q = QuantizeWeight(
        weight,
        {.is_signed = options_.signed_weights, .symmetric = options_.symmetric, .reduced = options_.reduce_range},
        axis);
    const Bytes bytes = {Constant(v, "quantized", q.values), Constant(v, "scale", q.scale),
                         Constant(v, "zero_point", q.zero)};
    weights_.emplace(key, bytes);
    return bytes;
  }

  /// A table is no factor of a product: all 256 numbers count, from its least to its largest.
  Bytes OfTable(ValueId v) {
    if (const auto found = tables_.find(v); found != tables_.end()) return found->second;
    const QuantizedWeight q =
        QuantizeWeight(*graph_.Constant(v), {.is_signed = false, .symmetric = false, .reduced = false}, -1);
    const Bytes bytes = {Constant(v, "table", q.values), Constant(v, "table_scale", q.scale),
                         Constant(v, "table_zero_point", q.zero)};
    tables_.emplace(v, bytes);
    return bytes;
  }

  /// Quantized once for all that read it.
  Bytes OfActivation(NodeId before, ValueId v) {
    if (const auto found = activations_.find(v); found != activations_.end()) return found->second;
    const std::string& name = graph_.value(v).name;
    Node node{.name = name + "_QuantizeLinear", .op_type = "DynamicQuantizeLinear", .inputs = {v}};
    for (const char* what : {"quantized", "scale", "zero_point"})
      node.outputs.push_back(graph_.AddValue(fmt::format("{}_{}", name, what)));
    const Bytes bytes = {node.outputs[0], node.outputs[1], node.outputs[2]};
    graph_.AddNode(std::move(node), before);
    activations_.emplace(v, bytes);
    return bytes;
  }

  ValueId Constant(ValueId of, std::string_view what, Tensor value) {
    return graph_.AddConstant(fmt::format("{}_{}", graph_.value(of).name, what), std::move(value));
  }

  ValueId Add(NodeId before, std::string_view op_type, std::vector<ValueId> inputs, Attributes attributes,
              std::string_view what) {
    const Node& at = graph_.node(before);
    const std::string& name = at.name.empty() ? graph_.value(at.outputs[0]).name : at.name;
    const ValueId out = graph_.AddValue(fmt::format("{}_{}", graph_.value(at.outputs[0]).name, what));
    graph_.AddNode({.name = fmt::format("{}_{}", name, what),
                    .op_type = std::string(op_type),
                    .inputs = std::move(inputs),
                    .outputs = {out},
                    .attributes = std::move(attributes)},
                   before);
    return out;
  }

  /// `with` takes the place of the node's result, and its name.
  void Replace(NodeId id, ValueId with) {
    const ValueId old = graph_.node(id).output(0);
    graph_.value(with).type = graph_.value(old).type;
    std::swap(graph_.value(with).name, graph_.value(old).name);
    graph_.ReplaceUses(old, with);
    graph_.RemoveNode(id);
  }

  Graph& graph_;
  const DynamicQuantization& options_;
  std::map<std::tuple<ValueId, int, bool>, Bytes> weights_;
  std::map<ValueId, Bytes> tables_;
  std::map<ValueId, Bytes> activations_;
};

}  // namespace

int QuantizeDynamic(Model& model, const DynamicQuantization& options) {
  for (const std::string& type : options.op_types) {
    if (std::find(std::begin(kOpTypes), std::end(kOpTypes), type) == std::end(kOpTypes))
      throw Error(Code::kInvalidArgument, fmt::format("operator type '{}' cannot be quantized dynamically: {} can.",
                                                      type, fmt::join(kOpTypes, ", ")));
  }
  Verify(*model.graph);
  InferTypes(*model.graph);
  const int rewritten = DynamicQuantizer(*model.graph, options).Run();
  Verify(*model.graph);
  InferTypes(*model.graph);
  return rewritten;
}

}  // namespace slipway
