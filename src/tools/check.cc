#include "tools/check.h"

#include <algorithm>
#include <set>

#include "ops/infer.h"
#include "passes/pipeline.h"
#include "tools/planned.h"

namespace slipway {
namespace {

std::string_view Advice(Code code) {
  switch (code) {
    case Code::kBadFile:
      return "Check the path, and that external data lies beside the file; then export or download it again.";
    case Code::kBadGraph:
      return "Correct the model where it was made and export it again; onnx.checker and shape inference see the same "
             "file.";
    case Code::kUnsupported:
      return "Export with standard operators of ai.onnx (another opset may decompose this one), or write the part out "
             "in them.";
    case Code::kInvalidArgument:
      return "Correct the sizes or options.";
    case Code::kOutOfMemory:
      return "Use smaller sizes, or a machine with more memory.";
    default:
      return "Check the values that the node computes from.";
  }
}

class Checker {
 public:
  explicit Checker(std::vector<Finding>& findings) : findings_(findings) {}

  void Add(const Error& e, const Node* node = nullptr) {
    Finding f{.code = e.code(), .message = e.what(), .advice = std::string(Advice(e.code()))};
    // What is wrong with a file may say itself what to do.
    const size_t own = e.code() == Code::kBadFile ? f.message.rfind("\n  ") : std::string::npos;
    if (own != std::string::npos) {
      f.advice = f.message.substr(own + 3);
      f.message.resize(own);
    }
    if (node) f.node = node->name, f.op_type = node->op_type;
    // One shape rule may say the same of a body's node through each node around it.
    const auto same = [&](const Finding& other) { return other.message == f.message; };
    if (std::none_of(findings_.begin(), findings_.end(), same)) findings_.push_back(std::move(f));
  }

  template <class F>
  bool Try(const Node* node, F&& f) {
    try {
      f();
      return true;
    } catch (const Error& e) {
      Add(e, node);
      return false;
    }
  }

  /// Operators exist and have the inputs and attributes that they need, in bodies too.
  void CheckOperators(const Graph& graph) {
    for (const NodeId id : graph.order()) {
      const Node& node = graph.node(id);
      if (!Try(&node, [&] { MakeOp(graph, node); })) broken_.insert(&node);
      for (const auto& [name, attribute] : node.attributes) {
        const auto* body = std::get_if<std::shared_ptr<Graph>>(&attribute);
        if (!body) continue;
        const size_t before = broken_.size();
        CheckOperators(**body);
        if (broken_.size() > before) broken_.insert(&node);
      }
    }
  }

  /// Types and shapes. What follows from a value whose type an earlier finding left unknown is not reported again.
  void CheckTypes(Graph& graph) {
    KnownInts ints(graph.num_values());
    std::set<ValueId> unknown;
    for (const NodeId id : graph.order()) {
      const Node& node = graph.node(id);
      auto reads_unknown = [&](ValueId v) { return unknown.contains(v) && !graph.value(v).type.known(); };
      const bool skip = broken_.contains(&node) || std::any_of(node.inputs.begin(), node.inputs.end(), reads_unknown) ||
                        std::any_of(node.captures.begin(), node.captures.end(), reads_unknown);
      if (skip || !Try(&node, [&] { InferNode(graph, id, &ints); }))
        unknown.insert(node.outputs.begin(), node.outputs.end());
    }
  }

 private:
  std::vector<Finding>& findings_;
  std::set<const Node*> broken_;
};

}  // namespace

std::vector<Finding> Check(const std::string& path, const InputSizes& sizes) {
  std::vector<Finding> findings;
  Checker checker(findings);
  Model model;
  if (!checker.Try(nullptr, [&] { model = ReadNamed(path); })) return findings;
  Graph& graph = *model.graph;
  const auto shapes = InputShapes(InputInfos(graph), sizes);
  if (!checker.Try(nullptr, [&] { Verify(graph); })) return findings;
  checker.CheckOperators(graph);
  checker.CheckTypes(graph);
  if (!findings.empty()) return findings;
  checker.Try(nullptr, [&] {
    const Threads threads;
    PlanFor(graph, shapes, threads);
    Optimize(graph, {}, threads);
    PlanFor(graph, shapes, threads);
  });
  return findings;
}

std::string_view Name(Code code) {
  switch (code) {
    case Code::kInvalidArgument:
      return "invalid argument";
    case Code::kBadFile:
      return "bad file";
    case Code::kBadGraph:
      return "bad graph";
    case Code::kUnsupported:
      return "unsupported";
    case Code::kRuntime:
      return "runtime";
    case Code::kOutOfMemory:
      return "out of memory";
    case Code::kCancelled:
      return "cancelled";
  }
  return "";
}

}  // namespace slipway
