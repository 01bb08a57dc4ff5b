#include "ops/evaluate.h"

namespace slipway {

Type TypeOf(const Value& value) {
  if (value.is_tensor()) return Type::TensorOf(value.tensor().dtype(), SymbolicShape(value.tensor().shape()));
  if (value.is_sequence()) return Type::SequenceOf(value.sequence().empty() ? Type() : TypeOf(value.sequence().front()));
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

std::vector<Value> Evaluate(const Graph& graph, const Node& node, const Op& op, std::vector<Value*> inputs, const Threads& threads,
                            RunContext::ScratchBuffer* scratch) {
  InferContext infer(graph, node);
  std::vector<Type> types(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i]) continue;
    types[i] = TypeOf(*inputs[i]);
    infer.in_types[i] = &types[i];
    if (inputs[i]->is_tensor()) infer.in_constants[i] = &inputs[i]->tensor();
  }
  op.Infer(infer);

  RunContext::ScratchBuffer local;
  RunContext run;
  run.graph = &graph;
  run.node = &node;
  run.in = std::move(inputs);
  run.pool = &threads;
  run.scratch = scratch ? scratch : &local;
  std::vector<Value> outputs(node.outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (node.outputs[i] == kNone) {
      run.out.push_back(nullptr);
      continue;
    }
    outputs[i] = AllocateFor(infer.out_types[i]);
    run.out.push_back(&outputs[i]);
  }
  const OpDef* def = FindOp(node.domain, node.op_type);
  if (def && def->alias) {
    outputs[0] = run.In(0).Reshaped(*infer.out_types[0].shape.Concrete());
  } else {
    op.Run(run);
  }
  return outputs;
}

}  // namespace slipway
