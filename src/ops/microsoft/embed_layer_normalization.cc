#include <algorithm>

#include "kernels/reduce/normalize.h"
#include "ops/in_float.h"
#include "ops/indexing.h"

namespace slipway {

/// LayerNormalization of the sum of a word's, a position's and a segment's embedding; outputs Y, the number of words
/// that the mask counts in each sequence, and the sum. com.microsoft EmbedLayerNormalization.
struct EmbedLayerNormalization {
  float epsilon = 1e-12f;
  static EmbedLayerNormalization Parse(const Attributes& a) { return {.epsilon = a.Float("epsilon", 1e-12f)}; }

  void Infer(InferContext& c) const {
    c.ExpectRank(0, 2, 2);
    for (int i : {1, 7, 8}) {
      if (!c.Has(i)) continue;
      c.ExpectSameElem(i, 0);
      c.ExpectRank(i, 2, 2);
    }
    if (c.Has(1) != c.Has(4)) c.Fail("segment_ids and segment_embedding go together.");
    const Dim width = c.HasRank(2) && c.Shape(2).rank() == 2 ? c.Shape(2)[1] : Dim::Unknown();
    for (int i : {2, 3, 4, 5, 6}) {
      if (i == 4 && !c.Has(i)) continue;
      c.ExpectElem(i, {DType::kFloat, DType::kFloat16, DType::kBFloat16});
      c.ExpectSameElem(i, 2);
      c.ExpectRank(i, i < 5 ? 2 : 1, i < 5 ? 2 : 1);
      if (c.HasRank(i) && c.Shape(i).dims().back().Differs(width))
        c.Fail("{} has shape {}, but words are {} wide.", c.InputName(i), c.Shape(i).ToString(), width.ToString());
    }
    const SymbolicShape ids = c.HasRank(0) ? c.Shape(0) : SymbolicShape::OfRank(2);
    for (int i : {1, 7, 8}) {
      for (int axis = 0; c.Has(i) && c.HasRank(i) && axis < 2; ++axis) {
        const bool one = i == 8 && axis == 0 && c.Shape(i)[0] == Dim(1);
        if (c.Shape(i)[axis].Differs(ids[axis]) && !one)
          c.Fail("{} has shape {}, but {} has {}.", c.InputName(i), c.Shape(i).ToString(), c.InputName(0),
                 ids.ToString());
      }
    }
    c.Out(0, c.Elem(2), {ids[0], ids[1], width});
    c.Out(1, DType::kInt32, {ids[0]});
    c.Out(2, c.Elem(2), {ids[0], ids[1], width});
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    const int64_t batch = c.In(0).shape()[0], seq = c.In(0).shape()[1], width = c.In(2).shape()[1];
    if (c.HasOut(1)) CountWords(c, batch, seq);
    if (batch * seq * width == 0) return;
    const std::vector<int64_t> words = Rows(c, 0, 2, batch, seq), places = Rows(c, 8, 3, batch, seq);
    const std::vector<int64_t> segments = c.Has(1) ? Rows(c, 1, 4, batch, seq) : std::vector<int64_t>();
    Tensor sum = c.HasOut(2) ? c.Out(2) : c.Out(0);
    c.threads().ParallelFor(batch * seq, GrainFor(4 * width), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const float* word = c.In(2).data<float>() + words[i] * width;
        const float* place = c.In(3).data<float>() + places[i] * width;
        const float* segment = c.Has(1) ? c.In(4).data<float>() + segments[i] * width : nullptr;
        float* to = sum.data<float>() + i * width;
        for (int64_t j = 0; j < width; ++j) to[j] = word[j] + place[j] + (segment ? segment[j] : 0.0f);
      }
    });
    kernels::NormalizeRows({.rows = batch * seq,
                            .size = width,
                            .x = sum.data<float>(),
                            .y = c.Out(0).data<float>(),
                            .scale = c.In(5).data<float>(),
                            .bias = c.In(6).data<float>(),
                            .epsilon = epsilon},
                           c.threads());
  }

 private:
  /// The rows of a table that an input's ids name; the positions are 0, 1, ... where they are not given.
  static std::vector<int64_t> Rows(const RunContext& c, int ids, int table, int64_t batch, int64_t seq) {
    const int64_t rows = c.In(table).shape()[0];
    std::vector<int64_t> out(batch * seq);
    const bool given = c.Has(ids), repeated = given && c.In(ids).size() == seq;
    if (given && !repeated && c.In(ids).size() != batch * seq)
      c.Fail("ids have shape {}, but must be [{}, {}].", c.In(ids).shape().ToString(), batch, seq);
    for (int64_t i = 0; i < batch * seq; ++i) {
      out[i] = given ? c.In(ids).data<int32_t>()[repeated ? i % seq : i] : i % seq;
      if (out[i] < 0 || out[i] >= rows) c.Fail("id {} is outside of an embedding with {} rows.", out[i], rows);
    }
    return out;
  }

  static void CountWords(const RunContext& c, int64_t batch, int64_t seq) {
    for (int64_t b = 0; b < batch; ++b) {
      int32_t count = 0;
      if (c.Has(7)) {
        const int32_t* mask = c.In(7).data<int32_t>() + b * seq;
        count = static_cast<int32_t>(std::count(mask, mask + seq, 1));
      }
      c.Out(1).data<int32_t>()[b] = count;
    }
  }
};
extern const OpDef kMicrosoftEmbedLayerNormalization =
    Define<EmbedLayerNormalization>({.name = "EmbedLayerNormalization",
                                     .domain = kMicrosoftDomain,
                                     .min_inputs = 7,
                                     .max_inputs = 9,
                                     .max_outputs = 3,
                                     .types = {DType::kInt32}});

}  // namespace slipway
