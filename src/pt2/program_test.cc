#include "pt2/program.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "pt2/convert.h"
#include "pt2/converter.h"
#include "slipway/error.h"

namespace slipway::pt2 {
namespace {

/// relu(x + 2 * y) of [s0, 3] and [3], as torch.export.save writes it.
std::string Json() {
  const std::string size = R"~({"as_expr": {"expr_str": "Symbol('s0', positive=True, integer=True)", "hint": null}})~";
  const auto meta = [](const std::string& sizes) {
    return R"~({"dtype": 7, "sizes": [)~" + sizes +
           R"~(], "requires_grad": false, "device": {"type": "cpu", "index": null}, "strides": [], )~"
           R"~("storage_offset": {"as_int": 0}, "layout": 7})~";
  };
  const std::string three = R"~({"as_int": 3})~", both = size + ", " + three;
  return R"~({"graph_module": {"graph": {
    "inputs": [{"as_tensor": {"name": "p_y"}}, {"as_tensor": {"name": "x"}}],
    "outputs": [{"as_tensor": {"name": "relu"}}],
    "nodes": [
      {"target": "torch.ops.aten.add.Tensor", "name": "add", "inputs": [
         {"name": "self", "arg": {"as_tensor": {"name": "x"}}, "kind": 1},
         {"name": "other", "arg": {"as_tensor": {"name": "p_y"}}, "kind": 1},
         {"name": "alpha", "arg": {"as_int": 2}, "kind": 2}],
       "outputs": [{"as_tensor": {"name": "add"}}],
       "metadata": {"stack_trace": "File \"model.py\", line 12, in forward\n    return f(x + 2 * self.y)",
                    "nn_module_stack": "L__self__,,m.Model;L__self___a,a,m.Inner"}},
      {"target": "torch.ops.aten.relu.default", "name": "relu", "inputs": [
         {"name": "self", "arg": {"as_tensor": {"name": "add"}}, "kind": 1}],
       "outputs": [{"as_tensor": {"name": "relu"}}], "metadata": {}}],
    "tensor_values": {"p_y": )~" +
         meta(three) + R"~(, "x": )~" + meta(both) + R"~(, "add": )~" + meta(both) + R"~(, "relu": )~" + meta(both) +
         R"~(}, "sym_int_values": {}, "sym_bool_values": {}, "is_single_tensor_return": false},
    "signature": {
      "input_specs": [{"parameter": {"arg": {"name": "p_y"}, "parameter_name": "inner.y"}},
                      {"user_input": {"arg": {"as_tensor": {"name": "x"}}}}],
      "output_specs": [{"user_output": {"arg": {"as_tensor": {"name": "relu"}}}}]},
    "module_call_graph": []},
    "opset_version": {"aten": 10}, "range_constraints": {"s0": {"min_val": 2, "max_val": null}},
    "schema_version": {"major": 8, "minor": 20}, "torch_version": "2.13.0"})~";
}

Program TestProgram() {
  Program p{.json = Json()};
  p.tensors["inner.y"] = Tensor::From<float>({3}, {1, 2, 3});
  return p;
}

TEST(Program, IsRead) {
  const TorchProgram p = ReadProgram(Json());
  ASSERT_EQ(p.graph.nodes.size(), 2u);
  const TorchNode& add = p.graph.nodes[0];
  EXPECT_EQ(add.target, "aten.add.Tensor");
  EXPECT_EQ(add.SourceLine(), "model.py:12: return f(x + 2 * self.y)");
  EXPECT_EQ(add.ModulePath(), "a");
  ASSERT_NE(add.Find("alpha"), nullptr);
  EXPECT_EQ(add.Find("alpha")->number, 2);
  EXPECT_EQ(p.graph.tensors.at("x").sizes[0].text(), "s0");
  EXPECT_EQ(p.graph.tensors.at("x").dtype, DType::kFloat);
  EXPECT_EQ(p.ranges.at("s0").low, 2);
  EXPECT_EQ(p.inputs[0].target, "inner.y");
}

TEST(Program, IsConverted) {
  ConvertOptions options;
  options.input_axes = {{{0, "batch"}}};
  const Model model = Convert(TestProgram(), options);
  const Graph& g = *model.graph;
  ASSERT_EQ(g.inputs.size(), 1u);
  EXPECT_EQ(g.value(g.inputs[0]).type.ToString(), "float [batch, 3]");
  EXPECT_EQ(g.value(g.outputs[0]).name, "relu");
  EXPECT_EQ(g.Producer(g.outputs[0])->op_type, "Relu");
}

/// Every prefix, and every text with one character changed, is a program or an error.
TEST(Program, DamageIsAnErrorAtMost) {
  const std::string json = Json();
  const auto convert = [](std::string text) {
    Program p = TestProgram();
    p.json = std::move(text);
    try {
      Convert(p, {});
    } catch (const Error&) {
    }
  };
  for (size_t i = 0; i < json.size(); i += 7) convert(json.substr(0, i));
  for (size_t i = 0; i < json.size(); ++i) {
    for (const char c : {'"', '9', '-', '{', 'x'}) {
      if (i % 5 != static_cast<size_t>(c) % 5) continue;
      std::string damaged = json;
      damaged[i] = c;
      convert(damaged);
    }
  }
}

TEST(Program, WeightsThatDoNotFitAreErrors) {
  Program p = TestProgram();
  p.tensors["inner.y"] = Tensor::From<float>({2}, {1, 2});
  EXPECT_THROW(Convert(p, {}), Error);
  p.tensors.clear();
  EXPECT_THROW(Convert(p, {}), Error);
}

TEST(Program, TargetsWithoutAFormAreNamed) {
  Program p = TestProgram();
  p.json.replace(p.json.find("aten.relu.default"), 17, "aten.rolu.default");
  try {
    Convert(p, {});
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::kUnsupported);
    EXPECT_NE(std::string(e.what()).find("aten.rolu.default"), std::string::npos) << e.what();
  }
}

TEST(Archive, WhatIsNoneIsAnError) {
  const std::string path = ::testing::TempDir() + "/not.pt2";
  for (const std::string& text : {std::string(), std::string("PK\x03\x04"), std::string(1000, 'x'),
                                  std::string("PK\x05\x06") + std::string(18, '\0')}) {
    std::ofstream(path, std::ios::binary) << text;
    EXPECT_THROW(ReadArchive(path), Error);
  }
  EXPECT_THROW(ReadArchive(path + ".absent"), Error);
}

TEST(Conversions, AreListedOnce) {
  std::map<std::string_view, int> seen;
  for (const ConversionTable* t : {
#define TABLE(Name) &k##Name##Table,
#include "pt2/aten/aten.inc"
#undef TABLE
       }) {
    for (const Conversion* c = t->begin; c != t->end; ++c) {
      EXPECT_EQ(++seen[c->target], 1) << c->target;
      EXPECT_NE(c->convert, nullptr) << c->target;
      EXPECT_EQ(FindConversion(c->target), c);
    }
  }
}

TEST(Promotion, IsTorchs) {
  const auto tensor = [](DType type, int rank) {
    return Operand{{.id = 0, .dtype = type, .shape = Exprs(rank, Expr(2))}, std::nullopt};
  };
  const auto number = [](Expr e) { return Operand{{}, e}; };
  EXPECT_EQ(Promote({tensor(DType::kFloat, 1), tensor(DType::kInt64, 1)}), DType::kFloat);
  EXPECT_EQ(Promote({tensor(DType::kFloat16, 1), tensor(DType::kDouble, 0)}), DType::kFloat16);
  EXPECT_EQ(Promote({tensor(DType::kInt32, 1), number(3)}), DType::kInt32);
  EXPECT_EQ(Promote({tensor(DType::kInt32, 1), number(Expr::Float(0.5))}), DType::kFloat);
  EXPECT_EQ(Promote({tensor(DType::kBool, 1), number(1)}), DType::kInt64);
  EXPECT_EQ(Promote({tensor(DType::kUint8, 1), tensor(DType::kInt8, 1)}), DType::kInt16);
  EXPECT_EQ(Promote({tensor(DType::kFloat16, 1), tensor(DType::kBFloat16, 1)}), DType::kFloat);
}

}  // namespace
}  // namespace slipway::pt2
