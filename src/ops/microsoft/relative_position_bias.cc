#include <algorithm>
#include <cmath>

#include "ops/in_float.h"
#include "ops/indexing.h"
#include "ops/one_number.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

constexpr TypeSet kBiasTypes = {DType::kFloat, DType::kFloat16, DType::kBFloat16};

}  // namespace

/// T5's bias of scores [1, heads, queries, keys] by how far a key lies from its query: one of `buckets` of distances
/// has one number a head. The table is given as [buckets, heads], but lies in memory as [heads, buckets].
/// com.microsoft RelativePositionBias.
struct RelativePositionBias {
  bool both_ways = false;
  int64_t farthest = 0;
  static RelativePositionBias Parse(const Attributes& a) {
    return {.both_ways = a.Int("is_bidirectional", 0) != 0, .farthest = a.RequiredInt("max_distance")};
  }

  void Infer(InferContext& c) const {
    if (farthest < 1) c.Fail("attribute 'max_distance' is {}, but must be 1 or more.", farthest);
    c.ExpectRank(0, 2, 2);
    Dim lengths[2] = {Dim::Unknown(), Dim::Unknown()};
    for (int i : {1, 2}) {
      c.ExpectElem(i, {DType::kInt64});
      ExpectOne(c, i);
      if (const auto n = c.Ints(i); n && n->size() == 1) lengths[i - 1] = (*n)[0];
      if (lengths[i - 1].is_const() && lengths[i - 1].value() < 0)
        c.Fail("{} is {}.", c.InputName(i), lengths[i - 1].ToString());
    }
    c.Out(0, c.Elem(0), {Dim(1), c.HasRank(0) ? c.Shape(0)[1] : Dim::Unknown(), lengths[0], lengths[1]});
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    const Shape& out = c.Out(0).shape();
    const int64_t buckets = c.In(0).shape()[0], queries = out[2], keys = out[3];
    if (c.Out(0).size() == 0) return;
    if (buckets < (both_ways ? 4 : 2)) c.Fail("{} buckets are too few.", buckets);
    const float* table = c.In(0).data<float>();
    c.threads().ParallelFor(queries, GrainFor(16 * keys * out[1]), [&](int64_t begin, int64_t end) {
      for (int64_t q = begin; q < end; ++q) {
        for (int64_t k = 0; k < keys; ++k) {
          const int64_t bucket = Bucket(k - q, buckets);
          for (int64_t h = 0; h < out[1]; ++h)
            c.Out(0).data<float>()[(h * queries + q) * keys + k] = table[h * buckets + bucket];
        }
      }
    });
  }

 private:
  /// Near distances have a bucket each; further ones share, on a logarithmic scale.
  int64_t Bucket(int64_t distance, int64_t buckets) const {
    int64_t first = 0;
    if (both_ways) {
      buckets /= 2;
      if (distance > 0) first = buckets;
      distance = std::abs(distance);
    } else {
      distance = std::max<int64_t>(-distance, 0);
    }
    const int64_t exact = buckets / 2;
    if (distance < exact) return first + distance;
    const float ratio = std::log(static_cast<float>(distance) / static_cast<float>(exact)) /
                        std::log(static_cast<float>(farthest) / static_cast<float>(exact));
    const float far = ratio * static_cast<float>(buckets - exact);
    // A farthest distance that is not beyond the exact ones leaves one bucket for all.
    if (!(far >= 0 && far < static_cast<float>(buckets))) return first + buckets - 1;
    return first + std::min(exact + static_cast<int64_t>(far), buckets - 1);
  }
};
extern const OpDef kMicrosoftRelativePositionBias = Define<RelativePositionBias>({.name = "RelativePositionBias",
                                                                                  .domain = kMicrosoftDomain,
                                                                                  .min_inputs = 3,
                                                                                  .max_inputs = 3,
                                                                                  .types = kBiasTypes});

/// A position bias [1, heads, seq, seq] scaled for each query by gates that are computed from it: with (u, r) =
/// sigmoid of the two half sums of q W + b, the factor is u (r a - 1) + 2. com.microsoft GatedRelativePositionBias.
struct GatedRelativePositionBias {
  int64_t heads = 0;
  static GatedRelativePositionBias Parse(const Attributes& a) { return {.heads = a.RequiredInt("num_heads")}; }

  void Infer(InferContext& c) const {
    if (heads < 1) c.Fail("attribute 'num_heads' is {}, but must be 1 or more.", heads);
    for (int i = 1; i <= 5; ++i) c.ExpectSameElem(i, 0);
    c.ExpectRank(0, c.Has(6) ? 2 : 3, c.Has(6) ? 2 : 3);
    const int ranks[] = {0, 1, 4, 2, 1, 4};
    for (int i = 1; i <= 5; ++i) c.ExpectRank(i, ranks[i], ranks[i]);
    SymbolicShape cells = SymbolicShape::OfRank(2);
    if (c.Has(6)) {
      c.ExpectElem(6, {DType::kInt32});
      c.ExpectRank(6, 2, 2);
      if (c.HasRank(6)) cells = c.Shape(6);
    } else if (c.HasRank(0)) {
      cells = {c.Shape(0)[0], c.Shape(0)[1]};
    }
    if (c.HasRank(2)) {
      const Dim wanted[] = {1, heads, cells[1], cells[1]};
      for (int i = 0; i < 4; ++i) {
        if (c.Shape(2)[i].Differs(wanted[i]))
          c.Fail("{} has shape {}, but there are {} heads and sequences of {}.", c.InputName(2), c.Shape(2).ToString(),
                 heads, cells[1].ToString());
      }
    }
    c.Out(0, c.Elem(0), {cells[0], Dim(heads), cells[1], cells[1]});
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    const Shape& out = c.Out(0).shape();
    const int64_t batch = out[0], seq = out[2], size = c.In(3).shape()[0], gates = c.In(3).shape()[1];
    const int64_t width = heads * size;
    if (c.In(0).shape().Back(0) != width || c.In(1).size() != width || c.In(4).size() != gates || gates % 2 ||
        c.In(5).size() != heads) {
      c.Fail("weights {} do not fit queries {} with {} heads.", c.In(3).shape().ToString(), c.In(0).shape().ToString(),
             heads);
    }
    const std::vector<const float*> rows = QueryRows(c, batch * seq, width);
    c.threads().ParallelFor(batch * heads * seq, GrainFor(4 * (size * gates + seq)), [&](int64_t begin, int64_t end) {
      std::vector<double> q(size);
      for (int64_t i = begin; i < end; ++i) {
        const int64_t s = i % seq, h = i / seq % heads, b = i / seq / heads;
        const float* row = rows[b * seq + s];
        for (int64_t d = 0; d < size; ++d)
          q[d] = (row ? row[h * size + d] : 0.0f) + c.In(1).data<float>()[h * size + d];
        const auto factor = static_cast<float>(Factor(c, q, gates, c.In(5).data<float>()[h]));
        const float* bias = c.In(2).data<float>() + (h * seq + s) * seq;
        for (int64_t t = 0; t < seq; ++t) c.Out(0).data<float>()[i * seq + t] = factor * bias[t];
      }
    });
  }

 private:
  /// The query of each place of [batch, seq]; null for padding.
  static std::vector<const float*> QueryRows(const RunContext& c, int64_t cells, int64_t width) {
    std::vector<const float*> rows(cells, nullptr);
    const int64_t words = c.Has(6) ? c.In(0).shape()[0] : cells;
    if (words > cells) c.Fail("{} words do not fit token_offset.", words);
    for (int64_t i = 0; i < words; ++i) {
      const int64_t at = c.Has(6) ? c.In(6).data<int32_t>()[i] : i;
      if (at < 0 || at >= cells) c.Fail("token_offset names place {} of {}.", at, cells);
      rows[at] = c.In(0).data<float>() + i * width;
    }
    return rows;
  }

  static double Factor(const RunContext& c, const std::vector<double>& q, int64_t gates, double a) {
    double sums[2] = {0, 0};
    for (int64_t g = 0; g < gates; ++g) {
      double& sum = sums[g < gates / 2 ? 0 : 1];
      sum += c.In(4).data<float>()[g];
      for (size_t d = 0; d < q.size(); ++d) sum += q[d] * c.In(3).data<float>()[d * gates + g];
    }
    const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
    return sigmoid(sums[0]) * (sigmoid(sums[1]) * a - 1) + 2;
  }
};
extern const OpDef kMicrosoftGatedRelativePositionBias =
    Define<GatedRelativePositionBias>({.name = "GatedRelativePositionBias",
                                       .domain = kMicrosoftDomain,
                                       .min_inputs = 6,
                                       .max_inputs = 7,
                                       .types = kBiasTypes});

}  // namespace slipway
