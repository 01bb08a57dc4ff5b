#include <cmath>

#include "ops/arithmetic.h"
#include "ops/matmul.h"

namespace slipway {

/// Y = alpha A B + beta C, A and B matrices, transposed where asked, C broadcast to Y. ONNX Gemm, since 13.
struct Gemm {
  MatrixProduct product;
  float alpha = 1;
  float beta = 1;

  static Gemm Parse(const Attributes& a) {
    Gemm op{.alpha = a.Float("alpha", 1), .beta = a.Float("beta", 1)};
    op.product.trans_a = a.Int("transA", 0) != 0;
    op.product.trans_b = a.Int("transB", 0) != 0;
    return op;
  }
  void Infer(InferContext& c) const {
    c.ExpectRank(0, 2, 2);
    c.ExpectRank(1, 2, 2);
    SymbolicShape out = product.Infer(c);
    if (c.Has(2)) {
      c.ExpectSameElem(2, 0);
      const SymbolicShape both = Broadcast(c, out, c.Shape(2));
      const bool grows = both.has_rank() && (both.rank() != 2 || both[0].Differs(out[0]) || both[1].Differs(out[1]));
      if (grows)
        c.Fail("{} has shape {}, which cannot be broadcast to {}.", c.InputName(2), c.Shape(2).ToString(),
               out.ToString());
    }
    if (!out.has_rank()) out = SymbolicShape::OfRank(2);
    c.Out(0, c.Elem(0), std::move(out));
  }
  bool Prepack(int input, const InferContext& c, const kernels::Packing& packing) {
    return input == 1 && product.Prepack(*c.Constant(1), packing);
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    Tensor& y = c.Out(0);
    if (y.size() == 0) return;
    const bool adds = c.Has(2) && beta != 0;
    if (y.dtype() == DType::kFloat) {
      RunFloat(c, y, adds);
      return;
    }
    product.RunPlain(c, c.In(0), c.In(1), y);
    Visit(Types<double, uint32_t, uint64_t, int32_t, int64_t>{}, y.dtype(), "a float or an integer of 32 or 64 bits",
          [&]<class T>() {
            const T zero[] = {0};
            const Shape scalar;
            const kernels::BroadcastPlan plan(y.shape(), adds ? c.In(2).shape() : scalar);
            // Factors that are whole numbers keep integers exact.
            const auto whole = [](float f) { return f == std::trunc(f) && std::abs(f) < 0x1p31f; };
            const bool exact = std::is_integral_v<T> && whole(alpha) && whole(beta);
            const T a = exact ? static_cast<T>(static_cast<int64_t>(alpha)) : T{0},
                    b = exact ? static_cast<T>(static_cast<int64_t>(beta)) : T{0};
            kernels::BroadcastBinary(
                plan, y.data<T>(), adds ? c.In(2).data<T>() : zero, y.data<T>(),
                [&](T p, T q) {
                  if (exact) return AddFunction()(MulFunction()(a, p), MulFunction()(b, q));
                  return FromDouble<T>(static_cast<double>(alpha) * static_cast<double>(p) +
                                       static_cast<double>(beta) * static_cast<double>(q));
                },
                c.threads());
          });
  }

 private:
  void RunFloat(RunContext& c, Tensor& y, bool adds) const {
    kernels::Epilogue e{.scale = alpha};
    if (adds) {
      const Shape& shape = c.In(2).shape();
      const bool whole_row = shape.rank() > 0 && shape.Back(0) == y.shape()[1] && shape.size() == shape.Back(0);
      if (beta == 1 && whole_row) {
        e.bias = c.In(2).data<float>();
      } else if (beta == 1 && shape == y.shape()) {
        e.residual = c.In(2).data<float>();
      } else {
        float* out = y.data<float>();
        kernels::BroadcastBinary(
            kernels::BroadcastPlan(y.shape(), shape), out, c.In(2).data<float>(), out,
            [&](float, float v) { return beta * v; }, c.threads());
        e.residual = out;
      }
    }
    product.RunFloat(c, c.In(0), c.In(1), y, e);
  }
};
extern const OpDef kGemm =
    Define<Gemm>({.name = "Gemm",
                  .since = 13,
                  .min_inputs = 2,
                  .max_inputs = 3,
                  .types = kFloatTypes | TypeSet{DType::kUint32, DType::kUint64, DType::kInt32, DType::kInt64}});

}  // namespace slipway
