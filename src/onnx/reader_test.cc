#include "onnx/reader.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "onnx/testing.h"

namespace slipway {
namespace {

using namespace onnx::testing;  // NOLINT(google-build-using-namespace)
namespace field = onnx::field;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Model ReadMessage(const Message& m) {
  Model model = ReadModel(m.bytes(), "");
  Verify(*model.graph);
  return model;
}

std::string ErrorOf(const Message& m) {
  try {
    ReadMessage(m);
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

std::string Floats(std::vector<float> values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
}

/// An If whose branches read x and a weight, a function call, a Constant.
Message GoodModel() {
  const Message branch = GraphMessage({NodeMessage("Add", {"x", "w"}, {"t"})}, {"t"}, false);
  const Message other = GraphMessage({NodeMessage("Neg", {"x"}, {"e"})}, {"e"}, false);
  const Message value = Message()
                            .Text(field::attribute::kName, "value")
                            .Int(field::attribute::kType, 4)
                            .Add(field::attribute::kTensor, TensorMessage("", 9, {}, "\1"));
  Message graph = GraphMessage(
      {NodeMessage("Constant", {}, {"c"}, {value}),
       NodeMessage("If", {"c"}, {"m"}, {GraphAttribute("then_branch", branch), GraphAttribute("else_branch", other)}),
       NodeMessage("Twice", {"m"}, {"y"}, {FloatAttribute("slope", 0.5f)}, "f")},
      {"y"});
  graph.Add(field::graph::kInitializer, TensorMessage("w", 1, {3}, Floats({1, 2, 3})));
  const Message ref = Message()
                          .Text(field::attribute::kName, "alpha")
                          .Int(field::attribute::kType, 1)
                          .Text(field::attribute::kRefName, "slope");
  Message function = Message()
                         .Text(field::function::kName, "Twice")
                         .Text(field::function::kDomain, "f")
                         .Text(field::function::kInput, "a")
                         .Text(field::function::kOutput, "b");
  function.Add(field::function::kNode, NodeMessage("LeakyRelu", {"a"}, {"h"}, {ref}))
      .Add(field::function::kNode, NodeMessage("Add", {"h", "h"}, {"b"}));
  function.Add(field::function::kOpsetImport, OpsetMessage("", 21));
  return ModelMessage(graph)
      .Add(field::model::kOpsetImport, OpsetMessage("f", 1))
      .Add(field::model::kFunctions, function);
}

TEST(Reader, ReadsGraphsFunctionsAndConstants) {
  const Model model = ReadMessage(GoodModel());
  const Graph& g = *model.graph;
  std::vector<std::string> ops;
  for (NodeId id : g.order()) ops.push_back(g.node(id).op_type);
  EXPECT_THAT(ops, ElementsAre("If", "LeakyRelu", "Add"));
  EXPECT_EQ(g.node(g.order()[1]).attributes.Float("alpha", 0), 0.5f);
  EXPECT_EQ(g.value(g.outputs[0]).name, "y");
  EXPECT_EQ(g.value(g.outputs[0]).type.ToString(), "float [2, 3]");
  const Node& branch = g.node(g.order()[0]);
  ASSERT_EQ(branch.captures.size(), 2u);
  const auto then_branch = branch.attributes.GetGraph("then_branch"),
             else_branch = branch.attributes.GetGraph("else_branch");
  EXPECT_EQ(then_branch->value(then_branch->captures[0]).name, "x");
  EXPECT_EQ(else_branch->captures[1], kNone);
}

TEST(Reader, EveryTruncationIsAnError) {
  const std::string good = GoodModel().bytes();
  // Without the function, which comes last, its call is one of an operator that may exist elsewhere.
  const size_t last = good.find("\xca\x01");
  for (size_t n = 0; n < good.size(); ++n) {
    if (n != last) EXPECT_THROW(ReadModel(std::string_view(good).substr(0, n), ""), Error) << n;
  }
}

TEST(Reader, FlippedBitsAreAnErrorOrAModel) {
  const std::string good = GoodModel().bytes();
  std::mt19937 random(7);
  for (int i = 0; i < 4000; ++i) {
    std::string bad = good;
    for (unsigned k = 0; k <= random() % 3; ++k) bad[random() % bad.size()] ^= static_cast<char>(1 << random() % 8);
    try {
      Verify(*ReadModel(bad, "").graph);
    } catch (const Error&) {
    }
  }
}

TEST(Reader, SortsNodes) {
  const Model model = ReadMessage(
      ModelMessage(GraphMessage({NodeMessage("Neg", {"m"}, {"y"}), NodeMessage("Relu", {"x"}, {"m"})}, {"y"})));
  EXPECT_EQ(model.graph->node(model.graph->order()[0]).op_type, "Relu");
}

TEST(Reader, BrokenGraphsNameWhatIsAtFault) {
  const auto graph = [](std::vector<Message> nodes, std::vector<std::string> outputs = {"y"}) {
    return ModelMessage(GraphMessage(nodes, outputs));
  };
  const auto relu = NodeMessage("Relu", {"x"}, {"y"});
  const auto with = [&](int tag, const Message& part) {
    return ModelMessage(GraphMessage({relu}, {"y"}).Add(tag, part));
  };
  const struct {
    Message model;
    std::string want;
  } cases[] = {
      {graph({NodeMessage("Add", {"x", "y"}, {"y"})}), "cycle"},
      {graph(
           {NodeMessage("Add", {"x", "b"}, {"a"}), NodeMessage("Neg", {"a"}, {"b"}), NodeMessage("Neg", {"b"}, {"y"})}),
       "the graph has a cycle"},
      {graph({relu, relu}), "'y' is defined twice"},
      {graph({NodeMessage("Relu", {"x"}, {"x"})}), "'x' is defined twice"},
      {graph({NodeMessage("Add", {"x", "nowhere"}, {"y"})}), "node 'n_y' (Add): reads 'nowhere'"},
      {graph({relu}, {"z"}), "graph output 'z'"},
      {graph({NodeMessage("", {"x"}, {"y"})}), "node 'n_y' () has no operator type"},
      {graph({NodeMessage("Relu", {"x"}, {"y"}, {}, "odd")}), "no opset is imported for its domain 'odd'"},
      {graph({NodeMessage("Relu", {"x"}, {"y"}, {IntAttribute("a", 1), IntAttribute("a", 2)})}), "'a' is given twice"},
      {graph({NodeMessage("Relu", {"x"}, {"y"},
                          {Message()
                               .Text(field::attribute::kName, "a")
                               .Int(field::attribute::kType, 7)
                               .Int(field::attribute::kInt, 1)})}),
       "attribute 'a' says"},
      {graph({NodeMessage("Relu", {"x"}, {"y"},
                          {Message().Text(field::attribute::kName, "a").Text(field::attribute::kRefName, "b")})}),
       "for functions"},
      {ModelMessage(GraphMessage({relu}, {"y"}), 29), "opset version 29 of ai.onnx is not one of 1 to 28"},
      {ModelMessage(GraphMessage({relu}, {"y"}), 0), "opset version 0"},
      {ModelMessage(GraphMessage({NodeMessage("Gelu", {"x"}, {"y"})}, {"y"}), 17), "came with opset 20"},
      {with(field::graph::kInput, ValueMessage("x", 1, {})), "'x' is listed twice"},
      {with(field::graph::kInput, Message().Text(field::value::kName, "q")), "'q' has no type"},
      {with(field::graph::kInput, ValueMessage("q", 99, {})), "value 'q': element type 99"},
      {with(field::graph::kInitializer, TensorMessage("w", 1, {3}, "1234")), "tensor 'w'"},
      {with(field::graph::kInitializer, TensorMessage("w", 1, {-1}, "")), "tensor 'w'"},
      {with(field::graph::kInitializer, TensorMessage("w", 1, {1 << 30, 1 << 30, 1 << 30}, "")), "tensor 'w'"},
      {with(field::graph::kInitializer, TensorMessage("w", 1, {0, INT64_MAX, INT64_MAX}, "")), "tensor 'w'"},
      {with(field::graph::kInitializer, TensorMessage("w", 77, {}, "")), "element type 77"},
      {with(field::graph::kInitializer, TensorMessage("", 1, {}, "1234")), "no name"},
      {with(field::graph::kInitializer, TensorMessage("w", 1, {}, "1234")).Int(field::model::kGraph, 1), "damaged"},
  };
  for (const auto& c : cases) EXPECT_THAT(ErrorOf(c.model), HasSubstr(c.want));
}

TEST(Reader, FunctionsThatUnfoldWithoutEndAreRefusedAtOnce) {
  Message graph = GraphMessage({NodeMessage("F0", {"x"}, {"y"}, {}, "f")}, {"y"});
  const auto model = [&](bool circle) {
    Message m = ModelMessage(graph).Add(field::model::kOpsetImport, OpsetMessage("f", 1));
    for (int i = 0; i < 60; ++i) {
      const std::string next = i < 59 ? "F" + std::to_string(i + 1) : circle ? "F0" : "Neg";
      const std::string domain = next == "Neg" ? "" : "f";
      Message f = Message().Text(field::function::kName, "F" + std::to_string(i)).Text(field::function::kDomain, "f");
      f.Text(field::function::kInput, "a").Text(field::function::kOutput, "c");
      f.Add(field::function::kNode, NodeMessage(next, {"a"}, {"b"}, {}, domain))
          .Add(field::function::kNode, NodeMessage(next, {"b"}, {"c"}, {}, domain));
      f.Add(field::function::kOpsetImport, OpsetMessage("", 21))
          .Add(field::function::kOpsetImport, OpsetMessage("f", 1));
      m.Add(field::model::kFunctions, f);
    }
    return m;
  };
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THAT(ErrorOf(model(false)), HasSubstr("would not fit in memory"));
  EXPECT_THAT(ErrorOf(model(true)), HasSubstr("calls itself"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
}

TEST(Reader, AnOutputThatAFunctionHandsOnKeepsItsName) {
  Message f = Message()
                  .Text(field::function::kName, "Same")
                  .Text(field::function::kDomain, "f")
                  .Text(field::function::kInput, "a")
                  .Text(field::function::kOutput, "a");
  f.Add(field::function::kOpsetImport, OpsetMessage("", 21));
  const Model model = ReadMessage(ModelMessage(GraphMessage({NodeMessage("Same", {"x"}, {"y"}, {}, "f")}, {"y"}))
                                      .Add(field::model::kOpsetImport, OpsetMessage("f", 1))
                                      .Add(field::model::kFunctions, f));
  EXPECT_EQ(model.graph->value(model.graph->inputs[0]).name, "x");
  EXPECT_EQ(model.graph->value(model.graph->outputs[0]).name, "y");
}

TEST(Reader, DeepNestingIsAnError) {
  Message graph = GraphMessage({NodeMessage("Neg", {"x"}, {"y"})}, {"y"}, false);
  for (int i = 0; i < 300; ++i)
    graph = GraphMessage({NodeMessage("If", {"x"}, {"y"}, {GraphAttribute("then_branch", graph)})}, {"y"}, i == 299);
  EXPECT_THAT(ErrorOf(ModelMessage(graph)), HasSubstr("too deep"));
}

TEST(Reader, UnknownGroupsArePassedOver) {
  const std::string group = "\x83\x40\x08\x01\x84\x40";  // field 1024: start, a varint field, end
  EXPECT_NO_THROW(ReadModel(group + GoodModel().bytes() + group, ""));
  EXPECT_THROW(ReadModel(GoodModel().bytes() + group.substr(0, 4), ""), Error);
}

TEST(Reader, ExternalDataStaysInTheFolder) {
  const auto folder = std::filesystem::temp_directory_path() / "slipway_reader_test";
  std::filesystem::create_directories(folder / "sub");
  std::ofstream(folder / "sub" / "w.bin", std::ios::binary) << "....." << Floats({1, 2, 3});
  const auto model = [](const std::string& location, const std::string& offset, const std::string& length) {
    Message t = Message()
                    .Int(field::tensor::kDims, 3)
                    .Int(field::tensor::kDataType, 1)
                    .Text(field::tensor::kName, "w")
                    .Int(field::tensor::kDataLocation, 1);
    for (const auto& [key, value] : {std::pair{"location", location}, {"offset", offset}, {"length", length}}) {
      if (!value.empty())
        t.Add(field::tensor::kExternalData, Message().Text(field::pair::kKey, key).Text(field::pair::kValue, value));
    }
    return ModelMessage(
        GraphMessage({NodeMessage("Add", {"x", "w"}, {"y"})}, {"y"}).Add(field::graph::kInitializer, t));
  };
  const Model good = ReadModel(model("sub/w.bin", "5", "12").bytes(), folder.string());
  const Tensor* w = good.graph->Constant(good.graph->node(good.graph->order()[0]).inputs[1]);
  EXPECT_THAT(w->span<float>(), ElementsAre(1, 2, 3));
  const struct {
    std::string location, offset, length;
  } bad[] = {{"../w.bin", "5", "12"},
             {(folder / "sub/w.bin").string(), "5", "12"},
             {"", "5", "12"},
             {std::string("sub/w.bin\0x", 11), "5", "12"},
             {"sub", "0", "12"},
             {"none.bin", "0", "12"},
             {"sub/w.bin", "6", "12"},
             {"sub/w.bin", "-1", "12"},
             {"sub/w.bin", "5", "8"},
             {"sub/w.bin", "9223372036854775807", "12"},
             {"sub/w.bin", "99999999999999999999", "12"},
             {"sub/w.bin", "5x", "12"}};
  for (const auto& c : bad) {
    EXPECT_THROW(ReadModel(model(c.location, c.offset, c.length).bytes(), folder.string()), Error)
        << c.location << " " << c.offset << " " << c.length;
  }
  EXPECT_THROW(ReadModel(model("sub/w.bin", "5", "12").bytes(), ""), Error);
}

TEST(Reader, AWeightThatIsAnInputMayBeFed) {
  Message graph = GraphMessage({NodeMessage("Add", {"x", "w"}, {"y"})}, {"y"})
                      .Add(field::graph::kInitializer, TensorMessage("w", 1, {3}, Floats({1, 2, 3})));
  const Model model = ReadMessage(ModelMessage(graph.Add(field::graph::kInput, ValueMessage("w", 1, {3}))));
  EXPECT_EQ(model.graph->inputs.size(), 1u);
  EXPECT_THAT(model.overridable, ElementsAre("w"));
}

}  // namespace
}  // namespace slipway
