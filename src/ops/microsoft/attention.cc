#include "ops/microsoft/attention.h"

#include <algorithm>

#include "ops/in_float.h"
#include "ops/indexing.h"
#include "ops/int_product.h"
#include "ops/shape_math.h"

namespace slipway {

namespace {

enum class Form : uint8_t { kPlain, kDecoder, kQuantized };

const Tensor* Optional(const RunContext& c, int i) { return c.Has(i) ? &c.In(i) : nullptr; }

}  // namespace

/// Projects X [B, S, C] by weights of queries, keys and values side by side, and attends over heads. The cache is [2,
/// B, H, P, D]. com.microsoft Attention; DecoderMaskedSelfAttention, which reads its cache in place and whose beams
/// have a cache each; QAttention, whose X and weights are bytes with scales and zero points.
template <Form kForm>
struct MicrosoftAttention {
  static constexpr bool kIsDecoder = kForm == Form::kDecoder, kIsQuantized = kForm == Form::kQuantized;
  static constexpr int kNoInput = 1 << 20;
  // Where inputs are; X, the weights and the bias come first.
  static constexpr int kMask = kIsQuantized ? 5 : 3, kPast = kIsQuantized ? 8 : 4,
                       kScoreBias = kIsQuantized ? kNoInput : 5, kPastRows = kIsQuantized ? kNoInput : 6,
                       kCacheRows = kIsQuantized ? kNoInput : 7, kBeams = kIsDecoder ? 8 : kNoInput;
  static constexpr int kXScale = 3, kWeightScale = 4, kXZero = 6, kWeightZero = 7;  // of QAttention
  using Product = std::conditional_t<kIsQuantized, IntProduct, MatrixProduct>;
  int64_t heads = 0;
  bool causal = false;
  bool shared = false;
  bool rotary = false;
  int64_t turned = 0;
  float scale = 0;
  float filter = -10000;
  std::vector<int64_t> widths;
  Product product;

  static MicrosoftAttention Parse(const Attributes& a) {
    return {.heads = a.RequiredInt("num_heads"),
            .causal = a.Int("unidirectional", 0) != 0,
            .shared = a.Int("past_present_share_buffer", 0) != 0,
            .rotary = a.Int("do_rotary", 0) != 0,
            .turned = a.Int("rotary_embedding_dim", 0),
            .scale = a.Float("scale", 0),
            .filter = a.Float("mask_filter_value", -10000),
            .widths = a.Ints("qkv_hidden_sizes")};
  }

  void Infer(InferContext& c) const {
    if (heads < 1) c.Fail("attribute 'num_heads' is {}, but must be 1 or more.", heads);
    if constexpr (kIsQuantized) {
      ExpectBytes(c);
    } else {
      c.ExpectSameElem(1, 0);
    }
    const DType elem = c.Elem(kIsQuantized ? kXScale : 0);
    for (int i : {2, kPast}) {
      if (c.Has(i)) c.ExpectElem(i, {elem});
    }
    c.ExpectRank(0, 3, 3);
    c.ExpectRank(1, 2, 2);
    for (int i : {kPastRows, kCacheRows, kBeams}) {
      if (c.Has(i)) c.ExpectElem(i, {DType::kInt32});
    }
    if (c.Has(kBeams) && !c.Has(kPastRows)) c.Fail("cache_indirection goes with past_sequence_length.");
    if (InPlace(c) && !c.Has(kPastRows))
      c.Fail("past_present_share_buffer is set, but past_sequence_length is missing.");
    if (!c.HasRank(0) || !c.HasRank(1)) {
      c.Out(0, elem, SymbolicShape::OfRank(3));
      return c.Out(1, elem, SymbolicShape::OfRank(5));
    }
    ProductShape(c, 0, 1);
    const SymbolicShape& x = c.Shape(0);
    const Dim all = c.Shape(1)[1];
    Dim q = FloorDiv(all, 3), v = q;
    if (!widths.empty()) {
      if (widths.size() != 3 || widths[0] != widths[1])
        c.Fail("attribute 'qkv_hidden_sizes' must be three widths, of which the first two are the same.");
      q = widths[0];
      v = widths[2];
    }
    if (all.Differs(q + q + v))
      c.Fail("{} has {} columns, but queries, keys and values {} + {} + {}.", c.InputName(1), all.ToString(),
             q.ToString(), q.ToString(), v.ToString());
    for (const Dim& width : {q, v}) {
      if (width.is_const() && (width.value() < 0 || width.value() % heads != 0))
        c.Fail("{} heads do not divide a width of {}.", heads, width.ToString());
    }
    if (c.Has(2)) {
      c.ExpectRank(2, 1, 1);
      if (c.HasRank(2) && c.Shape(2)[0].Differs(all))
        c.Fail("{} has shape {}, but there are {} columns.", c.InputName(2), c.Shape(2).ToString(), all.ToString());
    }
    const Dim size = FloorDiv(q, heads);
    Dim past = 0, room = x[1];
    if (c.Has(kPast)) {
      if (q.Differs(v))
        c.Fail("a cache wants keys and values of one width, not {} and {}.", q.ToString(), v.ToString());
      c.ExpectRank(kPast, 5, 5);
      past = c.HasRank(kPast) ? c.Shape(kPast)[3] : Dim::Unknown();
      if (c.HasRank(kPast)) {
        const Dim wanted[] = {2, x[0], heads, past, size};
        for (int i = 0; i < 5; ++i) {
          if (c.Shape(kPast)[i].Differs(wanted[i]))
            c.Fail("{} has shape {}, but must be [2, {}, {}, past, {}].", c.InputName(kPast), c.Shape(kPast).ToString(),
                   x[0].ToString(), heads, size.ToString());
        }
      }
      room = InPlace(c) ? past : past + x[1];
      if (InPlace(c)) past = Dim::Unknown();
    }
    microsoft::CheckMask(c, kMask,
                         c.Has(kMask) && c.HasRank(kMask) && c.Shape(kMask).rank() > 1 ? x[0] : Dim::Unknown());
    microsoft::CheckBias(c, kScoreBias, x[0], heads, x[1], past + x[1]);
    if (rotary && (turned < 0 || turned % 2 || (size.is_const() && turned > size.value())))
      c.Fail("attribute 'rotary_embedding_dim' is {}, but must be even and at most {}.", turned, size.ToString());
    c.Out(0, elem, {x[0], x[1], v});
    if (c.HasOut(1) && q.Differs(v)) c.Fail("a cache wants keys and values of one width.");
    c.Out(1, elem, {Dim(2), x[0], Dim(heads), room, size});
  }

  bool Prepack(int input, const InferContext& c, const kernels::Packing& packing) {
    return input == 1 && product.Prepack(*c.Constant(1), packing);
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    const Shape& x = c.In(0).shape();
    const int64_t batch = x[0], rows = x[1], all = c.In(1).shape()[1];
    const int64_t q = widths.empty() ? all / 3 : widths[0], v = all - 2 * q, size = q / heads, value_size = v / heads;
    Tensor projected(DType::kFloat, {batch, rows, all});
    const kernels::Epilogue bias{.bias = c.Has(2) ? c.In(2).data<float>() : nullptr};
    if constexpr (kIsQuantized) {
      std::vector<float> scales = ToVectorOf<float>(c.In(kWeightScale));
      for (float& s : scales) s *= *c.In(kXScale).data<float>();
      product.Run(
          c, c.In(0), c.In(1), Optional(c, kXZero), Optional(c, kWeightZero), projected,
          {.kind = kernels::IntResult::Kind::kFloat, .scale = {scales.data(), scales.size() > 1}, .epilogue = bias});
    } else {
      product.RunFloat(c, c.In(0), c.In(1), projected, bias);
    }
    float* data = projected.data<float>();
    int64_t past = 0, room = rows;
    if (c.Has(kPast)) {
      const int64_t kept = c.In(kPast).shape()[3];
      past = InPlace(c) ? microsoft::CountInput(c, kPastRows, kept) : kept;
      room = InPlace(c) ? kept : past + rows;
      if (past + rows > room) c.Fail("{} cached and {} new keys do not fit a cache of {}.", past, rows, room);
    }
    if (rotary) {
      for (int64_t part : {0, 1}) {
        microsoft::TurnByPosition(microsoft::FlatHeads(data + part * q, rows, all, size), batch, heads, rows,
                                  turned ? turned : size / 2 * 2, past, c.threads());
      }
    }
    auto keys = microsoft::FlatHeads<const float>(data + q, rows, all, size);
    auto values = microsoft::FlatHeads<const float>(data + 2 * q, rows, all, value_size);
    Tensor cache, picked;
    if (c.Has(kPast) || c.HasOut(1)) {
      cache = c.HasOut(1) ? c.Out(1) : Tensor(DType::kFloat, {2, batch, heads, room, size});
      WriteCache(c, keys, values, past, room, size, cache);
      const float* from = cache.data<float>();
      if (c.Has(kBeams)) {
        picked = microsoft::PickBeams(c, kBeams, cache, past);
        from = picked.data<float>();
      }
      keys = microsoft::DeepHeads(from, heads, room, size);
      values = microsoft::DeepHeads(from + batch * heads * room * size, heads, room, size);
    }
    const microsoft::ScoreMask mask(
        c, Optional(c, kMask), filter, Optional(c, kScoreBias),
        {.batch = batch, .heads = heads, .queries = rows, .keys = past + rows, .fresh = rows});
    kernels::Attention({.batch = batch,
                        .heads = heads,
                        .kv_heads = heads,
                        .queries = rows,
                        .keys = past + rows,
                        .size = size,
                        .value_size = value_size,
                        .q = microsoft::FlatHeads<const float>(data, rows, all, size),
                        .k = keys,
                        .v = values,
                        .out = microsoft::FlatHeads(c.Out(0).data<float>(), rows, v, value_size),
                        .mask = mask.view(),
                        .scale = microsoft::ScaleOf(scale, size),
                        .window_right = causal ? 0 : -1,
                        .offset = past},
                       c.threads());
  }

 private:
  static void ExpectBytes(const InferContext& c) {
    c.ExpectElem(1, {DType::kUint8, DType::kInt8});
    for (int scale : {kXScale, kWeightScale}) c.ExpectElem(scale, microsoft::kAttentionTypes);
    c.ExpectSameElem(kWeightScale, kXScale);
    if (c.Has(kXZero)) c.ExpectSameElem(kXZero, 0);
    if (c.Has(kWeightZero)) c.ExpectSameElem(kWeightZero, 1);
    for (int i : {kXScale, kXZero}) {
      if (!c.Has(i) || !c.HasRank(i)) continue;
      if (const Dim count = slipway::Product(c.Shape(i), 0, c.Shape(i).rank()); count.Differs(Dim(1)))
        c.Fail("{} has shape {}, but must be one number.", c.InputName(i), c.Shape(i).ToString());
    }
    for (int i : {kWeightScale, kWeightZero}) IntProduct::CheckPerLine(c, i, 1, false);
  }

  template <class Context>
  bool InPlace(const Context& c) const {
    return shared && c.Has(kPast);
  }

  void WriteCache(RunContext& c, const kernels::HeadsView<const float>& keys,
                  const kernels::HeadsView<const float>& values, int64_t past, int64_t room, int64_t size,
                  Tensor& cache) const {
    const int64_t batch = c.In(0).shape()[0], kept = c.Has(kPast) ? c.In(kPast).shape()[3] : 0;
    const std::vector<int64_t> past_rows(batch, past);
    for (int64_t part : {0, 1}) {
      microsoft::Cache{.batch = batch,
                       .heads = heads,
                       .size = size,
                       .past = c.Has(kPast) ? c.In(kPast).data<float>() + part * batch * heads * kept * size : nullptr,
                       .past_room = kept,
                       .past_rows = past_rows,
                       .fresh = part ? values : keys,
                       .fresh_rows = c.In(0).shape()[1],
                       .room = room}
          .Write(cache.data<float>() + part * batch * heads * room * size, c.threads());
    }
  }
};
extern const OpDef kMicrosoftAttention =
    Define<MicrosoftAttention<Form::kPlain>>({.name = "Attention",
                                              .domain = kMicrosoftDomain,
                                              .min_inputs = 2,
                                              .max_inputs = 7,
                                              .max_outputs = 2,
                                              .types = microsoft::kAttentionTypes});
extern const OpDef kMicrosoftDecoderMaskedSelfAttention =
    Define<MicrosoftAttention<Form::kDecoder>>({.name = "DecoderMaskedSelfAttention",
                                                .domain = kMicrosoftDomain,
                                                .min_inputs = 5,
                                                .max_inputs = 9,
                                                .max_outputs = 2,
                                                .types = microsoft::kAttentionTypes});

extern const OpDef kMicrosoftQAttention =
    Define<MicrosoftAttention<Form::kQuantized>>({.name = "QAttention",
                                                  .domain = kMicrosoftDomain,
                                                  .min_inputs = 5,
                                                  .max_inputs = 9,
                                                  .max_outputs = 2,
                                                  .types = {DType::kUint8, DType::kInt8}});

}  // namespace slipway
