#include <cmath>

#include "kernels/reduce/normalize.h"
#include "ops/arithmetic.h"
#include "ops/indexing.h"

namespace slipway {
namespace {

/// Rows in double: y = (x - mean) / sqrt(variance + epsilon), or for `rms` x / sqrt(mean of squares + epsilon).
void NormalizeRowsPlain(const Tensor& x, int64_t size, double epsilon, bool rms, Tensor& y, float* mean_out,
                        float* inv_std_out, const Threads& threads) {
  threads.ParallelFor(x.size() / size, GrainFor(16 * size), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const double* from = x.data<double>() + r * size;
      double *to = y.data<double>() + r * size, mean = 0, squares = 0;
      for (int64_t i = 0; i < size && !rms; ++i) mean += from[i] / static_cast<double>(size);
      for (int64_t i = 0; i < size; ++i) squares += (from[i] - mean) * (from[i] - mean);
      const double inv_std = 1 / std::sqrt(squares / static_cast<double>(size) + epsilon);
      for (int64_t i = 0; i < size; ++i) to[i] = (from[i] - mean) * inv_std;
      if (mean_out) mean_out[r] = static_cast<float>(mean);
      if (inv_std_out) inv_std_out[r] = static_cast<float>(inv_std);
    }
  });
}

/// True where a parameter has one number for each place of a row of `size`, and so can go to the kernel as it is.
bool IsRow(const RunContext& c, int i, int64_t size) {
  if (!c.Has(i)) return true;
  const Shape& shape = c.In(i).shape();
  return shape.size() == size && shape.rank() <= c.In(0).shape().rank();
}

/// LayerNormalization and, without a mean or a bias, RMSNormalization, which onnxruntime calls
/// SimplifiedLayerNormalization where it gives the inverse deviation too.
template <bool kRms>
struct NormalizationOf {
  int64_t axis = -1;
  float epsilon = 1e-5f;
  DType stash = DType::kFloat;

  static NormalizationOf Parse(const Attributes& a) {
    const int64_t stash = a.Int("stash_type", 1);
    if (stash != static_cast<int64_t>(DType::kFloat) && stash != static_cast<int64_t>(DType::kBFloat16))
      throw Error(Code::kBadGraph, fmt::format("attribute 'stash_type' is {}, but must be 1 or 16", stash));
    return {.axis = a.Int("axis", -1),
            .epsilon = a.Float("epsilon", 1e-5f),
            .stash = stash == static_cast<int64_t>(DType::kBFloat16) ? DType::kBFloat16 : DType::kFloat};
  }

  void Infer(InferContext& c) const {
    c.ExpectElem(1, kFloatTypes);
    c.Out(0, kRms ? c.Elem(1) : c.Elem(0), c.Shape(0));
    if (!c.HasRank(0)) {
      for (int i = 1; i < c.num_outputs(); ++i) c.Out(i, stash);
      return;
    }
    const int64_t first = c.Axis(axis, c.Shape(0).rank());
    CheckParameter(c, 1);
    if (c.Has(2)) CheckParameter(c, 2);
    std::vector<Dim> rows = c.Shape(0).dims();
    std::fill(rows.begin() + first, rows.end(), Dim(1));
    for (int i = 1; i < c.num_outputs(); ++i) c.Out(i, stash, rows);
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    const Tensor& x = c.In(0);
    if (x.size() == 0) return;
    if (c.Out(0).dtype() != x.dtype() || c.In(1).dtype() != x.dtype()) {
      c.Fail("X is {}, but scale is {}: the two must be of one width.", Name(x.dtype()), Name(c.In(1).dtype()));
    }
    const int64_t size = x.shape().SizeFrom(ModAxis(axis, x.shape().rank()));
    const bool fast = x.dtype() == DType::kFloat, whole = fast && IsRow(c, 1, size) && IsRow(c, 2, size);
    Tensor& y = c.Out(0);
    constexpr int kInvStd = kRms ? 1 : 2;
    float* mean = !kRms && c.HasOut(1) ? c.Out(1).data<float>() : nullptr;
    float* inv_std = c.HasOut(kInvStd) ? c.Out(kInvStd).data<float>() : nullptr;
    if (fast) {
      kernels::NormalizeRows({.rows = x.size() / size,
                              .size = size,
                              .x = x.data<float>(),
                              .y = y.data<float>(),
                              .scale = whole ? c.In(1).data<float>() : nullptr,
                              .bias = whole && c.Has(2) ? c.In(2).data<float>() : nullptr,
                              .epsilon = epsilon,
                              .rms = kRms,
                              .mean = mean,
                              .inv_std = inv_std},
                             c.threads());
      if (whole) return;
    } else {
      NormalizeRowsPlain(x, size, epsilon, kRms, y, mean, inv_std, c.threads());
    }
    RunBinary<MulFunction>(c, y, c.In(1), y);
    if (c.Has(2)) RunBinary<AddFunction>(c, y, c.In(2), y);
  }

 private:
  static void CheckParameter(const InferContext& c, int i) {
    const SymbolicShape &x = c.Shape(0), both = Broadcast(c, x, c.Shape(i));
    bool fits = !both.has_rank() || both.rank() == x.rank();
    for (int axis = 0; fits && both.has_rank() && axis < x.rank(); ++axis) fits = !both[axis].Differs(x[axis]);
    if (!fits)
      c.Fail("{} has shape {}, which cannot be broadcast to {}.", c.InputName(i), c.Shape(i).ToString(), x.ToString());
  }
};

}  // namespace

extern const OpDef kLayerNormalization = Define<NormalizationOf<false>>({.name = "LayerNormalization",
                                                                         .since = 17,
                                                                         .min_inputs = 2,
                                                                         .max_inputs = 3,
                                                                         .max_outputs = 3,
                                                                         .types = kFloatTypes,
                                                                         .in_place = 0});
extern const OpDef kRMSNormalization = Define<NormalizationOf<true>>(
    {.name = "RMSNormalization", .since = 23, .min_inputs = 2, .max_inputs = 2, .types = kFloatTypes, .in_place = 0});
extern const OpDef kSimplifiedLayerNormalization =
    Define<NormalizationOf<true>>({.name = "SimplifiedLayerNormalization",
                                   .min_inputs = 2,
                                   .max_inputs = 2,
                                   .max_outputs = 2,
                                   .types = kFloatTypes,
                                   .in_place = 0});

}  // namespace slipway
