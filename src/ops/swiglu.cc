#include "core/dtype_visit.h"
#include "kernels/elementwise/unary.h"
#include "ops/in_float.h"
#include "ops/indexing.h"
#include "ops/shape_math.h"

namespace slipway {

/// a * sigmoid(alpha * a) * b. ONNX SwiGLU, since 28.
struct SwiGLU {
  float alpha = 1;
  static SwiGLU Parse(const Attributes& a) { return {.alpha = a.Float("alpha", 1)}; }

  void Infer(InferContext& c) const {
    c.ExpectSameElem(1, 0);
    if (c.HasRank(0) && c.HasRank(1)) {
      const SymbolicShape &a = c.Shape(0), &b = c.Shape(1);
      bool differ = a.rank() != b.rank();
      for (int i = 0; !differ && i < a.rank(); ++i) differ = a[i].Differs(b[i]);
      if (differ) c.Fail("the inputs have shapes {} and {}, but must be alike.", a.ToString(), b.ToString());
    }
    InferSameAsFirst(c);
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    const int64_t n = c.In(0).size();
    if (c.In(0).dtype() == DType::kDouble) {
      const double *a = c.In(0).data<double>(), *b = c.In(1).data<double>();
      double* y = c.Out(0).data<double>();
      for (int64_t i = 0; i < n; ++i) y[i] = a[i] / (1 + std::exp(-static_cast<double>(alpha) * a[i])) * b[i];
      return;
    }
    constexpr int64_t kPiece = 2048;
    const float *a = c.In(0).data<float>(), *b = c.In(1).data<float>();
    float* y = c.Out(0).data<float>();
    const Threads one(1);
    c.threads().ParallelFor(n, GrainFor(8 * sizeof(float)), [&](int64_t begin, int64_t end) {
      float gate[kPiece];
      for (int64_t i = begin; i < end; i += kPiece) {
        const int64_t count = std::min(kPiece, end - i);
        kernels::UnaryFloat(kernels::UnaryOp::kSilu, a + i, gate, count, alpha, 0, one);
        for (int64_t k = 0; k < count; ++k) y[i + k] = gate[k] * b[i + k];
      }
    });
  }
};
extern const OpDef kSwiGLU = Define<SwiGLU>(
    {.name = "SwiGLU", .since = 28, .min_inputs = 2, .max_inputs = 2, .types = kFloatTypes, .in_place = 0});

}  // namespace slipway
