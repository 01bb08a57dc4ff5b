#include <algorithm>
#include <limits>
#include <unordered_map>
#include <utility>

#include "onnx/upgrade/rewrite.h"

namespace slipway::onnx {
namespace {

/// Images in blocks of channels, the layout of onnxruntime's convolutions.
constexpr std::string_view kBlockedDomain = "com.microsoft.nchwc";

using Rule = void (*)(Rewrite&);

void FusedConv(Rewrite& r) { BecomeFusedConv(r, r.In(1)); }

void FusedGemm(Rewrite& r) {
  const Attributes& a = r.attributes();
  const Attributes product =
      Without(a, {"activation", "activation_alpha", "activation_beta", "activation_gamma", "leaky_relu_alpha"});
  std::vector<ValueId> inputs = {r.In(0), r.In(1)};
  if (r.Has(2)) inputs.push_back(r.In(2));
  const std::string activation = a.String("activation", "");
  if (activation.empty()) return r.Become("Gemm", std::move(inputs), product);
  std::vector<float> parameters;
  for (const char* name : {"leaky_relu_alpha", "activation_alpha", "activation_beta", "activation_gamma"}) {
    if (a.Has(name)) parameters.push_back(a.Float(name, 0));
  }
  r.BecomeActivation(r.Add("Gemm", std::move(inputs), product), activation, parameters);
}

/// Only the exchange of batch axes, which depends on the rank, stays with an operator of its own.
void FusedMatMul(Rewrite& r) {
  const Attributes& a = r.attributes();
  if (a.Int("transBatchA", 0) != 0 || a.Int("transBatchB", 0) != 0)
    return r.Become("FusedMatMul", {r.In(0), r.In(1)}, a, kMicrosoftDomain);
  const Attributes product = {
      {"transA", a.Int("transA", 0)}, {"transB", a.Int("transB", 0)}, {"scale", a.Float("alpha", 1)}};
  if (a.Int("transA", 0) == 0 && a.Int("transB", 0) == 0 && a.Float("alpha", 1) == 1)
    return r.Become("MatMul", {r.In(0), r.In(1)});
  r.Become("FusedMatMul", {r.In(0), r.In(1)}, product, kSlipwayDomain);
}

void FusedMatMulActivation(Rewrite& r) {
  const Attributes& a = r.attributes();
  const bool batches = a.Int("transBatchA", 0) != 0 || a.Int("transBatchB", 0) != 0;
  Attributes product = {{"transA", a.Int("transA", 0)}, {"transB", a.Int("transB", 0)}};
  product.Set(batches ? "alpha" : "scale", a.Float("alpha", 1));
  for (const char* name : {"transBatchA", "transBatchB"}) {
    if (batches) product.Set(name, a.Int(name, 0));
  }
  const ValueId y =
      r.Add("FusedMatMul", {r.In(0), r.In(1)}, std::move(product), batches ? kMicrosoftDomain : kSlipwayDomain);
  const std::string activation = a.String("activation", "");
  if (activation == "Softmax") return r.Become("Softmax", {y}, {{"axis", a.Int("activation_axis", -1)}});
  std::vector<float> parameters;
  for (const char* name : {"activation_alpha", "activation_beta", "activation_gamma"}) {
    if (a.Has(name)) parameters.push_back(a.Float(name, 0));
  }
  r.BecomeActivation(y, activation, parameters);
}

/// A convolution over channels-last images; its weights have their channels last, too.
void NhwcConv(Rewrite& r) {
  const Attributes first = {{"perm", std::vector<int64_t>{0, 3, 1, 2}}};
  std::vector<ValueId> inputs = {r.Add("Transpose", {r.In(0)}, first), r.Add("Transpose", {r.In(1)}, first)};
  if (r.Has(2)) inputs.push_back(r.In(2));
  const Attributes window = Without(r.attributes(), {"activation", "activation_params"});
  r.Become("Transpose", {r.Add("Conv", std::move(inputs), window)}, {{"perm", std::vector<int64_t>{0, 2, 3, 1}}});
}

/// The transform of the last signal_ndim axes of real numbers, or back to those; one of real numbers is onesided.
void RealTransform(Rewrite& r, bool inverse) {
  const Attributes& a = r.attributes();
  const int64_t axes = a.Int("signal_ndim", 1);
  if (axes < 1 || axes > 3 || a.Int("onesided", 1) != 1 || a.Int("normalized", 0) != 0)
    FailUpgrade(Code::kUnsupported, "is supported onesided, not normalized and along 1 to 3 axes.");
  const auto axis = [&](int64_t i) { return r.before().Constant("axis", Tensor::From<int64_t>({}, {-2 - i})); };
  const Attributes whole = {{"inverse", int64_t{inverse}}};
  const Attributes half = {{"inverse", int64_t{inverse}}, {"onesided", int64_t{1}}};
  const ValueId parts = r.before().Ints("parts", {-1});
  ValueId x = inverse ? r.In(0) : r.Add("DFT", {r.Add("Unsqueeze", {r.In(0), parts}), kNone, axis(0)}, half);
  for (int64_t i = axes - 1; i > 0; --i) x = r.Add("DFT", {x, kNone, axis(i)}, whole);
  if (inverse) return r.Become("Squeeze", {r.Add("DFT", {x, kNone, axis(0)}, half), parts});
  r.Become("Identity", {x});
}

/// LayerNormalization of the sum of embeddings that are bytes: they become floats after they are looked up.
void QEmbedLayerNormalization(Rewrite& r) {
  // Inputs 8 to 12 are the scales, 13 to 17 the zero points of words, positions, segments, gamma and beta.
  const auto floats = [&](ValueId x, size_t which) {
    return r.Add("DequantizeLinear", {x, r.In(8 + which), r.In(13 + which)});
  };
  const auto text = [&](const char* name, std::vector<int64_t> values) {
    return r.before().Ints(name, std::move(values));
  };
  const ValueId shape = r.Add("Shape", {r.In(0)});
  const ValueId length = r.Add("Slice", {shape, text("one", {1}), text("two", {2})});
  ValueId sum = r.Add("Add", {floats(r.Add("Gather", {r.In(2), r.In(0)}), 0),
                              floats(r.Add("Slice", {r.In(3), text("first", {0}), length, text("rows", {0})}), 1)});
  if (r.Has(1) != r.Has(4)) FailUpgrade(Code::kBadGraph, "segment_ids and segment_embedding go together.");
  if (r.Has(1)) sum = r.Add("Add", {sum, floats(r.Add("Gather", {r.In(4), r.In(1)}), 2)});
  if (r.HasOut(1)) {
    const Attributes whole = {{"to", static_cast<int64_t>(DType::kInt32)}};
    if (r.Has(7)) {
      const ValueId words = r.Add("Cast", {r.Add("Equal", {r.In(7), r.Number("word", 1, r.In(7))})}, whole);
      r.Give(1, r.Add("ReduceSum", {words, text("each", {1})}, {{"keepdims", int64_t{0}}}));
    } else {
      const ValueId batch = r.Add("Slice", {shape, text("none", {0}), text("batch", {1})});
      r.Give(1, r.Add("Cast", {r.Add("ConstantOfShape", {batch})}, whole));
    }
  }
  r.Become("LayerNormalization", {sum, floats(r.In(5), 3), floats(r.In(6), 4)},
           {{"axis", int64_t{-1}}, {"epsilon", r.attributes().Float("epsilon", 1e-12f)}});
}

void GroupNorm(Rewrite& r) {
  const Attributes& a = r.attributes();
  const bool last = a.Int("channels_last", 1) != 0;
  ValueId x = r.In(0);
  if (r.Has(3)) {
    ValueId skip = r.In(3);
    if (r.RankOf(3) == 2)
      skip = r.Add("Unsqueeze",
                   {skip, r.before().Ints("middle", last ? std::vector<int64_t>{1, 2} : std::vector<int64_t>{2, 3})});
    x = r.Add("Add", {x, skip});
    if (r.Has(4)) {
      const ValueId bias = last ? r.In(4) : r.Add("Unsqueeze", {r.In(4), r.before().Ints("spatial", {1, 2})});
      x = r.Add("Add", {x, bias});
    }
    if (r.HasOut(1)) r.Give(1, x);
  }
  if (last) x = r.Add("Transpose", {x}, {{"perm", std::vector<int64_t>{0, 3, 1, 2}}});
  ValueId y =
      r.Add("GroupNormalization", {x, r.Add("CastLike", {r.In(1), r.In(0)}), r.Add("CastLike", {r.In(2), r.In(0)})},
            {{"num_groups", a.RequiredInt("groups")}, {"epsilon", a.Float("epsilon", 1e-5f)}});
  const Attributes back = {{"perm", std::vector<int64_t>{0, 2, 3, 1}}};
  if (a.Int("activation", 0) == 0) {
    if (last) return r.Become("Transpose", {y}, back);
    return r.Become("Identity", {y});
  }
  if (!last) return r.Become("Swish", {y});
  r.Become("Transpose", {r.Add("Swish", {y})}, back);
}

/// Padding takes rows and columns off what the product without padding gives.
void ConvTransposeWithDynamicPads(Rewrite& r) {
  std::vector<ValueId> inputs = {r.In(0), r.In(1)};
  if (r.Has(3)) inputs.push_back(r.In(3));
  if (!r.Has(2)) return r.Become("ConvTranspose", std::move(inputs), r.attributes());
  int64_t axes = static_cast<int64_t>(r.attributes().Ints("kernel_shape").size());
  for (size_t i : {0, 1}) {
    if (axes == 0 && r.RankOf(i) > 2) axes = r.RankOf(i) - 2;
  }
  if (axes == 0) FailUpgrade(Code::kUnsupported, "the number of spatial axes is not known.");
  std::vector<int64_t> spatial;
  for (int64_t i = 0; i < axes; ++i) spatial.push_back(i + 2);
  const ValueId y = r.Add("ConvTranspose", std::move(inputs), r.attributes());
  const auto part = [&](int64_t begin, int64_t end) {
    return r.Add("Slice", {r.In(2), r.before().Ints("begin", {begin}), r.before().Ints("end", {end})});
  };
  const ValueId ends = r.Add("Sub", {r.Add("Shape", {y}, {{"start", int64_t{2}}}), part(axes, 2 * axes)});
  r.Become("Slice", {y, part(0, axes), ends, r.before().Ints("spatial", spatial)});
}

void BiasSoftmax(Rewrite& r) {
  const ValueId x = r.Add("Add", {r.In(0), r.In(1)});
  const int64_t axis = r.attributes().Int("axis", 1);
  if (axis == -1 || (r.RankOf(0) >= 0 && axis == r.RankOf(0) - 1))
    return r.Become("Softmax", {x}, {{"axis", int64_t{-1}}});
  const ValueId rows = r.Add("Softmax", {r.Add("Flatten", {x}, {{"axis", axis}})}, {{"axis", int64_t{-1}}});
  r.Become("Reshape", {rows, r.Add("Shape", {x})});
}

void BiasDropout(Rewrite& r) {
  const ValueId x = r.Add("Add", {r.In(0), r.In(1)});
  if (!r.Has(2)) {
    return r.Become("Dropout", {x, r.Has(3) ? r.In(3) : kNone, r.Has(4) ? r.In(4) : kNone}, r.attributes());
  }
  // Only in training does it matter what is added after the dropout.
  const Tensor* training = r.Constant(4);
  if (r.Has(4) && !(training && training->dtype() == DType::kBool && training->size() == 1 && !*training->data<bool>()))
    FailUpgrade(Code::kUnsupported, "training is not supported where there is a residual.");
  r.Become("Dropout", {r.Add("Add", {x, r.In(2)})});
}

void BitmaskDropout(Rewrite& r) {
  if (r.HasOut(1)) FailUpgrade(Code::kUnsupported, "the packed mask is for training, which is not supported.");
  r.Become("Dropout", {r.In(0), r.Has(1) ? r.In(1) : kNone, r.Has(2) ? r.In(2) : kNone}, r.attributes());
}

void Crop(Rewrite& r) {
  const std::vector<int64_t> border = r.attributes().Ints("border"), scale = r.attributes().Ints("scale");
  if (border.size() != 4 || (!scale.empty() && scale.size() != 2))
    FailUpgrade(Code::kBadGraph, "attribute 'border' must be left, top, right, bottom, and 'scale' height, width.");
  const auto end = [&](int64_t begin, int64_t after, size_t i) {
    if (!scale.empty()) return begin + scale[i];
    return after == 0 ? std::numeric_limits<int64_t>::max() : -after;
  };
  r.Become("Slice", {r.In(0), r.before().Ints("starts", {border[1], border[0]}),
                     r.before().Ints("ends", {end(border[1], border[3], 0), end(border[0], border[2], 1)}),
                     r.before().Ints("axes", {2, 3})});
}

void ImageScaler(Rewrite& r) {
  const std::vector<float> bias = r.attributes().Floats("bias");
  const ValueId x = r.Add("Mul", {r.In(0), r.Number("scale", r.attributes().Float("scale", 1), r.In(0))});
  const ValueId b = r.before().Constant("bias", Tensor::From<float>({static_cast<int64_t>(bias.size()), 1, 1}, bias));
  r.Become("Add", {x, r.Add("CastLike", {b, x})});
}

/// a * f(b * x)
void BecomeScaled(Rewrite& r, std::string_view function) {
  const auto number = [&](const char* name) { return r.Number(name, r.attributes().Float(name, 1), r.In(0)); };
  r.Become("Mul", {r.Add(function, {r.Add("Mul", {r.In(0), number("beta")})}), number("alpha")});
}

const std::unordered_map<std::string_view, Rule>& MicrosoftRules() {
  static const auto* const rules = new std::unordered_map<std::string_view, Rule>{
      {"BiasAdd",
       [](Rewrite& r) {
         r.Become("Add", {r.Add("Add", {r.In(0), r.In(1)}), r.In(2)});
       }},
      {"BiasDropout", BiasDropout},
      {"BiasGelu",
       [](Rewrite& r) {
         r.Become("Gelu", {r.Add("Add", {r.In(0), r.In(1)})});
       }},
      {"BiasSoftmax", BiasSoftmax},
      {"BiasSplitGelu",
       [](Rewrite& r) {
         const ValueId x = r.Add("Add", {r.In(0), r.In(1)});
         const ValueId axis = r.before().Ints("axis", {-1}), zero = r.before().Ints("zero", {0});
         const ValueId width = r.Add("Shape", {x}, {{"start", int64_t{-1}}});
         const ValueId half = r.Add("Div", {width, r.before().Ints("two", {2})});
         const ValueId gate = r.Add("Gelu", {r.Add("Slice", {x, half, width, axis})});
         r.Become("Mul", {r.Add("Slice", {x, zero, half, axis}), gate});
       }},
      {"BitmaskDropout", BitmaskDropout},
      {"ConvTransposeWithDynamicPads", ConvTransposeWithDynamicPads},
      {"ExpandDims",
       [](Rewrite& r) {
         const ValueId axis = r.Add("Cast", {r.In(1)}, {{"to", static_cast<int64_t>(DType::kInt64)}});
         r.Become("Unsqueeze", {r.In(0), r.Add("Reshape", {axis, r.before().Ints("one", {1})})});
       }},
      {"FastGelu",
       [](Rewrite& r) {
         r.Become("Gelu", {r.Plus(r.In(0), 1)}, {{"approximate", std::string("tanh")}});
       }},
      {"FusedConv", FusedConv},
      {"FusedGemm", FusedGemm},
      {"FusedMatMul", FusedMatMul},
      {"FusedMatMulActivation", FusedMatMulActivation},
      {"GatherND",
       [](Rewrite& r) {
         const ValueId indices = r.Add("Cast", {r.In(1)}, {{"to", static_cast<int64_t>(DType::kInt64)}});
         r.Become("GatherND", {r.In(0), indices});
       }},
      {"Gelu", [](Rewrite& r) { r.Become("Gelu", {r.In(0)}); }},
      {"GemmFastGelu",
       [](Rewrite& r) {
         const ValueId product = r.Add("MatMul", {r.In(0), r.In(1)});
         r.Become("Gelu", {r.Plus(product, 2)}, {{"approximate", std::string("tanh")}});
       }},
      {"GridSample",
       [](Rewrite& r) {
         Attributes a = r.attributes();
         const std::string mode = a.String("mode", "bilinear");
         a.Set("mode", mode == "bilinear" ? std::string("linear") : mode == "bicubic" ? std::string("cubic") : mode);
         r.Become("GridSample", {r.In(0), r.In(1)}, std::move(a));
       }},
      {"GroupNorm", GroupNorm},
      {"Irfft", [](Rewrite& r) { RealTransform(r, true); }},
      {"NhwcConv", NhwcConv},
      {"Pad",
       [](Rewrite& r) {
         std::vector<ValueId> inputs = {r.In(0), r.Add("Reshape", {r.In(1), r.before().Ints("flat", {-1})})};
         if (r.Has(2)) inputs.push_back(r.Add("Reshape", {r.In(2), r.before().Ints("scalar", {})}));
         r.Become("Pad", std::move(inputs), r.attributes());
       }},
      {"QEmbedLayerNormalization", QEmbedLayerNormalization},
      {"QuickGelu",
       [](Rewrite& r) {
         r.Become("Swish", {r.In(0)}, {{"alpha", r.attributes().Float("alpha", 1.702f)}});
       }},
      {"Range",
       [](Rewrite& r) {
         r.Become("Range", {r.In(0), r.In(1), r.Has(2) ? r.In(2) : r.Number("delta", 1, r.In(0))});
       }},
      {"Rfft", [](Rewrite& r) { RealTransform(r, false); }},
      {"SkipGroupNorm", GroupNorm},
      {"TorchEmbedding",
       [](Rewrite& r) {
         r.Become("Gather", {r.In(0), r.In(1)});
       }},
      {"TransposeMatMul", FusedMatMul},
      {"Trilu",
       [](Rewrite& r) {
         r.Become("Trilu", {r.In(0), r.Has(1) ? r.In(1) : kNone}, r.attributes());
       }},
      {"Unique",
       [](Rewrite& r) {
         r.Become("Unique", {r.In(0)}, {{"sorted", int64_t{0}}}, kOnnxDomain, {0, 2, 3});
       }},
  };
  return *rules;
}

const std::unordered_map<std::string_view, Rule>& ExtraRules() {
  static const auto* const rules = new std::unordered_map<std::string_view, Rule>{
      {"Affine",
       [](Rewrite& r) {
         const auto number = [&](const char* name, float otherwise) {
           return r.Number(name, r.attributes().Float(name, otherwise), r.In(0));
         };
         r.Become("Add", {r.Add("Mul", {r.In(0), number("alpha", 1)}), number("beta", 0)});
       }},
      {"Crop", Crop},
      {"DynamicSlice",
       [](Rewrite& r) {
         r.Become("Slice", {r.In(0), r.In(1), r.In(2), r.Has(3) ? r.In(3) : kNone});
       }},
      {"ImageScaler", ImageScaler},
      {"ParametricSoftplus", [](Rewrite& r) { BecomeScaled(r, "Softplus"); }},
      {"Scale",
       [](Rewrite& r) {
         r.Become("Mul", {r.In(0), r.Number("scale", r.attributes().Float("scale", 1), r.In(0))});
       }},
      {"ScaledTanh", [](Rewrite& r) { BecomeScaled(r, "Tanh"); }},
      {"SimplifiedLayerNormalization",
       [](Rewrite& r) {
         if (!r.HasOut(1)) r.Become("RMSNormalization", {r.In(0), r.In(1)}, r.attributes());
       }},
  };
  return *rules;
}

}  // namespace

void Rewrite::BecomeActivation(ValueId x, const std::string& activation, const std::vector<float>& parameters) {
  const auto parameter = [&](size_t i, float otherwise) { return i < parameters.size() ? parameters[i] : otherwise; };
  static const std::unordered_map<std::string, std::vector<std::pair<std::string, float>>> known = {
      {"Relu", {}},
      {"Sigmoid", {}},
      {"Tanh", {}},
      {"Softplus", {}},
      {"Softsign", {}},
      {"Gelu", {}},
      {"HardSwish", {}},
      {"Swish", {{"alpha", 1.0f}}},
      {"LeakyRelu", {{"alpha", 0.01f}}},
      {"Elu", {{"alpha", 1.0f}}},
      {"Celu", {{"alpha", 1.0f}}},
      {"ThresholdedRelu", {{"alpha", 1.0f}}},
      {"Selu", {{"alpha", 1.67326f}, {"gamma", 1.0507f}}},
      {"HardSigmoid", {{"alpha", 0.2f}, {"beta", 0.5f}}}};
  if (activation == "Clip") {
    constexpr float kAll = std::numeric_limits<float>::max();
    return Become("Clip", {x, Number("min", parameter(0, -kAll), In(0)), Number("max", parameter(1, kAll), In(0))});
  }
  const auto found = known.find(activation);
  if (found == known.end())
    FailUpgrade(Code::kUnsupported, fmt::format("attribute 'activation' is '{}', which is not known.", activation));
  Attributes a;
  for (size_t i = 0; i < found->second.size(); ++i)
    a.Set(found->second[i].first, parameter(i, found->second[i].second));
  Become(activation, {x}, std::move(a));
}

Attributes Without(Attributes a, std::initializer_list<std::string_view> names) {
  for (std::string_view name : names) a.Remove(name);
  return a;
}

void BecomeFusedConv(Rewrite& r, ValueId weights) {
  const std::string activation = r.attributes().String("activation", "");
  const Attributes window = Without(r.attributes(), {"activation", "activation_params"});
  std::vector<ValueId> inputs = {r.In(0), weights};
  if (r.Has(2)) inputs.push_back(r.In(2));
  if (activation.empty() && !r.Has(3)) return r.Become("Conv", std::move(inputs), window);
  const ValueId y = r.Add("Conv", std::move(inputs), window);
  if (activation.empty()) return r.Become("Add", {y, r.In(3)});
  r.BecomeActivation(r.Plus(y, 3), activation, r.attributes().Floats("activation_params"));
}

bool TakeApart(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (node.domain == kBlockedDomain) {
    if (node.output(0) == kNone) FailUpgrade(Code::kBadGraph, "gives no output.");
    const std::string op_type = node.op_type;
    Rewrite rewrite(graph, id);
    return TakeApartBlocked(rewrite, op_type);
  }
  const bool microsoft = node.domain == kMicrosoftDomain;
  if (!microsoft && !node.domain.empty()) return false;
  const auto& rules = microsoft ? MicrosoftRules() : ExtraRules();
  const auto found = rules.find(node.op_type);
  if (found == rules.end()) return false;
  if (node.output(0) == kNone) FailUpgrade(Code::kBadGraph, "gives no output.");
  Rewrite rewrite(graph, id);
  found->second(rewrite);
  return true;
}

}  // namespace slipway::onnx
