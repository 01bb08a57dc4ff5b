#include "ops/evaluate.h"

#include <algorithm>

namespace slipway {

bool HasSubgraph(const Node& node) {
  return std::any_of(node.attributes.begin(), node.attributes.end(),
                     [](const auto& item) { return std::holds_alternative<std::shared_ptr<Graph>>(item.second); });
}

void ThrowNaming(const Graph& graph, const Node& node, const Error& e) {
  const std::string name = node.Describe(graph), message = e.what();
  if (message.find(name) != std::string::npos) throw Error(e.code(), message);
  throw Error(e.code(), fmt::format("{}: {}", name, message));
}

Type TypeOf(const Value& value) {
  if (value.is_tensor()) return Type::TensorOf(value.tensor().dtype(), SymbolicShape(value.tensor().shape()));
  if (value.is_sequence())
    return Type::SequenceOf(value.sequence().empty() ? Type() : TypeOf(value.sequence().front()));
  if (value.is_map()) {
    return std::visit(
        [](const auto& map) {
          using Key = typename std::decay_t<decltype(map)>::key_type;
          return Type::MapOf(kDTypeOf<Key>, map.empty() ? Type() : TypeOf(map.begin()->second));
        },
        value.map());
  }
  return Type::OptionalOf(Type());
}

Value AllocateFor(const Type& type) {
  if (type.kind != Type::Kind::kTensor || !type.known()) return {};
  std::optional<Shape> shape = type.shape.Concrete();
  return shape ? Value(Tensor(type.elem, std::move(*shape))) : Value();
}

void RunLate(RunContext& c, const Op& op) {
  InferContext infer(*c.graph, *c.node);
  std::vector<Type> types(c.in.size());
  for (size_t i = 0; i < c.in.size(); ++i) {
    if (!c.in[i]) continue;
    types[i] = TypeOf(*c.in[i]);
    infer.in_types[i] = &types[i];
    if (c.in[i]->is_tensor() && (c.In(i).raw() || c.In(i).size() == 0)) infer.in_constants[i] = &c.In(i);
  }
  op.Infer(infer);
  const OpDef* def = FindOp(c.node->domain, c.node->op_type);
  if (def->alias && c.InValue(0).is_tensor()) {
    std::optional<Shape> shape = infer.out_types[0].shape.Concrete();
    if (!shape) c.Fail("the inputs do not tell its shape.");
    c.SetOut(0, c.In(0).Reshaped(*std::move(shape)));
    return;
  }
  for (size_t i = 0; i < c.out.size(); ++i) {
    if (c.out[i]) *c.out[i] = AllocateFor(infer.out_types[i]);
  }
  op.Run(c);
}

std::vector<Value> Evaluate(const Graph& graph, const Node& node, const Op& op, std::vector<Value*> inputs,
                            const Threads& threads, RunContext::ScratchBuffer* scratch) {
  RunContext::ScratchBuffer local;
  RunContext c;
  c.graph = &graph;
  c.node = &node;
  c.in = std::move(inputs);
  c.pool = &threads;
  c.scratch = scratch ? scratch : &local;
  std::vector<Value> outputs(node.outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) c.out.push_back(node.outputs[i] == kNone ? nullptr : &outputs[i]);
  RunLate(c, op);
  return outputs;
}

}  // namespace slipway
