#include "ops/infer.h"

#include <algorithm>

#include "graph/attribute_reads.h"
#include "ops/evaluate.h"

namespace slipway {

InferContext::InferContext(const Graph& g, const Node& n)
    : graph(g),
      node(n),
      in_types(n.inputs.size()),
      in_constants(n.inputs.size()),
      in_ints(n.inputs.size()),
      out_types(n.outputs.size()),
      out_ints(n.outputs.size()) {
  infer_subgraph = [](Graph& sub, std::span<const Type>) {
    std::vector<Type> out;
    for (ValueId v : sub.outputs) {
      out.push_back(sub.value(v).type);
      out.back().shape = {};
    }
    return out;
  };
}

const Type& InferContext::In(int i) const {
  if (!Has(i)) Fail("input {} is missing.", i);
  return *in_types[i];
}

std::string InferContext::InputName(int i) const {
  const ValueId v = node.input(i);
  return v == kNone ? fmt::format("input {}", i) : fmt::format("input {} '{}'", i, graph.value(v).name);
}

std::optional<SymbolicInts> InferContext::Ints(int i) const {
  if (!Has(i)) return std::nullopt;
  if (HasRank(i) && Shape(i).rank() > 1)
    Fail("{} has shape {}, but must be a list.", InputName(i), Shape(i).ToString());
  if (in_ints[i]) return *in_ints[i];
  const Tensor* t = in_constants[i];
  if (!t || t->shape().rank() > 1 || !t->raw()) return std::nullopt;
  SymbolicInts out;
  out.reserve(t->size());
  if (t->dtype() == DType::kInt64) {
    out.assign(t->data<int64_t>(), t->data<int64_t>() + t->size());
  } else if (t->dtype() == DType::kInt32) {
    out.assign(t->data<int32_t>(), t->data<int32_t>() + t->size());
  } else {
    return std::nullopt;
  }
  return out;
}

std::optional<std::vector<int64_t>> InferContext::ConstInts(int i) const {
  const auto ints = Ints(i);
  if (!ints || !std::all_of(ints->begin(), ints->end(), [](const Dim& d) { return d.is_const(); })) return std::nullopt;
  std::vector<int64_t> out;
  for (const Dim& d : *ints) out.push_back(d.value());
  return out;
}

void InferContext::Out(int i, DType elem, SymbolicShape shape) { Out(i, Type::TensorOf(elem, std::move(shape))); }
void InferContext::Out(int i, Type type) {
  if (i < num_outputs()) out_types[i] = std::move(type);
}
void InferContext::OutInts(int i, SymbolicInts ints) {
  if (i < num_outputs()) out_ints[i] = std::move(ints);
}

int64_t InferContext::Axis(int64_t axis, int64_t rank, std::string_view what) const {
  if (axis < -rank || axis >= rank)
    Fail("{} is {}, but must lie in [{}, {}] for rank {}.", what, axis, -rank, rank - 1, rank);
  return axis < 0 ? axis + rank : axis;
}

void InferContext::ExpectSameElem(int i, int j) const {
  if (Elem(i) == Elem(j)) return;
  Fail("{} is {}, but {} is {}: they must be of one type.", InputName(i), Name(Elem(i)), InputName(j), Name(Elem(j)));
}

void InferContext::ExpectElem(int i, TypeSet types) const {
  if (In(i).kind != Type::Kind::kTensor) Fail("{} is a {}, but must be a tensor.", InputName(i), In(i).ToString());
  if (!types.Has(Elem(i))) Fail("{} is {}, but must be {}.", InputName(i), Name(Elem(i)), types.ToString());
}

void InferContext::ExpectRank(int i, int low, int high) const {
  if (!HasRank(i) || (Shape(i).rank() >= low && Shape(i).rank() <= high)) return;
  Fail("{} has shape {}, but its rank must be {}.", InputName(i), Shape(i).ToString(),
       low == high ? std::to_string(low) : fmt::format("{} to {}", low, high));
}

void InferContext::FailWith(const std::string& message) const {
  throw Error(Code::kBadGraph, fmt::format("{}: {}", node.Describe(graph), message));
}

SymbolicShape Broadcast(const InferContext& c, const SymbolicShape& a, const SymbolicShape& b) {
  if (!a.has_rank() || !b.has_rank()) return {};
  const SymbolicShape& longer = a.rank() >= b.rank() ? a : b;
  const SymbolicShape& shorter = a.rank() >= b.rank() ? b : a;
  std::vector<Dim> out(longer.dims());
  const int shift = longer.rank() - shorter.rank();
  for (int i = 0; i < shorter.rank(); ++i) {
    const Dim& x = longer[i + shift];
    const Dim& y = shorter[i];
    if (x == y || y == Dim(1) || IsCapped(y, x)) continue;
    if (x == Dim(1) || IsCapped(x, y)) {
      out[i + shift] = y;
    } else if (x.Differs(y)) {
      c.Fail("shapes {} and {} cannot be broadcast together.", a.ToString(), b.ToString());
    } else if (!x.is_const() && !y.is_const()) {
      out[i + shift] = Dim::Unknown();  // either may be 1
    } else if (y.is_const()) {
      out[i + shift] = y;  // a number other than 1 wins over a symbol, which is that number or 1
    }
  }
  return out;
}

void FillInferInputs(InferContext& c, const KnownInts* ints) {
  for (size_t i = 0; i < c.node.inputs.size(); ++i) {
    const ValueId v = c.node.inputs[i];
    if (v == kNone) continue;
    c.in_types[i] = &c.graph.value(v).type;
    const Tensor* constant = c.graph.Constant(v);
    c.in_constants[i] = constant && constant->raw() ? constant : nullptr;
    if (ints && static_cast<size_t>(v) < ints->size() && (*ints)[v]) c.in_ints[i] = &*(*ints)[v];
  }
}

namespace {

/// What a rule found, tightened by what the file declared: a declared number or symbol replaces a size not known.
/// The two contradicting one another is an error, but for the shape of a graph's output, which some converters declare
/// without looking (a forest of several targets as [N, 1]): there the rule is believed. A declared rank or symbol never
/// overrules a rule's number.
void Merge(const Graph& graph, const Node& node, ValueId value, const Type& declared, Type& found) {
  const std::string& value_name = graph.value(value).name;
  const bool is_output = std::find(graph.outputs.begin(), graph.outputs.end(), value) != graph.outputs.end();
  auto clash = [&] {
    throw Error(Code::kBadGraph, fmt::format("{}: gives '{}' as {}, but the file declares it {}.", node.Describe(graph),
                                             value_name, found.ToString(), declared.ToString()));
  };
  if (!declared.known()) return;
  if (!found.known()) {
    found = declared;
    return;
  }
  if (declared.kind != found.kind) clash();
  if (declared.kind != Type::Kind::kTensor) return;
  if (declared.elem != found.elem) clash();
  if (!declared.shape.has_rank()) return;
  if (!found.shape.has_rank()) {
    found.shape = declared.shape;
    return;
  }
  bool agree = declared.shape.rank() == found.shape.rank();
  for (int i = 0; agree && i < found.shape.rank(); ++i) agree = !found.shape[i].Differs(declared.shape[i]);
  if (!agree) return is_output ? void() : clash();
  for (int i = 0; i < found.shape.rank(); ++i) {
    const Dim& d = declared.shape[i];
    if (!found.shape[i].is_const() && (d.is_const() || found.shape[i].ToString().starts_with("?"))) found.shape[i] = d;
  }
}

void InferGraph(Graph& graph, KnownInts& ints);

std::vector<Type> InferSubgraph(const Graph& outer, const Node& node, const KnownInts& ints, Graph& sub,
                                std::span<const Type> inputs) {
  KnownInts inner(sub.num_values());
  for (size_t i = 0; i < inputs.size() && i < sub.inputs.size(); ++i) {
    if (inputs[i].known()) sub.value(sub.inputs[i]).type = inputs[i];
  }
  for (size_t i = 0; i < node.captures.size() && i < sub.captures.size(); ++i) {
    const ValueId inside = sub.captures[i];
    if (inside == kNone) continue;
    sub.value(inside).type = outer.value(node.captures[i]).type;
    if (static_cast<size_t>(node.captures[i]) < ints.size()) inner[inside] = ints[node.captures[i]];
  }
  InferGraph(sub, inner);
  std::vector<Type> out;
  for (ValueId v : sub.outputs) out.push_back(sub.value(v).type);
  return out;
}

void InferInto(Graph& graph, NodeId id, KnownInts& ints) {
  const Node& node = graph.node(id);
  const AttributeReads reads(node.attributes);
  const std::unique_ptr<Op> op = MakeOp(graph, node);
  InferContext c(graph, node);
  FillInferInputs(c, &ints);
  c.infer_subgraph = [&](Graph& sub, std::span<const Type> types) {
    return InferSubgraph(graph, node, ints, sub, types);
  };
  const OpDef* def = FindOp(node.domain, node.op_type);
  if (c.Has(0) && c.In(0).kind == Type::Kind::kTensor && c.In(0).known()) c.ExpectElem(0, def->types);
  Naming(graph, node, [&] { op->Infer(c); });
  if (const std::string_view unread = reads.Unread(); !unread.empty())
    c.Fail("the operator has no attribute '{}'.", unread);
  ints.resize(graph.num_values());
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    const ValueId v = node.outputs[i];
    if (v == kNone) continue;
    Graph::ValueInfo& info = graph.value(v);
    Merge(graph, node, v, info.type, c.out_types[i]);
    info.type = std::move(c.out_types[i]);
    ints[v] = std::move(c.out_ints[i]);
  }
}

void InferGraph(Graph& graph, KnownInts& ints) {
  ints.resize(graph.num_values());
  for (NodeId id : graph.order()) InferInto(graph, id, ints);
}

}  // namespace

void InferNode(Graph& graph, NodeId id, KnownInts* ints) {
  KnownInts local;
  InferInto(graph, id, ints ? *ints : local);
}

void InferTypes(Graph& graph) {
  KnownInts ints;
  InferGraph(graph, ints);
}

}  // namespace slipway
