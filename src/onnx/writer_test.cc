#include "onnx/writer.h"

#include <complex>
#include <cstring>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "onnx/reader.h"
#include "onnx/testing.h"

namespace slipway {
namespace {

using namespace onnx::testing;  // NOLINT(google-build-using-namespace)
namespace field = onnx::field;
using ::testing::ElementsAre;

/// x -> If(c){x + w | capture} -> y, with a weight that is used inside only.
Message Branches() {
  const Message then_branch = GraphMessage({NodeMessage("Add", {"x", "w"}, {"t"})}, {"t"}, false);
  const Message else_branch = GraphMessage({}, {"x"}, false);
  Message graph = GraphMessage(
      {NodeMessage("Equal", {"x", "x"}, {"c"}),
       NodeMessage("If", {"c"}, {"y"},
                   {GraphAttribute("then_branch", then_branch), GraphAttribute("else_branch", else_branch)})},
      {"y"});
  graph.Add(field::graph::kInitializer, TensorMessage("w", 1, {1}, std::string("\0\0\x80\x3f", 4)));
  return ModelMessage(graph)
      .Int(field::model::kModelVersion, 3)
      .Add(field::model::kMetadata, Message().Text(1, "author").Text(2, "me"));
}

TEST(Writer, WhatIsWrittenReadsTheSame) {
  const Model model = ReadModel(Branches().bytes(), "");
  const Model again = ReadModel(WriteModel(model), "");
  Verify(*again.graph);
  const Graph& g = *again.graph;
  EXPECT_EQ(again.opsets.at(""), 28);
  EXPECT_EQ(again.model_version, 3);
  EXPECT_EQ(again.metadata.at("author"), "me");
  ASSERT_EQ(g.order().size(), 2u);
  EXPECT_EQ(g.value(g.outputs[0]).type.ToString(), "float [2, 3]");
  const Node& branch = g.node(g.order()[1]);
  EXPECT_EQ(branch.captures.size(), 2u);
  const auto else_branch = branch.attributes.GetGraph("else_branch");
  // A branch may give what it captured; the format wants a node for it.
  ASSERT_EQ(else_branch->order().size(), 1u);
  EXPECT_EQ(else_branch->node(else_branch->order()[0]).op_type, "Identity");
}

TEST(Writer, NamesBecomeUnique) {
  Model model = {.graph = std::make_unique<Graph>(), .ir_version = 10, .opsets = {{"", 28}}};
  Graph& g = *model.graph;
  const Type type = Type::TensorOf(DType::kFloat, {Dim::Symbol("n"), Dim::Unknown()});
  const ValueId x = g.AddValue("x", type), a = g.AddValue("v"), b = g.AddValue("v"), y = g.AddValue("y", type);
  g.inputs = {x};
  g.outputs = {y, y};
  g.AddNode({.op_type = "Neg", .inputs = {x}, .outputs = {a}});
  g.AddNode({.op_type = "Neg", .inputs = {a}, .outputs = {b}});
  g.AddNode({.op_type = "Clip", .inputs = {b, kNone, a}, .outputs = {y}});
  const Model again = ReadModel(WriteModel(model), "");
  Verify(*again.graph);
  const Graph& h = *again.graph;
  EXPECT_EQ(h.outputs.size(), 2u);
  EXPECT_NE(h.value(h.outputs[0]).name, h.value(h.outputs[1]).name);
  const auto& shape = h.value(h.inputs[0]).type.shape;
  ASSERT_EQ(shape.rank(), 2);
  EXPECT_EQ(shape[0].ToString(), "n");
  EXPECT_EQ(h.node(h.order()[2]).inputs[1], kNone);
}

TEST(Writer, TensorsOfEveryTypeComeBack) {
  const auto folder = std::filesystem::temp_directory_path() / "slipway_writer_test";
  std::filesystem::create_directories(folder);
  for (int type = 1; type < kNumDTypes; ++type) {
    const auto dtype = static_cast<DType>(type);
    for (int64_t n : {int64_t{0}, int64_t{5}, int64_t{4099}}) {
      Model model = {.graph = std::make_unique<Graph>(), .ir_version = 10, .opsets = {{"", 28}}};
      Tensor t(dtype, {n});
      if (dtype == DType::kString) {
        for (int64_t i = 0; i < n; ++i) t.data<std::string>()[i] = std::string("s\0t", 3) + std::to_string(i);
      } else {
        const bool is_signed = dtype == DType::kInt4 || dtype == DType::kInt2;
        const int bits = FileBits(dtype);
        const bool small = bits < 8;
        for (size_t i = 0; i < t.bytes(); ++i) {
          const auto low = static_cast<int>(i * 7 & ((uint64_t{1} << std::min(bits, 8)) - 1));
          const int value = is_signed && low >= 1 << (bits - 1) ? low - (1 << bits) : low;
          t.data<uint8_t>()[i] = static_cast<uint8_t>(dtype == DType::kBool ? i % 2
                                                      : small               ? static_cast<size_t>(value)
                                                                            : i * 31);
        }
      }
      model.graph->outputs = {model.graph->AddConstant("t", t)};
      for (int64_t external_above : {int64_t{0}, int64_t{1} << 40}) {
        const std::string path = (folder / "model.onnx").string();
        WriteModel(model, path, external_above);
        const Model again = ReadModel(path);
        const Tensor* back = again.graph->Constant(again.graph->outputs[0]);
        ASSERT_TRUE(back && back->dtype() == dtype && back->size() == n) << Name(dtype);
        if (dtype == DType::kString) {
          EXPECT_TRUE(
              std::equal(back->span<std::string>().begin(), back->span<std::string>().end(), t.data<std::string>()));
        } else {
          EXPECT_EQ(std::memcmp(back->raw(), t.raw(), t.bytes()), 0) << Name(dtype) << " " << n;
        }
      }
    }
  }
}

TEST(TensorReader, DecodesNumbersPackedAndNot) {
  using field::tensor::kInt32Data;
  const auto read = [](Message t) {
    const Message m = t.Text(field::tensor::kName, "w");
    Model model = ReadModel(ModelMessage(GraphMessage({}, {}).Add(field::graph::kInitializer, m)).bytes(), "");
    return *model.graph->Constant(0);
  };
  const auto header = [](int type, int64_t n) {
    return Message().Int(field::tensor::kDims, n).Int(field::tensor::kDataType, type);
  };
  EXPECT_THAT(read(header(3, 2).Int(kInt32Data, -5).Int(kInt32Data, 7)).span<int8_t>(), ElementsAre(-5, 7));
  EXPECT_THAT(read(header(2, 2).Text(kInt32Data, "\x05\x07")).span<uint8_t>(), ElementsAre(5, 7));
  EXPECT_THAT(read(header(9, 2).Text(kInt32Data, std::string("\x02\x00", 2))).span<bool>(), ElementsAre(true, false));
  EXPECT_THAT(read(header(22, 3).Text(kInt32Data, "\x2f\x03")).span<int8_t>(), ElementsAre(-1, 2, 3));
  EXPECT_THAT(read(header(1, 1).Float(field::tensor::kFloatData, 1.5f)).span<float>(), ElementsAre(1.5f));
  EXPECT_THAT(read(header(14, 1).Float(field::tensor::kFloatData, 1.5f).Float(field::tensor::kFloatData, 2))
                  .span<std::complex<float>>(),
              ElementsAre(std::complex<float>(1.5f, 2)));
  EXPECT_THAT(read(header(7, 2).Int(field::tensor::kInt64Data, -1).Int(field::tensor::kInt64Data, 2)).span<int64_t>(),
              ElementsAre(-1, 2));
  EXPECT_THAT(read(header(8, 1).Text(field::tensor::kStringData, "abc")).span<std::string>(), ElementsAre("abc"));
  EXPECT_THROW(read(header(7, 3).Int(field::tensor::kInt64Data, -1)), Error);
  EXPECT_THROW(read(header(8, INT64_MAX).Text(field::tensor::kStringData, "abc")), Error);
}

TEST(TensorReader, SparseTensorsBecomeDense) {
  const auto sparse = [](std::vector<int64_t> dims, std::string index) {
    Message m = Message()
                    .Add(field::sparse::kValues, TensorMessage("s", 2, {1}, "\x09"))
                    .Add(field::sparse::kIndices, TensorMessage("", 7, {1}, index + std::string(7, '\0')));
    for (int64_t d : dims) m.Int(field::sparse::kDims, d);
    return ReadModel(ModelMessage(GraphMessage({}, {}).Add(field::graph::kSparseInitializer, m)).bytes(), "");
  };
  EXPECT_THAT(sparse({2, 2}, "\x02").graph->Constant(0)->span<uint8_t>(), ElementsAre(0, 0, 9, 0));
  EXPECT_THROW(sparse({2, 2}, "\x04"), Error);
  EXPECT_THROW(sparse({int64_t{1} << 40}, "\x02"), Error);
  EXPECT_THROW(sparse({-1, -4}, "\x02"), Error);
}

}  // namespace
}  // namespace slipway
