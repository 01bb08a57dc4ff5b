#include "ops/epilogue.h"

#include <algorithm>
#include <cmath>

namespace slipway {
namespace {

using kernels::Activation;

constexpr std::pair<std::string_view, Activation> kActivations[] = {
    {"", Activation::kNone},
    {"Relu", Activation::kRelu},
    {"Clip", Activation::kClip},
    {"LeakyRelu", Activation::kLeakyRelu},
    {"Gelu", Activation::kGelu},
    {"GeluTanh", Activation::kGeluTanh},
    {"Swish", Activation::kSilu},
    {"Sigmoid", Activation::kSigmoid},
    {"Tanh", Activation::kTanh},
    {"HardSwish", Activation::kHardSwish},
    {"HardSigmoid", Activation::kHardSigmoid},
};

}  // namespace

kernels::Epilogue ParseEpilogue(const Attributes& a) {
  kernels::Epilogue e;
  const std::string name = a.String("activation", "");
  const auto* found =
      std::find_if(std::begin(kActivations), std::end(kActivations), [&](const auto& p) { return p.first == name; });
  if (found == std::end(kActivations))
    throw Error(Code::kUnsupported, fmt::format("activation '{}' is not known", name));
  e.activation = found->second;
  e.scale = a.Float("scale", 1);
  e.alpha = a.Float("activation_alpha", e.activation == Activation::kSilu ? 1 : 0);
  e.beta = a.Float("activation_beta", 0);
  if (e.activation == Activation::kSilu && e.alpha != 1) {
    throw Error(Code::kUnsupported,
                fmt::format("activation Swish is fused with activation_alpha 1 only, not {}", e.alpha));
  }
  return e;
}

void CheckResidual(const InferContext& c, int residual, const SymbolicShape& result, DType elem) {
  if (!c.Has(residual)) return;
  c.ExpectElem(residual, {elem});
  if (!c.HasRank(residual) || !result.has_rank()) return;
  const SymbolicShape& shape = c.Shape(residual);
  bool same = shape.rank() == result.rank();
  for (int i = 0; same && i < result.rank(); ++i) same = !shape[i].Differs(result[i]);
  if (!same) {
    c.Fail("{} has shape {}, but the result has shape {}.", c.InputName(residual), shape.ToString(), result.ToString());
  }
}

double Activate(const kernels::Epilogue& e, double x) {
  auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  switch (e.activation) {
    case Activation::kNone:
      return x;
    case Activation::kRelu:
      return x < 0 ? 0 : x;
    case Activation::kClip:
      return x < e.alpha ? e.alpha : x > e.beta ? e.beta : x;
    case Activation::kLeakyRelu:
      return x < 0 ? e.alpha * x : x;
    case Activation::kGelu:
      return x * (1 + std::erf(x * std::sqrt(0.5))) / 2;
    case Activation::kGeluTanh:
      return x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))) / 2;
    case Activation::kSilu:
      return x * sigmoid(x);
    case Activation::kSigmoid:
      return sigmoid(x);
    case Activation::kTanh:
      return std::tanh(x);
    case Activation::kHardSwish:
      return x * std::clamp(x / 6 + 0.5, 0.0, 1.0);
    case Activation::kHardSigmoid:
      return std::clamp(e.alpha * x + e.beta, 0.0, 1.0);
  }
  return x;
}

}  // namespace slipway
