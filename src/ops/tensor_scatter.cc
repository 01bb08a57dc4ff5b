#include "kernels/copy/strided_copy.h"
#include "ops/scatter.h"
#include "ops/shape_math.h"

namespace slipway {

/// Writes each batch item's update into its cache from write_indices[b] on, along the sequence axis. ONNX
/// TensorScatter, since 24.
struct TensorScatter {
  bool circular = false;
  int64_t axis = -2;
  static TensorScatter Parse(const Attributes& a) {
    const std::string mode = a.String("mode", "linear");
    if (mode != "linear" && mode != "circular") {
      throw Error(Code::kBadGraph, fmt::format("mode is '{}', but must be linear or circular.", mode));
    }
    return {.circular = mode == "circular", .axis = a.Int("axis", -2)};
  }
  void Infer(InferContext& c) const {
    c.ExpectSameElem(1, 0);
    if (c.Has(2)) {
      c.ExpectElem(2, {DType::kInt64});
      c.ExpectRank(2, 1, 1);
    }
    if (c.HasRank(0)) CheckShapes(c);
    InferSameAsFirst(c);
  }
  void Run(RunContext& c) const {
    StartFromData(c);
    const Tensor& update = c.In(1);
    Tensor& y = c.Out(0);
    const int at = ModAxis(axis, y.shape().rank());
    const int64_t length = update.shape()[at], room = y.shape()[at], inner = y.shape().SizeFrom(at + 1);
    const int64_t prefixes = y.shape().SizeTo(at), batch = y.shape()[0];
    if (update.size() == 0) return;
    VisitBySize(y.dtype(), [&]<class T>() {
      for (int64_t p = 0; p < prefixes; ++p) {
        const int64_t item = p / (prefixes / batch);
        const int64_t first = c.Has(2) ? c.In(2).data<int64_t>()[item] : 0;
        if (first < 0 || (!circular && first > room - length)) {
          c.Fail("write_indices[{}] is {}, where {} more do not fit into a cache of {}.", item, first, length, room);
        }
        for (int64_t s = 0; s < length; ++s) {
          const int64_t place = circular ? (first % room + s) % room : first + s;
          std::copy_n(update.data<T>() + (p * length + s) * inner, inner, y.data<T>() + (p * room + place) * inner);
        }
      }
    });
  }

 private:
  void CheckShapes(const InferContext& c) const {
    const SymbolicShape& x = c.Shape(0);
    const auto at = c.Axis(axis, x.rank());
    if (at == 0) c.Fail("axis is 0, which is the batch.");
    if (c.Has(2) && c.HasRank(2) && c.Shape(2)[0].Differs(x[0])) {
      c.Fail("write_indices has {} elements for a batch of {}.", c.Shape(2)[0].ToString(), x[0].ToString());
    }
    c.ExpectRank(1, x.rank(), x.rank());
    for (int i = 0; i < x.rank() && c.HasRank(1); ++i) {
      const Dim& d = c.Shape(1)[i];
      const bool longer = d.is_const() && x[i].is_const() && d.value() > x[i].value();
      if (i == at ? longer : d.Differs(x[i]))
        c.Fail("an update of shape {} does not fit a cache of {}.", c.Shape(1).ToString(), x.ToString());
    }
  }
};
extern const OpDef kTensorScatter =
    Define<TensorScatter>({.name = "TensorScatter", .since = 24, .min_inputs = 2, .max_inputs = 3, .in_place = 0});

}  // namespace slipway
