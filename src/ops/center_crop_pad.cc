#include <algorithm>
#include <cstring>

#include "kernels/copy/strided_copy.h"
#include "ops/shape_math.h"

namespace slipway {

/// Crops around the centre, or pads with zeros on both sides, to the given sizes. ONNX CenterCropPad, since 18.
struct CenterCropPad {
  std::optional<std::vector<int64_t>> axes;
  static CenterCropPad Parse(const Attributes& a) {
    CenterCropPad op;
    if (a.Has("axes")) op.axes = a.Ints("axes");
    return op;
  }
  void Infer(InferContext& c) const {
    c.ExpectElem(1, kIndexTypes);
    c.ExpectRank(1, 1, 1);
    if (!c.HasRank(0)) return c.Out(0, c.Elem(0));
    SymbolicShape out = c.Shape(0);
    std::vector<int64_t> which(out.rank());
    for (int i = 0; i < out.rank(); ++i) which[i] = i;
    if (axes) which = UniqueAxes(c, *axes, out.rank());
    const auto sizes = c.Ints(1);
    if (sizes && sizes->size() != which.size()) c.Fail("{} sizes for {} axes.", sizes->size(), which.size());
    for (size_t i = 0; i < which.size(); ++i) {
      const Dim size = sizes ? (*sizes)[i] : Dim::Unknown();
      if (size.is_const() && size.value() < 0) c.Fail("the size of axis {} is negative: {}.", which[i], size.value());
      out[static_cast<int>(which[i])] = size;
    }
    c.Out(0, c.Elem(0), std::move(out));
  }
  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    Tensor& y = c.Out(0);
    const auto from = kernels::DenseStrides(x.shape()), to = kernels::DenseStrides(y.shape());
    Shape kept = y.shape();
    int64_t from_offset = 0, to_offset = 0;
    for (int i = 0; i < kept.rank(); ++i) {
      const int64_t have = x.shape()[i], want = y.shape()[i];
      kept[i] = std::min(have, want);
      if (have > want) from_offset += (have - want) / 2 * from[i];
      if (want > have) to_offset += (want - have) / 2 * to[i];
    }
    if (!(kept == y.shape())) {
      if (y.dtype() == DType::kString) {
        std::fill_n(y.data<std::string>(), y.size(), std::string());
      } else {
        std::memset(y.raw(), 0, y.bytes());
      }
    }
    kernels::StridedCopy(x.dtype(), kept, kernels::At(x.raw(), x.dtype(), from_offset), from,
                         kernels::At(y.raw(), y.dtype(), to_offset), to, c.threads());
  }
};
extern const OpDef kCenterCropPad =
    Define<CenterCropPad>({.name = "CenterCropPad", .since = 18, .min_inputs = 2, .max_inputs = 2});

}  // namespace slipway
