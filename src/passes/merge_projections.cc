#include <algorithm>
#include <array>
#include <optional>

#include "passes/epilogue.h"
#include "passes/passes.h"
#include "passes/queries.h"

namespace slipway {
namespace {

constexpr int kInputs = 3;            // queries, keys, values
constexpr int64_t kWholePanels = 64;  // MergedMatMul wants widths that are multiples of it, but for the last

/// Columns of a value [batch, rows, width].
struct Columns {
  ValueId value = kNone;
  int64_t first = 0;
  int64_t count = 0;
};

std::optional<int64_t> Width(const Graph& graph, ValueId v) {
  if (v == kNone || !HasRank(graph, v) || Rank(graph, v) != 3 || !ShapeOf(graph, v)[2].is_const()) return std::nullopt;
  return ShapeOf(graph, v)[2].value();
}

/// The columns that a Split or a Slice of the last axis copies to `v`.
std::optional<Columns> CopiedFrom(const Graph& graph, ValueId v) {
  const Node* n = graph.Producer(v);
  if (!n || n->inputs.empty()) return std::nullopt;
  const auto width = Width(graph, n->input(0)), count = Width(graph, v);
  if (!width || !count) return std::nullopt;
  Columns out = {.value = n->input(0), .count = *count};
  const auto is_last = [](int64_t axis) { return axis == 2 || axis == -1; };
  if (n->Is("Split") && is_last(n->attributes.Int("axis", 0))) {
    for (const ValueId part : n->outputs) {
      if (part == v) return out;
      const auto before = Width(graph, part);
      if (!before) return std::nullopt;
      out.first += *before;
    }
  }
  if (n->Is("Slice")) {
    const auto start = IntsConstant(graph, n->input(1)), axes = IntsConstant(graph, n->input(3));
    const auto step = n->input(4) == kNone ? std::vector<int64_t>{1} : IntsConstant(graph, n->input(4));
    if (!start || !axes || start->size() != 1 || axes->size() != 1 || !is_last((*axes)[0])) return std::nullopt;
    if (step != std::vector<int64_t>{1}) return std::nullopt;
    const int64_t first = (*start)[0];
    out.first = std::clamp<int64_t>(first < 0 ? first + *width : first, 0, *width - *count);
    return out;
  }
  return std::nullopt;
}

/// The product with constant weights, and a bias at most, that gives `v` to one reader alone.
const Node* Projection(const Graph& graph, ValueId v) {
  const auto producer = FindOpenProducer(graph, v);
  if (!producer || producer->kind != OpenProducer::Kind::kMatMul || producer->residual() != kNone) return nullptr;
  if (producer->scales() != kNone) return nullptr;
  const Node& n = *producer->node;
  const Tensor* b = graph.Constant(n.input(1));
  const bool bias_known = producer->bias() == kNone || FloatConstant(graph, producer->bias());
  const bool plain = n.attributes.Int("transA", 0) == 0 && Width(graph, v);
  return b && b->dtype() == DType::kFloat && b->shape().rank() == 2 && bias_known && plain ? &n : nullptr;
}

bool MayMerge(const Node& a, const Node& b) {
  return a.input(0) == b.input(0) && a.attributes.Int("transB", 0) == b.attributes.Int("transB", 0) &&
         a.attributes.Float("scale", 1) == b.attributes.Float("scale", 1);
}

/// The products as one, whose columns those of each follow in order.
ValueId Merge(const Graph& graph, Patch& patch, const std::vector<const Node*>& products) {
  std::vector<ValueId> inputs = {products[0]->input(0)};
  int64_t width = 0;
  for (const Node* n : products) {
    inputs.push_back(n->input(1));
    width += *Width(graph, n->output(0));
  }
  Tensor bias(DType::kFloat, {width});
  float* to = bias.data<float>();
  for (const Node* n : products) {
    const int64_t count = *Width(graph, n->output(0));
    const Tensor* own = n->inputs.size() > 2 ? FloatConstant(graph, n->input(2)) : nullptr;
    own ? void(std::copy_n(own->data<float>(), count, to)) : void(std::fill_n(to, count, 0.0f));
    to += count;
  }
  inputs.push_back(patch.Constant(bias, "bias"));
  return patch.Add(
      "MergedMatMul", std::move(inputs),
      {{"transB", products[0]->attributes.Int("transB", 0)}, {"scale", products[0]->attributes.Float("scale", 1)}},
      kSlipwayDomain);
}

}  // namespace

/// Attention reads queries, keys and values where they lie, as columns of one matrix: that which a Split or Slices
/// would copy them from, or which the products that give them become, two or three as one.
Result MergeProjections(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (!node.Is("Attention") || node.inputs.size() < kInputs || node.inputs.size() > 4) return kNoMatch;
  for (size_t i = 1; i < node.outputs.size(); ++i) {
    if (node.outputs[i] != kNone) return Skip{"the attention gives more than its result"};
  }
  std::array<Columns, kInputs> columns;
  std::vector<const Node*> products;
  Skip why = kNoMatch;
  bool copied = false;
  for (int i = 0; i < kInputs; ++i) {
    const ValueId v = node.input(i);
    const auto width = Width(graph, v);
    if (!width || *width < 1 || !IsFloat(graph, v)) return kNoMatch;
    columns[i] = {v, 0, *width};
    if (const auto from = CopiedFrom(graph, v)) {
      columns[i] = *from;
      copied = true;
    } else if (const Node* n = Projection(graph, v)) {
      if (!products.empty() && !MayMerge(*products[0], *n)) {
        // Queries of something else: keys and values may go together all the same.
        if (i == 1) products = {n};
      } else if (!products.empty() && *Width(graph, products.back()->output(0)) % kWholePanels != 0) {
        why = {"a product's columns do not fill panels"};
      } else {
        products.push_back(n);
      }
    }
  }
  if (!copied && products.size() < 2) return why;
  Patch patch(graph);
  if (products.size() > 1) {
    const ValueId merged = Merge(graph, patch, products);
    int64_t first = 0;
    for (const Node* n : products) {
      const int64_t count = *Width(graph, n->output(0));
      for (Columns& c : columns) {
        if (c.value == n->output(0)) c = {merged, first, count};
      }
      first += count;
    }
  }
  std::vector<ValueId> inputs = node.inputs;
  std::vector<int64_t> all;
  for (int i = 0; i < kInputs; ++i) {
    inputs[i] = columns[i].value;
    all.insert(all.end(), {columns[i].first, columns[i].count});
  }
  Attributes attributes = node.attributes;
  attributes.Set("columns", std::move(all));
  patch.Replace(node.output(0),
                patch.Add("StridedAttention", std::move(inputs), std::move(attributes), kSlipwayDomain));
  return patch;
}

}  // namespace slipway
