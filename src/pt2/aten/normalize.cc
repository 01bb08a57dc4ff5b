#include "pt2/aten/shared.h"

namespace slipway::pt2 {
namespace {

/// A scale or shift that ONNX wants where torch has none.
ValueId OrFull(Call& c, const TensorRef& t, const Exprs& shape, double value, DType type) {
  if (t.defined()) return c.Cast(t.id, type);
  slipway::Shape fixed;
  for (const Expr& e : shape) {
    if (!e.is_int()) return c.Full(shape, Expr::Float(value), type);
    fixed.push_back(e.int_value());
  }
  return c.Constant(Filled(type, fixed, value));
}

/// Statistics of a training step are not for a file: those of the batch only where there are no others.
void BatchNorm(Call& c) {
  const TensorRef x = First(c);
  const TensorRef mean = c.OptionalTensor("running_mean"), var = c.OptionalTensor("running_var");
  const double eps = c.Float("eps", 1e-5);
  const Exprs channels = {x.shape.at(1)};
  const DType type = mean.defined() ? mean.dtype : x.dtype;
  const ValueId scale = OrFull(c, c.OptionalTensor("weight"), channels, 1, type);
  const ValueId bias = OrFull(c, c.OptionalTensor("bias"), channels, 0, type);
  const bool training = c.Bool("training", c.Bool("train", c.Bool("use_input_stats", false)));
  if (mean.defined() && var.defined()) {
    if (training)
      c.Warn("a batch normalization was traced in training mode: its running statistics are used, as in evaluation");
    c.Out(0, c.Add("BatchNormalization", {x.id, scale, bias, mean.id, var.id}, {{"epsilon", static_cast<float>(eps)}}));
    return;
  }
  // Over all axes but the channels'.
  std::vector<int64_t> axes = {0};
  for (int i = 2; i < x.rank(); ++i) axes.push_back(i);
  const ValueId along = c.IntsConstant(axes);
  const ValueId apart = c.Add("Sub", {x.id, c.Add("ReduceMean", {x.id, along})});
  const ValueId spread = c.Add("ReduceMean", {c.Add("Mul", {apart, apart}), along});
  const ValueId unit = c.Add("Div", {apart, c.Add("Sqrt", {c.Add("Add", {spread, c.Scalar(eps, x.dtype)})})});
  std::vector<int64_t> tail;
  for (int i = 1; i < x.rank() - 1; ++i) tail.push_back(i);
  c.Out(0, c.Add("Add", {c.Add("Mul", {unit, c.Unsqueeze(scale, tail)}), c.Unsqueeze(bias, tail)}));
}

/// Over each channel of each sample; rank 2 and 3 as torch takes them.
void InstanceNorm(Call& c) {
  const TensorRef x = First(c);
  const TensorRef mean = c.OptionalTensor("running_mean");
  if (mean.defined() && !c.Bool("use_input_stats", true)) return BatchNorm(c);
  const Exprs channels = {x.shape.at(1)};
  const ValueId scale = OrFull(c, c.OptionalTensor("weight"), channels, 1, x.dtype);
  const ValueId bias = OrFull(c, c.OptionalTensor("bias"), channels, 0, x.dtype);
  c.Out(c.Add("InstanceNormalization", {x.id, scale, bias}, {{"epsilon", static_cast<float>(c.Float("eps", 1e-5))}}));
}

void LayerNorm(Call& c) {
  const TensorRef x = First(c);
  const Exprs shape = c.Sizes("normalized_shape");
  const ValueId scale = OrFull(c, c.OptionalTensor("weight"), shape, 1, x.dtype);
  const TensorRef bias = c.OptionalTensor("bias");
  c.Out(0,
        c.Add("LayerNormalization", {x.id, scale, bias.id},
              {{"axis", -static_cast<int64_t>(shape.size())}, {"epsilon", static_cast<float>(c.Float("eps", 1e-5))}}));
}

void RmsNorm(Call& c) {
  const TensorRef x = First(c);
  const Exprs shape = c.Sizes("normalized_shape");
  const ValueId scale = OrFull(c, c.OptionalTensor("weight"), shape, 1, x.dtype);
  // torch's own epsilon is the type's.
  const double eps = x.dtype == DType::kFloat16    ? 0.0009765625
                     : x.dtype == DType::kBFloat16 ? 0.0078125
                     : x.dtype == DType::kDouble   ? 2.220446049250313e-16
                                                   : 1.1920928955078125e-07;
  c.Out(0,
        c.Add("RMSNormalization", {x.id, scale},
              {{"axis", -static_cast<int64_t>(shape.size())}, {"epsilon", static_cast<float>(c.Float("eps", eps))}}));
}

void GroupNorm(Call& c) {
  const TensorRef x = First(c);
  const Argument* groups = c.Find("num_groups");
  const int64_t n = groups ? c.Int("num_groups") : c.Int("group");
  const Exprs channels = {x.shape.at(1)};
  const ValueId scale = OrFull(c, c.OptionalTensor("weight"), channels, 1, x.dtype);
  const ValueId bias = OrFull(c, c.OptionalTensor("bias"), channels, 0, x.dtype);
  c.Out(0, c.Add("GroupNormalization", {x.id, scale, bias},
                 {{"num_groups", n}, {"epsilon", static_cast<float>(c.Float("eps", 1e-5))}}));
}

/// weight_norm: v * g / |v| over all axes but one.
void WeightNorm(Call& c) {
  const TensorRef v = c.Tensor("v"), g = c.Tensor("g");
  const int64_t dim = c.Int("dim", 0);
  std::vector<int64_t> axes;
  for (int i = 0; i < v.rank(); ++i) {
    if (i != v.Axis(dim) || dim == -1) axes.push_back(i);
  }
  const ValueId size = c.Add("ReduceL2", {v.id, c.IntsConstant(axes)}, {{"keepdims", int64_t{1}}});
  c.Out(0, c.Add("Mul", {v.id, c.Add("Div", {g.id, size})}));
}

constexpr Conversion kConversions[] = {
    {"aten._batch_norm_impl_index", BatchNorm},
    {"aten._batch_norm_no_update", BatchNorm},
    {"aten._fused_rms_norm", RmsNorm},
    {"aten._native_batch_norm_legit", BatchNorm},
    {"aten._native_batch_norm_legit_no_training", BatchNorm},
    {"aten._weight_norm", WeightNorm},
    {"aten._weight_norm_interface", WeightNorm},
    {"aten.batch_norm", BatchNorm},
    {"aten.cudnn_batch_norm", BatchNorm},
    {"aten.group_norm", GroupNorm},
    {"aten.instance_norm", InstanceNorm},
    {"aten.layer_norm", LayerNorm},
    {"aten.native_batch_norm", BatchNorm},
    {"aten.native_group_norm", GroupNorm},
    {"aten.native_layer_norm", LayerNorm},
    {"aten.rms_norm", RmsNorm},
};

}  // namespace

const ConversionTable kNormalizeTable = {std::begin(kConversions), std::end(kConversions)};

}  // namespace slipway::pt2
