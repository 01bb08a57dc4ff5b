#include "slipway/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "graph/graph_builder.h"
#include "onnx/writer.h"

namespace slipway {
namespace {

using ::testing::HasSubstr;

Tensor Random(Shape shape, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Tensor t(DType::kFloat, std::move(shape));
  for (int64_t i = 0; i < t.size(); ++i) t.data<float>()[i] = normal(random) / 4;
  return t;
}

std::string Bytes(GraphBuilder b) {
  b.graph.name = "test";
  Model model{.graph = std::make_unique<Graph>(std::move(b.graph))};
  return WriteModel(model);
}

/// A small network with free batch and length: attention over projections, a reshape that depends on the sizes, a
/// residual.
std::string TextModel() {
  GraphBuilder b;
  const Dim batch = Dim::Symbol("batch"), seq = Dim::Symbol("seq");
  const ValueId x = b.Input("x", {batch, seq, 32});
  const ValueId q = b.Add("MatMul", {x, b.Constant(Random({32, 32}, 1))});
  const ValueId k = b.Add("MatMul", {x, b.Constant(Random({32, 32}, 2))});
  const ValueId scores = b.Add("MatMul", {q, b.Add("Transpose", {k}, {{"perm", std::vector<int64_t>{0, 2, 1}}})});
  const ValueId weights = b.Add("Softmax", {scores}, {{"axis", int64_t{-1}}});
  const ValueId y = b.Add("Add", {b.Add("MatMul", {weights, x}), x});
  const ValueId rows = b.Add("Gather", {b.Add("Shape", {x}), b.Constant(Tensor::From<int64_t>({}, {0}))});
  const ValueId flat = b.Add("Concat", {b.Add("Unsqueeze", {rows, b.Ints({0})}), b.Ints({-1})}, {{"axis", int64_t{0}}});
  b.Output(b.Add("Relu", {y}), "y");
  b.Output(b.Add("Reshape", {y, flat}), "flat");
  return Bytes(std::move(b));
}

void ExpectClose(const Tensor& got, const Tensor& want) {
  ASSERT_EQ(got.shape(), want.shape());
  for (int64_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got.data<float>()[i], want.data<float>()[i], 1e-4) << "at " << i;
}

/// The message of the Error that f throws; "" where it throws none.
template <class F>
std::string MessageOf(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(Session, RunsWhereAllThatLiesBetweenIsEmpty) {
  GraphBuilder b;
  const ValueId x = b.Input("x", {2, 0, 4});
  b.Output(b.Add("ReduceSum", {b.Add("Exp", {b.Add("Neg", {x})}), b.Ints({1})}), "y");
  const Session session = Session::FromBytes(Bytes(std::move(b)));
  const auto out = session.Run({{"x", Tensor(DType::kFloat, {2, 0, 4})}});
  ASSERT_EQ(out[0].tensor().shape(), Shape({2, 1, 4}));
  for (int64_t i = 0; i < 8; ++i) EXPECT_EQ(out[0].tensor().data<float>()[i], 0);
}

TEST(Session, LevelsAgree) {
  const std::string model = TextModel();
  const Session plain = Session::FromBytes(model, {.optimization_level = 0});
  for (int level = 1; level <= 3; ++level) {
    const Session session = Session::FromBytes(model, {.optimization_level = level});
    for (const Shape& shape : {Shape{1, 5, 32}, Shape{3, 17, 32}, Shape{2, 1, 32}}) {
      const Tensor x = Random(shape, 7);
      const auto want = plain.Run({{"x", x}}), got = session.Run({{"x", x}});
      for (size_t i = 0; i < want.size(); ++i) ExpectClose(got[i].tensor(), want[i].tensor());
    }
  }
}

TEST(Session, TellsInputsAndOutputs) {
  const Session session = Session::FromBytes(TextModel());
  ASSERT_EQ(session.inputs().size(), 1u);
  EXPECT_EQ(session.inputs()[0].name, "x");
  EXPECT_EQ(session.inputs()[0].type, "tensor(float)");
  EXPECT_EQ(session.inputs()[0].shape[1].symbol, "seq");
  EXPECT_EQ(session.inputs()[0].shape[2].size, 32);
  ASSERT_EQ(session.outputs().size(), 2u);
  EXPECT_EQ(session.outputs()[1].name, "flat");
}

TEST(Session, OutputsByNameInTheOrderAsked) {
  const Session session = Session::FromBytes(TextModel());
  const std::string names[] = {"flat", "y", "flat"};
  const auto out = session.Run({{"x", Random({2, 3, 32}, 3)}}, names);
  ASSERT_EQ(out.size(), 3u);
  EXPECT_EQ(out[0].tensor().shape(), (Shape{2, 96}));
  EXPECT_EQ(out[1].tensor().shape(), (Shape{2, 3, 32}));
}

TEST(Session, RunsFromManyThreadsWithDifferentShapes) {
  const std::string model = TextModel();
  const Session session = Session::FromBytes(model, {.intra_op_threads = 2, .max_plans = 4});
  const Session alone = Session::FromBytes(model, {.intra_op_threads = 1});
  constexpr int kThreads = 8;
  std::vector<Tensor> inputs;
  std::vector<std::vector<Value>> want;
  for (int i = 0; i < kThreads; ++i) {
    inputs.push_back(Random({1 + i % 3, 4 + 3 * i, 32}, i));
    want.push_back(alone.Run({{"x", inputs[i]}}));
  }
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 20; ++round) {
        const int at = (i + round) % kThreads;
        const auto got = session.Run({{"x", inputs[at]}});
        const Tensor &a = got[0].tensor(), &b = want[at][0].tensor();
        for (int64_t k = 0; k < a.size(); ++k) wrong += std::abs(a.data<float>()[k] - b.data<float>()[k]) > 1e-4f;
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Session, BadCallsSayWhatIsWrong) {
  const Session session = Session::FromBytes(TextModel());
  const Tensor x = Random({1, 2, 32}, 1);
  const struct {
    Inputs inputs;
    const char* want;
  } cases[] = {
      {{}, "input 'x' (float [batch, seq, 32]) is missing"},
      {{{"z", x}}, "there is no input 'z'. The inputs are 'x'"},
      {{{"x", x}, {"x", x}}, "input 'x' is given twice"},
      {{{"x", Random({2, 32}, 1)}}, "input 'x' wants float [batch, seq, 32], got float [2, 32]"},
      {{{"x", Random({1, 2, 31}, 1)}}, "got float [1, 2, 31]"},
      {{{"x", Tensor(DType::kInt64, {1, 2, 32})}}, "got int64 [1, 2, 32]"},
      {{{"x", Value(Sequence{})}}, "got a sequence"},
      {{{"x", Value()}}, "got nothing"},
  };
  for (const auto& c : cases) EXPECT_THAT(MessageOf([&] { session.Run(c.inputs); }), HasSubstr(c.want));
  const std::string unknown[] = {"z"};
  EXPECT_THAT(MessageOf([&] { session.Run({{"x", x}}, unknown); }), HasSubstr("there is no output 'z'"));
}

TEST(Session, BadModelsAreErrors) {
  EXPECT_NE(MessageOf([] { Session::FromBytes("not a model"); }), "");
  EXPECT_NE(MessageOf([] { Session::FromBytes(""); }), "");
  EXPECT_THAT(MessageOf([] { Session("/nowhere/model.onnx"); }), HasSubstr("model.onnx: "));
  const std::string model = TextModel();
  for (size_t length = 0; length < model.size(); length += 97) {
    EXPECT_NE(MessageOf([&] { Session::FromBytes(std::string_view(model).substr(0, length)); }), "") << length;
  }
  EXPECT_THAT(MessageOf([&] { Session::FromBytes(model, {.disabled_passes = {"NoSuchPass"}}); }),
              HasSubstr("NoSuchPass"));
}

TEST(Session, AnUnknownOperatorIsNamed) {
  GraphBuilder b;
  const ValueId x = b.Input("x", {2});
  b.Output(b.Add("Blorp", {x}, {}, kMicrosoftDomain), "y");
  EXPECT_THAT(MessageOf([&] { Session::FromBytes(Bytes(std::move(b))); }), HasSubstr("Blorp"));
}

TEST(Session, AnIndexOutOfRangeIsAnErrorAndTheSessionLivesOn) {
  GraphBuilder b;
  const ValueId table = b.Constant(Random({4, 2}, 1));
  const ValueId at = b.Input("at", {Dim::Symbol("n")}, DType::kInt64);
  b.Output(b.Add("Gather", {table, at}), "row");
  const Session session = Session::FromBytes(Bytes(std::move(b)));
  EXPECT_THAT(MessageOf([&] { session.Run({{"at", Tensor::From<int64_t>({1}, {4})}}); }), HasSubstr("4"));
  EXPECT_EQ(session.Run({{"at", Tensor::From<int64_t>({1}, {3})}})[0].tensor().shape(), (Shape{1, 2}));
}

TEST(Session, AnInputThatIsAnOutputIsCopied) {
  GraphBuilder b;
  const ValueId x = b.Input("x", {2});
  b.Output(x);
  b.Output(b.Add("Reshape", {x, b.Ints({2, 1})}), "y");
  const Session session = Session::FromBytes(Bytes(std::move(b)));
  const Tensor given = Random({2}, 1);
  const auto out = session.Run({{"x", given}});
  for (const Value& v : out) {
    EXPECT_NE(v.tensor().raw(), given.raw());
    EXPECT_EQ(v.tensor().data<float>()[1], given.data<float>()[1]);
  }
}

TEST(Session, ShapesKnownOnlyInTheRun) {
  GraphBuilder b;
  const ValueId x = b.Input("x", {Dim::Symbol("n")});
  const ValueId where = b.Add("NonZero", {x});
  const ValueId doubled = b.Add("Mul", {where, b.Constant(Tensor::From<int64_t>({}, {2}))});
  b.Output(b.Add("Reshape", {doubled, b.Ints({-1})}), "y");
  const Session session = Session::FromBytes(Bytes(std::move(b)));
  const auto out = session.Run({{"x", Tensor::From<float>({4}, {0, 1, 0, 5})}})[0].tensor();
  ASSERT_EQ(out.shape(), (Shape{2}));
  EXPECT_EQ(out.data<int64_t>()[0], 2);
  EXPECT_EQ(out.data<int64_t>()[1], 6);
}

TEST(Session, AViewMadeInTheRunIsCopied) {
  GraphBuilder b;
  const ValueId x = b.Input("x", {Dim::Symbol("n")});
  const ValueId shape = b.Input("shape", {1}, DType::kInt64);
  b.Output(b.Add("Reshape", {x, shape}), "same");
  b.Output(b.Add("Reshape", {b.Add("Neg", {x}), shape}), "negative");
  const Session session = Session::FromBytes(Bytes(std::move(b)));
  const Tensor given = Random({6}, 1), to = Tensor::From<int64_t>({1}, {-1});
  const auto out = session.Run({{"x", given}, {"shape", to}});
  EXPECT_NE(out[0].tensor().raw(), given.raw());
  session.Run({{"x", Random({6}, 2)}, {"shape", to}});
  EXPECT_EQ(out[1].tensor().data<float>()[3], -given.data<float>()[3]);
}

TEST(Session, WhatAViewMadeInTheRunLooksAtLivesAsLong) {
  GraphBuilder b;
  const Dim n = Dim::Symbol("n");
  const ValueId x = b.Input("x", {n});
  const ValueId shape = b.Input("shape", {2}, DType::kInt64);
  const ValueId negative = b.Add("Neg", {x});
  const ValueId view = b.Add("Reshape", {b.Add("Reshape", {negative, shape}), shape});
  b.Output(b.Add("Reshape", {b.Add("Neg", {b.Add("Add", {x, x})}), shape}), "view");
  // These want memory while the views are still to be read.
  const ValueId other = b.Add("Mul", {b.Add("Tanh", {b.Add("Add", {x, x})}), b.Add("Abs", {x})});
  const ValueId zero = b.Add("Mul", {b.Add("Tanh", {b.Add("Mul", {b.Add("Sigmoid", {other}), other})}), b.Scalar(0)});
  b.Output(b.Add("Add", {b.Add("ReduceSum", {view, b.Ints({0, 1})}, {{"keepdims", int64_t{0}}}),
                         b.Add("ReduceSum", {zero}, {{"keepdims", int64_t{0}}})}),
           "sum");
  const Session session = Session::FromBytes(Bytes(std::move(b)), {.optimization_level = 0});
  const Tensor given = Tensor::From<float>({6}, {1, 2, 3, 4, 5, 6}), to = Tensor::From<int64_t>({2}, {2, 3});
  const auto out = session.Run({{"x", given}, {"shape", to}});
  for (int i = 0; i < 6; ++i) EXPECT_EQ(out[0].tensor().data<float>()[i], -2 * (i + 1));
  EXPECT_EQ(out[1].tensor().data<float>()[0], -21);
}

TEST(Session, ARunIsCancelled) {
  const Session session = Session::FromBytes(TextModel());
  const std::atomic<bool> stop = true;
  try {
    session.Run({{"x", Random({1, 2, 32}, 1)}}, {}, {.terminate = &stop});
    FAIL() << "ran";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::kCancelled);
  }
}

TEST(Session, ProfileNamesWhatRan) {
  const Session session = Session::FromBytes(TextModel());
  std::vector<NodeTime> profile;
  session.Run({{"x", Random({1, 2, 32}, 1)}}, {}, {.profile = &profile});
  EXPECT_FALSE(profile.empty());
}

TEST(Session, ArenaGrowsWithTheShapeAndIsReused) {
  const Session session = Session::FromBytes(TextModel());
  const size_t small = session.ArenaBytes({{"x", Random({1, 4, 32}, 1)}});
  const size_t large = session.ArenaBytes({{"x", Random({4, 64, 32}, 1)}});
  EXPECT_LT(small, large);
}

}  // namespace
}  // namespace slipway
