#include "onnx/upgrade/upgrade.h"

#include <algorithm>
#include <unordered_map>

#include "onnx/upgrade/rules.h"

namespace slipway::onnx {
namespace {

/// What becomes of nodes from opsets before `before`. `moved` is an attribute that no later form has.
struct Rule {
  std::string_view op;
  int64_t before;
  Apply apply;
  std::string_view moved = "";
};

/// In the order in which they apply to a node.
std::vector<Rule> MakeRules() {
  std::vector<Rule> rules = {
      {"BatchNormalization", 14, PlainBatchNormalization, "spatial"},
      {"Cast", 6, CastByName},
      {"Clip", 11, All({Drop({"consumed_inputs"}), FloatToInput("min", 1)}), "min"},
      {"Clip", 11, FloatToInput("max", 2), "max"},
      {"Concat", 4, Default("axis", int64_t{1})},
      {"DFT", 20, Default("axis", int64_t{1})},
      {"DFT", 20, IntToInput("axis", 2, Shape{}), "axis"},
      // At inference nothing is dropped; inputs left out say so.
      {"Dropout", 12, Drop({"ratio", "is_test", "consumed_inputs"}), "ratio"},
      {"Gemm", 7, Drop({"broadcast"}), "broadcast"},
      {"GlobalLpPool", 2, IntegerP},
      {"GridSample", 20, RenameValue("mode", "bilinear", "linear")},
      {"GridSample", 20, RenameValue("mode", "bicubic", "cubic")},
      {"GroupNormalization", 21, ScalePerChannel},
      {"LpPool", 2, IntegerP},
      {"PRelu", 7, AlignSlope},
      {"Pad", 2,
       [](Graph& g, NodeId id) {
         Attributes& a = g.node(id).attributes;
         if (a.Has("paddings")) a.Set("pads", a.Ints("paddings"));
         a.Remove("paddings");
       }},
      {"Pad", 11, IntsToInput("pads", 1), "pads"},
      {"Pad", 11, FloatToInput("value", 2), "value"},
      {"Reshape", 5, All({Drop({"consumed_inputs"}), IntsToInput("shape", 1)}), "shape"},
      {"Resize", 11, ScalesToThird},
      {"Resize", 19, DropEmptyInputs},
      {"RoiAlign", 16, Default("coordinate_transformation_mode", std::string("output_half_pixel"))},
      {"Scan", 9, Unsupported("Scan of opset 8 is not supported.\n  Export the model for opset 9 or newer.")},
      {"Scatter", 11, RenameOp("ScatterElements")},
      {"Selu", 6, All({Default("alpha", 1.6732f), Default("gamma", 1.0507f)})},
      {"Slice", 10, IntsToInput("starts", 1), "starts"},
      {"Slice", 10, IntsToInput("ends", 2), "ends"},
      {"Slice", 10, IntsToInput("axes", 3), "axes"},
      {"Split", 13, IntsToInput("split", 1), "split"},
      {"Split", 18, CountOutputs},
      {"Tile", 6, TileOneAxis},
      {"TopK", 10, IntToInput("k", 1, Shape{1}), "k"},
      {"Upsample", 7, HeightAndWidth},
      {"Upsample", 9, FloatsToInput("scales", 1), "scales"},
      {"Upsample", 10, ScalesToThird},
  };
  const auto each = [&](std::initializer_list<std::string_view> ops, int64_t before, const Apply& apply,
                        std::string_view moved = "") {
    for (std::string_view op : ops) rules.push_back({op, before, apply, moved});
  };
  each({"Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Greater", "Less"}, 7, OldBroadcast,
       "broadcast");
  each({"Abs",  "Ceil",    "Elu",  "Exp", "Floor", "HardSigmoid",          "LeakyRelu",
        "Log",  "Max",     "Mean", "Min", "Neg",   "Reciprocal",           "Relu",
        "Selu", "Sigmoid", "Sqrt", "Sum", "Tanh",  "InstanceNormalization"},
       6, Drop({"consumed_inputs"}), "consumed_inputs");
  each({"GRU", "LSTM", "RNN"}, 7, Drop({"output_sequence"}), "output_sequence");
  each({"Softmax", "LogSoftmax", "Hardmax"}, 13, FlattenAround);
  each({"Squeeze", "Unsqueeze", "ReduceSum"}, 13, IntsToInput("axes", 1), "axes");
  each({"ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp",
        "ReduceSumSquare"},
       18, IntsToInput("axes", 1), "axes");
  return rules;
}

const std::vector<const Rule*>* RulesOf(const std::string& op) {
  static const auto* const rules = new std::vector<Rule>(MakeRules());
  static const auto* const by_op = [] {
    auto* map = new std::unordered_map<std::string, std::vector<const Rule*>>;
    for (const Rule& rule : *rules) (*map)[std::string(rule.op)].push_back(&rule);
    return map;
  }();
  const auto found = by_op->find(op);
  return found == by_op->end() ? nullptr : &found->second;
}

}  // namespace

int64_t FirstOpset(const std::string& op) {
  static const auto* const first = new std::unordered_map<std::string_view, int64_t>{
#define SINCE(opset, name) {#name, opset},
#include "onnx/upgrade/since.inc"
#undef SINCE
  };
  const auto found = first->find(op);
  return found == first->end() ? 1 : found->second;
}

void Upgrade(Graph& graph, NodeId id, int64_t version) {
  const Node& node = graph.node(id);
  if (!node.domain.empty()) return;
  if (const int64_t first = FirstOpset(node.op_type); version < first) {
    FailUpgrade(Code::kBadGraph,
                fmt::format("the model is of opset {}, but this operator came with opset {}.", version, first));
  }
  const auto* rules = RulesOf(node.op_type);
  if (!rules) return;
  for (const Rule* rule : *rules) {
    if (version >= rule->before) {
      if (rule->moved.empty() || !graph.node(id).attributes.Has(rule->moved)) continue;
      FailUpgrade(Code::kBadGraph, fmt::format("has no attribute '{}' since opset {}; the model is of opset {}.",
                                               rule->moved, rule->before, version));
    }
    if (graph.node(id).output(0) == kNone) FailUpgrade(Code::kBadGraph, "gives no output.");
    rule->apply(graph, id);
    if (!graph.alive(id)) return;
  }
}

}  // namespace slipway::onnx
