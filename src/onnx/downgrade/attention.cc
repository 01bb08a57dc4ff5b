#include <cmath>
#include <limits>

#include "onnx/downgrade/rules.h"

namespace slipway::onnx {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// [batch, length, heads * size] as [batch, heads, length, size].
ValueId SplitHeads(Rewrite& r, ValueId v, int64_t heads) {
  return r.Transpose(r.Reshape(v, {0, 0, heads, -1}), {0, 2, 1, 3});
}

/// Each head `times` times, one after the other; axis 1 of 4.
ValueId RepeatHeads(Rewrite& r, ValueId v, const ValueId heads, int64_t times) {
  if (times == 1) return v;
  const ValueId sizes = r.ShapeOf(v), apart = r.Unsqueeze(v, {2});
  const auto part = [&](int64_t from, int64_t to) { return r.Slice(sizes, 0, from, to); };
  const ValueId wide = r.Op("Expand", {apart, r.Concat({part(0, 2), r.Ints({times}), part(2, 4)}, 0)});
  return r.ReshapeBy(wide, r.Concat({part(0, 1), heads, part(2, 4)}, 0));
}

/// Attention written out. The steps are members, since they share the sizes.
class Attention {
 public:
  explicit Attention(Rewrite& r) : r_(r), a_(r.attributes()), type_(r.Elem(r.In(0))) {}

  void Write() {
    const int64_t rank = r_.Rank(r_.In(0));
    q_ = r_.In(0), k_ = r_.In(1), v_ = r_.In(2);
    if (rank == 3) {
      q_ = SplitHeads(r_, q_, a_.RequiredInt("q_num_heads"));
      k_ = SplitHeads(r_, k_, a_.RequiredInt("kv_num_heads"));
      v_ = SplitHeads(r_, v_, a_.RequiredInt("kv_num_heads"));
    }
    if (r_.Has(4)) {
      past_ = r_.SizeOf(r_.In(4), 2);
      k_ = r_.Concat({r_.In(4), k_}, 2);
      v_ = r_.Concat({r_.In(5), v_}, 2);
    }
    const ValueId present_k = k_, present_v = v_;
    queries_ = r_.SizeOf(q_, 2);
    keys_ = r_.SizeOf(k_, 2);
    ShareKeys();
    ValueId scores = r_.Op("MatMul", {Scaled(), r_.Transpose(k_, {0, 1, 3, 2})});
    const int64_t mode = a_.Int("qk_matmul_output_mode", 0);
    ValueId shown = scores;
    if (const float cap = a_.Float("softcap", 0); cap != 0) {
      const ValueId limit = r_.Num(cap, type_);
      scores = r_.Mul(r_.Op("Tanh", {r_.Div(scores, limit)}), limit);
    }
    if (mode == 1) shown = scores;
    scores = Masked(scores);
    if (mode == 2) shown = scores;
    const ValueId weights = Weights(scores);
    if (mode == 3) shown = weights;
    ValueId y = r_.Op("MatMul", {r_.Cast(weights, r_.Elem(v_)), v_});
    if (rank == 3) y = r_.Reshape(r_.Transpose(y, {0, 2, 1, 3}), {0, 0, -1});
    const auto wanted = [&](size_t i, ValueId v) { return r_.node().output(i) == kNone ? kNone : v; };
    r_.Become({r_.Cast(y, type_), wanted(1, present_k), wanted(2, present_v), wanted(3, shown)});
  }

 private:
  void ShareKeys() {
    const auto heads = r_.Size(q_, 1), kv_heads = r_.Size(k_, 1);
    if (!heads || !kv_heads) {
      if (r_.g.value(q_).type.shape[1] == r_.g.value(k_).type.shape[1]) return;
      r_.Fail("the numbers of heads must be known.");
    }
    if (*kv_heads == 0 || *heads % *kv_heads != 0) r_.Fail("the heads of keys do not divide those of queries.");
    k_ = RepeatHeads(r_, k_, r_.Ints({*heads}), *heads / *kv_heads);
    v_ = RepeatHeads(r_, v_, r_.Ints({*heads}), *heads / *kv_heads);
  }

  ValueId Scaled() {
    if (a_.Has("scale")) return r_.Mul(q_, r_.Num(a_.Float("scale", 1), type_));
    if (const auto size = r_.Size(q_, 3)) return r_.Mul(q_, r_.Num(1 / std::sqrt(static_cast<double>(*size)), type_));
    const ValueId size = r_.Cast(r_.SizeOf(q_, 3), DType::kFloat);
    return r_.Div(q_, r_.Cast(r_.Op("Sqrt", {size}), type_));
  }

  /// Where keys may be seen: a bool mask by positions alone, kNone where all are.
  ValueId Visible() {
    const bool causal = a_.Int("is_causal", 0) != 0;
    const int64_t left = a_.Int("left_window_size", -1), right = a_.Int("right_window_size", -1);
    const bool padded = r_.Has(6);
    if (!causal && left < 0 && right < 0 && !padded) return kNone;
    const ValueId key = r_.Unsqueeze(r_.Count(keys_), {0});
    ValueId query = r_.Unsqueeze(r_.Count(queries_), {1}), length = kNone;
    if (padded) {
      length = r_.Unsqueeze(r_.In(6), {1, 2, 3});
      query = r_.Add(query, r_.Sub(length, queries_));
    } else if (past_ != kNone) {
      query = r_.Add(query, past_);
    }
    ValueId visible = kNone;
    const auto both = [&](ValueId more) { visible = visible == kNone ? more : r_.Op("And", {visible, more}); };
    const auto at_most = [&](ValueId edge) { both(r_.Not(r_.Op("Greater", {key, edge}))); };
    if (causal) at_most(query);
    if (right >= 0 && !(causal && right >= 0)) at_most(r_.Add(query, r_.Int(right)));
    if (left >= 0) both(r_.Not(r_.Op("Less", {key, r_.Sub(query, r_.Int(left))})));
    if (padded) both(r_.Op("Less", {key, length}));
    return visible;
  }

  ValueId Masked(ValueId scores) {
    ValueId keep = Visible(), added = kNone;
    may_hide_ = keep != kNone;
    if (r_.Has(3)) {
      may_hide_ = true;
      const ValueId mask = WideMask();
      if (r_.Elem(mask) != DType::kBool) {
        added = r_.Cast(mask, type_);
        if (keep != kNone) added = r_.Select(keep, added, r_.Num(-kInfinity, type_));
        keep = kNone;
      } else {
        keep = keep == kNone ? mask : r_.Op("And", {keep, mask});
      }
    }
    if (added != kNone) return r_.Add(scores, added);
    return keep == kNone ? scores : r_.Select(keep, scores, r_.Num(-kInfinity, type_));
  }

  /// The mask with a column for each key: those that it does not reach are hidden.
  ValueId WideMask() {
    const ValueId mask = r_.In(3);
    if (r_.Rank(mask) == 0) return mask;
    const auto width = r_.Size(mask, -1), keys = r_.Size(k_, 2);
    if (!width || *width == 1 || !keys || *width == *keys) return mask;
    const DType type = r_.Elem(mask);
    std::vector<int64_t> pads(static_cast<size_t>(2 * r_.Rank(mask)), 0);
    pads.back() = *keys - *width;
    return r_.Op("Pad", {mask, r_.Ints(pads), type == DType::kBool ? r_.Num(0, type) : r_.Num(-kInfinity, type)});
  }

  ValueId Weights(ValueId scores) {
    const auto precision = static_cast<DType>(a_.Int("softmax_precision", static_cast<int64_t>(type_)));
    ValueId weights = r_.Op("Softmax", {r_.Cast(scores, precision)}, {{"axis", int64_t{-1}}});
    // A row that is hidden as a whole gives zeros.
    if (may_hide_) weights = r_.Select(r_.Op("IsNaN", {weights}), r_.Num(0, precision), weights);
    return r_.Cast(weights, type_);
  }

  Rewrite& r_;
  const Attributes a_;
  const DType type_;
  ValueId q_ = kNone, k_ = kNone, v_ = kNone, past_ = kNone, queries_ = kNone, keys_ = kNone;
  bool may_hide_ = false;
};

}  // namespace

void AttentionByProducts(Rewrite& r) { Attention(r).Write(); }

void AttentionOfOpset24(Rewrite& r) {
  Attributes& a = r.attributes();
  if (a.Int("left_window_size", -1) >= 0 || a.Int("right_window_size", -1) >= 0) return AttentionByProducts(r);
  a.Remove("left_window_size");
  a.Remove("right_window_size");
}

/// Opset 23 put the causal mask elsewhere where there is a past, and had rows of NaN.
void AttentionOfOpset23(Rewrite& r) {
  if (r.Has(6) || r.Has(4)) AttentionByProducts(r);
}

void RotaryByProducts(Rewrite& r) {
  const ValueId x = r.In(0);
  const Attributes a = r.attributes();
  const int64_t rank = r.Rank(x);
  const bool interleaved = a.Int("interleaved", 0) != 0;
  // Heads lie in axis 1 of 4, or in axis 2 of what axis 2 of 3 is split into.
  const int64_t head_axis = rank == 3 ? 2 : 1;
  const ValueId heads = rank == 3 ? r.Reshape(x, {0, 0, a.RequiredInt("num_heads"), -1}) : x;
  const auto cache = [&](size_t i) {
    const ValueId rows = r.Has(3) ? r.Op("Gather", {r.In(i), r.In(3)}, {{"axis", int64_t{0}}}) : r.In(i);
    return r.Unsqueeze(rows, {head_axis});
  };
  const ValueId cosine = cache(1), sine = cache(2);
  constexpr int64_t kEnd = std::numeric_limits<int64_t>::max();
  const int64_t turned = a.Int("rotary_embedding_dim", 0);
  const ValueId part = turned > 0 ? r.Slice(heads, 3, 0, turned) : heads;
  ValueId first, second;
  if (interleaved) {
    first = r.Slice(part, 3, 0, kEnd, 2);
    second = r.Slice(part, 3, 1, kEnd, 2);
  } else {
    const auto halves = r.Ops("Split", {part}, 2, {{"axis", int64_t{3}}, {"num_outputs", int64_t{2}}});
    first = halves[0], second = halves[1];
  }
  const ValueId real = r.Sub(r.Mul(cosine, first), r.Mul(sine, second));
  const ValueId imaginary = r.Add(r.Mul(sine, first), r.Mul(cosine, second));
  ValueId y;
  if (interleaved) {
    y = r.ReshapeBy(r.Concat({r.Unsqueeze(real, {4}), r.Unsqueeze(imaginary, {4})}, 4), r.ShapeOf(part));
  } else {
    y = r.Concat({real, imaginary}, 3);
  }
  if (turned > 0 && r.Size(heads, 3) != turned) y = r.Concat({y, r.Slice(heads, 3, turned, kEnd)}, 3);
  r.Become({rank == 3 ? r.ReshapeBy(y, r.ShapeOf(x)) : y});
}

/// A cache with new rows written into it.
void TensorScatterByElements(Rewrite& r) {
  const ValueId cache = r.In(0), update = r.In(1);
  const int64_t rank = r.Rank(cache), axis = r.Axis(cache, r.attributes().Int("axis", -2));
  const auto along = [&](int64_t place) {
    std::vector<int64_t> others;
    for (int64_t i = 0; i < rank; ++i) {
      if (i != place) others.push_back(i);
    }
    return others;
  };
  ValueId rows = r.Unsqueeze(r.Count(r.SizeOf(update, axis)), along(axis));
  if (r.Has(2)) rows = r.Add(rows, r.Unsqueeze(r.In(2), along(0)));
  if (r.attributes().String("mode", "linear") == "circular") rows = r.Op("Mod", {rows, r.SizeOf(cache, axis)});
  const ValueId indices = r.Op("Expand", {rows, r.ShapeOf(update)});
  r.Become("ScatterElements", {cache, indices, update}, {{"axis", axis}});
}

void CausalConvByConv(Rewrite& r) {
  const ValueId x = r.In(0), weight = r.In(1);
  const auto taps = r.Size(weight, 2), channels = r.Size(weight, 0);
  if (!taps || !channels) r.Fail("the shape of its weight must be known.");
  const DType type = r.Elem(x);
  ValueId past = r.Has(3) ? r.In(3) : kNone;
  if (past == kNone) past = r.Full(r.Concat({r.SizeOf(x, 0), r.Ints({*channels, *taps - 1})}, 0), 0, type);
  const ValueId joined = r.Concat({past, x}, 2);
  ValueId y = r.Op("Conv", {joined, weight, r.Has(2) ? r.In(2) : kNone}, {{"group", *channels}});
  const std::string activation = r.attributes().String("activation", "none");
  if (activation == "silu" || activation == "swish") y = r.Op("Swish", {y});
  ValueId present = kNone;
  if (r.node().output(1) != kNone) {
    const ValueId size = r.SizeOf(joined, 2);
    present = r.Cut(joined, 2, r.Sub(size, r.Ints({*taps - 1})), size);
  }
  r.Become({y, present});
}

namespace {

/// Nodes of a scan's body.
struct Body {
  Graph& g;
  int count = 0;
  ValueId Op(std::string op, std::vector<ValueId> inputs, Attributes a = {}) {
    const ValueId out = g.AddValue("step_" + std::to_string(count++));
    g.AddNode({.op_type = std::move(op), .inputs = std::move(inputs), .outputs = {out}, .attributes = std::move(a)});
    return out;
  }
};

}  // namespace

/// The state is [batch, heads, key, value]; each step is a row of keys and values.
void LinearAttentionByScan(Rewrite& r) {
  const Attributes a = r.attributes();
  const int64_t q_heads = a.RequiredInt("q_num_heads"), heads = a.RequiredInt("kv_num_heads");
  if (heads < 1 || q_heads % heads != 0) r.Fail("the heads of keys do not divide those of queries.");
  const std::string rule = a.String("update_rule", "gated_delta");
  const bool gated = rule == "gated" || rule == "gated_delta", delta = rule == "delta" || rule == "gated_delta";
  const ValueId query = r.In(0), key = r.In(1), value = r.In(2);
  const DType type = r.Elem(query), wide = type == DType::kDouble ? type : DType::kFloat;
  // [batch, steps, heads * n] as [steps, batch, heads, n, ...].
  const auto rows = [&](ValueId v, int64_t n_heads) {
    return r.Transpose(r.Reshape(r.Cast(v, wide), {0, 0, n_heads, -1}), {1, 0, 2, 3});
  };
  ValueId q = rows(query, q_heads);
  const ValueId k = rows(key, heads), v = rows(value, heads);
  const auto key_size = r.Size(k, 3), value_size = r.Size(v, 3);
  if (!key_size || !value_size) r.Fail("the widths of its keys and values must be known.");
  const float given = a.Float("scale", 0);
  q = r.Mul(q, r.Num(given != 0 ? given : 1 / std::sqrt(static_cast<double>(*key_size)), wide));
  // Queries of one key head lie in an axis of their own.
  q = r.ReshapeBy(q, r.Concat({r.SizeOf(q, 0), r.SizeOf(q, 1), r.Ints({heads, q_heads / heads, *key_size})}, 0));
  ValueId state = r.Has(3)
                      ? r.Cast(r.In(3), wide)
                      : r.Full(r.Concat({r.SizeOf(query, 0), r.Ints({heads, *key_size, *value_size})}, 0), 0, wide);

  auto sub = std::make_shared<Graph>();
  sub->name = "step";
  Body b{*sub};
  std::vector<ValueId> scanned;
  const auto input = [&](const char* name, ValueId outer) {
    Type t = r.g.value(outer).type;
    auto& dims = t.shape.dims();
    dims.erase(dims.begin());
    const ValueId inner = sub->AddValue(name, t);
    sub->inputs.push_back(inner);
    scanned.push_back(outer);
    return inner;
  };
  const ValueId s0 = sub->AddValue("state", r.g.value(state).type);
  sub->inputs.push_back(s0);
  const ValueId qi = input("q", q), ki = input("k", r.Unsqueeze(k, {4})), vi = input("v", r.Unsqueeze(v, {3}));
  ValueId s = s0;
  if (gated) {
    // A number a key or a number a head, for each row of the state.
    s = b.Op("Mul", {s, input("decay", r.Op("Exp", {r.Unsqueeze(rows(r.In(4), heads), {4})}))});
  }
  ValueId more = vi;
  if (delta) {
    // beta has a number a head, or one for all.
    const bool shared = r.Size(r.In(5), 2) == 1 && heads != 1;
    const ValueId beta = r.Unsqueeze(rows(r.In(5), shared ? 1 : heads), {4});
    const ValueId turned = b.Op("Transpose", {ki}, {{"perm", std::vector<int64_t>{0, 1, 3, 2}}});
    more = b.Op("Mul", {b.Op("Sub", {vi, b.Op("MatMul", {turned, s})}), input("beta", beta)});
  }
  const ValueId next = b.Op("Add", {s, b.Op("MatMul", {ki, more})});
  const ValueId out = b.Op("MatMul", {qi, next});
  sub->value(next).type = sub->value(s0).type;
  sub->outputs = {next, out};

  std::vector<ValueId> inputs = {state};
  inputs.insert(inputs.end(), scanned.begin(), scanned.end());
  const auto results =
      r.Ops("Scan", inputs, 2, {{"body", sub}, {"num_scan_inputs", static_cast<int64_t>(scanned.size())}});
  // [steps, batch, heads, queries, value] as [batch, steps, heads * queries * value].
  const ValueId y = r.Reshape(r.Transpose(results[1], {1, 0, 2, 3, 4}), {0, 0, q_heads * *value_size});
  const DType state_type =
      r.Has(3) ? r.Elem(r.In(3)) : r.Elem(r.node().output(1) == kNone ? query : r.node().output(1));
  r.Become({r.Cast(y, type), r.node().output(1) == kNone ? kNone : r.Cast(results[0], state_type)});
}

}  // namespace slipway::onnx
