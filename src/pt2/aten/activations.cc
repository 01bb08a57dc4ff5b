#include <cmath>

#include "pt2/aten/shared.h"

namespace slipway::pt2 {
namespace {

void Unary(Call& c) { c.Out(c.Add(c.detail(), {c.Cast(First(c).id, c.OutDtype())})); }

/// A float attribute by ONNX's name for it; `detail` is "Operator attribute argument default".
void WithNumber(Call& c) {
  std::string words[4];
  size_t at = 0;
  for (std::string& w : words) {
    const size_t end = std::min(c.detail().find(' ', at), c.detail().size());
    w = c.detail().substr(at, end - at);
    at = std::min(end + 1, c.detail().size());
  }
  const double number = c.Float(words[2], std::stod(words[3]));
  c.Out(c.Add(words[0], {First(c).id}, {{words[1], static_cast<float>(number)}}));
}

void Gelu(Call& c) { c.Out(c.Add("Gelu", {First(c).id}, {{"approximate", c.String("approximate", "none")}})); }

void Relu6(Call& c) {
  const TensorRef x = First(c);
  c.Out(c.Add("Clip", {x.id, c.Scalar(0, x.dtype), c.Scalar(6, x.dtype)}));
}
void HardTanh(Call& c) {
  const TensorRef x = First(c);
  c.Out(c.Add("Clip", {x.id, c.Scalar(c.Float("min_val", -1), x.dtype), c.Scalar(c.Float("max_val", 1), x.dtype)}));
}

/// alpha * (exp(x) - 1) below 0, all times a scale.
void Elu(Call& c) {
  const TensorRef x = First(c);
  const double alpha = c.Float("alpha", 1), scale = c.Float("scale", 1), input_scale = c.Float("input_scale", 1);
  if (input_scale != 1) c.Fail("input_scale is {}, and only 1 has an ONNX form.", input_scale);
  const ValueId y = c.Add("Elu", {x.id}, {{"alpha", static_cast<float>(alpha)}});
  c.Out(scale == 1 ? y : c.Add("Mul", {y, c.Scalar(scale, x.dtype)}));
}

void Selu(Call& c) { c.Out(c.Add("Selu", {First(c).id})); }

void PRelu(Call& c) {
  const TensorRef x = First(c), w = c.Tensor("weight");
  // One slope a channel, and channels are axis 1.
  ValueId slope = w.id;
  const bool channels = w.rank() == 1 && !(w.shape[0] == Expr(1)) && x.rank() > 2;
  if (channels) {
    Exprs shape(x.rank() - 1, Expr(1));
    shape[0] = w.shape[0];
    slope = c.Reshape(w.id, w.shape, shape);
  }
  c.Out(c.Add("PRelu", {x.id, slope}));
}

void Softplus(Call& c) {
  const TensorRef x = First(c);
  const double beta = c.Float("beta", 1), threshold = c.Float("threshold", 20);
  if (beta == 1 && threshold >= 20) return c.Out(c.Add("Softplus", {x.id}));
  const ValueId scaled = c.Add("Mul", {x.id, c.Scalar(beta, x.dtype)});
  const ValueId y = c.Add("Div", {c.Add("Softplus", {scaled}), c.Scalar(beta, x.dtype)});
  c.Out(c.Add("Where", {c.Add("Greater", {scaled, c.Scalar(threshold, x.dtype)}), x.id, y}));
}

void Threshold(Call& c) {
  const TensorRef x = First(c);
  const ValueId t = c.Scalar(c.Size("threshold"), x.dtype), v = c.Scalar(c.Size("value"), x.dtype);
  c.Out(c.Add("Where", {c.Add("Greater", {x.id, t}), x.id, v}));
}

void LogSigmoid(Call& c) {
  const ValueId negative = c.Add("Neg", {First(c).id});
  c.Out(0, c.Add("Neg", {c.Add("Softplus", {negative})}));
}

void SoftShrink(Call& c) {
  const auto lambda = static_cast<float>(c.Float("lambd", 0.5));
  c.Out(c.Add("Shrink", {First(c).id}, {{"bias", lambda}, {"lambd", lambda}}));
}
void TanhShrink(Call& c) {
  const ValueId x = First(c).id;
  c.Out(c.Add("Sub", {x, c.Add("Tanh", {x})}));
}

/// Half of the axis, times the gate of the other half.
void Glu(Call& c) {
  const TensorRef x = First(c);
  const auto halves =
      c.AddMany("Split", {x.id}, 2, {{"axis", int64_t{x.Axis(c.Int("dim", -1))}}, {"num_outputs", int64_t{2}}});
  c.Out(c.Add("Mul", {halves[0], c.Add("Sigmoid", {halves[1]})}));
}

/// Evaluation takes the mean slope.
void RRelu(Call& c) {
  const double slope = (c.Float("lower", 0.125) + c.Float("upper", 1.0 / 3)) / 2;
  c.Out(c.Add("LeakyRelu", {First(c).id}, {{"alpha", static_cast<float>(slope)}}));
}

void HardSigmoid(Call& c) { c.Out(c.Add("HardSigmoid", {First(c).id}, {{"alpha", 1.0f / 6}, {"beta", 0.5f}})); }

/// softmax, log_softmax: `dtype` is what it is computed in.
void Softmax(Call& c) {
  const TensorRef x = First(c);
  const int64_t axis = x.Axis(c.Int("dim", -1));
  const ValueId in = c.Cast(x.id, c.OutDtype());
  if (x.rank() == 0) return c.Out(c.detail() == "Softmax" ? c.Scalar(1, c.OutDtype()) : c.Scalar(0, c.OutDtype()));
  c.Out(c.Add(c.detail(), {in}, {{"axis", axis}}));
}

constexpr Conversion kConversions[] = {
    {"aten._log_softmax", Softmax, "LogSoftmax"},
    {"aten._prelu_kernel", PRelu},
    {"aten._softmax", Softmax, "Softmax"},
    {"aten.celu", WithNumber, "Celu alpha alpha 1"},
    {"aten.elu", Elu},
    {"aten.gelu", Gelu},
    {"aten.glu", Glu},
    {"aten.hardshrink", WithNumber, "Shrink lambd lambd 0.5"},
    {"aten.hardsigmoid", HardSigmoid},
    {"aten.hardswish", Unary, "HardSwish"},
    {"aten.hardtanh", HardTanh},
    {"aten.leaky_relu", WithNumber, "LeakyRelu alpha negative_slope 0.01"},
    {"aten.log_sigmoid", LogSigmoid},
    {"aten.log_sigmoid_forward", LogSigmoid},
    {"aten.log_softmax", Softmax, "LogSoftmax"},
    {"aten.mish", Unary, "Mish"},
    {"aten.prelu", PRelu},
    {"aten.relu", Unary, "Relu"},
    {"aten.relu6", Relu6},
    {"aten.rrelu", RRelu},
    {"aten.selu", Selu},
    {"aten.sigmoid", Unary, "Sigmoid"},
    {"aten.silu", Unary, "Swish"},
    {"aten.softmax", Softmax, "Softmax"},
    {"aten.softplus", Softplus},
    {"aten.softshrink", SoftShrink},
    {"aten.softsign", Unary, "Softsign"},
    {"aten.special_log_softmax", Softmax, "LogSoftmax"},
    {"aten.special_softmax", Softmax, "Softmax"},
    {"aten.tanh", Unary, "Tanh"},
    {"aten.tanhshrink", TanhShrink},
    {"aten.threshold", Threshold},
};

}  // namespace

const ConversionTable kActivationsTable = {std::begin(kConversions), std::end(kConversions)};

}  // namespace slipway::pt2
