#include "ops/epilogue.h"

#include <algorithm>

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

kernels::Epilogue ParseEpilogue(const Attributes& a, const std::string& prefix) {
  kernels::Epilogue e;
  const std::string name = a.String(prefix + "activation", "");
  const auto* found =
      std::find_if(std::begin(kActivations), std::end(kActivations), [&](const auto& p) { return p.first == name; });
  if (found == std::end(kActivations))
    throw Error(Code::kUnsupported, fmt::format("activation '{}' is not known", name));
  e.activation = found->second;
  e.scale = a.Float(prefix + "scale", 1);
  e.alpha = a.Float(prefix + "activation_alpha", e.activation == Activation::kSilu ? 1 : 0);
  e.beta = a.Float(prefix + "activation_beta", 0);
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

}  // namespace slipway
