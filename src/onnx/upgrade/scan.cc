#include "onnx/upgrade/rules.h"

namespace slipway::onnx {
namespace {

ValueId AddTo(Graph& g, std::string op, std::vector<ValueId> inputs, Attributes attributes = {}) {
  const ValueId out = g.AddValue(fmt::format("{}_{}", op, g.num_values()));
  g.AddNode(
      {.op_type = std::move(op), .inputs = std::move(inputs), .outputs = {out}, .attributes = std::move(attributes)});
  return out;
}

ValueId Numbers(Graph& g, std::vector<int64_t> values) {
  const auto n = static_cast<int64_t>(values.size());
  return g.AddConstant(fmt::format("numbers_{}", g.num_values()), Tensor::From<int64_t>({n}, values));
}

}  // namespace

void ScanEachItem(Graph& g, NodeId id) {
  Node node = g.node(id);
  const std::shared_ptr<Graph> inner = node.attributes.GetGraph("body");
  const int64_t scans = node.attributes.RequiredInt("num_scan_inputs");
  const auto all = static_cast<int64_t>(node.inputs.size()) - 1;
  if (!inner || scans < 1 || scans > all)
    FailUpgrade(Code::kBadGraph, "needs a body and as many scan inputs as it says.");
  const int64_t states = all - scans;
  // The body of the new node, which sees one item of the batch.
  auto body = std::make_shared<Graph>();
  std::vector<ValueId> items;
  for (int64_t i = 0; i < all; ++i) items.push_back(body->AddValue(fmt::format("item_{}", i)));
  body->inputs = items;
  for (ValueId outside : node.captures)
    body->captures.push_back(body->AddValue(g.value(outside).name, g.value(outside).type));
  Node one = {.op_type = "Scan", .inputs = items, .attributes = {{"body", inner}, {"num_scan_inputs", scans}}};
  one.captures = body->captures;
  if (node.attributes.Has("directions"))
    one.attributes.Set("scan_input_directions", node.attributes.Ints("directions"));
  const ValueId lengths = node.input(0);
  ValueId missing = kNone;  // by how much a shorter item's outputs are filled up with zeros
  if (lengths != kNone) {
    const ValueId length = body->AddValue("length");
    body->inputs.push_back(length);
    const ValueId end = AddTo(*body, "Reshape", {length, Numbers(*body, {1})});
    const ValueId whole = AddTo(*body, "Shape", {items[states]}, {{"start", int64_t{0}}, {"end", int64_t{1}}});
    missing = AddTo(*body, "Concat", {Numbers(*body, {0}), AddTo(*body, "Sub", {whole, end})}, One("axis", int64_t{0}));
    for (int64_t i = states; i < all; ++i)
      one.inputs[i] = AddTo(*body, "Slice", {items[i], Numbers(*body, {0}), end, Numbers(*body, {0})});
  }
  for (size_t i = 0; i < inner->outputs.size(); ++i) one.outputs.push_back(body->AddValue(fmt::format("result_{}", i)));
  body->outputs = one.outputs;
  body->AddNode(std::move(one));
  for (size_t i = states; missing != kNone && i < body->outputs.size(); ++i)
    body->outputs[i] = AddTo(*body, "Pad", {body->outputs[i], missing, kNone, Numbers(*body, {0})});
  node.inputs.erase(node.inputs.begin());
  if (lengths != kNone) node.inputs.push_back(lengths);
  node.outputs.resize(body->outputs.size(), kNone);
  node.attributes = {{"body", body}, {"num_scan_inputs", static_cast<int64_t>(node.inputs.size())}};
  g.RemoveNode(id);
  g.AddNode(std::move(node));
}

}  // namespace slipway::onnx
