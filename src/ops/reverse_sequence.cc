#include "core/dtype_visit.h"
#include "kernels/copy/strided_copy.h"
#include "ops/shape_math.h"

namespace slipway {

/// Reverses the first sequence_lens[b] places of the time axis of each batch item b. ONNX ReverseSequence, since 28.
struct ReverseSequence {
  int64_t batch_axis = 1, time_axis = 0;
  static ReverseSequence Parse(const Attributes& a) {
    return {.batch_axis = a.Int("batch_axis", 1), .time_axis = a.Int("time_axis", 0)};
  }
  void Infer(InferContext& c) const {
    const bool known = (batch_axis == 0 && time_axis == 1) || (batch_axis == 1 && time_axis == 0);
    if (!known) c.Fail("batch_axis is {} and time_axis {}, but one must be 0 and the other 1.", batch_axis, time_axis);
    c.ExpectElem(1, {DType::kInt64});
    c.ExpectRank(1, 1, 1);
    if (c.HasRank(0)) {
      const SymbolicShape& x = c.Shape(0);
      if (x.rank() < 2) c.Fail("{} has rank {}, but needs 2 or more.", c.InputName(0), x.rank());
      const Dim& batch = x[static_cast<int>(batch_axis)];
      if (c.HasRank(1) && c.Shape(1)[0].Differs(batch))
        c.Fail("sequence_lens has {} lengths for a batch of {}.", c.Shape(1)[0].ToString(), batch.ToString());
    }
    InferSameAsFirst(c);
  }
  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    Tensor& y = c.Out(0);
    const int batch = static_cast<int>(batch_axis), time = static_cast<int>(time_axis);
    const auto strides = kernels::DenseStrides(x.shape());
    auto reversed = strides;
    reversed[time] = -strides[time];
    for (int64_t b = 0; b < x.shape()[batch]; ++b) {
      const int64_t length = c.In(1).data<int64_t>()[b], whole = x.shape()[time];
      if (length < 0 || length > whole)
        c.Fail("sequence_lens[{}] is {}, but the time axis has size {}.", b, length, whole);
      Shape part = x.shape();
      part[batch] = 1;
      const int64_t first = b * strides[batch];
      part[time] = length;
      const void* last = kernels::At(x.raw(), x.dtype(), first + (length > 0 ? length - 1 : 0) * strides[time]);
      kernels::StridedCopy(x.dtype(), part, last, reversed, kernels::At(y.raw(), y.dtype(), first), strides,
                           c.threads());
      part[time] = whole - length;
      const int64_t rest = first + length * strides[time];
      kernels::StridedCopy(x.dtype(), part, kernels::At(x.raw(), x.dtype(), rest), strides,
                           kernels::At(y.raw(), y.dtype(), rest), strides, c.threads());
    }
  }
};
extern const OpDef kReverseSequence =
    Define<ReverseSequence>({.name = "ReverseSequence", .since = 28, .min_inputs = 2, .max_inputs = 2});

}  // namespace slipway
