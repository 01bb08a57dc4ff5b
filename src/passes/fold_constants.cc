#include <algorithm>

#include "ops/evaluate.h"
#include "ops/infer.h"
#include "passes/apply.h"
#include "passes/passes.h"

namespace slipway {
namespace {

constexpr size_t kMaxGrowth = size_t{1} << 20;  // bytes that a file may be larger for what is folded, a node

/// What the shape rule found an integer output to hold, as a tensor.
std::optional<Tensor> FromKnownInts(const Type& type, const std::optional<SymbolicInts>& ints) {
  if (!ints || type.kind != Type::Kind::kTensor || !type.shape.has_rank() || type.shape.rank() > 1) return std::nullopt;
  if (!std::all_of(ints->begin(), ints->end(), [](const Dim& d) { return d.is_const(); })) return std::nullopt;
  const auto fill = [&]<class T>() {
    Tensor t(type.elem, type.shape.rank() == 0 ? Shape() : Shape{static_cast<int64_t>(ints->size())});
    std::transform(ints->begin(), ints->end(), t.data<T>(), [](const Dim& d) { return static_cast<T>(d.value()); });
    return t;
  };
  switch (type.elem) {
    case DType::kInt64:
      return fill.operator()<int64_t>();
    case DType::kInt32:
      return fill.operator()<int32_t>();
    case DType::kBool:
      return fill.operator()<bool>();
    default:
      return std::nullopt;
  }
}

class Folder {
 public:
  Folder(Graph& graph, SweepContext& context) : graph_(graph), context_(context) {}

  int Run() {
    int folded = 0;
    const std::vector<NodeId> order = graph_.order();
    for (const NodeId id : order) {
      // A graph that is only to be written may hold operators of others.
      if (!FindOp(graph_.node(id).domain, graph_.node(id).op_type)) continue;
      InferNode(graph_, id, &ints_);
      folded += FoldKnown(id) || FoldByRunning(id);
    }
    return folded;
  }

 private:
  bool FoldKnown(NodeId id) {
    bool any = false;
    const std::vector<ValueId> outputs = graph_.node(id).outputs;
    for (const ValueId v : outputs) {
      if (v == kNone) continue;
      auto tensor = FromKnownInts(graph_.value(v).type, ints_[v]);
      if (!tensor) continue;
      graph_.MakeConstant(v, std::move(*tensor));
      any = true;
    }
    if (any) RemoveUnused(graph_, id);
    return any;
  }

  bool FoldByRunning(NodeId id) {
    const Node& node = graph_.node(id);
    if (!CanRun(node)) return false;
    std::vector<Value> values(node.inputs.size());
    std::vector<Value*> inputs;
    size_t bytes = kMaxGrowth;
    for (size_t i = 0; i < values.size(); ++i) {
      const Tensor* t = graph_.Constant(node.inputs[i]);
      if (t) values[i] = *t;
      if (t && graph_.HasOneUse(node.inputs[i])) bytes += t->bytes();  // else it stays in memory all the same
      inputs.push_back(t ? &values[i] : nullptr);
    }
    if (OutputBytes(node) > bytes) {
      ++context_.report.skipped["the result would be much larger than what it is made from"];
      return false;
    }
    std::vector<Value> results;
    try {
      results = Evaluate(graph_, node, *MakeOp(graph_, node), inputs, context_.threads);
    } catch (const Error&) {
      // Where such a node is never reached (in a branch not taken, say) the model runs all the same.
      ++context_.report.skipped["the node fails on its constants"];
      return false;
    }
    const std::vector<ValueId> outputs = node.outputs;
    if (!std::all_of(results.begin(), results.end(), [](const Value& v) { return v.empty() || v.is_tensor(); }))
      return false;
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i] != kNone) graph_.MakeConstant(outputs[i], std::move(results[i].tensor()));
    }
    RemoveUnused(graph_, id);
    return true;
  }

  bool CanRun(const Node& node) const {
    if (node.inputs.empty() || !node.captures.empty()) return false;
    if (FindOp(node.domain, node.op_type)->impure) return false;
    // Weights stay in the small form that they have in the file, and quantized operators find it.
    if (node.op_type == "DequantizeLinear") return false;
    if (HasSubgraph(node)) return false;
    return std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId v) {
      const Tensor* t = graph_.Constant(v);
      return v == kNone || (t && (t->raw() || t->size() == 0));
    });
  }

  /// At least; what only running tells is not counted.
  size_t OutputBytes(const Node& node) const {
    double bytes = 0;
    for (const ValueId v : node.outputs) {
      if (v == kNone || graph_.value(v).type.kind != Type::Kind::kTensor) continue;
      const Type& type = graph_.value(v).type;
      const auto shape = type.shape.Concrete();
      if (!shape || !type.known()) continue;
      double size = static_cast<double>(SizeOf(type.elem));
      for (const int64_t d : *shape) size *= static_cast<double>(d);
      bytes += size;
    }
    return bytes > 1e18 ? SIZE_MAX : static_cast<size_t>(bytes);
  }

  Graph& graph_;
  SweepContext& context_;
  KnownInts ints_;
};

}  // namespace

/// Computes what depends on nothing that is fed: nodes with constant inputs, and integers that the shape rules know.
int FoldConstants(Graph& graph, SweepContext& context) { return Folder(graph, context).Run(); }

}  // namespace slipway
