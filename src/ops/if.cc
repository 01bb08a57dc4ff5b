#include "ops/control_flow.h"
#include "ops/one_number.h"

namespace slipway {

/// Runs one of two subgraphs. ONNX If, since 25.
struct If {
  std::shared_ptr<Graph> then_branch, else_branch;
  static If Parse(const Attributes& a) {
    If op{.then_branch = a.GetGraph("then_branch"), .else_branch = a.GetGraph("else_branch")};
    if (!op.then_branch || !op.else_branch)
      throw Error(Code::kBadGraph, "needs the attributes then_branch and else_branch.");
    return op;
  }
  void Infer(InferContext& c) const {
    c.ExpectElem(0, {DType::kBool});
    ExpectOne(c, 0);
    const auto yes = Types(c, *then_branch, "then_branch"), no = Types(c, *else_branch, "else_branch");
    const Tensor* known = c.Constant(0);
    for (int i = 0; i < c.num_outputs(); ++i) {
      c.Out(i, known && known->size() == 1 ? (*known->data<bool>() ? yes[i] : no[i]) : Either(c, yes[i], no[i]));
    }
  }
  void Run(RunContext& c) const {
    const bool condition = ConditionOf(c, c.InValue(0));
    auto out = RunBody(c, condition ? "then_branch" : "else_branch", condition ? *then_branch : *else_branch, {});
    for (int i = 0; i < c.num_outputs(); ++i) {
      if (c.HasOut(i)) c.SetOut(i, std::move(out[i]));
    }
  }

 private:
  static std::vector<Type> Types(InferContext& c, Graph& branch, const char* name) {
    if (static_cast<int>(branch.outputs.size()) != c.num_outputs()) {
      c.Fail("{} gives {} values, but the node {}.", name, branch.outputs.size(), c.num_outputs());
    }
    if (!branch.inputs.empty())
      c.Fail("{} has an input, '{}', but a branch takes none.", name, branch.value(branch.inputs[0]).name);
    return c.infer_subgraph(branch, {});
  }
};
extern const OpDef kIf = Define<If>({.name = "If", .since = 25, .max_outputs = kVariadic, .types = {DType::kBool}});

}  // namespace slipway
