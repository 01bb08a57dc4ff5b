// The passes of level 2: what is taken apart is put together, and what follows a product or convolution joins it.
#include <numbers>

#include "passes/testing.h"

namespace slipway {
namespace {

using testing::CheckPasses;
using testing::PassCase;

const PassOptions kLevel2 = {.level = 2};
constexpr float kSqrt2 = std::numbers::sqrt2_v<float>;

std::vector<float> Ramp(int64_t n, float from = -1, float step = 0.17f) {
  std::vector<float> out(n);
  for (int64_t i = 0; i < n; ++i) out[i] = from + step * static_cast<float>(i % 13);
  return out;
}
ValueId Weights(GraphBuilder& b, Shape shape) {
  const auto ramp = Ramp(shape.size());
  return b.Floats(shape, ramp);
}
const Dim kBatch = Dim::Symbol("batch");

TEST(Fusions, Gelu) {
  CheckPasses(
      {
          {"exact",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {kBatch, 8});
             const ValueId e = b.Add("Add", {b.Add("Erf", {b.Add("Div", {x, b.Scalar(kSqrt2)})}), b.Scalar(1)});
             b.Output(b.Add("Mul", {b.Add("Mul", {x, e}), b.Scalar(0.5f)}), "y");
           },
           {"Gelu"}},
          {"tanh",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {kBatch, 8});
             const ValueId cube = b.Add("Mul", {b.Add("Pow", {x, b.Scalar(3)}), b.Scalar(0.044715f)});
             const ValueId inner = b.Add("Mul", {b.Add("Add", {x, cube}), b.Scalar(0.7978846f)});
             const ValueId t = b.Add("Add", {b.Add("Tanh", {inner}), b.Scalar(1)});
             b.Output(b.Add("Mul", {b.Add("Mul", {x, b.Scalar(0.5f)}), t}));
           },
           {"Gelu"}},
          {"half that broadcasts to more axes",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {8});
             const ValueId e = b.Add("Add", {b.Add("Erf", {b.Add("Div", {x, b.Scalar(kSqrt2)})}), b.Scalar(1)});
             b.Output(b.Add("Mul", {b.Add("Mul", {x, e}), b.Floats({1, 1}, {0.5f})}));
           },
           {"Div", "Erf", "Add", "Mul", "Mul"}},
      },
      kLevel2);
}

TEST(Fusions, Swish) {
  CheckPasses(
      {
          {"x * sigmoid(x)",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {kBatch, 8});
             b.Output(b.Add("Mul", {b.Add("Sigmoid", {x}), x}));
           },
           {"Swish"}},
          {"x * sigmoid(1.702 x)",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {kBatch, 8});
             b.Output(b.Add("Mul", {x, b.Add("Sigmoid", {b.Add("Mul", {x, b.Scalar(1.702f)})})}));
           },
           {"Swish"}},
          {"x * hardsigmoid(x)",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {kBatch, 8});
             b.Output(b.Add("Mul", {x, b.Add("HardSigmoid", {x}, {{"alpha", 1.0f / 6}, {"beta", 0.5f}})}));
           },
           {"HardSwish"}},
          {"x * relu6(x + 3) / 6",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {kBatch, 8});
             const ValueId gate = b.Add("Clip", {b.Add("Add", {x, b.Scalar(3)}), b.Scalar(0), b.Scalar(6)});
             b.Output(b.Add("Mul", {x, b.Add("Div", {gate, b.Scalar(6)})}));
           },
           {"HardSwish"}},
          {"y * sigmoid(x) stays",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {kBatch, 8}), y = b.Input("y", {kBatch, 8});
             b.Output(b.Add("Mul", {y, b.Add("Sigmoid", {x})}));
           },
           {"Sigmoid", "Mul"}},
      },
      kLevel2);
}

ValueId MeanOf(GraphBuilder& b, ValueId x, int64_t axis) { return b.Add("ReduceMean", {x, b.Ints({axis})}); }

ValueId Normalized(GraphBuilder& b, ValueId x, int64_t axis) {
  const ValueId d = b.Add("Sub", {x, MeanOf(b, x, axis)});
  const ValueId variance = MeanOf(b, b.Add("Pow", {d, b.Scalar(2)}), axis);
  return b.Add("Div", {d, b.Add("Sqrt", {b.Add("Add", {variance, b.Scalar(1e-5f)})})});
}

TEST(Fusions, SelectionsMoveUp) {
  const Dim tokens = Dim::Symbol("tokens");
  const auto first = [](GraphBuilder& b, ValueId x, int64_t axis) {
    return b.Add("Gather", {x, b.Constant(Tensor::From<int64_t>({}, {0}))}, {{"axis", axis}});
  };
  const auto norm = [](GraphBuilder& b, ValueId x) {
    return b.Add("LayerNormalization", {x, Weights(b, {8}), Weights(b, {8})});
  };
  CheckPasses(
      {
          {"a classifier's first token: the block in front of it, residuals included",
           [&](GraphBuilder& b) {
             const ValueId x = b.Input("x", {kBatch, tokens, 8});
             const ValueId h = norm(b, b.Add("Add", {x, b.Add("MatMul", {b.Add("Tanh", {x}), Weights(b, {8, 8})})}));
             const ValueId wide = b.Add("Relu", {b.Add("MatMul", {h, Weights(b, {8, 16})})});
             const ValueId y = norm(b, b.Add("Add", {b.Add("MatMul", {wide, Weights(b, {16, 8})}), h}));
             b.Output(first(b, y, 1));
           },
           {"Gather", "Tanh", "FusedMatMul", "LayerNormalization", "FusedMatMul", "FusedMatMul", "LayerNormalization",
            "Squeeze"}},
          {"the last of the logits",
           [&](GraphBuilder& b) {
             const ValueId x = b.Input("x", {kBatch, tokens, 8});
             const ValueId y = b.Add("MatMul", {x, Weights(b, {8, 30})});
             b.Output(b.Add("Slice", {y, b.Ints({-1}), b.Ints({int64_t{1} << 31}), b.Ints({1})}));
           },
           {"Slice", "MatMul"}},
          {"queries alone, for keys and values are those of all tokens",
           [&](GraphBuilder& b) {
             const ValueId x = b.Input("x", {kBatch, tokens, 8});
             const auto heads = [&](float from, std::vector<int64_t> perm) {
               const ValueId y =
                   b.Add("Reshape", {b.Add("MatMul", {x, b.Floats({8, 8}, Ramp(64, from))}), b.Ints({0, 0, 2, 4})});
               return b.Add("Transpose", {y}, {{"perm", perm}});
             };
             const ValueId q = heads(-1, {0, 2, 1, 3}), k = heads(-0.9f, {0, 2, 3, 1}), v = heads(-0.8f, {0, 2, 1, 3});
             const ValueId p = b.Add("Softmax", {b.Add("Mul", {b.Add("MatMul", {q, k}), b.Scalar(0.5f)})});
             const ValueId y =
                 b.Add("Transpose", {b.Add("MatMul", {p, v})}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
             const ValueId joined = b.Add("Reshape", {y, b.Ints({0, 0, 8})});
             b.Output(first(b, b.Add("MatMul", {joined, Weights(b, {8, 8})}), 1));
           },
           {"MatMul", "MatMul", "Gather", "MatMul", "Attention", "MatMul", "Squeeze"}},
          {"along an axis that the softmax reads",
           [&](GraphBuilder& b) {
             const ValueId x = b.Input("x", {kBatch, tokens, 8});
             const ValueId y = b.Add("Softmax", {b.Add("MatMul", {x, Weights(b, {8, 8})})}, {{"axis", int64_t{1}}});
             b.Output(first(b, y, 1));
           },
           {"MatMul", "Softmax", "Gather"}},
          {"what others read whole",
           [&](GraphBuilder& b) {
             const ValueId x = b.Input("x", {kBatch, tokens, 8});
             const ValueId y = b.Add("MatMul", {x, Weights(b, {8, 8})});
             b.Output(first(b, y, 1));
             b.Output(b.Add("Tanh", {y}));
           },
           {"MatMul", "Gather", "Tanh"}},
          {"half of the positions",
           [&](GraphBuilder& b) {
             const ValueId x = b.Input("x", {kBatch, 4, 8});
             const ValueId y = b.Add("MatMul", {x, Weights(b, {8, 8})});
             b.Output(b.Add("Slice", {y, b.Ints({0}), b.Ints({2}), b.Ints({1})}));
           },
           {"MatMul", "Slice"}},
      },
      kLevel2);
}

TEST(Fusions, Normalizations) {
  CheckPasses(
      {
          {"with scale and bias",
           [](GraphBuilder& b) {
             const ValueId n = Normalized(b, b.Input("x", {kBatch, 3, 8}), -1);
             b.Output(b.Add("Add", {b.Add("Mul", {Weights(b, {8}), n}), Weights(b, {8})}));
           },
           {"LayerNormalization"}},
          {"with scale",
           [](GraphBuilder& b) {
             b.Output(b.Add("Mul", {Normalized(b, b.Input("x", {2, 8}), 1), Weights(b, {8})}));
           },
           {"LayerNormalization"}},
          {"plain",
           [](GraphBuilder& b) {
             b.Output(Normalized(b, b.Input("x", {2, 8}), -1));
           },
           {"LayerNormalization"}},
          {"over another axis stays",
           [](GraphBuilder& b) {
             b.Output(Normalized(b, b.Input("x", {2, 8, 3}), 1));
           },
           {"ReduceMean", "Sub", "Pow", "ReduceMean", "Add", "Sqrt", "Div"}},
          {"RMS",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {kBatch, 8});
             const ValueId mean = MeanOf(b, b.Add("Mul", {x, x}), -1);
             const ValueId inverse = b.Add("Reciprocal", {b.Add("Sqrt", {b.Add("Add", {mean, b.Scalar(1e-6f)})})});
             b.Output(b.Add("Mul", {Weights(b, {8}), b.Add("Mul", {x, inverse})}));
           },
           {"RMSNormalization"}},
          {"of a sum",
           [](GraphBuilder& b) {
             const ValueId sum = b.Add("Add", {b.Input("x", {kBatch, 3, 8}), b.Input("y", {kBatch, 3, 8})});
             b.Output(b.Add("LayerNormalization", {sum, Weights(b, {8}), Weights(b, {8})}));
           },
           {"SkipLayerNormalization"}},
          {"of a sum that is used before and after",
           [](GraphBuilder& b) {
             const ValueId sum = b.Add("Add", {b.Input("x", {kBatch, 3, 8}), b.Input("y", {kBatch, 3, 8})});
             const ValueId early = b.Add("Exp", {sum});
             const ValueId norm = b.Add("LayerNormalization", {sum, Weights(b, {8})});
             b.Output(b.Add("Add", {b.Add("Mul", {norm, sum}), early}), "y");
             b.Output(sum, "sum");
           },
           {"SkipLayerNormalization", "Exp", "Mul", "Add"}},
          {"of a sum that broadcasts stays",
           [](GraphBuilder& b) {
             const ValueId sum = b.Add("Add", {b.Input("x", {kBatch, 3, 8}), b.Input("y", {8})});
             b.Output(b.Add("LayerNormalization", {sum, Weights(b, {8})}));
           },
           {"Add", "LayerNormalization"}},
      },
      kLevel2);
}

ValueId ConvOf(GraphBuilder& b, ValueId x, int64_t out, int64_t in, bool bias) {
  std::vector<ValueId> inputs = {x, Weights(b, {out, in, 3, 3})};
  if (bias) inputs.push_back(Weights(b, {out}));
  return b.Add("Conv", inputs, {{"pads", std::vector<int64_t>{1, 1, 1, 1}}});
}

TEST(Fusions, IntoConv) {
  const auto norm = [](GraphBuilder& b, ValueId x) {
    return b.Add("BatchNormalization",
                 {x, Weights(b, {4}), Weights(b, {4}), Weights(b, {4}), b.Floats({4}, {0.5f, 1, 2, 3})});
  };
  CheckPasses(
      {
          {"BatchNormalization",
           [=](GraphBuilder& b) {
             b.Output(norm(b, ConvOf(b, b.Input("x", {kBatch, 3, 5, 5}), 4, 3, false)));
           },
           {"Conv"}},
          {"BatchNormalization after a bias, then Relu",
           [=](GraphBuilder& b) {
             b.Output(b.Add("Relu", {norm(b, ConvOf(b, b.Input("x", {kBatch, 3, 5, 5}), 4, 3, true))}), "y");
           },
           {"FusedConv"}},
          {"BatchNormalization alone stays",
           [=](GraphBuilder& b) {
             b.Output(norm(b, b.Input("x", {kBatch, 4, 5, 5})));
           },
           {"BatchNormalization"}},
          {"a convolution used twice stays",
           [=](GraphBuilder& b) {
             const ValueId y = ConvOf(b, b.Input("x", {kBatch, 3, 5, 5}), 4, 3, false);
             b.Output(norm(b, y));
             b.Output(y);
           },
           {"Conv", "BatchNormalization"}},
          {"a bias and a scale a channel",
           [=](GraphBuilder& b) {
             const ValueId y = ConvOf(b, b.Input("x", {kBatch, 3, 5, 5}), 4, 3, false);
             const ValueId scaled = b.Add("Mul", {Weights(b, {1, 4, 1, 1}), b.Add("Add", {y, Weights(b, {4, 1, 1})})});
             b.Output(b.Add("Sub", {b.Add("Div", {scaled, b.Scalar(3)}), b.Scalar(0.25f)}));
           },
           {"Conv"}},
          {"a bias along another axis stays",
           [=](GraphBuilder& b) {
             b.Output(b.Add("Add", {ConvOf(b, b.Input("x", {kBatch, 3, 5, 4}), 4, 3, false), Weights(b, {4})}));
           },
           {"Conv", "Add"}},
          {"residual, then Relu",
           [=](GraphBuilder& b) {
             const ValueId x = b.Input("x", {kBatch, 4, 5, 5});
             const ValueId y = ConvOf(b, b.Add("Relu", {ConvOf(b, x, 4, 4, true)}), 4, 4, true);
             b.Output(b.Add("Relu", {b.Add("Add", {y, x})}));
           },
           {"FusedConv", "FusedConv"}},
          {"two branches",
           [=](GraphBuilder& b) {
             const ValueId x = b.Input("x", {kBatch, 3, 5, 5});
             const ValueId y = ConvOf(b, x, 4, 3, true), z = ConvOf(b, b.Add("Exp", {x}), 4, 3, true);
             b.Output(b.Add("Add", {y, z}));
           },
           {"Conv", "Exp", "FusedConv"}},
          {"Clip, LeakyRelu, Swish, HardSwish",
           [=](GraphBuilder& b) {
             ValueId x = b.Input("x", {kBatch, 4, 5, 5});
             x = b.Add("Clip", {ConvOf(b, x, 4, 4, false), b.Scalar(0), b.Scalar(6)});
             x = b.Add("LeakyRelu", {ConvOf(b, x, 4, 4, false)}, {{"alpha", 0.3f}});
             x = ConvOf(b, x, 4, 4, false);
             x = b.Add("Mul", {x, b.Add("Sigmoid", {x})});
             x = ConvOf(b, x, 4, 4, false);
             b.Output(b.Add("Tanh", {x}));
           },
           {"FusedConv", "FusedConv", "FusedConv", "FusedConv"}},
      },
      kLevel2);
}

TEST(Fusions, IntoMatMul) {
  CheckPasses(
      {
          {"bias and Gelu",
           [](GraphBuilder& b) {
             const ValueId y = b.Add("MatMul", {b.Input("x", {kBatch, 3, 8}), Weights(b, {8, 4})});
             b.Output(b.Add("Gelu", {b.Add("Add", {Weights(b, {4}), y})}));
           },
           {"FusedMatMul"}},
          {"bias with axes of one, residual, Relu",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {kBatch, 3, 8});
             const ValueId y = b.Add("Add", {b.Add("MatMul", {x, Weights(b, {8, 8})}), Weights(b, {1, 1, 8})});
             b.Output(b.Add("Relu", {b.Add("Add", {x, y})}));
           },
           {"FusedMatMul"}},
          {"a scaled layer: bias, row, residual",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {kBatch, 3, 8});
             const ValueId y = b.Add("Add", {b.Add("MatMul", {x, Weights(b, {8, 8})}), Weights(b, {8})});
             b.Output(b.Add("Add", {x, b.Add("Mul", {Weights(b, {1, 8}), y})}));
           },
           {"FusedMatMul"}},
          {"twice scaled, without a bias, then one, and Relu",
           [](GraphBuilder& b) {
             const ValueId y = b.Add("MatMul", {b.Input("x", {kBatch, 3, 8}), Weights(b, {8, 4})});
             const ValueId scaled = b.Add("Mul", {b.Add("Mul", {y, Weights(b, {4})}), b.Scalar(0.5f)});
             b.Output(b.Add("Relu", {b.Add("Add", {scaled, Weights(b, {4})})}));
           },
           {"FusedMatMul"}},
          {"a scale that makes the result larger, or differs from row to row, stays",
           [](GraphBuilder& b) {
             const ValueId y = b.Add("MatMul", {b.Input("x", {1, 8}), Weights(b, {8, 4})});
             b.Output(b.Add("Mul", {y, Weights(b, {3, 4})}));
             const ValueId z = b.Add("MatMul", {b.Input("z", {3, 8}), Weights(b, {8, 4})});
             b.Output(b.Add("Mul", {z, Weights(b, {3, 1})}));
           },
           {"MatMul", "Mul", "MatMul", "Mul"}},
          {"what comes after a residual is not the product's",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {kBatch, 3, 8});
             const ValueId sum = b.Add("Add", {x, b.Add("MatMul", {x, Weights(b, {8, 8})})});
             b.Output(b.Add("Mul", {sum, Weights(b, {8})}));
           },
           {"FusedMatMul", "Mul"}},
          {"Gemm with alpha, beta and transB",
           [](GraphBuilder& b) {
             b.Output(b.Add("Gemm", {b.Input("x", {kBatch, 8}), Weights(b, {4, 8}), Weights(b, {1, 4})},
                            {{"alpha", 0.5f}, {"beta", 2.0f}, {"transB", int64_t{1}}}));
           },
           {"FusedMatMul"}},
          {"a large matrix transposed that something else reads too",
           [](GraphBuilder& b) {
             const ValueId table = Weights(b, {1100, 256});
             const ValueId x = b.Add("Gather", {table, b.Input("ids", {kBatch}, DType::kInt64)});
             b.Output(b.Add("MatMul", {x, b.Add("Transpose", {table})}));
           },
           {"Gather", "FusedMatMul"}},
          {"Gemm with a column for C stays",
           [](GraphBuilder& b) {
             b.Output(b.Add("Gemm", {b.Input("x", {3, 8}), Weights(b, {8, 4}), Weights(b, {3, 1})}));
           },
           {"Gemm"}},
          {"a bias that makes the result larger stays",
           [](GraphBuilder& b) {
             b.Output(b.Add("Add", {b.Add("MatMul", {b.Input("x", {1, 8}), Weights(b, {8, 4})}), Weights(b, {3, 4})}));
           },
           {"MatMul", "Add"}},
          {"Reshape, Gemm, Reshape, residual",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {kBatch, 3, 8});
             const ValueId flat = b.Add("Reshape", {x, b.Ints({-1, 8})});
             const ValueId y = b.Add("Gemm", {flat, Weights(b, {8, 8}), Weights(b, {8})});
             b.Output(b.Add("Add", {x, b.Add("Reshape", {y, b.Ints({-1, 3, 8})})}));
           },
           {"FusedMatMul"}},
          {"Gemm of other axes, Reshape, residual",
           [](GraphBuilder& b) {
             const ValueId flat = b.Add("Reshape", {b.Input("x", {kBatch, 3, 2, 4}), b.Ints({-1, 8})});
             const ValueId y = b.Add("Gemm", {flat, Weights(b, {8, 5}), Weights(b, {5})});
             b.Output(b.Add("Add", {b.Input("r", {kBatch, 3, 5}), b.Add("Reshape", {y, b.Ints({-1, 3, 5})})}));
           },
           {"Reshape", "Reshape", "FusedMatMul", "Reshape"}},
      },
      kLevel2);
}

}  // namespace
}  // namespace slipway
