#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "ops/testing.h"

namespace slipway {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using testing::OpCall;
using testing::RunOp;
using testing::RunOp1;
using testing::ToVector;

Tensor Ints(std::vector<int64_t> values) {
  const auto n = static_cast<int64_t>(values.size());
  return Tensor::From<int64_t>({n}, values);
}
Tensor Scalar(int64_t value) { return Tensor::From<int64_t>({}, {value}); }

/// 0, 1, 2, ... of a shape.
Tensor Count(Shape shape) {
  Tensor t(DType::kFloat, std::move(shape));
  std::iota(t.data<float>(), t.data<float>() + t.size(), 0.0f);
  return t;
}

struct MoveCase {
  const char* what;
  OpCall call;
  Shape shape;
  std::vector<float> want;
};

TEST(Move, Tables) {
  const Tensor x = Count({2, 3});
  const MoveCase cases[] = {
      {"reshape keeps and infers", {"Reshape", {x, Ints({0, 1, -1})}}, {2, 1, 3}, {0, 1, 2, 3, 4, 5}},
      {"reshape to empty", {"Reshape", {Count({0, 3}), Ints({3, 0})}, {{"allowzero", int64_t{1}}}}, {3, 0}, {}},
      {"flatten", {"Flatten", {Count({2, 3, 1})}, {{"axis", int64_t{-1}}}}, {6, 1}, {0, 1, 2, 3, 4, 5}},
      {"flatten scalar", {"Flatten", {Count({})}, {{"axis", int64_t{0}}}}, {1, 1}, {0}},
      {"squeeze all", {"Squeeze", {Count({1, 2, 1})}}, {2}, {0, 1}},
      {"squeeze one", {"Squeeze", {Count({1, 2, 1}), Ints({-1})}}, {1, 2}, {0, 1}},
      {"unsqueeze", {"Unsqueeze", {Count({2}), Ints({0, -1})}}, {1, 2, 1}, {0, 1}},
      {"transpose", {"Transpose", {x}}, {3, 2}, {0, 3, 1, 4, 2, 5}},
      {"transpose 3",
       {"Transpose", {Count({2, 1, 3})}, {{"perm", std::vector<int64_t>{2, 0, 1}}}},
       {3, 2, 1},
       {0, 3, 1, 4, 2, 5}},
      {"concat 1", {"Concat", {x, Count({2, 1})}, {{"axis", int64_t{1}}}}, {2, 4}, {0, 1, 2, 0, 3, 4, 5, 1}},
      {"concat with empty", {"Concat", {x, Count({0, 3})}, {{"axis", int64_t{-2}}}}, {2, 3}, {0, 1, 2, 3, 4, 5}},
      {"slice", {"Slice", {x, Ints({-1}), Ints({INT64_MIN}), Ints({1}), Ints({-2})}}, {2, 2}, {2, 0, 5, 3}},
      {"slice clamps", {"Slice", {x, Ints({0, 1}), Ints({1, INT64_MAX})}}, {1, 2}, {1, 2}},
      {"slice of nothing", {"Slice", {x, Ints({2}), Ints({1})}}, {0, 3}, {}},
      {"slice huge step", {"Slice", {x, Ints({2}), Ints({INT64_MIN}), Ints({1}), Ints({INT64_MIN})}}, {2, 1}, {2, 5}},
      {"gather", {"Gather", {x, Ints({-1, 0})}, {{"axis", int64_t{1}}}}, {2, 2}, {2, 0, 5, 3}},
      {"gather scalar", {"Gather", {x, Scalar(1)}}, {3}, {3, 4, 5}},
      {"gather elements", {"GatherElements", {x, Tensor::From<int32_t>({1, 3}, {1, 0, -1})}}, {1, 3}, {3, 1, 5}},
      {"gather elements 1",
       {"GatherElements", {x, Tensor::From<int64_t>({2, 1}, {2, -3})}, {{"axis", int64_t{1}}}},
       {2, 1},
       {2, 3}},
      {"gather nd", {"GatherND", {x, Tensor::From<int64_t>({2, 2}, {0, 2, 1, 0})}}, {2}, {2, 3}},
      {"gather nd batch",
       {"GatherND", {x, Tensor::From<int64_t>({2, 1}, {2, 0})}, {{"batch_dims", int64_t{1}}}},
       {2},
       {2, 3}},
      {"scatter elements",
       {"ScatterElements", {x, Tensor::From<int64_t>({1, 2}, {1, 0}), Tensor::From<float>({1, 2}, {9, 8})}},
       {2, 3},
       {0, 8, 2, 9, 4, 5}},
      {"scatter elements add",
       {"ScatterElements",
        {x, Tensor::From<int64_t>({1, 2}, {1, 1}), Tensor::From<float>({1, 2}, {9, 8})},
        {{"axis", int64_t{1}}, {"reduction", std::string("add")}}},
       {2, 3},
       {0, 18, 2, 3, 4, 5}},
      {"scatter nd",
       {"ScatterND", {x, Tensor::From<int64_t>({1, 1}, {-1}), Tensor::From<float>({1, 3}, {7, 8, 9})}},
       {2, 3},
       {0, 1, 2, 7, 8, 9}},
      {"expand", {"Expand", {Count({2, 1}), Ints({2, 1, 2})}}, {2, 2, 2}, {0, 0, 1, 1, 0, 0, 1, 1}},
      {"tile", {"Tile", {x, Ints({1, 2})}}, {2, 6}, {0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5}},
      {"tile by zero", {"Tile", {x, Ints({0, 2})}}, {0, 6}, {}},
      {"pad", {"Pad", {Count({2}), Ints({1, 2}), Tensor::From<float>({}, {7})}}, {5}, {7, 0, 1, 7, 7}},
      {"pad crops", {"Pad", {Count({4}), Ints({-1, 1})}}, {4}, {1, 2, 3, 0}},
      {"pad reflect",
       {"Pad", {Count({3}), Ints({3, 4})}, {{"mode", std::string("reflect")}}},
       {10},
       {1, 2, 1, 0, 1, 2, 1, 0, 1, 2}},
      {"pad edge", {"Pad", {Count({2}), Ints({1, 2})}, {{"mode", std::string("edge")}}}, {5}, {0, 0, 1, 1, 1}},
      {"pad wrap",
       {"Pad", {Count({1, 3}), Ints({2, 1}), Value(), Ints({-1})}, {{"mode", std::string("wrap")}}},
       {1, 6},
       {1, 2, 0, 1, 2, 0}},
      {"where",
       {"Where", {Tensor::From<bool>({2, 1}, {true, false}), x, Tensor::From<float>({}, {9})}},
       {2, 3},
       {0, 1, 2, 9, 9, 9}},
      {"trilu", {"Trilu", {Count({2, 3}), Scalar(1)}}, {2, 3}, {0, 1, 2, 0, 0, 5}},
      {"trilu lower",
       {"Trilu", {Count({2, 3}), Scalar(INT64_MIN)}, {{"upper", int64_t{0}}}},
       {2, 3},
       {0, 0, 0, 0, 0, 0}},
      {"reverse",
       {"ReverseSequence", {x, Ints({3, 2})}, {{"batch_axis", int64_t{0}}, {"time_axis", int64_t{1}}}},
       {2, 3},
       {2, 1, 0, 4, 3, 5}},
      {"depth to space",
       {"DepthToSpace", {Count({1, 4, 1, 2})}, {{"blocksize", int64_t{2}}}},
       {1, 1, 2, 4},
       {0, 2, 1, 3, 4, 6, 5, 7}},
      {"space to depth",
       {"SpaceToDepth", {Count({1, 1, 2, 4})}, {{"blocksize", int64_t{2}}}},
       {1, 4, 1, 2},
       {0, 2, 1, 3, 4, 6, 5, 7}},
      {"centre", {"CenterCropPad", {x, Ints({3, 1})}}, {3, 1}, {1, 4, 0}},
      {"compress",
       {"Compress", {x, Tensor::From<bool>({2}, {false, true})}, {{"axis", int64_t{0}}}},
       {1, 3},
       {3, 4, 5}},
      {"cum sum", {"CumSum", {x, Scalar(1)}}, {2, 3}, {0, 1, 3, 3, 7, 12}},
      {"cum sum back",
       {"CumSum", {x, Scalar(-1)}, {{"reverse", int64_t{1}}, {"exclusive", int64_t{1}}}},
       {2, 3},
       {3, 2, 0, 9, 5, 0}},
      {"cum prod", {"CumProd", {Count({3}), Scalar(0)}, {{"exclusive", int64_t{1}}}}, {3}, {1, 0, 0}},
      {"one hot", {"OneHot", {Ints({-1, 5}), Scalar(2), Count({2})}}, {2, 2}, {0, 1, 0, 0}},
      {"eye", {"EyeLike", {x}, {{"k", int64_t{1}}}}, {2, 3}, {0, 1, 0, 0, 0, 1}},
      {"tensor scatter",
       {"TensorScatter",
        {Count({1, 3, 1}), Tensor::From<float>({1, 2, 1}, {8, 9}), Ints({2})},
        {{"mode", std::string("circular")}}},
       {1, 3, 1},
       {9, 1, 8}},
      {"range",
       {"Range", {Tensor::From<float>({}, {1}), Tensor::From<float>({}, {0}), Tensor::From<float>({}, {-0.5f})}},
       {2},
       {1, 0.5f}},
  };
  for (const MoveCase& m : cases) {
    SCOPED_TRACE(m.what);
    const Tensor y = RunOp1(m.call);
    EXPECT_EQ(y.shape(), m.shape) << y.shape().ToString();
    EXPECT_THAT(ToVector<float>(y), ElementsAreArray(m.want));
  }
}

TEST(Move, Int64Results) {
  struct {
    const char* what;
    OpCall call;
    Shape shape;
    std::vector<int64_t> want;
  } cases[] = {
      {"shape", {"Shape", {Count({2, 3, 4})}, {{"start", int64_t{-2}}, {"end", int64_t{9}}}}, {2}, {3, 4}},
      {"size", {"Size", {Count({2, 0})}}, {}, {0}},
      {"range",
       {"Range", {Scalar(INT64_MIN), Scalar(INT64_MAX), Scalar(INT64_MAX)}},
       {3},
       {INT64_MIN, -1, INT64_MAX - 1}},
      {"constant of shape", {"ConstantOfShape", {Ints({2})}, {{"value", Ints({7})}}}, {2}, {7, 7}},
      {"non zero", {"NonZero", {Tensor::From<float>({2, 2}, {0, 1, -0.0f, 3})}}, {2, 2}, {0, 1, 1, 1}},
      {"arg max",
       {"ArgMax",
        {Tensor::From<float>({2, 3}, {1, 5, 5, NAN, 1, 9})},
        {{"axis", int64_t{-1}}, {"keepdims", int64_t{0}}}},
       {2},
       {1, 0}},
      {"arg min last",
       {"ArgMin", {Tensor::From<int32_t>({3}, {1, 5, 1})}, {{"select_last_index", int64_t{1}}}},
       {1},
       {2}},
  };
  for (const auto& m : cases) {
    SCOPED_TRACE(m.what);
    const Tensor y = RunOp1(m.call);
    EXPECT_EQ(y.shape(), m.shape) << y.shape().ToString();
    EXPECT_THAT(ToVector<int64_t>(y), ElementsAreArray(m.want));
  }
}

TEST(Move, BadInputSaysWhy) {
  const Tensor x = Count({2, 3});
  const std::pair<OpCall, const char*> cases[] = {
      {{"Gather", {x, Ints({2})}}, "index 2 is out of range for an axis of size 2"},
      {{"GatherND", {x, Tensor::From<int64_t>({1, 1}, {INT64_MIN})}}, "out of range"},
      {{"ScatterND", {x, Tensor::From<int64_t>({1, 1}, {-3}), Count({1, 3})}}, "index -3"},
      {{"Reshape", {x, Ints({4, -1})}}, "does not divide"},
      {{"Reshape", {x, Ints({7})}}, "cannot become"},
      {{"Concat", {x, Count({3, 3})}, {{"axis", int64_t{1}}}}, "may differ on axis 1 only"},
      {{"Slice", {x, Ints({0}), Ints({1}), Ints({0}), Ints({0})}}, "step of axis 0 is 0"},
      {{"Squeeze", {x, Ints({1})}}, "only 1 can go"},
      {{"Transpose", {x}, {{"perm", std::vector<int64_t>{0, 0}}}}, "given twice"},
      {{"Range", {Scalar(0), Scalar(5), Scalar(0)}}, "delta is 0"},
      {{"TopK", {x, Ints({4})}, {}, 2}, "K is 4"},
      {{"Expand", {x, Ints({2, 2})}}, "broadcast"},
      {{"Tile", {x, Ints({-1, 1})}}, "negative"},
      {{"Pad", {x, Ints({-2, 0, -1, 0})}}, "take away"},
      {{"ArgMax", {Count({0, 2})}}, "is empty"},
  };
  for (const auto& [call, text] : cases) {
    SCOPED_TRACE(text);
    try {
      RunOp1(call);
      ADD_FAILURE() << call.op_type << " took bad input";
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), ::testing::HasSubstr(text));
    }
  }
}

TEST(Split, GivenAndEven) {
  auto parts = RunOp({"Split", {Count({5}), Ints({2, 0, 3})}, {}, 3});
  EXPECT_THAT(ToVector<float>(parts[0].tensor()), ElementsAre(0, 1));
  EXPECT_EQ(parts[1].tensor().shape(), Shape({0}));
  EXPECT_THAT(ToVector<float>(parts[2].tensor()), ElementsAre(2, 3, 4));
  parts = RunOp({"Split", {Count({2, 5})}, {{"axis", int64_t{1}}, {"num_outputs", int64_t{2}}}, 2});
  EXPECT_THAT(ToVector<float>(parts[0].tensor()), ElementsAre(0, 1, 2, 5, 6, 7));
  EXPECT_THAT(ToVector<float>(parts[1].tensor()), ElementsAre(3, 4, 8, 9));
}

TEST(TopK, OrderTiesAndNaN) {
  auto out = RunOp({"TopK", {Tensor::From<float>({5}, {1, 3, 3, NAN, 2}), Ints({4})}, {}, 2});
  EXPECT_THAT(ToVector<int64_t>(out[1].tensor()), ElementsAre(3, 1, 2, 4));
  out = RunOp({"TopK", {Count({2, 3}), Ints({1})}, {{"axis", int64_t{0}}, {"largest", int64_t{0}}}, 2});
  EXPECT_THAT(ToVector<float>(out[0].tensor()), ElementsAre(0, 1, 2));
  out = RunOp({"TopK", {Count({100}), Ints({2})}, {}, 2});
  EXPECT_THAT(ToVector<float>(out[0].tensor()), ElementsAre(99, 98));
}

TEST(Unique, SortedAndFirst) {
  auto out = RunOp({"Unique", {Tensor::From<float>({6}, {2, 1, 1, 3, 4, 3})}, {{"sorted", int64_t{0}}}, 4});
  EXPECT_THAT(ToVector<float>(out[0].tensor()), ElementsAre(2, 1, 3, 4));
  EXPECT_THAT(ToVector<int64_t>(out[1].tensor()), ElementsAre(0, 1, 3, 4));
  EXPECT_THAT(ToVector<int64_t>(out[2].tensor()), ElementsAre(0, 1, 1, 2, 3, 2));
  EXPECT_THAT(ToVector<int64_t>(out[3].tensor()), ElementsAre(1, 2, 2, 1));
  out = RunOp({"Unique", {Tensor::From<float>({3, 2}, {2, 3, 1, 0, 1, 0})}, {{"axis", int64_t{0}}}, 4});
  EXPECT_THAT(ToVector<float>(out[0].tensor()), ElementsAre(1, 0, 2, 3));
  EXPECT_THAT(ToVector<int64_t>(out[3].tensor()), ElementsAre(2, 1));
}

TEST(Cast, Pairs) {
  auto cast = [](Tensor x, DType to, std::vector<std::pair<std::string, Attribute>> more = {}) {
    more.emplace_back("to", static_cast<int64_t>(to));
    return RunOp1({"Cast", {std::move(x)}, more});
  };
  const Tensor floats = Tensor::From<float>({4}, {-1.7f, 300.5f, NAN, 1e20f});
  EXPECT_THAT(ToVector<int32_t>(cast(floats, DType::kInt32)), ElementsAre(-1, 300, 0, INT32_MAX));
  EXPECT_THAT(ToVector<uint8_t>(cast(Tensor::From<int32_t>({2}, {200, 257}), DType::kUint8)), ElementsAre(200, 1));
  EXPECT_THAT(ToVector<bool>(cast(floats, DType::kBool)), ElementsAre(true, true, true, true));
  EXPECT_THAT(ToVector<std::string>(cast(Tensor::From<float>({3}, {0.5f, INFINITY, NAN}), DType::kString)),
              ElementsAre("0.5", "INF", "NaN"));
  EXPECT_THAT(ToVector<float>(cast(Tensor::From<std::string>({3}, {"1e-5", "-inf", "+7"}), DType::kFloat)),
              ElementsAre(1e-5f, -INFINITY, 7));
  EXPECT_THAT(ToVector<int64_t>(cast(Tensor::From<std::string>({1}, {"9007199254740993"}), DType::kInt64)),
              ElementsAre(9007199254740993));
  EXPECT_THAT(ToVector<float>(cast(cast(Tensor::From<float>({2}, {1000, 3.3f}), DType::kFloat8E4M3FN), DType::kFloat)),
              ElementsAre(448, 3.25));
  EXPECT_TRUE(std::isnan(ToVector<float>(cast(
      cast(Tensor::From<float>({1}, {1000}), DType::kFloat8E4M3FN, {{"saturate", int64_t{0}}}), DType::kFloat))[0]));
  EXPECT_THAT(ToVector<int64_t>(cast(cast(Tensor::From<int64_t>({2}, {-8, 7}), DType::kInt4), DType::kInt64)),
              ElementsAre(-8, 7));
}

TEST(Compare, Broadcasts) {
  const Tensor x = Count({2, 2}), one = Tensor::From<float>({1}, {1});
  const std::pair<const char*, std::vector<bool>> cases[] = {{"Equal", {0, 1, 0, 0}},
                                                             {"Greater", {0, 0, 1, 1}},
                                                             {"GreaterOrEqual", {0, 1, 1, 1}},
                                                             {"Less", {1, 0, 0, 0}},
                                                             {"LessOrEqual", {1, 1, 0, 0}}};
  for (const auto& [name, want] : cases)
    EXPECT_THAT(ToVector<bool>(RunOp1({name, {x, one}})), ElementsAreArray(want)) << name;
}

TEST(Logic, Bits) {
  const Tensor a = Tensor::From<bool>({2}, {true, false}), b = Tensor::From<bool>({2, 1}, {true, false});
  EXPECT_THAT(ToVector<bool>(RunOp1({"And", {a, b}})), ElementsAre(true, false, false, false));
  EXPECT_THAT(ToVector<bool>(RunOp1({"Xor", {a, b}})), ElementsAre(false, true, true, false));
  EXPECT_THAT(ToVector<bool>(RunOp1({"Not", {a}})), ElementsAre(false, true));
  const Tensor i = Tensor::From<int8_t>({2}, {-128, 5});
  EXPECT_THAT(ToVector<int8_t>(
                  RunOp1({"BitShift", {i, Tensor::From<int8_t>({2}, {9, 1})}, {{"direction", std::string("RIGHT")}}})),
              ElementsAre(-1, 2));
  EXPECT_THAT(ToVector<int8_t>(RunOp1({"BitwiseNot", {i}})), ElementsAre(127, -6));
  EXPECT_THAT(ToVector<bool>(RunOp1(
                  {"IsInf", {Tensor::From<float>({3}, {INFINITY, -INFINITY, 1})}, {{"detect_negative", int64_t{0}}}})),
              ElementsAre(true, false, false));
}

TEST(Transpose, BigAgainstPlain) {
  for (const auto& [rows, columns] : {std::pair{67, 129}, {256, 512}, {3, 1001}, {1000, 5}}) {
    const Tensor x = Count({2, rows, columns});
    const Tensor y = RunOp1({"Transpose", {x}, {{"perm", std::vector<int64_t>{0, 2, 1}}}});
    int64_t wrong = 0;
    for (int64_t n = 0; n < 2; ++n) {
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < columns; ++c)
          wrong += y.data<float>()[(n * columns + c) * rows + r] != x.data<float>()[(n * rows + r) * columns + c];
      }
    }
    EXPECT_EQ(wrong, 0) << rows << " x " << columns;
  }
}

/// The shape rules on symbols: what Shape leads to through small integer arithmetic.
TEST(ShapeMath, SymbolsPassThrough) {
  Graph g;
  const Dim batch = Dim::Symbol("batch"), seq = Dim::Symbol("seq");
  const ValueId x = g.AddValue("x", Type::TensorOf(DType::kFloat, {batch, seq, 8}));
  auto add = [&](const char* op, std::vector<ValueId> in, Attributes a = {}) {
    const ValueId out = g.AddValue(std::string(op) + std::to_string(g.num_values()));
    g.AddNode({.name = op, .op_type = op, .inputs = std::move(in), .outputs = {out}, .attributes = std::move(a)});
    return out;
  };
  Attributes axis0;
  axis0.Set("axis", int64_t{0});
  const ValueId shape = add("Shape", {x});
  const ValueId first = add("Gather", {shape, g.AddConstant("zero", Scalar(0))});
  const ValueId second = add("Slice", {shape, g.AddConstant("s", Ints({1})), g.AddConstant("e", Ints({2}))});
  const ValueId target =
      add("Concat",
          {add("Unsqueeze", {first, g.AddConstant("axes", Ints({0}))}), second, g.AddConstant("tail", Ints({2, -1}))},
          axis0);
  const ValueId y = add("Reshape", {x, target});
  const ValueId ones = add("ConstantOfShape", {add("Shape", {shape})}, [] {
    Attributes a;
    a.Set("value", Ints({1}));
    return a;
  }());
  const ValueId mask = add("Equal", {shape, g.AddConstant("minus", Scalar(-1))});
  const ValueId expanded = add("Expand", {g.AddConstant("c", Count({1, 1, 8})), add("Where", {mask, ones, shape})});
  const ValueId range = add("Range", {g.AddConstant("r0", Scalar(0)), first, g.AddConstant("r1", Scalar(1))});
  g.outputs = {y, expanded, range};
  InferTypes(g);
  EXPECT_EQ(g.value(y).type.shape.ToString(), "[batch, seq, 2, 4]");
  EXPECT_EQ(g.value(expanded).type.shape.ToString(), "[batch, seq, 8]");
  EXPECT_EQ(g.value(range).type.shape.ToString(), "[batch]");
}

}  // namespace
}  // namespace slipway
