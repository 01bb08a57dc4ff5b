#include "onnx/upgrade/rules.h"

namespace slipway::onnx {

void LogSoftmaxThenLoss(Graph& g, NodeId id) {
  Node loss = g.node(id);
  if (loss.output(0) == kNone) FailUpgrade(Code::kBadGraph, "gives no loss.");
  ValueId log = loss.output(1);
  const ValueId scores = Required(loss, 0);
  g.RemoveNode(id);
  if (log == kNone) log = g.AddValue(g.value(loss.outputs[0]).name + "/log_prob");
  g.AddNode({.name = loss.name.empty() ? g.value(log).name : loss.name + "/LogSoftmax",
             .op_type = "LogSoftmax",
             .inputs = {scores},
             .outputs = {log},
             .attributes = One("axis", int64_t{1})});
  loss.op_type = "NegativeLogLikelihoodLoss";
  loss.inputs[0] = log;
  loss.outputs.resize(1);
  g.AddNode(std::move(loss));
}

}  // namespace slipway::onnx
