#include "session/compiled.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "graph/graph_builder.h"
#include "onnx/writer.h"
#include "slipway/session.h"

namespace slipway {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

Tensor Random(Shape shape, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Tensor t(DType::kFloat, std::move(shape));
  for (int64_t i = 0; i < t.size(); ++i) t.data<float>()[i] = normal(random) / 8;
  return t;
}

/// Whatever packs its weights: convolutions of a size known at load and of one that is not, recurrence, products, three
/// of them as one; and a constant that two products share.
void Build(GraphBuilder& b, const Dim& side) {
  const ValueId image = b.Input("image", {Dim::Symbol("batch"), 32, side, side});
  const std::vector<int64_t> pads = {1, 1, 1, 1};
  ValueId x = b.Add("Conv", {image, b.Constant(Random({32, 32, 3, 3}, 1))}, {{"pads", pads}});
  x = b.Add("Conv", {x, b.Constant(Random({32, 1, 3, 3}, 2))}, {{"pads", pads}, {"group", int64_t{32}}});
  x = b.Add("GlobalAveragePool", {b.Add("Relu", {x})});
  x = b.Add("Reshape", {x, b.Ints({1, -1, 32})});
  const ValueId states = b.Add("LSTM", {x, b.Constant(Random({1, 64, 32}, 3)), b.Constant(Random({1, 64, 16}, 4))},
                               {{"hidden_size", int64_t{16}}});
  const auto projection = [&](unsigned seed) { return b.Add("MatMul", {x, b.Constant(Random({32, 64}, seed))}); };
  b.Output(b.Add("Attention", {projection(6), projection(7), projection(8)},
                 {{"q_num_heads", int64_t{2}}, {"kv_num_heads", int64_t{2}}}),
           "attended");
  const ValueId shared = b.Constant(Random({16, 16}, 5));
  b.Output(b.Add("MatMul", {b.Add("Tanh", {b.Add("MatMul", {states, shared})}), shared}), "y");
}

class Compiled : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("slipway_compiled_" + std::to_string(::getpid()));
    fs::create_directory(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string Save(const Dim& side) const {
    GraphBuilder b;
    Build(b, side);
    Model model{.graph = std::make_unique<Graph>(std::move(b.graph)), .ir_version = 10};
    WriteModel(model, Path("model.onnx"));
    return Path("model.onnx");
  }
  std::string Path(const std::string& name) const { return (folder_ / name).string(); }

  static std::string Contents(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void Store(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
  }

  fs::path folder_;
};

void ExpectSame(const Session& a, const Session& b, const Shape& shape) {
  const Tensor image = Random(shape, 9);
  const Tensor want = a.Run({{"image", image}})[0].tensor(), got = b.Run({{"image", image}})[0].tensor();
  ASSERT_EQ(got.shape(), want.shape());
  for (int64_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got.data<float>()[i], want.data<float>()[i], 1e-5);
}

TEST_F(Compiled, RunsLikeTheModel) {
  for (const Dim& side : {Dim(12), Dim::Symbol("side")}) {
    const std::string model = Save(side), out = Path("compiled");
    for (int level : {0, 3}) {
      CompileModel(model, out, {.optimization_level = level});
      const Session plain(model), compiled(out);
      EXPECT_EQ(compiled.inputs()[0].shape[0].symbol, "batch");
      for (int64_t batch : {1, 3}) ExpectSame(plain, compiled, {batch, 32, 12, 12});
      if (!side.is_const()) ExpectSame(plain, compiled, {2, 32, 31, 31});
    }
  }
}

TEST_F(Compiled, KeepsInputsThatHaveDefaults) {
  GraphBuilder b;
  const ValueId x = b.Input("x", {2});
  const ValueId scale = b.graph.AddConstant("scale", Tensor::From<float>({2}, {3, 4}));
  b.Output(b.Add("Mul", {x, scale}), "y");
  const Model model{.graph = std::make_unique<Graph>(std::move(b.graph)), .ir_version = 10, .overridable = {"scale"}};
  WriteModel(model, Path("model.onnx"));
  CompileModel(Path("model.onnx"), Path("compiled"));
  const Session session(Path("compiled"));
  ASSERT_EQ(session.overridable_initializers().size(), 1u);
  const Tensor ones = Tensor::From<float>({2}, {1, 1});
  EXPECT_EQ(session.Run({{"x", ones}})[0].tensor().data<float>()[1], 4);
  EXPECT_EQ(session.Run({{"x", ones}, {"scale", ones}})[0].tensor().data<float>()[1], 1);
}

TEST_F(Compiled, DamagedFilesAreRefusedOrRun) {
  CompileModel(Save(12), Path("compiled"));
  const std::string bytes = Contents(Path("compiled"));
  const std::string bad = Path("bad");
  const auto load = [&] { Session(bad).Run({{"image", Random({1, 32, 12, 12}, 1)}}); };
  for (size_t length : {8ul, 60ul, 200ul, bytes.size() / 2, bytes.size() - 1}) {
    Store(bad, bytes.substr(0, length));
    EXPECT_THROW(load(), Error) << length;
  }
  std::mt19937 random(1);
  for (int i = 0; i < 400; ++i) {
    std::string damaged = bytes;
    // The header and what lies behind the weights: the graph and the table of blocks.
    const size_t at = i % 3 == 0 ? random() % 80 : bytes.size() - 1 - random() % std::min<size_t>(bytes.size(), 4000);
    damaged[at] = static_cast<char>(random());
    Store(bad, damaged);
    try {
      load();
    } catch (const Error&) {
    }
  }
}

TEST_F(Compiled, SaysWhatItWasCompiledFor) {
  CompileModel(Save(12), Path("compiled"));
  std::string bytes = Contents(Path("compiled"));
  bytes[8] = '9';  // the version
  Store(Path("other"), bytes);
  try {
    Session session(Path("other"));
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::kUnsupported);
    EXPECT_THAT(e.what(), HasSubstr("other: the model was compiled by Slipway 9"));
  }
}

}  // namespace
}  // namespace slipway
