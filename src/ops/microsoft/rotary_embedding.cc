#include "ops/rotary.h"

#include "ops/in_float.h"
#include "ops/indexing.h"
#include "ops/shape_math.h"

namespace slipway {

/// Turns pairs of a head's first numbers by the angles of their positions. X is [batch, seq, heads * size] or [batch,
/// heads, seq, size]; position_ids are [batch, seq], or the one position that each sequence begins at.
/// com.microsoft RotaryEmbedding.
struct MicrosoftRotaryEmbedding {
  bool interleaved = false;
  int64_t turned = 0;  ///< numbers of a head that are turned; 0: all
  int64_t heads = 0;   ///< 0: as many as the caches' width makes
  static MicrosoftRotaryEmbedding Parse(const Attributes& a) {
    return {.interleaved = a.Int("interleaved", 0) != 0,
            .turned = a.Int("rotary_embedding_dim", 0),
            .heads = a.Int("num_heads", 0)};
  }

  void Infer(InferContext& c) const {
    c.ExpectRank(0, 3, 4);
    c.ExpectElem(1, {DType::kInt64});
    c.ExpectRank(1, 0, 2);
    for (int i : {2, 3}) {
      c.ExpectSameElem(i, 0);
      c.ExpectRank(i, 2, 2);
    }
    if (turned < 0 || turned % 2) c.Fail("attribute 'rotary_embedding_dim' is {}, but must be even.", turned);
    if (heads < 0 || (turned > 0 && heads == 0))
      c.Fail("attribute 'num_heads' is {}, but must be 1 or more beside 'rotary_embedding_dim'.", heads);
    InferSameAsFirst(c);
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    const Shape& s = c.In(0).shape();
    if (c.In(0).size() == 0) return;
    const bool deep = s.rank() == 4;
    const int64_t half = c.In(2).shape()[1], rows = std::min(c.In(2).shape()[0], c.In(3).shape()[0]);
    const int64_t seq = deep ? s[2] : s[1];
    const int64_t size = deep ? s[3] : heads > 0 ? s[2] / heads : 2 * half;
    if (size == 0 || (!deep && s[2] % size != 0) || 2 * half > size || (turned > 0 && 2 * half != turned) ||
        c.In(3).shape()[1] != half) {
      c.Fail("caches of {} and {} do not fit X {}.", c.In(2).shape().ToString(), c.In(3).shape().ToString(),
             s.ToString());
    }
    const int64_t n_heads = deep ? s[1] : s[2] / size, batch_stride = s.SizeFrom(1);
    const std::vector<int64_t> positions = Positions(c, s[0], seq, rows);
    const float *cosines = c.In(2).data<float>(), *sines = c.In(3).data<float>();
    c.threads().ParallelFor(s[0] * seq, GrainFor(8 * n_heads * size), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        for (int64_t h = 0; h < n_heads; ++h) {
          const int64_t at =
              i / seq * batch_stride + (deep ? (h * seq + i % seq) * size : i % seq * n_heads * size + h * size);
          TurnHead(c.In(0).data<float>() + at, c.Out(0).data<float>() + at, cosines + positions[i] * half,
                   sines + positions[i] * half, half, size, interleaved);
        }
      }
    });
  }

 private:
  static std::vector<int64_t> Positions(const RunContext& c, int64_t batch, int64_t seq, int64_t rows) {
    const Tensor& ids = c.In(1);
    const bool first = ids.size() == 1 && ids.shape().rank() < 2;
    if (!first && ids.size() != batch * seq)
      c.Fail("position_ids {} must be [1] or [{}, {}].", ids.shape().ToString(), batch, seq);
    std::vector<int64_t> out(batch * seq);
    for (int64_t i = 0; i < batch * seq; ++i) {
      const int64_t given = ids.data<int64_t>()[first ? 0 : i];
      if (given < 0 || given >= rows || (first && given + i % seq >= rows))
        c.Fail("position {} (and those after it) is outside of a cache with {} rows.", given, rows);
      out[i] = given + (first ? i % seq : 0);
    }
    return out;
  }
};
extern const OpDef kMicrosoftRotaryEmbedding =
    Define<MicrosoftRotaryEmbedding>({.name = "RotaryEmbedding",
                                      .domain = kMicrosoftDomain,
                                      .min_inputs = 4,
                                      .max_inputs = 4,
                                      .types = {DType::kFloat, DType::kFloat16, DType::kBFloat16},
                                      .in_place = 0});

}  // namespace slipway
