#include <cmath>

#include "kernels/elementwise/broadcast.h"
#include "kernels/reduce/normalize.h"
#include "ops/in_float.h"
#include "ops/indexing.h"

namespace slipway {

/// LayerNormalization (or RMSNormalization) of input + skip + bias over the last axis; outputs Y, mean, inverse
/// deviation, and that sum. com.microsoft SkipLayerNormalization and SkipSimplifiedLayerNormalization, which has no
/// beta.
template <bool kRms>
struct SkipNormalization {
  static constexpr int kBeta = kRms ? kNone : 3, kBias = kRms ? 3 : 4;
  float epsilon = 1e-12f;
  static SkipNormalization Parse(const Attributes& a) { return {.epsilon = a.Float("epsilon", 1e-12f)}; }

  void Infer(InferContext& c) const {
    c.ExpectSameElem(1, 0);
    for (int i = 2; i <= kBias; ++i) {
      if (i != 2 && !c.Has(i)) continue;
      c.ExpectSameElem(i, 0);
      c.ExpectRank(i, 1, 1);
      if (c.HasRank(0) && c.HasRank(i) && c.Shape(0).rank() > 0 &&
          c.Shape(i)[0].Differs(c.Shape(0)[c.Shape(0).rank() - 1])) {
        c.Fail("{} has shape {}, but {} has shape {}.", c.InputName(i), c.Shape(i).ToString(), c.InputName(0),
               c.Shape(0).ToString());
      }
    }
    c.ExpectRank(0, 1, 1 << 20);
    const SymbolicShape sum = Broadcast(c, c.Shape(0), c.Shape(1));
    bool grows = sum.has_rank() && sum.rank() != c.Shape(0).rank();
    for (int i = 0; !grows && sum.has_rank() && i < sum.rank(); ++i) grows = sum[i].Differs(c.Shape(0)[i]);
    if (grows) c.Fail("skip {} cannot be broadcast to {}.", c.Shape(1).ToString(), c.Shape(0).ToString());
    c.Out(0, c.In(0));
    c.Out(3, c.In(0));
    std::vector<Dim> rows = c.HasRank(0) ? c.Shape(0).dims() : std::vector<Dim>();
    if (!rows.empty()) rows.back() = 1;
    for (int i = 1; i <= 2; ++i) c.Out(i, DType::kFloat, c.HasRank(0) ? SymbolicShape(rows) : SymbolicShape());
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    if (c.In(0).size() == 0) return;
    if (c.In(0).dtype() == DType::kDouble) return RunPlain(c);
    const Tensor& x = c.In(0);
    const auto floats = [&](int i) { return i != kNone && c.Has(i) ? c.In(i).data<float>() : nullptr; };
    const auto out = [&](int i) { return c.HasOut(i) ? c.Out(i).data<float>() : nullptr; };
    const Tensor skip = Repeated<float>(c);
    kernels::NormalizeRows({.rows = x.size() / x.shape().Back(0),
                            .size = x.shape().Back(0),
                            .x = x.data<float>(),
                            .y = c.Out(0).data<float>(),
                            .scale = floats(2),
                            .bias = floats(kBeta),
                            .epsilon = epsilon,
                            .rms = kRms,
                            .residual = skip.data<float>(),
                            .residual_bias = floats(kBias),
                            .sum = out(3),
                            .mean = kRms ? nullptr : out(1),
                            .inv_std = out(2)},
                           c.threads());
    if (kRms && c.HasOut(1)) std::fill_n(out(1), c.Out(1).size(), 0.0f);
  }

 private:
  /// Skip in the input's shape.
  template <class T>
  static Tensor Repeated(const RunContext& c) {
    const Tensor &x = c.In(0), &skip = c.In(1);
    if (skip.size() == x.size()) return skip;
    Tensor out(x.dtype(), x.shape());
    kernels::BroadcastBinary(
        kernels::BroadcastPlan(x.shape(), skip.shape()), x.data<T>(), skip.data<T>(), out.data<T>(),
        [](T, T s) { return s; }, c.threads());
    return out;
  }

  void RunPlain(RunContext& c) const {
    const Tensor &x = c.In(0), skip = Repeated<double>(c);
    const int64_t size = x.shape().Back(0);
    const auto doubles = [&](int i) { return i != kNone && c.Has(i) ? c.In(i).data<double>() : nullptr; };
    const double *gamma = doubles(2), *beta = doubles(kBeta), *bias = doubles(kBias);
    c.threads().ParallelFor(x.size() / size, GrainFor(16 * size), [&](int64_t begin, int64_t end) {
      std::vector<double> sum(size);
      for (int64_t r = begin; r < end; ++r) {
        double mean = 0, squares = 0;
        for (int64_t i = 0; i < size; ++i) {
          sum[i] = x.data<double>()[r * size + i] + skip.data<double>()[r * size + i] + (bias ? bias[i] : 0);
          if (!kRms) mean += sum[i] / static_cast<double>(size);
        }
        for (double v : sum) squares += (v - mean) * (v - mean);
        const double inv_std = 1 / std::sqrt(squares / static_cast<double>(size) + static_cast<double>(epsilon));
        for (int64_t i = 0; i < size; ++i)
          c.Out(0).data<double>()[r * size + i] = (sum[i] - mean) * inv_std * gamma[i] + (beta ? beta[i] : 0);
        if (c.HasOut(1)) c.Out(1).data<float>()[r] = static_cast<float>(mean);
        if (c.HasOut(2)) c.Out(2).data<float>()[r] = static_cast<float>(inv_std);
        if (c.HasOut(3)) std::copy(sum.begin(), sum.end(), c.Out(3).data<double>() + r * size);
      }
    });
  }
};
extern const OpDef kMicrosoftSkipLayerNormalization =
    Define<SkipNormalization<false>>({.name = "SkipLayerNormalization",
                                      .domain = kMicrosoftDomain,
                                      .min_inputs = 3,
                                      .max_inputs = 5,
                                      .max_outputs = 4,
                                      .types = kFloatTypes});
extern const OpDef kMicrosoftSkipSimplifiedLayerNormalization =
    Define<SkipNormalization<true>>({.name = "SkipSimplifiedLayerNormalization",
                                     .domain = kMicrosoftDomain,
                                     .min_inputs = 3,
                                     .max_inputs = 4,
                                     .max_outputs = 4,
                                     .types = kFloatTypes});

}  // namespace slipway
