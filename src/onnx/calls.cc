#include <algorithm>

#include <fmt/format.h>

#include "onnx/graph_reader.h"

namespace slipway::onnx {
namespace {

constexpr int64_t kEndless = int64_t{1} << 60;
/// What a node takes in memory beside its text, roughly.
constexpr int64_t kNodeCost = 200;

/// The memory that nodes take once the calls among them are replaced by the functions' nodes.
class CallCosts {
 public:
  explicit CallCosts(const std::map<std::string, FunctionFields>& functions) : functions_(functions) {}

  int64_t OfGraph(Bytes graph) {
    int64_t sum = 0;
    const Level level(depth_);
    auto reader = Read(graph);
    while (reader.next()) {
      if (reader.tag() == field::graph::kNode) {
        sum = std::min(kEndless, sum + OfNode(View(reader.get_view())));
      } else {
        reader.skip();
      }
    }
    return sum;
  }

  int64_t OfFunction(const std::string& key, const FunctionFields& function) {
    const auto [cost, is_new] = costs_.emplace(key, kBusy);
    if (!is_new) {
      if (cost->second != kBusy) return cost->second;
      throw Error(Code::kBadGraph, fmt::format("function '{}' calls itself.", function.name));
    }
    const Level level(depth_);
    int64_t sum = 0;
    for (Bytes node : function.nodes) sum = std::min(kEndless, sum + OfNode(node));
    return cost->second = sum;
  }

 private:
  static constexpr int64_t kBusy = -1;

  struct Level {
    explicit Level(int& depth) : depth(depth) {
      if (++depth > kMaxDepth) throw Error(Code::kBadGraph, "subgraphs and function calls are nested too deep.");
    }
    ~Level() { --depth; }
    int& depth;
  };

  int64_t OfNode(Bytes message) {
    const NodeFields n = ReadNode(message);
    auto sum = static_cast<int64_t>(message.size()) + kNodeCost;
    const std::string key = FunctionKey(n.domain, n.op_type, n.overload);
    if (const auto f = functions_.find(key); f != functions_.end()) sum += OfFunction(key, f->second);
    for (Bytes attribute : n.attributes) {
      if (const auto graph = GraphOf(attribute)) sum = std::min(kEndless, sum + OfGraph(*graph));
    }
    return std::min(sum, kEndless);
  }

  const std::map<std::string, FunctionFields>& functions_;
  std::map<std::string, int64_t> costs_;
  int depth_ = 0;
};

}  // namespace

void CheckCalls(const std::map<std::string, FunctionFields>& functions, Bytes graph, size_t size) {
  if (functions.empty()) return;
  CallCosts costs(functions);
  for (const auto& [key, function] : functions) costs.OfFunction(key, function);
  const int64_t most = (int64_t{128} << 20) + 4 * static_cast<int64_t>(size);
  if (costs.OfGraph(graph) <= most) return;
  for (const auto& [key, function] : functions) {
    if (costs.OfFunction(key, function) <= most) continue;
    throw Error(
        Code::kBadGraph,
        fmt::format("function '{}' calls others that call others: its nodes would not fit in memory.", function.name));
  }
  throw Error(Code::kBadGraph, "the calls of the model's functions unfold to more nodes than fit in memory.");
}

}  // namespace slipway::onnx
