#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "ops/op.h"
#include "passes/apply.h"
#include "passes/passes.h"

namespace slipway {
namespace {

constexpr size_t kMaxConstantBytes = 4096;

/// A text that is equal for equal things, and for them only.
class Key {
 public:
  template <class T>
    requires std::is_trivially_copyable_v<T>
  void Add(const T& value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void Add(std::string_view text) {
    Add(text.size());
    text_ += text;
  }
  void Add(const std::string& text) { Add(std::string_view(text)); }
  template <class T>
  void Add(const std::vector<T>& list) {
    Add(list.size());
    for (const T& item : list) Add(item);
  }
  void Add(const Type& type) { Add(type.ToString()); }
  void Add(const Tensor& t) {
    if (t.dtype() == DType::kString || t.bytes() > kMaxConstantBytes || !t.raw()) {
      usable_ = false;
      return;
    }
    Add(t.dtype());
    Add(std::vector<int64_t>(t.shape().begin(), t.shape().end()));
    text_.append(static_cast<const char*>(t.raw()), t.bytes());
  }
  void Add(const std::shared_ptr<Graph>&) { usable_ = false; }

  bool usable() const { return usable_; }
  std::string Take() { return std::move(text_); }

 private:
  std::string text_;
  bool usable_ = true;
};

std::optional<std::string> KeyOf(const Graph& graph, const Node& node) {
  const OpDef* def = FindOp(node.domain, node.op_type);
  if (!def || def->impure || !node.captures.empty()) return std::nullopt;
  Key key;
  key.Add(node.domain);
  key.Add(node.op_type);
  key.Add(node.inputs);
  for (const ValueId v : node.outputs) key.Add(v == kNone);
  std::vector<const std::pair<std::string, Attribute>*> sorted;
  for (const auto& item : node.attributes) sorted.push_back(&item);
  std::sort(sorted.begin(), sorted.end(), [](auto* a, auto* b) { return a->first < b->first; });
  for (const auto* item : sorted) {
    key.Add(item->first);
    key.Add(item->second.index());
    std::visit([&](const auto& value) { key.Add(value); }, item->second);
  }
  return key.usable() ? std::optional(key.Take()) : std::nullopt;
}

int MergeConstants(Graph& graph) {
  int merged = 0;
  std::unordered_map<std::string, ValueId> first;
  for (ValueId v = 0; v < static_cast<ValueId>(graph.num_values()); ++v) {
    const Tensor* t = graph.Constant(v);
    if (!t || graph.value(v).users.empty() || graph.IsOutput(v)) continue;
    Key key;
    key.Add(*t);
    if (!key.usable()) continue;
    const auto [found, is_new] = first.emplace(key.Take(), v);
    if (is_new) continue;
    graph.ReplaceUses(v, found->second);
    ++merged;
  }
  return merged;
}

}  // namespace

/// Makes one of nodes that do the same with the same, and one of equal small constants.
int MergeDuplicates(Graph& graph, SweepContext&) {
  int merged = MergeConstants(graph);
  std::unordered_map<std::string, NodeId> first;
  const std::vector<NodeId> order = graph.order();
  for (const NodeId id : order) {
    if (!graph.alive(id)) continue;
    const Node& node = graph.node(id);
    auto key = KeyOf(graph, node);
    if (!key) continue;
    const auto [found, is_new] = first.emplace(std::move(*key), id);
    if (is_new) continue;
    const Node& kept = graph.node(found->second);
    Patch patch(graph);
    bool both_outputs = false;
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i] == kNone) continue;
      patch.Replace(node.outputs[i], kept.outputs[i]);
      both_outputs |= graph.IsOutput(node.outputs[i]) && graph.IsOutput(kept.outputs[i]);
    }
    if (both_outputs) continue;
    ApplyPatch(graph, id, std::move(patch));
    ++merged;
  }
  return merged;
}

}  // namespace slipway
