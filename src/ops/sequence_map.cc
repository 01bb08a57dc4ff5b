#include "ops/control_flow.h"

namespace slipway {

/// Runs its body on each value of a sequence, and on what stands at the same place of others; tensors go to every turn
/// as they are. ONNX SequenceMap, since 17.
struct SequenceMap {
  std::shared_ptr<Graph> body;
  static SequenceMap Parse(const Attributes& a) {
    SequenceMap op{.body = a.GetGraph("body")};
    if (!op.body) throw Error(Code::kBadGraph, "needs the attribute body.");
    return op;
  }

  void Infer(InferContext& c) const {
    if (static_cast<int>(body->inputs.size()) != c.num_inputs() ||
        static_cast<int>(body->outputs.size()) != c.num_outputs()) {
      c.Fail("the body takes {} values and gives {}, but the node has {} inputs and {} outputs.", body->inputs.size(),
             body->outputs.size(), c.num_inputs(), c.num_outputs());
    }
    std::vector<Type> types;
    for (int i = 0; i < c.num_inputs(); ++i) {
      const Type& t = c.In(i);
      const bool sequence = t.kind == Type::Kind::kSequence;
      if (i == 0 && t.known() && !sequence) c.Fail("{} is {}, but must be a sequence.", c.InputName(i), t.ToString());
      types.push_back(!sequence ? t : t.element ? *t.element : Type());
      // The values of a sequence may differ in size.
      if (sequence) types.back().shape = {};
    }
    std::vector<Type> out = c.infer_subgraph(*body, types);
    for (int i = 0; i < c.num_outputs(); ++i) c.Out(i, Type::SequenceOf(std::move(out[i])));
  }

  void Run(RunContext& c) const {
    const size_t turns = c.InValue(0).sequence().size();
    for (int i = 1; i < c.num_inputs(); ++i) {
      const Value& v = c.InValue(i);
      if (v.is_sequence() && v.sequence().size() != turns)
        c.Fail("one sequence has {} values, another {}.", turns, v.sequence().size());
    }
    std::vector<Sequence> results(c.num_outputs());
    for (size_t turn = 0; turn < turns; ++turn) {
      std::vector<Value> inputs;
      for (int i = 0; i < c.num_inputs(); ++i) {
        const Value& v = c.InValue(i);
        inputs.push_back(v.is_sequence() ? v.sequence()[turn] : v);
      }
      std::vector<Value> out = RunBody(c, "body", *body, std::move(inputs));
      for (size_t i = 0; i < results.size(); ++i) results[i].push_back(std::move(out[i]));
    }
    for (int i = 0; i < c.num_outputs(); ++i) {
      if (c.HasOut(i)) c.SetOut(i, Value(std::move(results[i])));
    }
  }
};
extern const OpDef kSequenceMap =
    Define<SequenceMap>({.name = "SequenceMap", .since = 17, .max_inputs = kVariadic, .max_outputs = kVariadic});

}  // namespace slipway
