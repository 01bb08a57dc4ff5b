#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "onnx/reader.h"
#include "onnx/testing.h"

namespace slipway {
namespace {

using namespace onnx::testing;  // NOLINT(google-build-using-namespace)
namespace field = onnx::field;

/// "Op(input, constant [1, 2]; attribute)" for each node.
std::string Show(const Graph& g) {
  std::string out;
  for (NodeId id : g.order()) {
    const Node& n = g.node(id);
    out += (out.empty() ? "" : " ") + n.op_type + "(";
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      if (i > 0) out += ",";
      const Tensor* t = g.Constant(n.inputs[i]);
      if (!t) {
        out += n.inputs[i] == kNone ? "-" : g.Producer(n.inputs[i]) ? "." : g.value(n.inputs[i]).name;
      } else if (t->dtype() == DType::kInt64) {
        out += fmt::format("[{}]", fmt::join(t->span<int64_t>(), " "));
      } else {
        out += Name(t->dtype());
      }
    }
    for (const auto& [name, value] : n.attributes) out += ";" + name;
    out += ")";
  }
  return out;
}

TEST(Upgrade, TurnsOldFormsIntoTheNewest) {
  const auto ints = [](const char* name, std::vector<int64_t> values) { return IntsAttribute(name, values); };
  const struct {
    int64_t opset;
    Message node;
    std::string want;
  } cases[] = {
      {9, NodeMessage("Slice", {"x"}, {"y"}, {ints("starts", {1}), ints("ends", {2}), ints("axes", {0})}),
       "Slice(x,[1],[2],[0])"},
      {9, NodeMessage("Slice", {"x"}, {"y"}, {ints("starts", {1}), ints("ends", {2})}), "Slice(x,[1],[2])"},
      {9, NodeMessage("TopK", {"x"}, {"y", "i"}, {IntAttribute("k", 2)}), "TopK(x,[2])"},
      {12, NodeMessage("Squeeze", {"x"}, {"y"}, {ints("axes", {0})}), "Squeeze(x,[0])"},
      {12, NodeMessage("Split", {"x"}, {"y", "z"}, {ints("split", {1, 1})}), "Split(x,[1 1])"},
      {12, NodeMessage("Split", {"x"}, {"y", "z"}), "Split(x;num_outputs)"},
      {17, NodeMessage("ReduceMean", {"x"}, {"y"}, {ints("axes", {1})}), "ReduceMean(x,[1])"},
      {18, NodeMessage("ReduceMean", {"x", "w"}, {"y"}), "ReduceMean(x,float)"},
      {10, NodeMessage("Clip", {"x"}, {"y"}, {FloatAttribute("min", 0), FloatAttribute("max", 6)}),
       "Clip(x,float,float)"},
      {6, NodeMessage("Clip", {"x"}, {"y"}, {FloatAttribute("max", 6)}), "Clip(x,-,float)"},
      {10, NodeMessage("Pad", {"x"}, {"y"}, {ints("pads", {0, 1, 0, 1}), FloatAttribute("value", 1)}),
       "Pad(x,[0 1 0 1],float)"},
      {1, NodeMessage("Pad", {"x"}, {"y"}, {ints("paddings", {0, 1, 0, 1})}), "Pad(x,[0 1 0 1])"},
      {12, NodeMessage("Softmax", {"x"}, {"y"}), "Softmax(x;axis)"},
      {12, NodeMessage("Softmax", {"x"}, {"y"}, {IntAttribute("axis", 0)}),
       "Flatten(x;axis) Shape(x) Softmax(.;axis) Reshape(.,.)"},
      {13, NodeMessage("Softmax", {"x"}, {"y"}, {IntAttribute("axis", 0)}), "Softmax(x;axis)"},
      {11, NodeMessage("Dropout", {"x"}, {"y"}, {FloatAttribute("ratio", 0.5f)}), "Dropout(x)"},
      {8, NodeMessage("BatchNormalization", {"x", "w", "w", "w", "w"}, {"y", "m", "v"}, {IntAttribute("spatial", 1)}),
       "BatchNormalization(x,float,float,float,float)"},
      {8,
       NodeMessage("Upsample", {"x"}, {"y"},
                   {Message()
                        .Text(field::attribute::kName, "scales")
                        .Int(field::attribute::kType, 6)
                        .Float(field::attribute::kFloats, 1)}),
       "Resize(x,-,float;coordinate_transformation_mode;nearest_mode)"},
      {10, NodeMessage("Resize", {"x", "w"}, {"y"}), "Resize(x,-,float;coordinate_transformation_mode;nearest_mode)"},
      {11, NodeMessage("Resize", {"x", "empty", "w"}, {"y"}), "Resize(x,-,float)"},
      {9, NodeMessage("Scatter", {"x", "w", "w"}, {"y"}), "ScatterElements(x,float,float)"},
      {6, NodeMessage("Add", {"x", "w"}, {"y"}, {IntAttribute("broadcast", 1), IntAttribute("axis", 0)}),
       "Unsqueeze(float,[1]) Add(x,.)"},
      {6, NodeMessage("Add", {"x", "w"}, {"y"}, {IntAttribute("broadcast", 1)}), "Add(x,float)"},
      {6, NodeMessage("Add", {"u", "w"}, {"y"}, {IntAttribute("broadcast", 1), IntAttribute("axis", 1)}),
       "Neg(x) Shape(float) Shape(.;start) Equal(.,.) Cast(.;to) Concat(.,.;axis) Reshape(float,.) Add(.,.)"},
      {6, NodeMessage("PRelu", {"u", "w"}, {"y"}),
       "Neg(x) Shape(float) Shape(.;start) Equal(.,.) Cast(.;to) Concat(.,.;axis) Reshape(float,.) PRelu(.,.)"},
      {5, NodeMessage("Cast", {"x"}, {"y"}, {StringAttribute("to", "FLOAT16")}), "Cast(x;to)"},
      {4, NodeMessage("Reshape", {"x"}, {"y"}, {ints("shape", {3, 2})}), "Reshape(x,[3 2])"},
      {18, NodeMessage("GroupNormalization", {"x", "w", "w"}, {"y"}, {IntAttribute("num_groups", 3)}),
       "Shape(x;start;end) Div(.,[3]) Concat([3],.;axis) Unsqueeze(float,[1]) Expand(.,.) Reshape(.,[-1]) "
       "Unsqueeze(float,[1]) Expand(.,.) Reshape(.,[-1]) GroupNormalization(x,.,.;num_groups)"},
      {17, NodeMessage("DFT", {"x"}, {"y"}), "DFT(x,-,[1])"},
      {13, NodeMessage("SoftmaxCrossEntropyLoss", {"x", "w"}, {"y"}),
       "LogSoftmax(x;axis) NegativeLogLikelihoodLoss(.,float)"},
      {5, NodeMessage("Tile", {"x", "w", "w"}, {"y"}),
       "Cast(float;to) Reshape(.,[1]) Cast(float;to) Reshape(.,[1]) Shape(x;start) Equal(.,.) Cast(.;to) "
       "ScatterElements(.,.,.;axis) Tile(x,.)"},
  };
  for (const auto& c : cases) {
    std::vector<Message> nodes;
    // u: a value of which the file tells no shape.
    if (c.node.bytes().find(std::string("\x0a\x01u", 3)) != std::string::npos)
      nodes.push_back(NodeMessage("Neg", {"x"}, {"u"}));
    nodes.push_back(c.node);
    Message graph = GraphMessage(nodes, {"y"});
    graph.Add(field::graph::kInitializer, TensorMessage("w", 1, {2}, "12345678"))
        .Add(field::graph::kInitializer, TensorMessage("empty", 1, {0}, ""));
    SCOPED_TRACE(c.want);
    const Model model = ReadModel(ModelMessage(graph, c.opset).bytes(), "");
    Verify(*model.graph);
    EXPECT_EQ(Show(*model.graph), c.want);
  }
}

TEST(Upgrade, RefusesFormsOfOtherOpsets) {
  const struct {
    int64_t opset;
    Message node;
    std::string want;
  } cases[] = {
      {11, NodeMessage("Squeeze", {"x", "x"}, {"y"}), "'axes' is an attribute"},
      {13, NodeMessage("Squeeze", {"x"}, {"y"}, {IntsAttribute("axes", {0})}), "no attribute 'axes' since opset 13"},
      {8, NodeMessage("BatchNormalization", {"x", "x", "x", "x", "x"}, {"y"}, {IntAttribute("spatial", 0)}), "spatial"},
      {10, NodeMessage("Clip", {}, {"y"}, {FloatAttribute("min", 0)}), "input 0 is missing"},
      {10, NodeMessage("Clip", {"x"}, {}, {FloatAttribute("min", 0)}), "gives no output"},
      {12, NodeMessage("Softmax", {}, {"y"}), "input 0 is missing"},
      {18, NodeMessage("GroupNormalization", {"x"}, {"y"}, {IntAttribute("num_groups", 0)}), "num_groups"},
      {8, NodeMessage("Scan", {"", "x"}, {"y"}), "num_scan_inputs"},
  };
  for (const auto& c : cases) {
    try {
      ReadModel(ModelMessage(GraphMessage({c.node}, {}), c.opset).bytes(), "");
      ADD_FAILURE() << c.want;
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), ::testing::HasSubstr(c.want));
    }
  }
}

}  // namespace
}  // namespace slipway
