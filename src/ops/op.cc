#include "ops/op.h"

#include <cstdlib>
#include <unordered_map>

namespace slipway {

#define OP(Name) extern const OpDef k##Name;
#include "ops/ops.inc"
#undef OP

std::span<const OpDef* const> AllOps() {
  static const std::vector<const OpDef*> all = {
#define OP(Name) &k##Name,
#include "ops/ops.inc"
#undef OP
  };
  return all;
}

const OpDef* FindOp(std::string_view domain, std::string_view name) {
  using Key = std::pair<std::string_view, std::string_view>;
  struct Hash {
    size_t operator()(const Key& k) const {
      return std::hash<std::string_view>()(k.first) * 31 + std::hash<std::string_view>()(k.second);
    }
  };
  static const auto* const by_name = [] {
    auto* map = new std::unordered_map<Key, const OpDef*, Hash>;
    for (const OpDef* def : AllOps()) map->emplace(Key{def->domain, def->name}, def);
    return map;
  }();
  const auto found = by_name->find({domain, name});
  return found == by_name->end() ? nullptr : found->second;
}

namespace {

void CheckCount(const Graph& graph, const Node& node, const char* what, size_t got, int low, int high) {
  if (got >= static_cast<size_t>(low) && got <= static_cast<size_t>(high)) return;
  const std::string wants = low == high         ? std::to_string(low)
                            : high == kVariadic ? fmt::format("{} or more", low)
                                                : fmt::format("{} to {}", low, high);
  throw Error(Code::kBadGraph,
              fmt::format("{}: has {} {}s, but the operator takes {}.", node.Describe(graph), got, what, wants));
}

}  // namespace

std::unique_ptr<Op> MakeOp(const Graph& graph, const Node& node) {
  const OpDef* def = FindOp(node.domain, node.op_type);
  if (!def) {
    throw Error(Code::kUnsupported,
                fmt::format("{}: Slipway has no operator '{}' in domain '{}'.", node.Describe(graph), node.op_type,
                            node.domain.empty() ? "ai.onnx" : node.domain));
  }
  CheckCount(graph, node, "input", node.inputs.size(), def->min_inputs, def->max_inputs);
  CheckCount(graph, node, "output", node.outputs.size(), def->min_outputs, def->max_outputs);
  // Of ONNX's operators Loop alone counts inputs that may be left out; others leave out what comes after.
  const bool counts_needed = node.domain.starts_with("ai.onnx") || (node.domain.empty() && node.op_type != "Loop");
  for (int i = 0; counts_needed && i < def->min_inputs; ++i) {
    if (node.input(i) == kNone) {
      throw Error(Code::kBadGraph,
                  fmt::format("{}: input {} is left out, but the operator needs it.", node.Describe(graph), i));
    }
  }
  try {
    return def->make(node);
  } catch (const Error& e) {
    throw Error(e.code(), fmt::format("{}: {}", node.Describe(graph), e.what()));
  }
}

std::string TypeSet::ToString() const {
  std::vector<std::string_view> names;
  for (int i = 1; i < kNumDTypes; ++i) {
    if (Has(static_cast<DType>(i))) names.push_back(Name(static_cast<DType>(i)));
  }
  if (names.size() < 2) return names.empty() ? "nothing" : std::string(names[0]);
  const std::string_view last = names.back();
  names.pop_back();
  return fmt::format("{} or {}", fmt::join(names, ", "), last);
}

Tensor& RunContext::Allocate(int i, DType elem, Shape shape) const {
  *out[i] = Tensor(elem, std::move(shape));
  return out[i]->tensor();
}

void* RunContext::Scratch(size_t bytes) const {
  if (scratch->bytes < bytes) {
    scratch->data.reset();
    scratch->bytes = 0;
    scratch->data = AllocateWorkspace(bytes);
    if (!scratch->data) {
      throw Error(Code::kOutOfMemory,
                  fmt::format("{}: no memory for {} bytes of scratch", node->Describe(*graph), bytes));
    }
    scratch->bytes = bytes;
  }
  return scratch->data.get();
}

void RunContext::FailWith(const std::string& message) const {
  throw Error(Code::kRuntime, fmt::format("{}: {}", node->Describe(*graph), message));
}

}  // namespace slipway
