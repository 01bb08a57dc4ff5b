#include <algorithm>
#include <cmath>

#include "ops/in_float.h"
#include "ops/indexing.h"
#include "ops/microsoft/attention.h"
#include "ops/rotary.h"
#include "ops/shape_math.h"

namespace slipway {

/// Attention whose query heads share heads of keys and values, with a cache of which each batch item uses a length of
/// its own: seqlens_k is one less than its keys, new ones counted. Where there are as many queries as keys at most, it
/// is the first prompt, and nothing is cached yet. com.microsoft GroupQueryAttention, without quantized caches.
struct GroupQueryAttention {
  int64_t heads = 0;
  int64_t kv_heads = 0;
  bool causal = true;
  bool rotary = false;
  bool interleaved = false;
  bool smooth = false;
  float scale = 0;
  float softcap = 0;
  float norm_epsilon = 1e-6f;
  int64_t window = -1;
  int64_t scores = 0;
  bool unsupported = false;

  static GroupQueryAttention Parse(const Attributes& a) {
    return {.heads = a.RequiredInt("num_heads"),
            .kv_heads = a.RequiredInt("kv_num_heads"),
            .causal = a.Int("causal", 1) != 0,
            .rotary = a.Int("do_rotary", 0) != 0,
            .interleaved = a.Int("rotary_interleaved", 0) != 0,
            .smooth = a.Int("smooth_softmax", -1) == 1,
            .scale = a.Float("scale", 0),
            .softcap = a.Float("softcap", 0),
            .norm_epsilon = a.Float("qk_norm_epsilon", 1e-6f),
            .window = a.Int("local_window_size", -1),
            .scores = a.Int("qk_output", 0),
            .unsupported = a.Int("sliding_window_cache", 0) != 0 || a.String("k_quant_type", "NONE") != "NONE" ||
                           a.String("v_quant_type", "NONE") != "NONE"};
  }

  void Infer(InferContext& c) const {
    CheckInputs(c);
    c.ExpectRank(0, 3, 3);
    if (!c.HasRank(0) || (c.Has(1) && !c.HasRank(1)) || (c.Has(3) && !c.HasRank(3))) {
      c.Out(0, c.Elem(0), SymbolicShape::OfRank(3));
      for (int i : {1, 2, 3}) c.Out(i, c.Elem(0), SymbolicShape::OfRank(4));
      return;
    }
    const SymbolicShape& q = c.Shape(0);
    const int64_t shares = c.Has(1) ? heads : heads + 2 * kv_heads;
    if (q[2].is_const() && q[2].value() % shares != 0)
      c.Fail("{} is {} wide, which {} heads do not divide.", c.InputName(0), q[2].ToString(), shares);
    const Dim size = FloorDiv(q[2], shares);
    for (int i : {1, 2}) {
      if (!c.Has(1)) break;
      c.ExpectRank(i, 3, 3);
      Expect(c, i, {q[0], q[1], Dim(kv_heads) * size});
    }
    Dim room = Dim::Unknown(), total = Dim::Unknown();
    bool counted = false;
    if (const auto count = c.Ints(6); count && count->size() == 1) {
      total = (*count)[0];
      counted = true;
    }
    if (total.is_const() && (total.value() < 0 || total.value() > (int64_t{1} << 40)))
      c.Fail("total_sequence_length is {}.", total.ToString());
    room = total;
    if (c.Has(3)) {
      for (int i : {3, 4}) {
        c.ExpectRank(i, 4, 4);
        Expect(c, i, {q[0], kv_heads, c.Shape(3)[2], size});
      }
      room = counted ? Max(total, c.Shape(3)[2]) : total;
    }
    if (c.HasRank(5)) {
      c.ExpectRank(5, 1, 2);
      if (c.Shape(5)[0].Differs(q[0]))
        c.Fail("{} has shape {}, but must be [{}].", c.InputName(5), c.Shape(5).ToString(), q[0].ToString());
    }
    if (c.Has(11)) {
      c.ExpectRank(11, 1, 1);
      Expect(c, 11, {heads});
    }
    for (int i : {14, 15}) {
      if (!c.Has(i)) continue;
      c.ExpectRank(i, 1, 1);
      Expect(c, i, {size});
    }
    microsoft::CheckBias(c, 10, q[0], heads, q[1], Dim::Unknown());
    c.Out(0, c.Elem(0), {q[0], q[1], Dim(heads) * size});
    for (int i : {1, 2}) c.Out(i, c.Elem(0), {q[0], Dim(kv_heads), room, size});
    c.Out(3, c.Elem(0), {q[0], Dim(heads), q[1], total});
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    const Sizes s = SizesOf(c);
    if (s.batch == 0 || s.queries == 0) return;
    const std::vector<int64_t> counts = KeyCounts(c, s);
    std::vector<int64_t> past(s.batch);
    for (int64_t b = 0; b < s.batch; ++b) past[b] = s.first ? 0 : counts[b] - s.queries;
    // Rows of queries, keys and values: in one tensor, or in one each.
    Tensor rows[3];
    const int64_t kv_width = kv_heads * s.size, width = c.In(0).shape()[2];
    kernels::HeadsView<const float> views[3];
    for (int i = 0; i < 3; ++i) {
      if (!c.Has(1)) {
        if (i == 0) rows[0] = Prepared(c, c.In(0), s, past, heads, heads + kv_heads);
        const int64_t at = i == 0 ? 0 : heads * s.size + (i - 1) * kv_width;
        views[i] = microsoft::FlatHeads<const float>(rows[0].data<float>() + at, s.queries, width, s.size);
        continue;
      }
      rows[i] = Prepared(c, c.In(i), s, past, i == 0 ? heads : 0, i == 0 ? heads : i == 1 ? kv_heads : 0);
      views[i] = microsoft::FlatHeads<const float>(rows[i].data<float>(), s.queries, i == 0 ? width : kv_width, s.size);
    }
    for (int i : {1, 2}) {
      Tensor cache = c.HasOut(i) ? c.Out(i) : Tensor(DType::kFloat, {s.batch, kv_heads, s.room, s.size});
      microsoft::Cache{.batch = s.batch,
                       .heads = kv_heads,
                       .size = s.size,
                       .past = c.Has(i + 2) ? c.In(i + 2).data<float>() : nullptr,
                       .past_room = s.past_room,
                       .past_rows = past,
                       .fresh = views[i],
                       .fresh_rows = s.queries,
                       .room = s.room}
          .Write(cache.data<float>(), c.threads());
      rows[i] = cache;
      views[i] = microsoft::DeepHeads<const float>(cache.data<float>(), kv_heads, s.room, s.size);
    }
    Attend(c, s, views, counts, past);
  }

 private:
  struct Sizes {
    int64_t batch, queries, size, total, past_room, room;
    bool first;  // the first prompt
  };

  void CheckInputs(const InferContext& c) const {
    if (heads < 1 || kv_heads < 1 || heads % kv_heads != 0 || heads > (1 << 20))
      c.Fail("{} query heads cannot share {} key heads.", heads, kv_heads);
    if (unsupported) c.Fail("quantized and sliding caches are not supported.");
    for (int i : {1, 2, 3, 4, 7, 8, 11, 14, 15}) {
      if (c.Has(i)) c.ExpectSameElem(i, 0);
    }
    for (int i : {5, 6}) c.ExpectElem(i, {DType::kInt32});
    if (c.Has(9)) c.ExpectElem(9, {DType::kInt64});
    constexpr std::pair<int, int> kPairs[] = {{1, 2}, {3, 4}, {7, 8}, {14, 15}};
    for (const auto& [a, b] : kPairs) {
      if (c.Has(a) != c.Has(b)) c.Fail("inputs {} and {} go together.", a, b);
    }
    if (rotary && !c.Has(7)) c.Fail("attribute 'do_rotary' is set, but cos_cache is missing.");
    if (!causal && window != -1) c.Fail("attribute 'local_window_size' wants causal attention.");
    if (scores < 0 || scores > 2) c.Fail("attribute 'qk_output' is {}, but must be 0 to 2.", scores);
    if (c.HasOut(3) && scores == 0) c.Fail("output_qk is wanted, but attribute 'qk_output' is 0.");
    for (int i : {7, 8}) {
      if (c.Has(i)) c.ExpectRank(i, 2, 2);
    }
  }

  static void Expect(const InferContext& c, int input, const SymbolicShape& wanted) {
    if (!c.HasRank(input)) return;
    for (int i = 0; i < wanted.rank(); ++i) {
      if (c.Shape(input)[i].Differs(wanted[i]))
        c.Fail("{} has shape {}, but must be {}.", c.InputName(input), c.Shape(input).ToString(), wanted.ToString());
    }
  }

  Sizes SizesOf(const RunContext& c) const {
    const Shape& q = c.In(0).shape();
    Sizes s{.batch = q[0], .queries = q[1], .size = q[2] / (c.Has(1) ? heads : heads + 2 * kv_heads)};
    s.total = microsoft::CountInput(c, 6, int64_t{1} << 40);
    s.past_room = c.Has(3) ? c.In(3).shape()[2] : 0;
    s.room = std::max(s.total, s.past_room);
    s.first = s.queries == s.total;
    return s;
  }

  std::vector<int64_t> KeyCounts(const RunContext& c, const Sizes& s) const {
    const Tensor& last = c.In(5);
    if (last.size() != s.batch) c.Fail("seqlens_k has shape {}, but must be [{}].", last.shape().ToString(), s.batch);
    std::vector<int64_t> counts(s.batch);
    for (int64_t b = 0; b < s.batch; ++b) {
      counts[b] = int64_t{last.data<int32_t>()[b]} + 1;
      const int64_t least = s.first ? 0 : s.queries, most = s.first ? s.queries : s.past_room + s.queries;
      if (counts[b] < least || counts[b] > std::min(most, s.room)) {
        c.Fail("seqlens_k of item {} is {}, which does not fit {} new keys, a cache of {} and {} keys in all.", b,
               counts[b] - 1, s.queries, s.past_room, s.total);
      }
    }
    return counts;
  }

  /// Rows whose first `turned` heads are normalized (the first `query_heads` of them as queries) and turned; the input
  /// itself where there is nothing to be done.
  Tensor Prepared(const RunContext& c, const Tensor& x, const Sizes& s, const std::vector<int64_t>& past,
                  int64_t query_heads, int64_t turned) const {
    if (turned == 0 || (!rotary && !c.Has(14))) return x;
    Tensor out = x.Clone();
    const int64_t width = x.shape()[2];
    const std::vector<int64_t> places = rotary ? Places(c, s, past) : std::vector<int64_t>();
    const int64_t half = rotary ? c.In(7).shape()[1] : 0;
    if (rotary && (2 * half > s.size || c.In(8).shape()[1] != half))
      c.Fail("caches of {} and {} do not fit heads of {}.", c.In(7).shape().ToString(), c.In(8).shape().ToString(),
             s.size);
    c.threads().ParallelFor(s.batch * s.queries, GrainFor(8 * turned * s.size), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        for (int64_t h = 0; h < turned; ++h) {
          float* head = out.data<float>() + r * width + h * s.size;
          if (c.Has(14)) Normalize(head, c.In(h < query_heads ? 14 : 15).data<float>(), s.size);
          if (!rotary) continue;
          TurnHead(head, head, c.In(7).data<float>() + places[r] * half, c.In(8).data<float>() + places[r] * half, half,
                   s.size, interleaved);
        }
      }
    });
    return out;
  }

  void Normalize(float* head, const float* weight, int64_t size) const {
    double squares = 0;
    for (int64_t i = 0; i < size; ++i) squares += static_cast<double>(head[i]) * static_cast<double>(head[i]);
    const auto factor = static_cast<float>(
        1 / std::sqrt(squares / static_cast<double>(std::max<int64_t>(size, 1)) + static_cast<double>(norm_epsilon)));
    for (int64_t i = 0; i < size; ++i) head[i] *= factor * weight[i];
  }

  /// The row of the caches of cosines for each query.
  std::vector<int64_t> Places(const RunContext& c, const Sizes& s, const std::vector<int64_t>& past) const {
    const int64_t rows = std::min(c.In(7).shape()[0], c.In(8).shape()[0]);
    std::vector<int64_t> places(s.batch * s.queries);
    const int64_t* ids = c.Has(9) ? c.In(9).data<int64_t>() : nullptr;
    const int64_t wanted = s.first ? 1 : s.batch * s.queries;
    if (ids && c.In(9).size() < wanted)
      c.Fail("position_ids has shape {}, but must be [{}, {}].", c.In(9).shape().ToString(), s.batch, s.queries);
    for (size_t i = 0; i < places.size(); ++i) {
      const int64_t at = static_cast<int64_t>(i), place = at % s.queries, first = ids ? (s.first ? ids[0] : ids[i]) : 0;
      // A prompt's positions follow on the first.
      int64_t& p = places[i];
      p = ids ? std::clamp<int64_t>(first, -1, rows) + (s.first ? place : 0) : past[at / s.queries] + place;
      if (p < 0 || p >= rows) c.Fail("position {} is outside of cos_cache with {} rows.", p, rows);
    }
    return places;
  }

  void Attend(RunContext& c, const Sizes& s, const kernels::HeadsView<const float>* views,
              const std::vector<int64_t>& counts, const std::vector<int64_t>& past) const {
    const microsoft::ScoreMask mask(
        c, nullptr, 0, c.Has(10) ? &c.In(10) : nullptr,
        {.batch = s.batch, .heads = heads, .queries = s.queries, .keys = s.total, .fresh = s.queries});
    const std::vector<float> zeros(heads, 0.0f);
    kernels::AttentionArgs args{.batch = s.batch,
                                .heads = heads,
                                .kv_heads = kv_heads,
                                .queries = s.queries,
                                .keys = s.total,
                                .size = s.size,
                                .value_size = s.size,
                                .q = views[0],
                                .k = views[1],
                                .v = views[2],
                                .out = microsoft::FlatHeads(c.Out(0).data<float>(), s.queries, heads * s.size, s.size),
                                .mask = mask.view(),
                                .scale = microsoft::ScaleOf(scale, s.size),
                                .softcap = softcap,
                                .window_left = window > 0 ? window - 1 : -1,
                                .window_right = causal ? 0 : -1,
                                .offsets = past.data(),
                                .key_counts = counts.data(),
                                .masked_rows_are_zero = true};
    if (c.Has(11)) args.sinks = c.In(11).data<float>();
    if (smooth && !c.Has(11)) args.sinks = zeros.data();
    kernels::Attention(args, c.threads());
    if (!c.HasOut(3)) return;
    const auto stage = scores == 1 ? microsoft::ScoreStage::kScaled : microsoft::ScoreStage::kSoftmax;
    microsoft::WriteScores(args, stage, c.Out(3).data<float>(), s.total, c.threads());
  }
};
extern const OpDef kMicrosoftGroupQueryAttention = Define<GroupQueryAttention>({.name = "GroupQueryAttention",
                                                                                .domain = kMicrosoftDomain,
                                                                                .min_inputs = 7,
                                                                                .max_inputs = 16,
                                                                                .max_outputs = 4,
                                                                                .types = microsoft::kAttentionTypes});

}  // namespace slipway
