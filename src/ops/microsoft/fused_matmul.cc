#include <algorithm>
#include <cstring>

#include "ops/in_float.h"
#include "ops/indexing.h"
#include "ops/matmul.h"

namespace slipway {

/// Y = alpha A B, where an operand's first axis may stand for its rows: [M, batch..., K] is then read as [batch..., M,
/// K]. com.microsoft FusedMatMul; without such an operand it is ai.slipway FusedMatMul from reading on.
struct MicrosoftFusedMatMul {
  MatrixProduct product;
  bool first_is_row[2] = {false, false};
  float alpha = 1;

  static MicrosoftFusedMatMul Parse(const Attributes& a) {
    MicrosoftFusedMatMul op;
    op.product.trans_a = a.Int("transA", 0) != 0;
    op.product.trans_b = a.Int("transB", 0) != 0;
    op.first_is_row[0] = a.Int("transBatchA", 0) != 0;
    op.first_is_row[1] = a.Int("transBatchB", 0) != 0;
    op.alpha = a.Float("alpha", 1);
    return op;
  }

  void Infer(InferContext& c) const {
    InferContext moved = c;
    Type types[2] = {c.In(0), c.In(1)};
    for (int i : {0, 1}) {
      if (first_is_row[i] && types[i].shape.has_rank() && types[i].shape.rank() > 2) {
        std::vector<Dim>& dims = types[i].shape.dims();
        std::rotate(dims.begin(), dims.begin() + 1, dims.end() - 1);
      }
      moved.in_types[i] = &types[i];
    }
    c.Out(0, c.Elem(0), product.Infer(moved));
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    const Tensor a = Operand(c, 0), b = Operand(c, 1);
    if (c.In(0).dtype() == DType::kFloat) return product.RunFloat(c, a, b, c.Out(0), {.scale = alpha});
    product.RunPlain(c, a, b, c.Out(0));
    for (int64_t i = 0; i < c.Out(0).size(); ++i) c.Out(0).data<double>()[i] *= static_cast<double>(alpha);
  }

 private:
  Tensor Operand(const RunContext& c, int i) const {
    const Tensor& x = c.In(i);
    if (!first_is_row[i] || x.shape().rank() < 3) return x;
    Shape shape = x.shape();
    std::rotate(shape.data(), shape.data() + 1, shape.data() + shape.rank() - 1);
    Tensor out(x.dtype(), shape);
    const int64_t rows = x.shape()[0], columns = x.shape().Back(0),
                  batch = x.shape().SizeFrom(1) / std::max<int64_t>(1, columns);
    const size_t bytes = static_cast<size_t>(columns) * SizeOf(x.dtype());
    c.threads().ParallelFor(batch, GrainFor(static_cast<int64_t>(bytes) * rows), [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        for (int64_t r = 0; r < rows; ++r) {
          std::memcpy(static_cast<std::byte*>(out.raw()) + (n * rows + r) * bytes,
                      static_cast<const std::byte*>(x.raw()) + (r * batch + n) * bytes, bytes);
        }
      }
    });
    return out;
  }
};
extern const OpDef kMicrosoftFusedMatMul = Define<MicrosoftFusedMatMul>(
    {.name = "FusedMatMul", .domain = kMicrosoftDomain, .min_inputs = 2, .max_inputs = 2, .types = kFloatTypes});

}  // namespace slipway
