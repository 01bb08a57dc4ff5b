// The pass of level 3: which nodes turn round, and that no Transpose is left between them.
#include <cmath>

#include "passes/min_cut.h"
#include "passes/testing.h"

namespace slipway {
namespace {

using testing::CheckPasses;
using testing::PassCase;

// Fusions would hide what the layouts do.
const PassOptions kLayouts = {.level = 3,
                              .disabled = {"FuseActivation", "FuseResidual", "FuseConvBias", "FuseSwish", "FoldPad"}};
const Dim kBatch = Dim::Symbol("batch");
const Dim kHeight = Dim::Symbol("height");
const Dim kWidth = Dim::Symbol("width");

ValueId Weights(GraphBuilder& b, Shape shape) {
  std::vector<float> values(shape.size());
  for (size_t i = 0; i < values.size(); ++i) values[i] = -0.5f + 0.1f * static_cast<float>(i * 7 % 11);
  return b.Floats(std::move(shape), values);
}

/// A square convolution, padded so that places stay as many.
ValueId Conv(GraphBuilder& b, ValueId x, int64_t in, int64_t out, int64_t kernel = 1, int64_t spatial = 2) {
  Shape shape = {out, in};
  for (int64_t i = 0; i < spatial; ++i) shape.push_back(kernel);
  return b.Add("Conv", {x, Weights(b, shape)},
               {{"kernel_shape", std::vector<int64_t>(spatial, kernel)},
                {"pads", std::vector<int64_t>(2 * spatial, kernel / 2)}});
}

ValueId Move(GraphBuilder& b, ValueId x, std::vector<int64_t> perm) {
  return b.Add("Transpose", {x}, {{"perm", std::move(perm)}});
}

TEST(ChannelsLast, ConvolutionsAndWhatIsBetween) {
  CheckPasses(
      {
          {"a chain",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {kBatch, 3, kHeight, kWidth});
             const ValueId y = b.Add("Clip", {b.Add("Relu", {Conv(b, x, 3, 5, 3)}), b.Scalar(0), b.Scalar(0.7f)});
             b.Output(Conv(b, y, 5, 4), "y");
           },
           {"Transpose", "FusedConv", "Relu", "Clip", "FusedConv", "Transpose"}},
          {"one axis",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {kBatch, 3, kWidth});
             b.Output(Conv(b, b.Add("Relu", {Conv(b, x, 3, 5, 3, 1)}), 5, 4, 1, 1));
           },
           {"Transpose", "FusedConv", "Relu", "FusedConv", "Transpose"}},
          {"a residual, and one of the graph's outputs on the way",
           [](GraphBuilder& b) {
             const ValueId stem = Conv(b, b.Input("x", {kBatch, 3, 6, 6}), 3, 4, 3);
             const ValueId sum = b.Add("Add", {stem, Conv(b, b.Add("Relu", {stem}), 4, 4, 3)});
             b.Output(sum, "features");
             b.Output(Conv(b, b.Add("Relu", {sum}), 4, 2), "y");
           },
           {"Transpose", "FusedConv", "Relu", "FusedConv", "Add", "Transpose", "Relu", "FusedConv", "Transpose"}},
          {"constants of a channel, of a place, of all, of one",
           [](GraphBuilder& b) {
             ValueId y = Conv(b, b.Input("x", {kBatch, 3, 5, 4}), 3, 4, 3);
             y = b.Add("Mul", {y, Weights(b, {4, 1, 1})});
             y = b.Add("Add", {Weights(b, {1, 4, 1, 1}), y});
             y = b.Add("Sub", {y, Weights(b, {5, 4})});
             y = b.Add("Add", {y, Weights(b, {4, 5, 4})});
             b.Output(Conv(b, b.Add("Div", {y, b.Scalar(3)}), 4, 2));
           },
           {"Transpose", "FusedConv", "Mul", "Add", "Sub", "Add", "Div", "FusedConv", "Transpose"}},
          {"pools",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {kBatch, 3, 8, 8});
             const ValueId y = b.Add("MaxPool", {Conv(b, x, 3, 4, 3)}, {{"kernel_shape", std::vector<int64_t>{2, 2}}});
             const ValueId z = b.Add("AveragePool", {y}, {{"kernel_shape", std::vector<int64_t>{2, 2}}});
             b.Output(b.Add("Flatten", {b.Add("GlobalAveragePool", {z})}));
           },
           {"Transpose", "FusedConv", "MaxPool", "AveragePool", "GlobalAveragePool", "Reshape"}},
          {"the mean of all places, kept and dropped",
           [](GraphBuilder& b) {
             const ValueId x = Conv(b, b.Input("x", {kBatch, 3, kHeight, kWidth}), 3, 4, 3);
             b.Output(b.Add("Flatten", {b.Add("ReduceMean", {x, b.Ints({-1, -2})})}));
             b.Output(b.Add("ReduceSum", {x, b.Ints({2, 3})}, {{"keepdims", int64_t{0}}}));
           },
           {"Transpose", "FusedConv", "GlobalAveragePool", "Reshape", "ReduceSum"}},
          {"a gate",
           [](GraphBuilder& b) {
             const ValueId x = Conv(b, b.Input("x", {kBatch, 3, kHeight, kWidth}), 3, 4, 3);
             const ValueId squeezed = b.Add("Relu", {Conv(b, b.Add("ReduceMean", {x, b.Ints({2, 3})}), 4, 2)});
             const ValueId gate = b.Add("Sigmoid", {Conv(b, squeezed, 2, 4)});
             b.Output(Conv(b, b.Add("Mul", {gate, x}), 4, 2));
           },
           {"Transpose", "FusedConv", "GlobalAveragePool", "FusedConv", "Relu", "FusedConv", "Sigmoid", "FusedConv",
            "Transpose"}},
          {"no convolution, nothing to gain",
           [](GraphBuilder& b) {
             b.Output(b.Add("Relu", {b.Input("x", {kBatch, 3, 4, 4})}));
           },
           {"Relu"}},
          {"a convolution of an unknown type of layout stays: three spatial axes",
           [](GraphBuilder& b) {
             b.Output(Conv(b, b.Input("x", {1, 2, 3, 3, 3}), 2, 2, 1, 3));
           },
           {"Conv"}},
      },
      kLayouts);
}

TEST(ChannelsLast, AxesMove) {
  CheckPasses(
      {
          {"Concat and Split",
           [](GraphBuilder& b) {
             const ValueId x = Conv(b, b.Input("x", {kBatch, 3, 5, 6}), 3, 4);
             const ValueId both = b.Add("Concat", {x, b.Add("Relu", {x})}, {{"axis", int64_t{1}}});
             const auto parts = b.AddMany("Split", {both}, 2, {{"axis", int64_t{-3}}, {"num_outputs", int64_t{2}}});
             b.Output(Conv(b, parts[0], 4, 2));
             b.Output(Conv(b, b.Add("Concat", {parts[1], parts[1]}, {{"axis", int64_t{2}}}), 4, 2));
           },
           {"Transpose", "FusedConv", "Relu", "Concat", "Split", "FusedConv", "Transpose", "Concat", "FusedConv",
            "Transpose"}},
          {"Pad, with axes and without, and Slice",
           [](GraphBuilder& b) {
             ValueId y = Conv(b, b.Input("x", {kBatch, 3, 5, 6}), 3, 4);
             y = b.Add("Pad", {y, b.Ints({0, 0, 1, 2, 0, 1, 0, 3})});
             y = b.Add("Pad", {y, b.Ints({1, 2}), b.Scalar(0.5f), b.Ints({-1})});
             y = b.Add("Slice", {y, b.Ints({1, 0}), b.Ints({4, 5}), b.Ints({1, 3})});
             y = b.Add("Slice", {y, b.Ints({0, 1}), b.Ints({9, 3})});
             b.Output(Conv(b, y, 2, 2));
           },
           {"Transpose", "FusedConv", "Pad", "Pad", "Slice", "Slice", "FusedConv", "Transpose"}},
          {"Softmax over the channels, and their highest",
           [](GraphBuilder& b) {
             const ValueId y = Conv(b, b.Input("x", {kBatch, 3, 5, 6}), 3, 4);
             const ValueId p = b.Add("Softmax", {y}, {{"axis", int64_t{1}}});
             b.Output(b.Add("ReduceMax", {p, b.Ints({1})}, {{"keepdims", int64_t{0}}}));
           },
           {"Transpose", "FusedConv", "Softmax", "ReduceMax"}},
          {"the highest channel, kept and dropped",
           [](GraphBuilder& b) {
             const ValueId y = Conv(b, b.Input("x", {kBatch, 3, 5, 6}), 3, 4);
             b.Output(b.Add("ArgMax", {y}, {{"axis", int64_t{1}}, {"keepdims", int64_t{0}}}));
             b.Output(b.Add("Flatten", {b.Add("ArgMax", {y}, {{"axis", int64_t{-3}}})}));
           },
           {"Transpose", "FusedConv", "ArgMax", "ArgMax", "Reshape"}},
          {"Resize by factors, and to the size of another",
           [](GraphBuilder& b) {
             const ValueId x = Conv(b, b.Input("x", {kBatch, 3, kHeight, kWidth}), 3, 4);
             const ValueId up = b.Add("Resize", {x, kNone, b.Floats({4}, {1, 1, 2, 3})});
             const ValueId down = b.Add("Resize", {Conv(b, up, 4, 4), kNone, kNone, b.Add("Shape", {x})},
                                        {{"mode", std::string("linear")}});
             b.Output(Conv(b, down, 4, 2));
           },
           {"Transpose", "FusedConv", "Resize", "FusedConv", "Shape", "Gather", "Gather", "Resize", "FusedConv",
            "Transpose"}},
      },
      kLayouts);
}

TEST(ChannelsLast, TransposesOfTheGraphsOwn) {
  CheckPasses(
      {
          {"a normalization over the channels between convolutions, with a residual round it",
           [](GraphBuilder& b) {
             const ValueId x = Conv(b, b.Input("x", {kBatch, 3, 5, 6}), 3, 4);
             const ValueId moved = Move(b, Conv(b, x, 4, 4, 3), {0, 2, 3, 1});
             const ValueId norm = b.Add("LayerNormalization", {moved, Weights(b, {4})});
             const ValueId mixed = b.Add("MatMul", {norm, Weights(b, {4, 4})});
             b.Output(Conv(b, b.Add("Add", {x, Move(b, mixed, {0, 3, 1, 2})}), 4, 2));
           },
           {"Transpose", "FusedConv", "FusedConv", "LayerNormalization", "MatMul", "Add", "FusedConv", "Transpose"}},
          {"patches to tokens",
           [](GraphBuilder& b) {
             const ValueId x = Conv(b, b.Input("x", {kBatch, 3, 4, 6}), 3, 5);
             b.Output(Move(b, b.Add("Reshape", {x, b.Ints({-1, 5, 24})}), {0, 2, 1}));
           },
           {"Transpose", "FusedConv", "Reshape"}},
          {"patches to tokens, of any number",
           [](GraphBuilder& b) {
             const ValueId x = Conv(b, b.Input("x", {kBatch, 3, kHeight, kWidth}), 3, 5);
             b.Output(Move(b, b.Add("Reshape", {x, b.Ints({0, 5, -1})}), {0, 2, 1}));
           },
           {"Transpose", "FusedConv", "Reshape"}},
          {"a pair with something between, and no convolution",
           [](GraphBuilder& b) {
             const ValueId x = Move(b, b.Input("x", {kBatch, 5, 6, 4}), {0, 3, 1, 2});
             b.Output(Move(b, b.Add("Mul", {b.Add("Relu", {x}), Weights(b, {4, 1, 1})}), {0, 2, 3, 1}));
           },
           {"Relu", "Mul"}},
      },
      kLayouts);
}

TEST(FoldPad, IntoConvolutionsAndPools) {
  const auto pooled = [](const char* op, float fill, Attributes attributes) {
    return [=](GraphBuilder& b) {
      const ValueId x = b.Add("Pad", {b.Input("x", {1, 2, 5, 5}), b.Ints({0, 0, 1, 0, 0, 0, 1, 1}), b.Scalar(fill)});
      Attributes all = attributes;
      all.Set("kernel_shape", std::vector<int64_t>{3, 2});
      b.Output(b.Add(op, {x}, all));
    };
  };
  CheckPasses(
      {
          {"Conv",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {kBatch, 3, 5, 6});
             b.Output(Conv(b, b.Add("Pad", {x, b.Ints({0, 0, 1, 2, 0, 0, 0, 3})}), 3, 4, 3));
           },
           {"Conv"}},
          {"Conv, axes named",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {kBatch, 3, 5, 6});
             b.Output(Conv(b, b.Add("Pad", {x, b.Ints({1, 2}), b.Scalar(0), b.Ints({-1})}), 3, 4, 3));
           },
           {"Conv"}},
          {"Conv, not zeros",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {kBatch, 3, 5, 6});
             b.Output(Conv(b, b.Add("Pad", {x, b.Ints({1, 2}), b.Scalar(1), b.Ints({-1})}), 3, 4, 3));
           },
           {"Pad", "Conv"}},
          {"Conv, channels padded",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {kBatch, 3, 5, 6});
             b.Output(Conv(b, b.Add("Pad", {x, b.Ints({1, 2}), b.Scalar(0), b.Ints({1})}), 6, 4, 3));
           },
           {"Pad", "Conv"}},
          {"MaxPool of zeros", pooled("MaxPool", 0, {}), {"Pad", "MaxPool"}},
          {"MaxPool of the lowest", pooled("MaxPool", -INFINITY, {}), {"MaxPool"}},
          {"AveragePool", pooled("AveragePool", 0, {}), {"AveragePool"}},
          {"AveragePool with padding of its own",
           pooled("AveragePool", 0, {{"pads", std::vector<int64_t>{1, 0, 0, 0}}}),
           {"Pad", "AveragePool"}},
          {"AveragePool, rounded up", pooled("AveragePool", 0, {{"ceil_mode", int64_t{1}}}), {"Pad", "AveragePool"}},
      },
      {.level = 2});
}

TEST(MinCut, FewestAndThenSmallest) {
  MinCut cut;
  const int a = cut.AddVertex(), b = cut.AddVertex(), c = cut.AddVertex();
  cut.AddEdge(MinCut::kSource, a, 5);
  cut.AddEdge(a, b, 3);
  cut.AddEdge(b, c, 3);
  cut.AddEdge(c, MinCut::kSink, MinCut::kNever);
  cut.AddEdge(a, c, 1);
  EXPECT_EQ(cut.SinkSide(), (std::vector<bool>{false, true, false, false, true}));
}

}  // namespace
}  // namespace slipway
