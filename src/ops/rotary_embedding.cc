#include "core/dtype_visit.h"
#include "ops/in_float.h"
#include "ops/indexing.h"
#include "ops/rotary.h"
#include "ops/shape_math.h"

namespace slipway {

/// Turns pairs of a head's first numbers by angles whose cosines and sines are given. X is [batch, heads, seq, size] or
/// [batch, seq, heads * size]; the caches are [positions, half] with position_ids, or [batch, seq, half].
/// ONNX RotaryEmbedding, since 23.
struct RotaryEmbedding {
  bool interleaved = false;
  int64_t turned = 0;  ///< numbers of a head that are turned; 0: all
  int64_t heads = 0;
  static RotaryEmbedding Parse(const Attributes& a) {
    return {.interleaved = a.Int("interleaved", 0) != 0,
            .turned = a.Int("rotary_embedding_dim", 0),
            .heads = a.Int("num_heads", 0)};
  }

  void Infer(InferContext& c) const {
    c.ExpectRank(0, 3, 4);
    c.ExpectSameElem(1, 0);
    c.ExpectSameElem(2, 0);
    if (c.Has(3)) c.ExpectElem(3, {DType::kInt64});
    for (int i : {1, 2}) c.ExpectRank(i, c.Has(3) ? 2 : 3, c.Has(3) ? 2 : 3);
    if (c.HasRank(0) && c.Shape(0).rank() == 3 && heads < 1)
      c.Fail("an X of three axes needs the attribute 'num_heads'.");
    if (turned < 0 || turned % 2) c.Fail("attribute 'rotary_embedding_dim' is {}, but must be even.", turned);
    InferSameAsFirst(c);
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    const Tensor& x = c.In(0);
    if (x.size() == 0) return;
    const Layout t = LayoutOf(c);
    const std::vector<int64_t> rows = CacheRows(c, t);
    const float *cosines = c.In(1).data<float>(), *sines = c.In(2).data<float>();
    c.threads().ParallelFor(t.batch * t.seq, GrainFor(8 * t.heads * t.size), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        for (int64_t h = 0; h < t.heads; ++h) {
          const int64_t at = i / t.seq * t.batch_stride + i % t.seq * t.seq_stride + h * t.head_stride;
          TurnHead(x.data<float>() + at, c.Out(0).data<float>() + at, cosines + rows[i] * t.half,
                   sines + rows[i] * t.half, t.half, t.size, interleaved);
        }
      }
    });
  }

 private:
  struct Layout {
    int64_t batch, seq, heads, size, half;
    int64_t batch_stride, seq_stride, head_stride;
  };

  Layout LayoutOf(const RunContext& c) const {
    const Shape& s = c.In(0).shape();
    Layout t{};
    t.batch = s[0];
    if (s.rank() == 4) {
      t.heads = s[1], t.seq = s[2], t.size = s[3];
      t.seq_stride = t.size, t.head_stride = t.seq * t.size;
    } else {
      if (s[2] % heads) c.Fail("{} numbers do not make {} heads.", s[2], heads);
      t.seq = s[1], t.heads = heads, t.size = s[2] / heads;
      t.seq_stride = s[2], t.head_stride = t.size;
    }
    t.batch_stride = s[1] * s.SizeFrom(2);
    t.half = (turned ? turned : t.size) / 2;
    if (2 * t.half > t.size || (!turned && t.size % 2))
      c.Fail("heads of {} numbers cannot be turned over {}.", t.size, 2 * t.half);
    for (int i : {1, 2}) {
      const Shape& cache = c.In(i).shape();
      const bool fits = cache.Back(0) == t.half && (c.Has(3) || (cache[0] == t.batch && cache[1] == t.seq));
      if (!fits)
        c.Fail("a cache of {} does not fit X {} with {} numbers turned.", cache.ToString(), s.ToString(), 2 * t.half);
    }
    return t;
  }

  /// The row of the caches for each place of [batch, seq].
  static std::vector<int64_t> CacheRows(const RunContext& c, const Layout& t) {
    std::vector<int64_t> rows(t.batch * t.seq);
    if (!c.Has(3)) {
      for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int64_t>(i);
      return rows;
    }
    if (c.In(3).size() != t.batch * t.seq)
      c.Fail("position_ids {} must be [{}, {}].", c.In(3).shape().ToString(), t.batch, t.seq);
    return CheckedIndices(c, c.In(3), std::min(c.In(1).shape()[0], c.In(2).shape()[0]));
  }
};
extern const OpDef kRotaryEmbedding =
    Define<RotaryEmbedding>({.name = "RotaryEmbedding",
                             .since = 23,
                             .min_inputs = 3,
                             .max_inputs = 4,
                             .types = {DType::kFloat, DType::kFloat16, DType::kBFloat16},
                             .in_place = 0});

}  // namespace slipway
