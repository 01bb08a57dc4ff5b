#include <map>
#include <numbers>
#include <set>

#include "onnx/upgrade/rules.h"

namespace slipway::onnx {
namespace {

using Values = std::vector<ValueId>;

/// Adds the nodes of a gradient, before the node that asks for it.
class Derivation {
 public:
  Derivation(Graph& g, NodeId at) : g_(g), at_(at), label_(g.node(at).name.empty() ? "gradient" : g.node(at).name) {}

  ValueId Add(std::string_view op, Values inputs, Attributes attributes = {}, std::string_view domain = {}) {
    const ValueId out = g_.AddValue(fmt::format("{}/{}_{}", label_, op, count_++));
    g_.AddNode({.name = g_.value(out).name,
                .op_type = std::string(op),
                .domain = std::string(domain),
                .inputs = std::move(inputs),
                .outputs = {out},
                .attributes = std::move(attributes)},
               at_);
    return out;
  }
  /// A copy of a node with other inputs.
  void Copy(Node node, Values outputs) {
    node.name = fmt::format("{}/{}_{}", label_, node.op_type, count_++);
    node.outputs = std::move(outputs);
    g_.AddNode(std::move(node), at_);
  }
  ValueId Number(float value, ValueId like) {
    const ValueId number =
        g_.AddConstant(fmt::format("{}/number_{}", label_, count_++), Tensor::From<float>({}, {value}));
    return Add("CastLike", {number, like});
  }
  /// As many of the number as x has elements.
  ValueId Filled(float value, ValueId x) {
    const Attributes fill = {{"value", Tensor::From<float>({1}, {value})}};
    return Add("CastLike", {Add("ConstantOfShape", {Add("Shape", {x})}, fill), x});
  }
  ValueId Mul(ValueId a, ValueId b) { return Add("Mul", {a, b}); }
  ValueId Neg(ValueId a) { return Add("Neg", {a}); }
  ValueId SumTo(ValueId d, ValueId x) { return Add("SumTo", {d, x}, {}, kSlipwayDomain); }
  ValueId ShapedAs(ValueId d, ValueId x) { return Add("Reshape", {d, Add("Shape", {x})}); }
  ValueId Turned(ValueId a) { return Add("Einsum", {a}, {{"equation", std::string(kTurn)}}); }
  /// Sums along the node's axis, which stays.
  ValueId RowSum(const Node& n, ValueId x) {
    const ValueId axis = g_.AddConstant(fmt::format("{}/axis_{}", label_, count_++),
                                        Tensor::From<int64_t>({1}, {n.attributes.Int("axis", -1)}));
    return Add("ReduceSum", {x, axis}, {{"keepdims", int64_t{1}}});
  }

  static constexpr std::string_view kTurn = "...ij->...ji";

 private:
  Graph& g_;
  NodeId at_;
  std::string label_;
  int count_ = 0;
};

/// A node's gradient: given that of its output, those of its inputs (kNone: none). `y` is the output's value.
using Rule = Values (*)(Derivation& to, const Node& n, ValueId y, ValueId d);

/// d Gemm = A B or its transposes: products of the same kind.
Values OfGemm(Derivation& to, const Node& n, ValueId, ValueId d) {
  const bool turn_a = n.attributes.Int("transA", 0) != 0, turn_b = n.attributes.Int("transB", 0) != 0;
  const auto product = [&](ValueId a, ValueId b, bool a_turned, bool b_turned) {
    return to.Add(
        "Gemm", {a, b},
        {{"alpha", n.attributes.Float("alpha", 1)}, {"transA", int64_t{a_turned}}, {"transB", int64_t{b_turned}}});
  };
  const ValueId a = n.inputs[0], b = n.inputs[1];
  Values out = {turn_a ? product(b, d, turn_b, true) : product(d, b, false, !turn_b),
                turn_b ? product(d, a, true, turn_a) : product(a, d, !turn_a, false)};
  if (n.input(2) != kNone) {
    out.push_back(to.SumTo(to.Mul(d, to.Number(n.attributes.Float("beta", 1), d)), n.inputs[2]));
  }
  return out;
}

/// Of a sum or mean over axes: the same for each element that went into it.
Values OfReduction(Derivation& to, const Node& n, ValueId y, ValueId d) {
  Node kept = n;
  kept.attributes.Set("keepdims", int64_t{1});
  const ValueId shape = to.Add("Shape", {to.Add(n.op_type, kept.inputs, kept.attributes)});
  ValueId all = to.Add("Expand", {to.Add("Reshape", {d, shape}), to.Add("Shape", {n.inputs[0]})});
  if (n.Is("ReduceMean")) {
    const auto size = [&](ValueId x) { return to.Add("CastLike", {to.Add("Size", {x}), d}); };
    all = to.Mul(all, to.Add("Div", {size(y), size(n.inputs[0])}));
  }
  return {all};
}

Values OfTranspose(Derivation& to, const Node& n, ValueId, ValueId d) {
  const std::vector<int64_t> perm = n.attributes.Ints("perm");
  if (perm.empty()) return {to.Add("Transpose", {d})};
  std::vector<int64_t> back(perm.size());
  for (size_t i = 0; i < perm.size(); ++i) {
    if (perm[i] < 0 || perm[i] >= static_cast<int64_t>(perm.size())) FailUpgrade(Code::kBadGraph, "a perm is none.");
    back[perm[i]] = static_cast<int64_t>(i);
  }
  return {to.Add("Transpose", {d}, {{"perm", back}})};
}

Values OfPow(Derivation& to, const Node& n, ValueId y, ValueId d) {
  const ValueId a = n.inputs[0], b = to.Add("CastLike", {n.inputs[1], a});
  const ValueId less = to.Add("Sub", {b, to.Number(1, a)});
  return {to.SumTo(to.Mul(to.Mul(d, b), to.Add("Pow", {a, less})), a),
          to.Add("CastLike", {to.SumTo(to.Mul(to.Mul(d, y), to.Add("Log", {a})), n.inputs[1]), n.inputs[1]})};
}

Values OfWhere(Derivation& to, const Node& n, ValueId, ValueId d) {
  const ValueId zero = to.Number(0, d);
  return {kNone, to.SumTo(to.Add("Where", {n.inputs[0], d, zero}), n.inputs[1]),
          to.SumTo(to.Add("Where", {n.inputs[0], zero, d}), n.inputs[2])};
}

Values OfEinsum(Derivation& to, const Node& n, ValueId, ValueId d) {
  if (n.attributes.String("equation", "") != Derivation::kTurn)
    FailUpgrade(Code::kUnsupported, "has no gradient through Einsum.");
  return {to.Turned(d)};
}

const std::map<std::string_view, Rule>& Rules() {
  using D = Derivation&;
  using N = const Node&;
  constexpr Rule kSame = [](D to, N n, ValueId, ValueId d) { return Values{to.ShapedAs(d, n.inputs[0])}; };
  constexpr Rule kNothing = [](D, N, ValueId, ValueId) { return Values(); };
  static const std::map<std::string_view, Rule> rules = {
      {"Abs", [](D to, N n, ValueId, ValueId d) { return Values{to.Mul(d, to.Add("Sign", {n.inputs[0]}))}; }},
      {"Add",
       [](D to, N n, ValueId, ValueId d) {
         return Values{to.SumTo(d, n.inputs[0]), to.SumTo(d, n.inputs[1])};
       }},
      {"ArgMax", kNothing},
      {"ArgMin", kNothing},
      {"Cast",
       [](D to, N n, ValueId, ValueId d) {
         return Values{to.Add("CastLike", {d, n.inputs[0]})};
       }},
      {"CastLike",
       [](D to, N n, ValueId, ValueId d) {
         return Values{to.Add("CastLike", {d, n.inputs[0]})};
       }},
      {"Ceil", kNothing},
      {"Clip",
       [](D to, N n, ValueId y, ValueId d) {
         return Values{to.Mul(d, to.Add("CastLike", {to.Add("Equal", {n.inputs[0], y}), d}))};
       }},
      {"ConstantOfShape", kNothing},
      {"Cos", [](D to, N n, ValueId, ValueId d) { return Values{to.Neg(to.Mul(d, to.Add("Sin", {n.inputs[0]})))}; }},
      {"Div",
       [](D to, N n, ValueId y, ValueId d) {
         const ValueId part = to.Add("Div", {d, n.inputs[1]});
         return Values{to.SumTo(part, n.inputs[0]), to.SumTo(to.Neg(to.Mul(part, y)), n.inputs[1])};
       }},
      {"Dropout", kSame},
      {"Einsum", OfEinsum},
      {"Equal", kNothing},
      {"Erf",
       [](D to, N n, ValueId, ValueId d) {
         const ValueId bell = to.Add("Exp", {to.Neg(to.Mul(n.inputs[0], n.inputs[0]))});
         return Values{to.Mul(d, to.Mul(bell, to.Number(2 * std::numbers::inv_sqrtpi_v<float>, d)))};
       }},
      {"Exp", [](D to, N, ValueId y, ValueId d) { return Values{to.Mul(d, y)}; }},
      {"Expand", [](D to, N n, ValueId, ValueId d) { return Values{to.SumTo(d, n.inputs[0])}; }},
      {"Flatten", kSame},
      {"Floor", kNothing},
      {"Gemm", OfGemm},
      {"Greater", kNothing},
      {"GreaterOrEqual", kNothing},
      {"Identity", kSame},
      {"Less", kNothing},
      {"LessOrEqual", kNothing},
      {"Log",
       [](D to, N n, ValueId, ValueId d) {
         return Values{to.Add("Div", {d, n.inputs[0]})};
       }},
      {"LogSoftmax",
       [](D to, N n, ValueId y, ValueId d) {
         return Values{to.Add("Sub", {d, to.Mul(to.Add("Exp", {y}), to.RowSum(n, d))})};
       }},
      {"MatMul",
       [](D to, N n, ValueId, ValueId d) {
         return Values{to.SumTo(to.Add("MatMul", {d, to.Turned(n.inputs[1])}), n.inputs[0]),
                       to.SumTo(to.Add("MatMul", {to.Turned(n.inputs[0]), d}), n.inputs[1])};
       }},
      {"Mul",
       [](D to, N n, ValueId, ValueId d) {
         return Values{to.SumTo(to.Mul(d, n.inputs[1]), n.inputs[0]), to.SumTo(to.Mul(d, n.inputs[0]), n.inputs[1])};
       }},
      {"Neg", [](D to, N, ValueId, ValueId d) { return Values{to.Neg(d)}; }},
      {"Not", kNothing},
      {"Pow", OfPow},
      {"Reciprocal", [](D to, N, ValueId y, ValueId d) { return Values{to.Neg(to.Mul(d, to.Mul(y, y)))}; }},
      {"ReduceMean", OfReduction},
      {"ReduceSum", OfReduction},
      {"Relu",
       [](D to, N n, ValueId, ValueId d) {
         const ValueId above = to.Add("Greater", {n.inputs[0], to.Number(0, d)});
         return Values{to.Mul(d, to.Add("CastLike", {above, d}))};
       }},
      {"Reshape", kSame},
      {"Round", kNothing},
      {"Shape", kNothing},
      {"Sigmoid",
       [](D to, N, ValueId y, ValueId d) {
         return Values{to.Mul(d, to.Mul(y, to.Add("Sub", {to.Number(1, d), y})))};
       }},
      {"Sign", kNothing},
      {"Sin", [](D to, N n, ValueId, ValueId d) { return Values{to.Mul(d, to.Add("Cos", {n.inputs[0]}))}; }},
      {"Size", kNothing},
      {"Softmax",
       [](D to, N n, ValueId y, ValueId d) {
         return Values{to.Mul(y, to.Add("Sub", {d, to.RowSum(n, to.Mul(d, y))}))};
       }},
      {"Softplus", [](D to, N n, ValueId, ValueId d) { return Values{to.Mul(d, to.Add("Sigmoid", {n.inputs[0]}))}; }},
      {"Sqrt",
       [](D to, N, ValueId y, ValueId d) {
         return Values{to.Add("Div", {d, to.Add("Add", {y, y})})};
       }},
      {"Squeeze", kSame},
      {"Sub",
       [](D to, N n, ValueId, ValueId d) {
         return Values{to.SumTo(d, n.inputs[0]), to.SumTo(to.Neg(d), n.inputs[1])};
       }},
      {"Sum",
       [](D to, N n, ValueId, ValueId d) {
         Values out;
         for (ValueId x : n.inputs) out.push_back(to.SumTo(d, x));
         return out;
       }},
      {"SumTo",
       [](D to, N n, ValueId, ValueId d) {
         return Values{to.Add("Expand", {d, to.Add("Shape", {n.inputs[0]})}), kNone};
       }},
      {"Tan",
       [](D to, N, ValueId y, ValueId d) {
         return Values{to.Mul(d, to.Add("Add", {to.Number(1, d), to.Mul(y, y)}))};
       }},
      {"Tanh",
       [](D to, N, ValueId y, ValueId d) {
         return Values{to.Mul(d, to.Add("Sub", {to.Number(1, d), to.Mul(y, y)}))};
       }},
      {"Transpose", OfTranspose},
      {"Unsqueeze", kSame},
      {"Where", OfWhere},
  };
  return rules;
}

ValueId FindValue(const Graph& g, const std::string& name) {
  for (size_t i = 0; i < g.num_values(); ++i) {
    const auto id = static_cast<ValueId>(i);
    if (!name.empty() && g.value(id).name == name) return id;
  }
  FailUpgrade(Code::kBadGraph, fmt::format("names the tensor '{}', which nothing before it gives.", name));
}

}  // namespace

void ExpandGradient(Graph& g, NodeId id) {
  const Node node = g.node(id);
  const std::vector<std::string> xs = node.attributes.Strings("xs"), zs = node.attributes.Strings("zs");
  if (xs.empty() || xs.size() + zs.size() != node.inputs.size() || node.outputs.size() > xs.size()) {
    FailUpgrade(Code::kBadGraph, fmt::format("has {} inputs and {} outputs for {} xs and {} zs.", node.inputs.size(),
                                             node.outputs.size(), xs.size(), zs.size()));
  }
  const ValueId y = FindValue(g, node.attributes.RequiredString("y"));
  // What the inputs say that the named tensors are; other values are what they were, or computed anew from these.
  std::map<ValueId, ValueId> now;
  std::set<ValueId> varies;
  Values places;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const ValueId place = FindValue(g, i < xs.size() ? xs[i] : zs[i - xs.size()]);
    now[place] = Required(node, i);
    places.push_back(place);
    if (i < xs.size()) varies.insert(place);
  }
  const auto current = [&](ValueId v) {
    const auto found = now.find(v);
    return found == now.end() ? v : found->second;
  };
  // Nodes that y needs and that need one of xs or zs.
  std::set<ValueId> wanted = {y};
  std::vector<NodeId> path;
  const std::vector<NodeId> order = g.order();
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    const Node& n = g.node(*it);
    bool needed = false;
    for (ValueId out : n.outputs) needed |= wanted.contains(out) && !now.contains(out);
    if (!needed || *it == id) continue;
    wanted.insert(n.inputs.begin(), n.inputs.end());
    path.insert(path.begin(), *it);
  }
  Derivation to(g, id);
  for (NodeId at : path) {
    Node n = g.node(at);
    bool changed = false, depends = false;
    for (ValueId& in : n.inputs) {
      depends |= varies.contains(in);
      changed |= current(in) != in;
      in = current(in);
    }
    if (depends) varies.insert(n.outputs.begin(), n.outputs.end());
    if (!changed) continue;
    Values outputs;
    for (ValueId out : n.outputs) outputs.push_back(out == kNone ? kNone : g.AddValue(g.value(out).name + "/again"));
    for (size_t i = 0; i < outputs.size(); ++i) now.emplace(n.outputs[i], outputs[i]);
    to.Copy(std::move(n), std::move(outputs));
  }
  std::map<ValueId, ValueId> gradients = {{y, to.Filled(1, current(y))}};
  for (auto it = path.rbegin(); it != path.rend(); ++it) {
    Node n = g.node(*it);
    const auto found = gradients.find(n.output(0));
    if (found == gradients.end() || !varies.contains(n.outputs[0])) continue;
    const auto rule = Rules().find(n.op_type);
    if (rule == Rules().end() || !(n.domain.empty() || n.domain == kSlipwayDomain))
      FailUpgrade(Code::kUnsupported,
                  fmt::format("asks for a gradient through {}, which is not supported.", n.op_type));
    const Values inputs = n.inputs;
    for (ValueId& in : n.inputs) in = current(in);
    const Values parts = rule->second(to, n, current(n.outputs[0]), found->second);
    for (size_t i = 0; i < parts.size(); ++i) {
      if (parts[i] == kNone || !varies.contains(inputs[i])) continue;
      const auto [sum, is_new] = gradients.emplace(inputs[i], parts[i]);
      if (!is_new) sum->second = to.Add("Add", {sum->second, parts[i]});
    }
  }
  Values results;
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    const auto found = gradients.find(places[i]);
    results.push_back(found == gradients.end() ? to.Filled(0, node.inputs[i]) : found->second);
  }
  g.RemoveNode(id);
  for (size_t i = 0; i < results.size(); ++i) {
    if (node.outputs[i] == kNone) continue;
    g.AddNode({.name = fmt::format("{}/{}", node.name, i),
               .op_type = "Identity",
               .inputs = {results[i]},
               .outputs = {node.outputs[i]}});
  }
}

}  // namespace slipway::onnx
