#include <algorithm>
#include <set>

#include "pt2/converter.h"

namespace slipway::pt2 {
namespace {

using Kind = Argument::Kind;

const Argument& At(Call& c, size_t i) {
  if (i >= c.node().inputs.size()) c.Fail("it has {} arguments, too few.", c.node().inputs.size());
  return c.node().inputs[i].second;
}

const Argument& GraphAt(Call& c, size_t i) {
  const Argument& a = At(c, i);
  if (!a.is(Kind::kGraph) || !a.graph) c.Fail("argument {} is not a graph.", i);
  return a;
}

TensorRef Operand(Call& c, const Argument& a) {
  if (a.is(Kind::kTensor)) return c.converter().Read(a.text);
  if (a.is(Kind::kNone)) return {};
  const bool whole = a.is(Kind::kSymInt) || a.is(Kind::kInt);
  if (!whole && !a.is(Kind::kSymBool) && !a.is(Kind::kBool) && !a.is(Kind::kFloat) && !a.is(Kind::kSymFloat)) {
    c.Fail("one of its operands is neither a tensor nor a number.");
  }
  const DType type = whole ? DType::kInt64 : a.is(Kind::kSymBool) || a.is(Kind::kBool) ? DType::kBool : DType::kDouble;
  return {c.converter().Number(c.converter().Symbolic(a), type), type, {}};
}

std::vector<TensorRef> Operands(Call& c, size_t i) {
  std::vector<TensorRef> tensors;
  const Argument& a = At(c, i);
  if (a.is(Kind::kNone)) return tensors;
  if (!a.is(Kind::kList)) c.Fail("argument {} is not a list.", i);
  for (const Argument& item : a.items) tensors.push_back(Operand(c, item));
  return tensors;
}

/// In a subgraph: values of the graph around, to be read there.
std::vector<TensorRef> Captured(Converter& converter, const std::vector<TensorRef>& outer) {
  std::vector<TensorRef> inside;
  for (const TensorRef& t : outer) inside.push_back({t.defined() ? converter.Capture(t.id) : kNone, t.dtype, t.shape});
  return inside;
}

/// What a subgraph gives: each a node's output, and none twice.
void AddOutput(Converter& converter, Graph& g, std::vector<ValueId>& outputs, ValueId v) {
  if (!g.Producer(v) || std::find(outputs.begin(), outputs.end(), v) != outputs.end()) {
    v = converter.AddNode({.op_type = "Identity", .inputs = {v}}, 1, g.value(v).name + "_out")[0];
  }
  outputs.push_back(v);
}

/// A condition as ONNX wants it: of rank 0.
ValueId AsCondition(Call& c, const TensorRef& t) {
  ValueId v = t.id;
  const SymbolicShape& shape = c.graph().value(v).type.shape;
  if (!shape.has_rank() || shape.rank() != 0) v = c.Add("Reshape", {v, c.IntsConstant({})});
  return c.Cast(v, DType::kBool);
}

/// A node with subgraphs: what these read from around becomes the node's captures.
std::vector<ValueId> AddControl(Call& c, std::string op, std::vector<ValueId> inputs,
                                std::vector<std::pair<std::string, Subgraph>> graphs, Attributes attributes,
                                int outputs) {
  std::vector<ValueId> all;
  for (const auto& [name, s] : graphs) {
    for (const ValueId v : s.outer) {
      if (std::find(all.begin(), all.end(), v) == all.end()) all.push_back(v);
    }
  }
  for (auto& [name, s] : graphs) {
    std::vector<ValueId> laid(all.size(), kNone);
    for (size_t i = 0; i < s.outer.size(); ++i) {
      laid[std::find(all.begin(), all.end(), s.outer[i]) - all.begin()] = s.graph->captures[i];
    }
    s.graph->captures = std::move(laid);
    attributes.Set(name, s.graph);
  }
  return c.converter().AddNode({.op_type = std::move(op),
                                .inputs = std::move(inputs),
                                .attributes = std::move(attributes),
                                .captures = std::move(all)},
                               outputs, c.node().name);
}

/// torch.cond(predicate, true graph, false graph, operands)
void Cond(Call& c) {
  Converter& converter = c.converter();
  const ValueId predicate = AsCondition(c, Operand(c, At(c, 0)));
  const std::vector<TensorRef> operands = c.node().inputs.size() > 3 ? Operands(c, 3) : std::vector<TensorRef>();
  const auto branch = [&](size_t i) {
    const Argument& graph = GraphAt(c, i);
    return converter.Build(graph.text, [&](Graph& g) {
      std::vector<ValueId> outputs;
      for (const TensorRef& t : converter.RunWith(*graph.graph, Captured(converter, operands))) {
        if (!t.defined()) c.Fail("a branch gives None.");
        AddOutput(converter, g, outputs, t.id);
      }
      return outputs;
    });
  };
  std::vector<std::pair<std::string, Subgraph>> graphs;
  graphs.emplace_back("then_branch", branch(1));
  graphs.emplace_back("else_branch", branch(2));
  const size_t count = graphs[0].second.graph->outputs.size();
  if (count != graphs[1].second.graph->outputs.size()) c.Fail("its branches give different numbers of results.");
  const std::vector<ValueId> out = AddControl(c, "If", {predicate}, std::move(graphs), {}, static_cast<int>(count));
  for (size_t i = 0; i < out.size(); ++i) c.Out(static_cast<int>(i), out[i]);
}

/// A subgraph's input like a value of the graph around.
TensorRef Input(Converter& converter, Graph& g, const TensorRef& like, size_t drop, std::string name) {
  std::vector<Dim> dims;
  const Exprs shape(like.shape.begin() + static_cast<ptrdiff_t>(drop), like.shape.end());
  for (const Expr& e : shape) dims.push_back(converter.ToDim(e));
  const ValueId v = g.AddValue(std::move(name), Type::TensorOf(like.dtype, SymbolicShape(std::move(dims))));
  g.inputs.push_back(v);
  return {v, like.dtype, shape};
}

/// while_loop(condition graph, body graph, carried, what both read besides)
void WhileLoop(Call& c) {
  Converter& converter = c.converter();
  const Argument &condition = GraphAt(c, 0), &body = GraphAt(c, 1);
  std::vector<TensorRef> carried = Operands(c, 2);
  const std::vector<TensorRef> besides = c.node().inputs.size() > 3 ? Operands(c, 3) : std::vector<TensorRef>();
  const auto with = [](std::vector<TensorRef> a, const std::vector<TensorRef>& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  };
  const auto holds = [&](const std::vector<TensorRef>& operands) {
    const std::vector<TensorRef> told = converter.RunWith(*condition.graph, operands);
    if (told.size() != 1 || !told[0].defined()) c.Fail("its condition gives no truth value.");
    return AsCondition(c, told[0]);
  };
  const ValueId first = holds(with(carried, besides));
  Subgraph loop = converter.Build(body.text, [&](Graph& g) {
    const ValueId round =
        g.AddValue(c.node().name + "_round", Type::TensorOf(DType::kInt64, SymbolicShape(std::vector<Dim>())));
    const ValueId going =
        g.AddValue(c.node().name + "_going", Type::TensorOf(DType::kBool, SymbolicShape(std::vector<Dim>())));
    g.inputs = {round, going};
    std::vector<TensorRef> state;
    for (size_t i = 0; i < carried.size(); ++i) {
      state.push_back(Input(converter, g, carried[i], 0, c.node().name + "_state_" + std::to_string(i)));
    }
    const std::vector<TensorRef> read = Captured(converter, besides);
    std::vector<TensorRef> next = converter.RunWith(*body.graph, with(state, read));
    if (next.size() != carried.size()) c.Fail("its body gives {} values for {}.", next.size(), carried.size());
    std::vector<ValueId> outputs;
    std::vector<ValueId> results;
    AddOutput(converter, g, outputs, holds(with(next, read)));
    for (size_t i = 0; i < next.size(); ++i) {
      AddOutput(converter, g, outputs, c.Cast(next[i].id, carried[i].dtype));
    }
    return outputs;
  });
  std::vector<ValueId> inputs = {kNone, first};
  for (const TensorRef& t : carried) inputs.push_back(t.id);
  std::vector<std::pair<std::string, Subgraph>> graphs;
  graphs.emplace_back("body", std::move(loop));
  const auto out = AddControl(c, "Loop", std::move(inputs), std::move(graphs), {}, static_cast<int>(carried.size()));
  for (size_t i = 0; i < out.size(); ++i) c.Out(static_cast<int>(i), out[i]);
}

/// A graph run on each element along the first axes of `xs`, with a state that goes from one to the next.
void AddScan(Call& c, const Argument& body, const std::vector<TensorRef>& state, const std::vector<TensorRef>& xs,
             const std::vector<TensorRef>& besides) {
  Converter& converter = c.converter();
  int count = 0;
  Subgraph scan = converter.Build(body.text, [&](Graph& g) {
    std::vector<TensorRef> operands;
    const auto add = [&](const TensorRef& t, size_t drop) {
      operands.push_back(Input(converter, g, t, drop, c.node().name + "_in_" + std::to_string(operands.size())));
    };
    for (const TensorRef& t : state) add(t, 0);
    for (const TensorRef& t : xs) add(t, 1);
    for (const TensorRef& t : Captured(converter, besides)) operands.push_back(t);
    const std::vector<TensorRef> results = converter.RunWith(*body.graph, operands);
    if (results.size() < state.size()) c.Fail("its body gives fewer values than the state has.");
    std::vector<ValueId> outputs;
    for (size_t i = 0; i < results.size(); ++i) {
      if (!results[i].defined()) c.Fail("its body gives None.");
      AddOutput(converter, g, outputs, i < state.size() ? c.Cast(results[i].id, state[i].dtype) : results[i].id);
    }
    count = static_cast<int>(outputs.size());
    return outputs;
  });
  std::vector<ValueId> inputs;
  for (const TensorRef& t : state) inputs.push_back(t.id);
  for (const TensorRef& t : xs) inputs.push_back(t.id);
  std::vector<std::pair<std::string, Subgraph>> graphs;
  graphs.emplace_back("body", std::move(scan));
  const auto out = AddControl(c, "Scan", std::move(inputs), std::move(graphs),
                              {{"num_scan_inputs", static_cast<int64_t>(xs.size())}}, count);
  for (size_t i = 0; i < out.size(); ++i) c.Out(static_cast<int>(i), out[i]);
}

/// scan(body graph, first state, xs, what the body reads besides)
void Scan(Call& c) {
  const bool more = c.node().inputs.size() > 3 && At(c, 3).is(Kind::kList);
  AddScan(c, GraphAt(c, 0), Operands(c, 1), Operands(c, 2), more ? Operands(c, 3) : std::vector<TensorRef>());
}

/// map_impl(body graph, xs, what the body reads besides)
void Map(Call& c) { AddScan(c, GraphAt(c, 0), {}, Operands(c, 1), Operands(c, 2)); }

/// A graph that runs where it stands, for torch's own purposes (gradient mode, autocast, checkpoints): the tensors
/// behind the graph among the arguments are its inputs. What autocast does shows in the types that torch tells.
void InPlace(Call& c) {
  const auto& inputs = c.node().inputs;
  const auto graph =
      std::find_if(inputs.begin(), inputs.end(), [](const auto& i) { return i.second.is(Kind::kGraph); });
  if (graph == inputs.end() || !graph->second.graph) c.Fail("no graph is among its arguments.");
  std::vector<TensorRef> operands;
  const size_t wanted = graph->second.graph->inputs.size();
  for (auto i = std::next(graph); i != inputs.end() && operands.size() < wanted; ++i) {
    const Argument& a = i->second;
    if (a.is(Kind::kString)) continue;
    if (a.is(Kind::kList)) {
      for (const Argument& item : a.items) operands.push_back(Operand(c, item));
    } else {
      operands.push_back(Operand(c, a));
    }
  }
  const std::vector<TensorRef> results = c.converter().RunWith(*graph->second.graph, operands);
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i].defined()) c.Out(static_cast<int>(i), results[i].id);
  }
}

constexpr Conversion kConversions[] = {
    {"higher_order.cond", Cond},
    {"higher_order.hints_wrapper", InPlace},
    {"higher_order.invoke_subgraph", InPlace},
    {"higher_order.map_impl", Map},
    {"higher_order.scan", Scan},
    {"higher_order.strict_mode", InPlace},
    {"higher_order.tag_activation_checkpoint", InPlace},
    {"higher_order.while_loop", WhileLoop},
    {"higher_order.wrap", InPlace},
    {"higher_order.wrap_activation_checkpoint", InPlace},
    {"higher_order.wrap_with_autocast", InPlace},
    {"higher_order.wrap_with_set_grad_enabled", InPlace},
};

}  // namespace

extern const ConversionTable kControlFlowTable = {std::begin(kConversions), std::end(kConversions)};

}  // namespace slipway::pt2
