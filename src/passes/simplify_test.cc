// The passes of level 1.
#include "passes/testing.h"

namespace slipway {
namespace {

using testing::CheckPasses;
using testing::PassCase;

const PassOptions kLevel1 = {.level = 1};

TEST(FoldConstants, Folds) {
  CheckPasses(
      {
          {"arithmetic on constants",
           [](GraphBuilder& b) {
             const ValueId sum = b.Add("Add", {b.Scalar(1), b.Scalar(2)});
             b.Output(b.Add("Mul", {b.Input("x", {2}), sum}));
           },
           {"Mul"}},
          {"a graph output",
           [](GraphBuilder& b) {
             b.Input("x", {2});
             b.Output(b.Add("Add", {b.Floats({2}, {1, 2}), b.Scalar(2)}), "y");
           },
           {}},
          {"a shape in numbers",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {2, 3});
             b.Output(
                 b.Add("Reshape", {x, b.Add("Concat", {b.Add("Shape", {x}), b.Ints({1})}, {{"axis", int64_t{0}}})}));
           },
           {"Reshape"}},
          {"one number of a symbolic shape",
           [](GraphBuilder& b) {
             const ValueId shape = b.Add("Shape", {b.Input("x", {Dim::Symbol("n"), 3})});
             b.Output(b.Add("Gather", {shape, b.Ints({1})}));
           },
           {}},
          {"a symbolic shape stays",
           [](GraphBuilder& b) {
             b.Output(b.Add("Shape", {b.Input("x", {Dim::Symbol("n"), 3})}));
           },
           {"Shape"}},
          {"what would grow too much stays",
           [](GraphBuilder& b) {
             const ValueId big = b.Add("Expand", {b.Scalar(1), b.Ints({1024, 1024})});
             b.Output(b.Add("Add", {b.Input("x", {1}), big}));
           },
           {"Expand", "Add"}},
      },
      kLevel1);
}

TEST(EliminateIdentities, Eliminates) {
  const auto unary = [](const char* op_type) {
    return [=](GraphBuilder& b) { b.Output(b.Add("Relu", {b.Add(op_type, {b.Input("x", {2, 3})})})); };
  };
  CheckPasses(
      {
          {"Identity", unary("Identity"), {"Relu"}},
          {"Identity before an output",
           [](GraphBuilder& b) { b.Output(b.Add("Identity", {b.Add("Relu", {b.Input("x", {2})})}), "y"); },
           {"Relu"}},
          {"Identity from input to output",
           [](GraphBuilder& b) { b.Output(b.Add("Identity", {b.Input("x", {2})}), "y"); },
           {"Identity"}},
          {"one value as two outputs",
           [](GraphBuilder& b) {
             const ValueId y = b.Add("Relu", {b.Input("x", {2})});
             b.Output(y, "y");
             b.Output(b.Add("Identity", {y}), "z");
           },
           {"Relu", "Identity"}},
          {"Cast to the same type",
           [](GraphBuilder& b) {
             b.Output(b.Add("Relu", {b.Add("Cast", {b.Input("x", {2})}, {{"to", int64_t{1}}})}));
           },
           {"Relu"}},
          {"Cast to another type",
           [](GraphBuilder& b) {
             b.Output(b.Add("Cast", {b.Input("x", {2})}, {{"to", int64_t{7}}}));
           },
           {"Cast"}},
          {"Transposes that cancel",
           [](GraphBuilder& b) {
             const std::vector<int64_t> perm = {1, 2, 0}, back = {2, 0, 1};
             const ValueId t = b.Add("Transpose", {b.Input("x", {2, 3, 4})}, {{"perm", perm}});
             b.Output(b.Add("Relu", {b.Add("Transpose", {t}, {{"perm", back}})}));
           },
           {"Relu"}},
          {"Transposes that become one",
           [](GraphBuilder& b) {
             const std::vector<int64_t> perm = {1, 2, 0};
             const ValueId t = b.Add("Transpose", {b.Input("x", {2, 3, 4})}, {{"perm", perm}});
             b.Output(b.Add("Transpose", {t}, {{"perm", perm}}));
           },
           {"Transpose"}},
          {"Reshape of Reshape",
           [](GraphBuilder& b) {
             const ValueId r = b.Add("Reshape", {b.Input("x", {Dim::Symbol("n"), 6}), b.Ints({0, 2, 3})});
             b.Output(b.Add("Reshape", {r, b.Ints({-1, 3, 2})}));
           },
           {"Reshape"}},
          {"Reshape there and back",
           [](GraphBuilder& b) {
             const ValueId r = b.Add("Reshape", {b.Input("x", {Dim::Symbol("n"), 6}), b.Ints({0, 2, 3})});
             b.Output(b.Add("Relu", {b.Add("Reshape", {r, b.Ints({-1, 6})})}));
           },
           {"Relu"}},
          {"Unsqueeze and Squeeze",
           [](GraphBuilder& b) {
             const ValueId u = b.Add("Unsqueeze", {b.Input("x", {Dim::Symbol("n"), 6}), b.Ints({1})});
             b.Output(b.Add("Relu", {b.Add("Squeeze", {u, b.Ints({1})})}));
           },
           {"Relu"}},
          {"Slice of everything",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {4, 6});
             b.Output(b.Add("Relu", {b.Add("Slice", {x, b.Ints({0}), b.Ints({100}), b.Ints({1}), b.Ints({1})})}));
           },
           {"Relu"}},
          {"Slice backwards stays",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {4});
             b.Output(b.Add("Slice", {x, b.Ints({3}), b.Ints({-5}), b.Ints({0}), b.Ints({-1})}));
           },
           {"Slice"}},
          {"neutral elements",
           [](GraphBuilder& b) {
             ValueId x = b.Input("x", {2, 3});
             x = b.Add("Mul", {b.Scalar(1), x});
             x = b.Add("Div", {x, b.Floats({3}, {1, 1, 1})});
             x = b.Add("Add", {x, b.Floats({1, 1}, {0})});
             x = b.Add("Sub", {x, b.Scalar(0)});
             b.Output(b.Add("Relu", {b.Add("Pow", {x, b.Scalar(1)})}));
           },
           {"Relu"}},
          {"a neutral element that broadcasts stays",
           [](GraphBuilder& b) {
             b.Output(b.Add("Mul", {b.Input("x", {3}), b.Floats({2, 1}, {1, 1})}));
           },
           {"Mul"}},
          {"1 / x stays",
           [](GraphBuilder& b) {
             b.Output(b.Add("Div", {b.Scalar(1), b.Input("x", {3})}));
           },
           {"Div"}},
          {"conditions",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {3}), y = b.Input("y", {3}), m = b.Input("m", {3}, DType::kBool);
             const ValueId yes = b.Constant(Tensor::From<bool>({}, {true}));
             const ValueId picked = b.Add("Where", {b.Add("And", {m, yes}), x, y});
             b.Output(b.Add("Where", {yes, picked, y}));
           },
           {"Where"}},
      },
      kLevel1);
}

TEST(MergeDuplicates, Merges) {
  CheckPasses(
      {
          {"equal nodes, one after the other",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {2, 3});
             const auto branch = [&] { return b.Add("Exp", {b.Add("Mul", {x, b.Scalar(2)})}); };
             const ValueId first = branch(), second = branch();
             b.Output(b.Add("Add", {first, second}));
           },
           {"Mul", "Exp", "Add"}},
          {"other attributes",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {2, 3});
             b.Output(b.Add("Add",
                            {b.Add("LeakyRelu", {x}, {{"alpha", 0.1f}}), b.Add("LeakyRelu", {x}, {{"alpha", 0.2f}})}));
           },
           {"LeakyRelu", "LeakyRelu", "Add"}},
          {"both are outputs",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {2, 3});
             b.Output(b.Add("Exp", {x}), "y");
             b.Output(b.Add("Exp", {x}), "z");
           },
           {"Exp", "Exp"}},
      },
      kLevel1);
}

TEST(EliminateDeadCode, RemovesChains) {
  CheckPasses({{"unused",
                [](GraphBuilder& b) {
                  const ValueId x = b.Input("x", {2});
                  b.Add("Exp", {b.Add("Neg", {x})});
                  b.Output(b.Add("Relu", {x}));
                },
                {"Relu"}}},
              kLevel1);
}

TEST(Pipeline, LevelsAndNames) {
  const auto optimize = [](const PassOptions& options) {
    GraphBuilder b;
    b.Output(b.Add("Relu", {b.Add("Identity", {b.Input("x", {2})})}));
    InferTypes(b.graph);
    Optimize(b.graph, options, Threads(1));
    return b.graph.order().size();
  };
  EXPECT_EQ(optimize({.level = 0}), 2u);
  EXPECT_EQ(optimize({.level = 1}), 1u);
  EXPECT_EQ(optimize({.level = 3, .disabled = {"EliminateIdentities"}}), 2u);
  EXPECT_THROW(optimize({.disabled = {"NoSuchPass"}}), Error);
}

TEST(Pipeline, ReportsWhatItDidAndWhatItLeft) {
  GraphBuilder b;
  const ValueId yes = b.Constant(Tensor::From<bool>({2, 1}, {true, true}));
  b.Output(b.Add("Where", {yes, b.Add("Identity", {b.Input("x", {3})}), b.Input("y", {3})}));
  InferTypes(b.graph);
  const auto reports = Optimize(b.graph, {.level = 1}, Threads(1));
  const auto report =
      std::find_if(reports.begin(), reports.end(), [](const auto& r) { return r.name == "EliminateIdentities"; });
  ASSERT_NE(report, reports.end());
  EXPECT_EQ(report->applied, 1);
  EXPECT_EQ(report->skipped.count("the side chosen is broadcast"), 1u);
}

}  // namespace
}  // namespace slipway
