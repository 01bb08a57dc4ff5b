#include <complex>

#include "core/dtype_visit.h"
#include "kernels/elementwise/broadcast.h"
#include "ops/in_float.h"

namespace slipway {
namespace {

/// A B (or A times B's conjugate) of complex numbers, whose parts are the last axis, of size 2. com.microsoft
/// ComplexMul and ComplexMulConj.
template <bool kConjugate>
struct ComplexProduct {
  void Infer(InferContext& c) const {
    c.ExpectSameElem(1, 0);
    for (int i : {0, 1}) {
      if (!c.HasRank(i)) return c.Out(0, c.Elem(0));
      const SymbolicShape& x = c.Shape(i);
      if (x.rank() < 1 || x[x.rank() - 1].Differs(2))
        c.Fail("{} has shape {}, but must end in an axis of size 2.", c.InputName(i), x.ToString());
    }
    c.Out(0, c.Elem(0), Broadcast(c, c.Shape(0), c.Shape(1)));
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    Shape a = c.In(0).shape(), b = c.In(1).shape();
    a.erase(a.rank() - 1);
    b.erase(b.rank() - 1);
    Visit(Types<float, double>{}, c.In(0).dtype(), "float or double", [&]<class T>() {
      using Number = std::complex<T>;
      kernels::BroadcastBinary(
          kernels::BroadcastPlan(a, b), c.In(0).data<Number>(), c.In(1).data<Number>(), c.Out(0).data<Number>(),
          [](Number x, Number y) {
            // Written out: the operator of std::complex checks for infinities.
            const T imaginary = kConjugate ? -y.imag() : y.imag();
            return Number(x.real() * y.real() - x.imag() * imaginary, x.real() * imaginary + x.imag() * y.real());
          },
          c.threads());
    });
  }
};

}  // namespace

extern const OpDef kMicrosoftComplexMul = Define<ComplexProduct<false>>(
    {.name = "ComplexMul", .domain = kMicrosoftDomain, .min_inputs = 2, .max_inputs = 2, .types = kFloatTypes});
extern const OpDef kMicrosoftComplexMulConj = Define<ComplexProduct<true>>(
    {.name = "ComplexMulConj", .domain = kMicrosoftDomain, .min_inputs = 2, .max_inputs = 2, .types = kFloatTypes});

}  // namespace slipway
