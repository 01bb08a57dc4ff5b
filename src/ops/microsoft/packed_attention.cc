#include <algorithm>

#include "ops/in_float.h"
#include "ops/matmul.h"
#include "ops/microsoft/attention.h"

namespace slipway {
namespace {

/// Sequences without padding, one after the other: `starts` says where each begins, and where the last ends.
struct Packed {
  int64_t heads, size, value_size;
  float scale;
  kernels::HeadsView<const float> q, k, v;  // of all words
  const Tensor* bias;                       // [batch or 1, heads or 1, seq, seq]
};

void CheckPacking(const InferContext& c, int places, int starts, int bias, int64_t heads) {
  if (heads < 1) c.Fail("attribute 'num_heads' is {}, but must be 1 or more.", heads);
  c.ExpectElem(places, {DType::kInt32});
  c.ExpectElem(starts, {DType::kInt32});
  c.ExpectRank(places, 2, 2);
  c.ExpectRank(starts, 1, 1);
  if (!c.HasRank(places)) return;
  const SymbolicShape& cells = c.Shape(places);
  if (c.HasRank(starts) && c.Shape(starts)[0].Differs(cells[0] + 1))
    c.Fail("{} has shape {}, but must be [{}].", c.InputName(starts), c.Shape(starts).ToString(),
           (cells[0] + 1).ToString());
  microsoft::CheckBias(c, bias, cells[0], heads, cells[1], cells[1]);
}

void AttendPacked(RunContext& c, const Packed& p, int places, int starts, int64_t words) {
  const Shape& cells = c.In(places).shape();
  const Tensor& begin = c.In(starts);
  if (begin.size() != cells[0] + 1)
    c.Fail("cumulative_sequence_length has shape {}, but must be [{}].", begin.shape().ToString(), cells[0] + 1);
  const int64_t width = p.heads * p.value_size;
  std::fill_n(c.Out(0).data<float>(), c.Out(0).size(), 0.0f);  // words of no sequence
  for (int64_t b = 0; b < cells[0]; ++b) {
    const int64_t first = begin.data<int32_t>()[b], count = begin.data<int32_t>()[b + 1] - first;
    if (first < 0 || count < 0 || count > cells[1] || first + count > words)
      c.Fail("sequence {} has words {} to {} of {}.", b, first, first + count, words);
    const auto from = [&](kernels::HeadsView<const float> view) {
      view.data += first * view.row_stride;
      return view;
    };
    kernels::AttentionArgs args{
        .heads = p.heads,
        .kv_heads = p.heads,
        .queries = count,
        .keys = count,
        .size = p.size,
        .value_size = p.value_size,
        .q = from(p.q),
        .k = from(p.k),
        .v = from(p.v),
        .out = microsoft::FlatHeads(c.Out(0).data<float>() + first * width, count, width, p.value_size),
        .scale = p.scale};
    if (p.bias) {
      const Shape& s = p.bias->shape();
      const bool fits = s.rank() == 4 && (s[0] == 1 || s[0] == cells[0]) && (s[1] == 1 || s[1] == p.heads) &&
                        s[2] >= count && s[3] >= count;
      if (!fits) c.Fail("the bias has shape {}.", s.ToString());
      args.mask = {.add = p.bias->data<float>() + (s[0] == 1 ? 0 : b * s.SizeFrom(1)),
                   .head_stride = s[1] == 1 ? 0 : s[2] * s[3],
                   .row_stride = s[3]};
    }
    kernels::Attention(args, c.threads());
  }
}

}  // namespace

/// com.microsoft Attention over sequences without padding: X is [words, C]. com.microsoft PackedAttention.
struct PackedAttention {
  int64_t heads = 0;
  float scale = 0;
  std::vector<int64_t> widths;
  MatrixProduct product;

  static PackedAttention Parse(const Attributes& a) {
    return {.heads = a.RequiredInt("num_heads"), .scale = a.Float("scale", 0), .widths = a.Ints("qkv_hidden_sizes")};
  }

  void Infer(InferContext& c) const {
    CheckPacking(c, 3, 4, 5, heads);
    c.ExpectRank(0, 2, 2);
    c.ExpectRank(1, 2, 2);
    c.ExpectRank(2, 1, 1);
    c.ExpectSameElem(2, 0);
    const SymbolicShape all = product.Infer(c);
    if (!all.has_rank()) return c.Out(0, c.Elem(0), SymbolicShape::OfRank(2));
    Dim q = FloorDiv(all[1], 3), v = q;
    if (!widths.empty()) {
      if (widths.size() != 3 || widths[0] != widths[1] || widths[0] < 0 || widths[2] < 0)
        c.Fail("attribute 'qkv_hidden_sizes' must be three widths, of which the first two are the same.");
      q = widths[0];
      v = widths[2];
    }
    for (const Dim& width : {q, v}) {
      if (width.is_const() && width.value() % heads != 0)
        c.Fail("{} heads do not divide a width of {}.", heads, width.ToString());
    }
    if (all[1].Differs(q + q + v) || (c.HasRank(2) && c.Shape(2)[0].Differs(all[1])))
      c.Fail("{} has shape {}, but queries, keys and values are {} + {} + {} wide.", c.InputName(1),
             c.Shape(1).ToString(), q.ToString(), q.ToString(), v.ToString());
    c.Out(0, c.Elem(0), {all[0], v});
  }

  bool Prepack(int input, const InferContext& c, const kernels::Packing& packing) {
    return input == 1 && product.Prepack(*c.Constant(1), packing);
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    const int64_t words = c.In(0).shape()[0], all = c.In(1).shape()[1];
    const int64_t q = widths.empty() ? all / 3 : widths[0], v = all - 2 * q, size = q / heads;
    Tensor rows(DType::kFloat, {words, all});
    product.RunFloat(c, c.In(0), c.In(1), rows, {.bias = c.In(2).data<float>()});
    const float* data = rows.data<float>();
    AttendPacked(c,
                 {.heads = heads,
                  .size = size,
                  .value_size = v / heads,
                  .scale = microsoft::ScaleOf(scale, size),
                  .q = microsoft::FlatHeads(data, words, all, size),
                  .k = microsoft::FlatHeads(data + q, words, all, size),
                  .v = microsoft::FlatHeads(data + 2 * q, words, all, v / heads),
                  .bias = c.Has(5) ? &c.In(5) : nullptr},
                 3, 4, words);
  }
};
extern const OpDef kMicrosoftPackedAttention = Define<PackedAttention>({.name = "PackedAttention",
                                                                        .domain = kMicrosoftDomain,
                                                                        .min_inputs = 5,
                                                                        .max_inputs = 6,
                                                                        .types = microsoft::kAttentionTypes});

/// com.microsoft MultiHeadAttention over sequences without padding: queries are [words, H D], keys and values too, or
/// all three [words, H, 3, D]. com.microsoft PackedMultiHeadAttention.
struct PackedMultiHeadAttention {
  int64_t heads = 0;
  float scale = 0;

  static PackedMultiHeadAttention Parse(const Attributes& a) {
    return {.heads = a.RequiredInt("num_heads"), .scale = a.Float("scale", 0)};
  }

  void Infer(InferContext& c) const {
    CheckPacking(c, 4, 5, 6, heads);
    if (c.Has(1) != c.Has(2)) c.Fail("key and value go together.");
    const int rank = c.Has(1) ? 2 : 4;
    c.ExpectRank(0, rank, rank);
    for (int i : {1, 2, 3}) {
      if (!c.Has(i)) continue;
      c.ExpectSameElem(i, 0);
      c.ExpectRank(i, i < 3 ? 2 : 1, i < 3 ? 2 : 1);
    }
    if (!c.HasRank(0) || (c.Has(1) && (!c.HasRank(1) || !c.HasRank(2))))
      return c.Out(0, c.Elem(0), SymbolicShape::OfRank(2));
    const SymbolicShape& q = c.Shape(0);
    Dim width = q[1], value_width = q[1];
    if (!c.Has(1)) {
      if (q[1].Differs(heads) || q[2].Differs(3))
        c.Fail("{} has shape {}, but must be [words, {}, 3, size].", c.InputName(0), q.ToString(), heads);
      width = value_width = Dim(heads) * q[3];
    } else {
      value_width = c.Shape(2)[1];
      if (c.Shape(1)[0].Differs(q[0]) || c.Shape(2)[0].Differs(q[0]) || c.Shape(1)[1].Differs(width))
        c.Fail("Q, K and V have shapes {}, {} and {}.", q.ToString(), c.Shape(1).ToString(), c.Shape(2).ToString());
      for (const Dim& w : {width, value_width}) {
        if (w.is_const() && w.value() % heads != 0)
          c.Fail("{} heads do not divide a width of {}.", heads, w.ToString());
      }
    }
    if (c.Has(3) && c.HasRank(3) && c.Shape(3)[0].Differs(width + width + value_width))
      c.Fail("{} has shape {}.", c.InputName(3), c.Shape(3).ToString());
    c.Out(0, c.Elem(0), {q[0], value_width});
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    const Shape& q = c.In(0).shape();
    const float* bias = c.Has(3) ? c.In(3).data<float>() : nullptr;
    Packed p{.heads = heads, .bias = c.Has(6) ? &c.In(6) : nullptr};
    Tensor rows[3];
    if (c.Has(1)) {
      p.size = q[1] / heads;
      p.value_size = c.In(2).shape()[1] / heads;
      kernels::HeadsView<const float>* views[] = {&p.q, &p.k, &p.v};
      for (int i = 0; i < 3; ++i) {
        const int64_t width = c.In(i).shape()[1];
        rows[i] = microsoft::PlusRow(c.In(i), bias ? bias + i * q[1] : nullptr, width, c.threads());
        *views[i] = microsoft::FlatHeads<const float>(rows[i].data<float>(), q[0], width, width / heads);
      }
    } else {
      p.size = p.value_size = q[3];
      const int64_t width = 3 * heads * p.size;
      std::vector<float> turned(bias ? width : 0);  // the bias as the rows lie
      for (int64_t i = 0; i < static_cast<int64_t>(turned.size()); ++i) {
        const int64_t h = i / (3 * p.size), part = i / p.size % 3;
        turned[i] = bias[(part * heads + h) * p.size + i % p.size];
      }
      rows[0] = microsoft::PlusRow(c.In(0), bias ? turned.data() : nullptr, width, c.threads());
      const float* data = rows[0].data<float>();
      p.q = {data, 0, 3 * p.size, width};
      p.k = {data + p.size, 0, 3 * p.size, width};
      p.v = {data + 2 * p.size, 0, 3 * p.size, width};
    }
    p.scale = microsoft::ScaleOf(scale, p.size);
    AttendPacked(c, p, 4, 5, q[0]);
  }
};
extern const OpDef kMicrosoftPackedMultiHeadAttention =
    Define<PackedMultiHeadAttention>({.name = "PackedMultiHeadAttention",
                                      .domain = kMicrosoftDomain,
                                      .min_inputs = 6,
                                      .max_inputs = 7,
                                      .types = microsoft::kAttentionTypes});

}  // namespace slipway
