#include "kernels/copy/strided_copy.h"
#include "ops/shape_math.h"

namespace slipway {

/// Joins tensors along an axis. ONNX Concat, since 13.
struct Concat {
  int64_t axis = 0;
  static Concat Parse(const Attributes& a) { return {.axis = a.RequiredInt("axis")}; }

  void Infer(InferContext& c) const {
    SymbolicShape out = c.Shape(0);
    int at = out.has_rank() ? static_cast<int>(c.Axis(axis, out.rank())) : 0;
    bool all_ranked = true;
    Dim total = 0;
    for (int i = 0; i < c.num_inputs(); ++i) {
      c.ExpectSameElem(i, 0);
      if (!c.HasRank(i)) {
        all_ranked = false;
        continue;
      }
      const SymbolicShape& x = c.Shape(i);
      if (!out.has_rank()) {
        at = static_cast<int>(c.Axis(axis, x.rank()));
        out = x;
      }
      if (x.rank() != out.rank())
        c.Fail("{} has shape {}, but another input has {}.", c.InputName(i), x.ToString(), out.ToString());
      for (int d = 0; d < x.rank(); ++d) {
        if (d == at) continue;
        if (x[d].Differs(out[d])) {
          c.Fail("{} has shape {}, but another input has {}: they may differ on axis {} only.", c.InputName(i),
                 x.ToString(), out.ToString(), at);
        }
        if (x[d].is_const()) out[d] = x[d];
      }
      total = total + x[at];
    }
    if (out.has_rank()) out[at] = all_ranked ? total : Dim::Unknown();
    PropagateInts(c, out);
    c.Out(0, c.Elem(0), std::move(out));
  }

  void Run(RunContext& c) const {
    Tensor& y = c.Out(0);
    const int at = ModAxis(axis, y.shape().rank());
    const int64_t outer = y.shape().SizeTo(at), row = y.shape().SizeFrom(at);
    int64_t offset = 0;
    for (int i = 0; i < c.num_inputs(); ++i) {
      const Tensor& x = c.In(i);
      const int64_t run = x.shape().SizeFrom(at);
      const int64_t shape[] = {outer, run}, from[] = {run, 1}, to[] = {row, 1};
      kernels::StridedCopy(x.dtype(), shape, x.raw(), from, kernels::At(y.raw(), y.dtype(), offset), to, c.threads());
      offset += run;
    }
  }

 private:
  static void PropagateInts(InferContext& c, const SymbolicShape& out) {
    if (!out.has_rank() || out.rank() != 1) return;
    SymbolicInts all;
    bool any = false;
    for (int i = 0; i < c.num_inputs(); ++i) {
      if (const auto ints = ShapeInts(c, i)) {
        all.insert(all.end(), ints->begin(), ints->end());
        any = true;
      } else {
        if (!c.HasRank(i) || !c.Shape(i)[0].is_const() || c.Shape(i)[0].value() > 64) return;
        all.insert(all.end(), c.Shape(i)[0].value(), Dim::Unknown());
      }
    }
    if (any) c.OutInts(0, std::move(all));
  }
};
extern const OpDef kConcat = Define<Concat>({.name = "Concat", .since = 13, .max_inputs = kVariadic});

}  // namespace slipway
