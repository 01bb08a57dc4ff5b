#include <algorithm>
#include <optional>

#include "ops/in_float.h"
#include "ops/indexing.h"
#include "ops/microsoft/attention.h"

namespace slipway {
namespace {

using microsoft::Cache;
using microsoft::DeepHeads;
using microsoft::FlatHeads;

/// Which input is which: the two operators differ in their order.
struct Places {
  int bias, mask, score_bias, past_key, past_value, past_length, beam_width, beams;
};
constexpr Places kMultiHead = {3, 4, 5, 6, 7, 8, kNone, 9};
constexpr Places kDecoder = {10, 3, 4, 5, 6, 7, 8, 9};

struct Sizes {
  int64_t batch, queries, fresh, past, room, size, value_size;
  bool deep;  // keys and values are [B, H, L, D]: all there are
};
struct Operands {
  Sizes sizes;
  kernels::HeadsView<const float> q, k, v;
  Tensor keep[3];  // what the views look at, where that is not an input
};

}  // namespace

/// Attention over heads that are projected already. Queries are [B, S, H D]; keys and values [B, L, H D], or [B, H, L,
/// D] (cross attention), or together [B, L, H, 2, D]; or all three are [B, S, H, 3, D], and for the decoder [B, 1, 3 H
/// D]. Outputs: Y, the caches with the new rows, and scores. com.microsoft MultiHeadAttention and
/// DecoderMaskedMultiHeadAttention.
template <bool kIsDecoder>
struct MultiHeadAttention {
  static constexpr Places kIn = kIsDecoder ? kDecoder : kMultiHead;
  int64_t heads = 0;
  bool causal = false;
  bool shared = false;
  float scale = 0;
  float filter = -10000;

  static MultiHeadAttention Parse(const Attributes& a) {
    return {.heads = a.RequiredInt("num_heads"),
            .causal = a.Int("unidirectional", 0) != 0,
            .shared = a.Int("past_present_share_buffer", 0) != 0,
            .scale = a.Float("scale", 0),
            .filter = a.Float("mask_filter_value", -10000)};
  }

  void Infer(InferContext& c) const {
    if (heads < 1) c.Fail("attribute 'num_heads' is {}, but must be 1 or more.", heads);
    for (int i : {1, 2, kIn.bias, kIn.past_key, kIn.past_value}) {
      if (c.Has(i)) c.ExpectSameElem(i, 0);
    }
    for (int i : {kIn.past_length, kIn.beams}) {
      if (c.Has(i)) c.ExpectElem(i, {DType::kInt32});
    }
    if (c.Has(kIn.past_key) != c.Has(kIn.past_value)) c.Fail("past_key and past_value go together.");
    if (c.Has(kIn.past_length) && !c.Has(kIn.past_key)) c.Fail("past_sequence_length goes with past_key.");
    if (c.Has(kIn.beams) && !c.Has(kIn.past_length)) c.Fail("cache_indirection goes with past_sequence_length.");
    if (c.Has(2) && !c.Has(1)) c.Fail("value goes with key.");
    bool known = c.HasRank(0) && (!c.Has(kIn.past_key) || (c.HasRank(kIn.past_key) && c.HasRank(kIn.past_value)));
    for (int i : {1, 2}) known = known && (!c.Has(i) || c.HasRank(i));
    if (!known) {
      c.Out(0, c.Elem(0), SymbolicShape::OfRank(3));
      for (int i : {1, 2, 3}) c.Out(i, c.Elem(0), SymbolicShape::OfRank(4));
      return;
    }
    InferKnown(c);
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    Operands o = OperandsOf(c);
    const Sizes& s = o.sizes;
    const std::vector<int64_t> past_rows(s.batch, s.past);
    Tensor keys, values;
    if (c.Has(kIn.past_key) || (c.HasOut(1) && !s.deep) || (c.HasOut(2) && !s.deep)) {
      keys = Filled(c, 1, kIn.past_key, o.k, s, s.size, past_rows);
      values = Filled(c, 2, kIn.past_value, o.v, s, s.value_size, past_rows);
      o.k = DeepHeads<const float>(keys.data<float>(), heads, s.room, s.size);
      o.v = DeepHeads<const float>(values.data<float>(), heads, s.room, s.value_size);
    } else if (s.deep) {
      for (int i : {1, 2}) {
        if (c.HasOut(i)) std::copy_n(c.In(i).data<float>(), c.In(i).size(), c.Out(i).data<float>());
      }
    }
    Tensor picked_keys, picked_values;
    if (c.Has(kIn.beams)) {
      picked_keys = microsoft::PickBeams(c, kIn.beams, keys, s.past);
      picked_values = microsoft::PickBeams(c, kIn.beams, values, s.past);
      o.k.data = picked_keys.data<float>();
      o.v.data = picked_values.data<float>();
    }
    const int64_t total = s.past + s.fresh;
    const microsoft::ScoreMask mask(
        c, c.Has(kIn.mask) ? &c.In(kIn.mask) : nullptr, filter, c.Has(kIn.score_bias) ? &c.In(kIn.score_bias) : nullptr,
        {.batch = s.batch, .heads = heads, .queries = s.queries, .keys = total, .fresh = s.fresh});
    const kernels::AttentionArgs args{
        .batch = s.batch,
        .heads = heads,
        .kv_heads = heads,
        .queries = s.queries,
        .keys = total,
        .size = s.size,
        .value_size = s.value_size,
        .q = o.q,
        .k = o.k,
        .v = o.v,
        .out = FlatHeads(c.Out(0).data<float>(), s.queries, heads * s.value_size, s.value_size),
        .mask = mask.view(),
        .scale = microsoft::ScaleOf(scale, s.size),
        .window_right = causal ? 0 : -1,
        .offset = s.past};
    kernels::Attention(args, c.threads());
    if (c.HasOut(3))
      microsoft::WriteScores(args, microsoft::ScoreStage::kScaled, c.Out(3).data<float>(), total, c.threads());
  }

 private:
  Dim Part(const InferContext& c, int input, const Dim& width) const {
    if (width.is_const() && width.value() % heads != 0)
      c.Fail("{} is {} wide, which {} heads do not divide.", c.InputName(input), width.ToString(), heads);
    return FloorDiv(width, heads);
  }

  static void Expect(const InferContext& c, int input, int axis, const Dim& wanted) {
    if (c.Shape(input)[axis].Differs(wanted))
      c.Fail("{} has shape {}, but axis {} must be {}.", c.InputName(input), c.Shape(input).ToString(), axis,
             wanted.ToString());
  }

  void InferKnown(InferContext& c) const {
    c.ExpectRank(0, 3, 5);
    const SymbolicShape& q = c.Shape(0);
    if (q.rank() == 4) c.Fail("{} has rank 4, but must have 3 or 5.", c.InputName(0));
    const Dim batch = q[0], queries = q[1];
    Dim size, value_size, fresh = queries;
    bool deep = false;
    if (q.rank() == 5) {
      if (c.Has(1)) c.Fail("packed queries, keys and values leave no place for {}.", c.InputName(1));
      Expect(c, 0, 2, heads);
      Expect(c, 0, 3, 3);
      size = value_size = q[4];
    } else if (!c.Has(1)) {
      if (!kIsDecoder) c.Fail("key is missing: packed inputs have 5 axes.");
      size = value_size = Part(c, 0, FloorDiv(q[2], 3));
    } else {
      size = Part(c, 0, q[2]);
      const SymbolicShape& k = c.Shape(1);
      c.ExpectRank(1, 3, 5);
      Expect(c, 1, 0, batch);
      deep = k.rank() == 4;
      fresh = k[deep ? 2 : 1];
      if (k.rank() == 5) {
        if (c.Has(2)) c.Fail("packed keys and values leave no place for {}.", c.InputName(2));
        Expect(c, 1, 2, heads);
        Expect(c, 1, 3, 2);
        Expect(c, 1, 4, size);
        value_size = size;
      } else {
        if (!c.Has(2)) c.Fail("value is missing.");
        c.ExpectRank(2, k.rank(), k.rank());
        Expect(c, 2, 0, batch);
        Expect(c, 2, deep ? 2 : 1, fresh);
        for (int i : {1, 2}) {
          if (deep) Expect(c, i, 1, heads);
        }
        Expect(c, 1, deep ? 3 : 2, deep ? size : q[2]);
        value_size = deep ? c.Shape(2)[3] : Part(c, 2, c.Shape(2)[2]);
      }
    }
    if (c.Has(kIn.bias)) {
      c.ExpectRank(kIn.bias, 1, 1);
      if (c.HasRank(kIn.bias)) Expect(c, kIn.bias, 0, Dim(heads) * (size + size + value_size));
    }
    Dim past = 0, room = fresh;
    if (c.Has(kIn.past_key)) {
      if (deep) c.Fail("keys of cross attention leave no place for past_key.");
      for (int i : {kIn.past_key, kIn.past_value}) {
        c.ExpectRank(i, 4, 4);
        Expect(c, i, 0, batch);
        Expect(c, i, 1, heads);
        Expect(c, i, 3, i == kIn.past_key ? size : value_size);
      }
      Expect(c, kIn.past_value, 2, c.Shape(kIn.past_key)[2]);
      past = c.Shape(kIn.past_key)[2];
      room = InPlace(c) ? past : past + fresh;
      if (InPlace(c)) past = Dim::Unknown();
    } else if (shared && !deep) {
      c.Fail("past_present_share_buffer is set, but there is no past_key.");
    }
    const auto known = InPlace(c) ? c.ConstInts(kIn.past_length) : std::nullopt;
    if (known && known->size() == 1) past = (*known)[0];
    const Dim total = past + fresh;
    microsoft::CheckMask(c, kIn.mask, batch);
    microsoft::CheckBias(c, kIn.score_bias, batch, heads, queries, total);
    c.Out(0, c.Elem(0), {batch, queries, Dim(heads) * value_size});
    c.Out(1, c.Elem(0), {batch, Dim(heads), room, size});
    c.Out(2, c.Elem(0), {batch, Dim(heads), room, value_size});
    c.Out(3, c.Elem(0), {batch, Dim(heads), queries, total});
  }

  /// The caches keep their size; past_sequence_length says how much of them is in use.
  template <class Context>
  bool InPlace(const Context& c) const {
    return c.Has(kIn.past_key) && c.Has(kIn.past_length) && (shared || !kIsDecoder);
  }

  Operands OperandsOf(const RunContext& c) const {
    Operands o;
    Sizes& s = o.sizes;
    const Shape& q = c.In(0).shape();
    s = {.batch = q[0], .queries = q[1], .fresh = q[1], .past = 0, .room = 0};
    const float* bias = c.Has(kIn.bias) ? c.In(kIn.bias).data<float>() : nullptr;
    if (!c.Has(1)) {
      const bool deep = q.rank() == 5;  // [.., H, 3, D] against [.., 3, H, D]
      s.size = s.value_size = deep ? q[4] : q[2] / 3 / heads;
      const int64_t width = 3 * heads * s.size, head = deep ? 3 * s.size : s.size,
                    part = deep ? s.size : heads * s.size;
      o.keep[0] = c.In(0);
      if (bias) o.keep[0] = PlusParts(c, o.keep[0], bias, s.size, deep);
      const float* data = o.keep[0].data<float>();
      kernels::HeadsView<const float>* views[] = {&o.q, &o.k, &o.v};
      for (int i = 0; i < 3; ++i) *views[i] = {data + i * part, s.queries * width, head, width};
    } else {
      const Shape& k = c.In(1).shape();
      s.size = q[2] / heads;
      s.deep = k.rank() == 4;
      s.fresh = k[s.deep ? 2 : 1];
      o.keep[0] = microsoft::PlusRow(c.In(0), bias, q[2], c.threads());
      o.q = FlatHeads<const float>(o.keep[0].data<float>(), s.queries, q[2], s.size);
      if (k.rank() == 5) {
        s.value_size = s.size;
        const int64_t width = 2 * heads * s.size;
        const float* data = c.In(1).data<float>();
        if (bias) {
          o.keep[1] = PlusKeysAndValues(c, bias + heads * s.size, s.size);
          data = o.keep[1].data<float>();
        }
        o.k = {data, s.fresh * width, 2 * s.size, width};
        o.v = {data + s.size, s.fresh * width, 2 * s.size, width};
      } else if (s.deep) {
        s.value_size = c.In(2).shape()[3];
        o.k = DeepHeads<const float>(c.In(1).data<float>(), heads, s.fresh, s.size);
        o.v = DeepHeads<const float>(c.In(2).data<float>(), heads, s.fresh, s.value_size);
      } else {
        const int64_t width = c.In(2).shape()[2];
        s.value_size = width / heads;
        o.keep[1] = microsoft::PlusRow(c.In(1), bias ? bias + q[2] : nullptr, q[2], c.threads());
        o.keep[2] = microsoft::PlusRow(c.In(2), bias ? bias + 2 * q[2] : nullptr, width, c.threads());
        o.k = FlatHeads<const float>(o.keep[1].data<float>(), s.fresh, q[2], s.size);
        o.v = FlatHeads<const float>(o.keep[2].data<float>(), s.fresh, width, s.value_size);
      }
    }
    s.room = s.fresh;
    if (c.Has(kIn.past_key)) {
      const int64_t kept = c.In(kIn.past_key).shape()[2];
      s.past = InPlace(c) ? microsoft::CountInput(c, kIn.past_length, kept) : kept;
      s.room = InPlace(c) ? kept : s.past + s.fresh;
      if (s.past + s.fresh > s.room)
        c.Fail("{} cached and {} new keys do not fit a cache of {}.", s.past, s.fresh, s.room);
    }
    return o;
  }

  /// Packed rows with the bias of queries, keys and values, which lies as they do in unpacked rows.
  Tensor PlusParts(const RunContext& c, const Tensor& x, const float* bias, int64_t size, bool deep) const {
    std::vector<float> row(3 * heads * size);
    for (int64_t part = 0; part < 3; ++part) {
      for (int64_t h = 0; h < heads; ++h) {
        const int64_t at = deep ? (h * 3 + part) * size : (part * heads + h) * size;
        std::copy_n(bias + (part * heads + h) * size, size, row.data() + at);
      }
    }
    return microsoft::PlusRow(x, row.data(), 3 * heads * size, c.threads());
  }
  Tensor PlusKeysAndValues(const RunContext& c, const float* bias, int64_t size) const {
    std::vector<float> row(2 * heads * size);
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t part = 0; part < 2; ++part)
        std::copy_n(bias + (part * heads + h) * size, size, row.data() + (h * 2 + part) * size);
    }
    return microsoft::PlusRow(c.In(1), row.data(), 2 * heads * size, c.threads());
  }

  Tensor Filled(RunContext& c, int output, int past, const kernels::HeadsView<const float>& fresh, const Sizes& s,
                int64_t size, std::span<const int64_t> past_rows) const {
    Tensor out = c.HasOut(output) ? c.Out(output) : Tensor(DType::kFloat, {s.batch, heads, s.room, size});
    Cache{.batch = s.batch,
          .heads = heads,
          .size = size,
          .past = c.Has(past) ? c.In(past).data<float>() : nullptr,
          .past_room = c.Has(past) ? c.In(past).shape()[2] : 0,
          .past_rows = past_rows,
          .fresh = fresh,
          .fresh_rows = s.fresh,
          .room = s.room}
        .Write(out.data<float>(), c.threads());
    return out;
  }
};
extern const OpDef kMicrosoftMultiHeadAttention =
    Define<MultiHeadAttention<false>>({.name = "MultiHeadAttention",
                                       .domain = kMicrosoftDomain,
                                       .max_inputs = 10,
                                       .max_outputs = 4,
                                       .types = microsoft::kAttentionTypes});
extern const OpDef kMicrosoftDecoderMaskedMultiHeadAttention =
    Define<MultiHeadAttention<true>>({.name = "DecoderMaskedMultiHeadAttention",
                                      .domain = kMicrosoftDomain,
                                      .max_inputs = 11,
                                      .max_outputs = 4,
                                      .types = microsoft::kAttentionTypes});

}  // namespace slipway
