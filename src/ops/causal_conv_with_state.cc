#include <algorithm>

#include "core/dtype_visit.h"
#include "kernels/elementwise/unary.h"
#include "ops/in_float.h"
#include "ops/indexing.h"
#include "ops/shape_math.h"

namespace slipway {

/// A depthwise convolution along [N, C, length] that looks at the past only, whose last k - 1 elements are handed on
/// from call to call. ONNX CausalConvWithState, since 27.
struct CausalConvWithState {
  bool silu = false;
  static CausalConvWithState Parse(const Attributes& a) {
    const std::string name = a.String("activation", "none");
    if (name != "none" && name != "silu" && name != "swish")
      throw Error(Code::kBadGraph,
                  fmt::format("attribute 'activation' is '{}', but must be none, silu or swish.", name));
    return {.silu = name != "none"};
  }

  void Infer(InferContext& c) const {
    for (int i = 1; i < c.num_inputs(); ++i) {
      if (c.Has(i)) c.ExpectSameElem(i, 0);
    }
    c.ExpectRank(0, 3, 3);
    c.ExpectRank(1, 3, 3);
    const SymbolicShape x = c.HasRank(0) ? c.Shape(0) : SymbolicShape::OfRank(3);
    Dim taps = Dim::Unknown();
    if (c.HasRank(1)) {
      const SymbolicShape& w = c.Shape(1);
      taps = w[2];
      if (w[0].Differs(x[1]) || w[1].Differs(1) || taps == Dim(0))
        c.Fail("weights have shape {}, but [{}, 1, 1 or more] is wanted.", w.ToString(), x[1].ToString());
    }
    const Dim past = taps - 1;
    if (c.Has(2) && c.HasRank(2) && (c.Shape(2).rank() != 1 || c.Shape(2)[0].Differs(x[1])))
      c.Fail("{} has shape {}, but [{}] is wanted.", c.InputName(2), c.Shape(2).ToString(), x[1].ToString());
    if (c.Has(3) && c.HasRank(3)) {
      const SymbolicShape& s = c.Shape(3);
      if (s.rank() != 3 || s[0].Differs(x[0]) || s[1].Differs(x[1]) || s[2].Differs(past))
        c.Fail("{} has shape {}, but [{}, {}, {}] is wanted.", c.InputName(3), s.ToString(), x[0].ToString(),
               x[1].ToString(), past.ToString());
    }
    c.Out(0, c.Elem(0), x);
    c.Out(1, c.Elem(0), {x[0], x[1], past});
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    const Shape& shape = c.In(0).shape();
    const int64_t channels = shape[1], length = shape[2], taps = c.In(1).shape()[2], past = taps - 1;
    const Threads one(1);
    c.threads().ParallelFor(shape[0] * channels, GrainFor(length * taps * 4), [&](int64_t begin, int64_t end) {
      std::vector<float> row(past + length), out(length);
      for (int64_t i = begin; i < end; ++i) {
        const float* x = c.In(0).data<float>() + i * length;
        const float* w = c.In(1).data<float>() + i % channels * taps;
        const float* state = c.Has(3) ? c.In(3).data<float>() + i * past : nullptr;
        for (int64_t k = 0; k < past; ++k) row[k] = state ? state[k] : 0;
        std::copy(x, x + length, row.begin() + past);
        std::fill(out.begin(), out.end(), c.Has(2) ? c.In(2).data<float>()[i % channels] : 0);
        for (int64_t t = 0; t < taps; ++t) {
          for (int64_t k = 0; k < length; ++k) out[k] += w[t] * row[t + k];
        }
        if (silu) kernels::UnaryFloat(kernels::UnaryOp::kSilu, out.data(), out.data(), length, 1, 0, one);
        if (c.HasOut(0)) std::copy(out.begin(), out.end(), c.Out(0).data<float>() + i * length);
        if (c.HasOut(1)) std::copy(row.end() - past, row.end(), c.Out(1).data<float>() + i * past);
      }
    });
  }
};
extern const OpDef kCausalConvWithState =
    Define<CausalConvWithState>({.name = "CausalConvWithState",
                                 .since = 27,
                                 .min_inputs = 2,
                                 .max_inputs = 4,
                                 .max_outputs = 2,
                                 .types = {DType::kFloat, DType::kFloat16, DType::kBFloat16}});

}  // namespace slipway
