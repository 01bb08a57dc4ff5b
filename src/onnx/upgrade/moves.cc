#include <algorithm>
#include <cctype>
#include <numeric>

#include "onnx/upgrade/rules.h"

namespace slipway::onnx {

void FailUpgrade(Code code, const std::string& what) { throw Error(code, what); }

Before::Before(Graph& graph, NodeId at)
    : g_(graph),
      at_(at),
      label_(graph.value(graph.node(at).outputs.at(0)).name),
      node_label_(graph.node(at).name.empty() ? label_ : graph.node(at).name) {}

ValueId Before::Constant(std::string_view what, Tensor value) const {
  return g_.AddConstant(fmt::format("{}/{}", label_, what), std::move(value));
}

ValueId Before::Ints(std::string_view what, std::vector<int64_t> values) const {
  return Constant(what, Tensor::From<int64_t>({static_cast<int64_t>(values.size())}, values));
}

ValueId Before::Add(std::string_view op_type, std::vector<ValueId> inputs, Attributes attributes) const {
  const std::string name = fmt::format("{}/{}", label_, op_type);
  const ValueId out = g_.AddValue(name);
  g_.AddNode({.name = fmt::format("{}/{}", node_label_, op_type),
              .op_type = std::string(op_type),
              .inputs = std::move(inputs),
              .outputs = {out},
              .attributes = std::move(attributes)},
             at_);
  return out;
}

ValueId Before::Ones(ValueId x, int64_t start) const {
  const ValueId sizes = Add("Shape", {x}, One("start", start));
  return Add("Cast", {Add("Equal", {sizes, sizes})}, One("to", static_cast<int64_t>(DType::kInt64)));
}

ValueId Before::Scalar(std::string_view what, float value, ValueId like) const {
  switch (ElemOf(g_, like)) {
    case DType::kFloat:
      return Constant(what, Tensor::From<float>({}, {value}));
    case DType::kDouble:
      return Constant(what, Tensor::From<double>({}, {value}));
    case DType::kFloat16:
      return Constant(what, Tensor::From<Float16>({}, {Float16(value)}));
    default:
      return Add("CastLike", {Constant(what, Tensor::From<float>({}, {value})), like});
  }
}

Attributes One(std::string name, Attribute value) {
  Attributes a;
  a.Set(std::move(name), std::move(value));
  return a;
}

DType ElemOf(const Graph& graph, ValueId value) {
  // Operators whose output may have another type than their first input.
  static constexpr std::string_view kChange[] = {"Cast",
                                                 "CastLike",
                                                 "Shape",
                                                 "Size",
                                                 "NonZero",
                                                 "ArgMax",
                                                 "ArgMin",
                                                 "Equal",
                                                 "Greater",
                                                 "Less",
                                                 "Where",
                                                 "Not",
                                                 "And",
                                                 "Or",
                                                 "Xor",
                                                 "IsNaN",
                                                 "IsInf",
                                                 "OneHot",
                                                 "ConstantOfShape",
                                                 "EyeLike",
                                                 "QuantizeLinear",
                                                 "DequantizeLinear",
                                                 "RandomNormalLike",
                                                 "RandomUniformLike",
                                                 "If",
                                                 "Loop",
                                                 "Scan"};
  constexpr int kSteps = 32;
  for (int step = 0; step < kSteps && value != kNone; ++step) {
    const Graph::ValueInfo& info = graph.value(value);
    if (info.type.kind != Type::Kind::kTensor || info.type.elem != DType::kUndefined) return info.type.elem;
    const Node* producer = graph.Producer(value);
    if (!producer || !producer->domain.empty() || producer->output(0) != value || producer->input(0) == kNone) break;
    if (std::find(std::begin(kChange), std::end(kChange), producer->op_type) != std::end(kChange)) break;
    value = producer->input(0);
    if (!producer->Is("Conv") && !producer->Is("Gemm") && !producer->Is("MatMul")) continue;
    // Their weights, which the file holds, are of the same type.
    if (const Tensor* weight = graph.Constant(producer->input(1))) return weight->dtype();
  }
  return DType::kUndefined;
}

ValueId Required(const Node& node, size_t index) {
  if (node.input(index) == kNone) FailUpgrade(Code::kBadGraph, fmt::format("input {} is missing.", index));
  return node.input(index);
}

namespace {

/// Takes attribute `name` off the node and makes `make(node)` input `index` in its stead.
template <class Make>
Apply Move(std::string name, size_t index, Make make) {
  return [name = std::move(name), index, make](Graph& g, NodeId id) {
    if (g.node(id).input(index) != kNone) {
      FailUpgrade(Code::kBadGraph, fmt::format("has {} inputs: in its opset '{}' is an attribute.", index + 1, name));
    }
    if (!g.node(id).attributes.Has(name)) return;
    const ValueId value = make(g, id, name);
    g.node(id).attributes.Remove(name);
    g.SetInput(id, index, value);
  };
}

}  // namespace

Apply IntsToInput(std::string name, size_t index) {
  return Move(std::move(name), index, [](Graph& g, NodeId id, const std::string& from) {
    return Before(g, id).Ints(from, g.node(id).attributes.Ints(from));
  });
}

Apply FloatsToInput(std::string name, size_t index) {
  return Move(std::move(name), index, [](Graph& g, NodeId id, const std::string& from) {
    const auto values = g.node(id).attributes.Floats(from);
    return Before(g, id).Constant(from, Tensor::From<float>({static_cast<int64_t>(values.size())}, values));
  });
}

Apply IntToInput(std::string name, size_t index, Shape shape) {
  return Move(std::move(name), index, [shape = std::move(shape)](Graph& g, NodeId id, const std::string& from) {
    return Before(g, id).Constant(from, Tensor::From<int64_t>(shape, {g.node(id).attributes.RequiredInt(from)}));
  });
}

Apply FloatToInput(std::string name, size_t index) {
  return Move(std::move(name), index, [](Graph& g, NodeId id, const std::string& from) {
    return Before(g, id).Scalar(from, g.node(id).attributes.Float(from, 0), Required(g.node(id), 0));
  });
}

Apply Drop(std::vector<std::string> names) {
  return [names = std::move(names)](Graph& g, NodeId id) {
    for (const std::string& name : names) g.node(id).attributes.Remove(name);
  };
}

Apply Default(std::string name, Attribute value) {
  return [name = std::move(name), value = std::move(value)](Graph& g, NodeId id) {
    if (!g.node(id).attributes.Has(name)) g.node(id).attributes.Set(name, value);
  };
}

Apply RenameValue(std::string attribute, std::string from, std::string to) {
  return [=](Graph& g, NodeId id) {
    Attributes& a = g.node(id).attributes;
    if (a.String(attribute, "") == from) a.Set(attribute, to);
  };
}

Apply RenameOp(std::string to) {
  return [to = std::move(to)](Graph& g, NodeId id) { g.node(id).op_type = to; };
}

Apply Unsupported(std::string why) {
  return [why = std::move(why)](Graph&, NodeId) { FailUpgrade(Code::kUnsupported, why); };
}

Apply All(std::vector<Apply> rules) {
  return [rules = std::move(rules)](Graph& g, NodeId id) {
    for (const Apply& rule : rules) rule(g, id);
  };
}

void ClassesToCategories(Graph& g, NodeId id) {
  Node& node = g.node(id);
  const std::vector<std::string> classes = node.attributes.Strings("classes_strings");
  std::vector<int64_t> places(classes.size());
  std::iota(places.begin(), places.end(), 0);
  node.op_type = "CategoryMapper";
  node.attributes.Remove("classes_strings");
  node.attributes.Set("cats_strings", classes);
  node.attributes.Set("cats_int64s", std::move(places));
}

void CastByName(Graph& g, NodeId id) {
  Attributes& a = g.node(id).attributes;
  const Attribute* to = a.Find("to");
  const auto* name = to ? std::get_if<std::string>(to) : nullptr;
  if (!name) return;
  for (int i = 1; i < kNumDTypes; ++i) {
    std::string known(Name(static_cast<DType>(i)));
    for (char& ch : known) ch = static_cast<char>(std::toupper(ch));
    if (known == *name) return a.Set("to", int64_t{i});
  }
  FailUpgrade(Code::kBadGraph, fmt::format("attribute 'to' is '{}', which is no type.", *name));
}

void CountOutputs(Graph& g, NodeId id) {
  Node& node = g.node(id);
  if (node.input(1) == kNone && !node.attributes.Has("num_outputs")) {
    node.attributes.Set("num_outputs", static_cast<int64_t>(node.outputs.size()));
  }
}

void IntegerP(Graph& g, NodeId id) {
  Attributes& a = g.node(id).attributes;
  const Attribute* p = a.Find("p");
  const float* value = p ? std::get_if<float>(p) : nullptr;
  if (!value) return;
  if (!(*value >= 1 && *value <= 1e6f && *value == static_cast<float>(static_cast<int64_t>(*value)))) {
    FailUpgrade(Code::kUnsupported, fmt::format("attribute 'p' is {}, but only whole numbers are supported.", *value));
  }
  a.Set("p", static_cast<int64_t>(*value));
}

void FloatsWantFmod(Graph& g, NodeId id) {
  const DType elem = ElemOf(g, Required(g.node(id), 0));
  const bool is_float =
      elem == DType::kFloat || elem == DType::kDouble || elem == DType::kFloat16 || elem == DType::kBFloat16;
  if (is_float && g.node(id).attributes.Int("fmod", 0) == 0)
    FailUpgrade(Code::kBadGraph, fmt::format("{} inputs want attribute 'fmod' 1 before opset 28.", Name(elem)));
}

}  // namespace slipway::onnx
