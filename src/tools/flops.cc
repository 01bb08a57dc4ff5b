#include "tools/flops.h"

#include <algorithm>
#include <set>
#include <string_view>

namespace slipway {
namespace {

/// A node's shapes in one plan; null where left out or not known before the run.
struct Shapes {
  const Graph& graph;
  const Plan& plan;
  const Node& node;

  const Shape* Of(ValueId v) const {
    if (v == kNone || plan.slots[v].storage == kNone) return nullptr;
    return plan.storages[plan.slots[v].storage].place == Place::kLate ? nullptr : &plan.slots[v].shape;
  }
  const Shape* In(size_t i) const { return Of(node.input(i)); }
  const Shape* Out(size_t i) const { return Of(node.output(i)); }
};

/// Multiplications of output size by the depth that is summed over.
int64_t MatMul(const Shapes& s) {
  const Shape *a = s.In(0), *y = s.Out(0);
  return a && y && !a->empty() ? y->size() * a->Back(0) : 0;
}

int64_t Gemm(const Shapes& s) {
  const Shape *a = s.In(0), *y = s.Out(0);
  if (!a || !y || a->rank() != 2) return 0;
  return y->size() * (*a)[s.node.attributes.Int("transA", 0) ? 0 : 1];
}

/// Weights have the output channels first: each output element takes the rest of them.
template <size_t Weights>
int64_t Conv(const Shapes& s) {
  const Shape *w = s.In(Weights), *y = s.Out(0);
  return w && y && w->rank() > 2 ? y->size() * w->SizeFrom(1) : 0;
}

/// Each pixel meets all of the weights: those that go in the first ones, those that come out the others.
int64_t SeparableConv(const Shapes& s) {
  const Shape *x = s.In(0), *y = s.Out(0), *expand = s.In(1), *depthwise = s.In(3), *project = s.In(5);
  if (!x || !y || !depthwise || x->rank() != 4 || y->rank() != 4) return 0;
  return (expand ? x->SizeTo(3) * expand->size() : 0) +
         y->SizeTo(3) * (depthwise->size() + (project ? project->size() : 0));
}

int64_t ConvTranspose(const Shapes& s) {
  const Shape *x = s.In(0), *w = s.In(1);
  return x && w && w->rank() > 2 ? x->size() * w->SizeFrom(1) : 0;
}

/// Q by K transposed, and the result by V. Inputs are [batch, heads, length, size] or [batch, length, heads * size].
int64_t Attention(const Shapes& s) {
  const Shape *q = s.In(0), *k = s.In(1), *y = s.Out(0);
  if (!q || !k || !y || q->rank() < 3 || k->rank() < 3) return 0;
  const Shape* past = s.In(4);
  const int64_t keys = k->Back(1) + (past && past->rank() == 4 ? past->Back(1) : 0);
  return (q->size() + y->size()) * keys;
}

/// The same of some columns of its inputs.
int64_t StridedAttention(const Shapes& s) {
  const Shape *k = s.In(1), *y = s.Out(0);
  const auto columns = s.node.attributes.Ints("columns");
  if (!k || !y || y->rank() != 3 || k->rank() != 3 || columns.size() != 6) return 0;
  return y->SizeTo(2) * (columns[1] + y->Back(0)) * (*k)[1];
}

/// Every step multiplies by the input weights and the recurrent ones.
int64_t Recurrent(const Shapes& s) {
  const Shape *x = s.In(0), *w = s.In(1), *r = s.In(2);
  return x && w && r && x->rank() == 3 ? (*x)[0] * (*x)[1] * (w->size() + r->size()) : 0;
}

/// The product of the sizes of all letters, for equations without an ellipsis.
int64_t Einsum(const Shapes& s) {
  std::string equation = s.node.attributes.String("equation", "");
  std::erase(equation, ' ');
  if (s.node.inputs.size() < 2 || equation.find('.') != std::string::npos) return 0;
  std::string seen;
  int64_t product = 1;
  size_t at = 0;
  for (size_t i = 0; i < s.node.inputs.size(); ++i, ++at) {
    const Shape* x = s.In(i);
    if (!x) return 0;
    for (int axis = 0; axis < x->rank(); ++axis, ++at) {
      if (at >= equation.size()) return 0;
      if (seen.find(equation[at]) != std::string::npos) continue;
      seen += equation[at];
      product *= (*x)[axis];
    }
  }
  return product;
}

struct Rule {
  std::string_view op_type;
  int64_t (*products)(const Shapes&);
};
constexpr Rule kRules[] = {
    {"Attention", Attention},  {"Conv", Conv<1>},
    {"ConvInteger", Conv<1>},  {"ConvTranspose", ConvTranspose},
    {"Einsum", Einsum},        {"FusedConv", Conv<1>},
    {"FusedMatMul", MatMul},   {"FusedSeparableConv", SeparableConv},
    {"GRU", Recurrent},        {"Gemm", Gemm},
    {"LSTM", Recurrent},       {"MatMul", MatMul},
    {"MatMulInteger", MatMul}, {"MergedMatMul", MatMul},
    {"QLinearConv", Conv<3>},  {"QLinearMatMul", MatMul},
    {"RNN", Recurrent},        {"StridedAttention", StridedAttention},
};

}  // namespace

int64_t Flops(const Graph& graph, const Plan& plan, const Step& step) {
  const Node& node = graph.node(step.node);
  const auto rule =
      std::find_if(std::begin(kRules), std::end(kRules), [&](const Rule& r) { return r.op_type == node.op_type; });
  return rule == std::end(kRules) ? 0 : 2 * rule->products({graph, plan, node});
}

int64_t Flops(const Graph& graph, const Plan& plan) {
  int64_t total = 0;
  for (const Step& step : plan.steps) total += Flops(graph, plan, step);
  return total;
}

int64_t Bytes(const Graph& graph, const Plan& plan, const Step& step) {
  const Node& node = graph.node(step.node);
  const Shapes shapes{graph, plan, node};
  std::set<ValueId> values(node.inputs.begin(), node.inputs.end());
  values.insert(node.outputs.begin(), node.outputs.end());
  const bool gathers = node.op_type.starts_with("Gather");
  int64_t total = 0;
  for (const ValueId v : values) {
    const Shape* shape = shapes.Of(v);
    if (!shape || plan.slots[v].type.kind != Type::Kind::kTensor) continue;
    int64_t elements = shape->size();
    // A few rows of a table, not all of it.
    if (v == node.input(0) && gathers && shapes.Out(0)) elements = std::min(elements, shapes.Out(0)->size());
    total += elements * static_cast<int64_t>(SizeOf(plan.slots[v].type.elem));
  }
  return total;
}

}  // namespace slipway
