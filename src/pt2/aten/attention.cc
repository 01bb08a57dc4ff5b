#include <cmath>

#include "pt2/converter.h"

namespace slipway::pt2 {
namespace {

/// softmax(q k^T * scale + mask) v; `detail` "flash" and the like give more outputs, which only training reads.
void ScaledDotProduct(Call& c) {
  const TensorRef q = c.Tensor("query"), k = c.Tensor("key"), v = c.Tensor("value");
  if (q.rank() < 2 || k.rank() != q.rank() || v.rank() != q.rank()) {
    c.Fail("its inputs have ranks {}, {} and {}.", q.rank(), k.rank(), v.rank());
  }
  const TensorRef mask = c.OptionalTensor(c.Has("attn_bias") ? "attn_bias" : "attn_mask");
  if (c.Float("dropout_p", 0) > 0) c.Warn("attention was traced with dropout: it is left out, as in evaluation");
  // Batches of any rank as one of rank 4.
  const auto heads = [&](const TensorRef& t) {
    if (t.rank() == 4) return t.id;
    if (t.rank() == 3) return c.Unsqueeze(t.id, {0});
    if (t.rank() == 2) return c.Unsqueeze(t.id, {0, 1});
    Expr count = 1;
    for (int i = 0; i < t.rank() - 3; ++i) count = count * t.shape[i];
    Exprs shape = {count};
    shape.insert(shape.end(), t.shape.end() - 3, t.shape.end());
    return c.Reshape(t.id, t.shape, shape);
  };
  Attributes attributes;
  if (c.Bool("is_causal", false)) attributes.Set("is_causal", int64_t{1});
  const Expr scale = c.Size("scale", 0);
  if (c.Has("scale")) {
    if (!scale.is_number()) c.Fail("a scale that varies.");
    attributes.Set("scale", static_cast<float>(scale.value()));
  }
  ValueId m = kNone;
  if (mask.defined()) {
    m = mask.dtype == DType::kBool ? mask.id : c.Cast(mask.id, q.dtype);
    if (mask.rank() > 4) {
      Exprs wide(q.shape.begin(), q.shape.end() - 1);
      wide.push_back(k.shape[k.rank() - 2]);
      const TensorRef full{c.Expand(m, mask.shape, wide), mask.dtype, wide};
      m = heads(full);
    } else if (q.rank() == 3 && mask.rank() == 3) {
      m = c.Unsqueeze(m, {0});
    }
  }
  const ValueId y = c.Add("Attention", {heads(q), heads(k), heads(v), m}, std::move(attributes));
  if (q.rank() == 4) return c.Out(0, y);
  if (q.rank() == 3) return c.Out(0, c.Squeeze(y, {0}));
  if (q.rank() == 2) return c.Out(0, c.Squeeze(y, {0, 1}));
  c.Out(0, c.Reshape(y, {}, c.OutShape()));
}

ValueId Project(Call& c, ValueId x, std::string_view weight, std::string_view bias) {
  const TensorRef w = c.Tensor(weight), b = c.OptionalTensor(bias);
  const ValueId y = c.Add("MatMul", {x, c.Transposed(w)});
  return b.defined() ? c.Add("Add", {y, b.id}) : y;
}

/// The mask of nn.MultiheadAttention, which says what is left out, as one that ONNX adds: of the kinds 0 (sequence by
/// sequence), 1 (batch by sequence) and 2 (all).
ValueId AdditiveMask(Call& c, DType type) {
  const TensorRef mask = c.OptionalTensor("mask");
  if (!mask.defined()) return kNone;
  ValueId m = mask.id;
  if (mask.dtype == DType::kBool) {
    m = c.Add("Where", {m, c.Scalar(-INFINITY, type), c.Scalar(0, type)});
  } else {
    m = c.Cast(m, type);
  }
  const int64_t kind = c.Int("mask_type", mask.rank() == 4 ? 2 : 0);
  if (kind == 1) return c.Unsqueeze(m, {1, 2});
  return mask.rank() == 3 ? c.Unsqueeze(m, {1}) : m;
}

/// Self-attention with one projection for all three; [batch, sequence, width].
ValueId SelfAttention(Call& c, ValueId x, int64_t heads, DType type) {
  const ValueId all = Project(c, x, "qkv_weight", "qkv_bias");
  const auto qkv = c.AddMany("Split", {all}, 3, {{"axis", int64_t{-1}}, {"num_outputs", int64_t{3}}});
  const ValueId y = c.Add("Attention", {qkv[0], qkv[1], qkv[2], AdditiveMask(c, type)},
                          {{"q_num_heads", heads}, {"kv_num_heads", heads}});
  return Project(c, y, "proj_weight", "proj_bias");
}

/// A whole layer of nn.TransformerEncoder.
void EncoderLayer(Call& c) {
  const TensorRef x = c.Tensor("src");
  const int64_t heads = c.Int("num_heads");
  const bool norm_first = c.Bool("norm_first", false);
  const auto norm = [&](ValueId v, std::string_view weight, std::string_view bias) {
    return c.Add("LayerNormalization", {v, c.Tensor(weight).id, c.Tensor(bias).id},
                 {{"axis", int64_t{-1}}, {"epsilon", static_cast<float>(c.Float("eps", 1e-5))}});
  };
  const auto feed_forward = [&](ValueId v) {
    const ValueId wide = Project(c, v, "ffn_weight_1", "ffn_bias_1");
    return Project(c, c.Add(c.Bool("use_gelu", false) ? "Gelu" : "Relu", {wide}), "ffn_weight_2", "ffn_bias_2");
  };
  ValueId v = x.id;
  if (norm_first) {
    v = c.Add("Add", {v, SelfAttention(c, norm(v, "norm_weight_1", "norm_bias_1"), heads, x.dtype)});
    v = c.Add("Add", {v, feed_forward(norm(v, "norm_weight_2", "norm_bias_2"))});
  } else {
    v = norm(c.Add("Add", {v, SelfAttention(c, v, heads, x.dtype)}), "norm_weight_1", "norm_bias_1");
    v = norm(c.Add("Add", {v, feed_forward(v)}), "norm_weight_2", "norm_bias_2");
  }
  c.Out(v);
}

/// nn.MultiheadAttention's fast path.
void MultiHead(Call& c) {
  const TensorRef q = c.Tensor("query"), k = c.Tensor("key"), v = c.Tensor("value");
  const int64_t heads = c.Int("num_head");
  if (heads <= 0 || q.rank() != 3) c.Fail("it has {} heads and an input of rank {}.", heads, q.rank());
  if (q.id == k.id && k.id == v.id && !c.Bool("need_weights", true)) {
    return c.Out(0, SelfAttention(c, q.id, heads, q.dtype));
  }
  const Expr width = c.Size("embed_dim");
  if (!width.is_int()) c.Fail("a width that varies.");
  const int64_t e = width.int_value(), d = e / heads;
  const TensorRef w = c.Tensor("qkv_weight"), b = c.Tensor("qkv_bias");
  const auto project = [&](const TensorRef& t, int64_t part) {
    const ValueId weight = c.Transpose(c.Slice(w.id, 0, part * e, (part + 1) * e), {1, 0});
    const ValueId y = c.Add("Add", {c.Add("MatMul", {t.id, weight}), c.Slice(b.id, 0, part * e, (part + 1) * e)});
    Exprs shape(t.shape.begin(), t.shape.end() - 1);
    Exprs from = shape;
    from.emplace_back(e);
    shape.emplace_back(heads);
    shape.emplace_back(d);
    return c.Transpose(c.Reshape(y, from, shape), {0, 2, 1, 3});
  };
  const ValueId scaled = c.Add("Mul", {project(q, 0), c.Scalar(1 / std::sqrt(static_cast<double>(d)), q.dtype)});
  ValueId scores = c.Add("MatMul", {scaled, c.SwapLast(project(k, 1), 4)});
  if (const ValueId mask = AdditiveMask(c, q.dtype); mask != kNone) scores = c.Add("Add", {scores, mask});
  const ValueId weights = c.Add("Softmax", {scores}, {{"axis", int64_t{-1}}});
  const ValueId y = c.Transpose(c.Add("MatMul", {weights, project(v, 2)}), {0, 2, 1, 3});
  Exprs heads_last = {q.shape[0], q.shape[1], Expr(heads), Expr(d)};
  c.Out(0, Project(c, c.Reshape(y, heads_last, q.shape), "proj_weight", "proj_bias"));
  if (!c.Wants(1) || !c.Bool("need_weights", true)) return;
  c.Out(1, c.Bool("average_attn_weights", true)
               ? c.Add("ReduceMean", {weights, c.IntsConstant({1})}, {{"keepdims", int64_t{0}}})
               : weights);
}

constexpr Conversion kConversions[] = {
    {"aten._native_multi_head_attention", MultiHead},
    {"aten._scaled_dot_product_attention_math", ScaledDotProduct},
    {"aten._scaled_dot_product_cudnn_attention", ScaledDotProduct},
    {"aten._scaled_dot_product_efficient_attention", ScaledDotProduct},
    {"aten._scaled_dot_product_flash_attention", ScaledDotProduct},
    {"aten._scaled_dot_product_flash_attention_for_cpu", ScaledDotProduct},
    {"aten._scaled_dot_product_fused_attention_overrideable", ScaledDotProduct},
    {"aten._transformer_encoder_layer_fwd", EncoderLayer},
    {"aten.scaled_dot_product_attention", ScaledDotProduct},
};

}  // namespace

const ConversionTable kAttentionTable = {std::begin(kConversions), std::end(kConversions)};

}  // namespace slipway::pt2
