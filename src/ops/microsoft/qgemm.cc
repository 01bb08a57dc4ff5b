#include <algorithm>
#include <cmath>

#include "ops/arithmetic.h"
#include "ops/int_product.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

constexpr TypeSet kBytes = {DType::kInt8, DType::kUint8};

}  // namespace

/// alpha (A - a_zero)(B - b_zero) a_scale b_scale, with an int32 C added to the sums; float, or quantized where y_scale
/// is given. com.microsoft QGemm.
struct QGemm {
  IntProduct product;
  float alpha = 1;

  static QGemm Parse(const Attributes& a) {
    QGemm op{.alpha = a.Float("alpha", 1)};
    op.product.trans_a = a.Int("transA", 0) != 0;
    op.product.trans_b = a.Int("transB", 0) != 0;
    return op;
  }

  void Infer(InferContext& c) const {
    c.ExpectElem(3, kBytes);
    c.ExpectRank(0, 2, 2);
    c.ExpectRank(3, 2, 2);
    c.ExpectSameElem(2, 0);
    c.ExpectSameElem(5, 3);
    SymbolicShape out = ProductShape(c, 0, 3, product.trans_a, product.trans_b);
    if (!out.has_rank()) out = SymbolicShape::OfRank(2);
    for (const int i : {1, 4, 7}) {
      if (c.Has(i) || i != 7) c.ExpectElem(i, {DType::kFloat});
    }
    for (const int i : {1, 2, 7, 8}) CheckCount(c, i, 1);
    for (const int i : {4, 5}) CheckCount(c, i, out[1]);
    if (c.Has(6)) {
      c.ExpectElem(6, {DType::kInt32});
      const SymbolicShape both = Broadcast(c, out, c.Shape(6));
      if (both.has_rank() && (both.rank() != 2 || both[0].Differs(out[0]) || both[1].Differs(out[1])))
        c.Fail("{} has shape {}, which cannot be broadcast to {}.", c.InputName(6), c.Shape(6).ToString(),
               out.ToString());
    }
    if (c.Has(8) && !c.Has(7)) c.Fail("has a zero point for its result, but no scale.");
    if (c.Has(8)) c.ExpectElem(8, kBytes);
    c.Out(0, !c.Has(7) ? DType::kFloat : c.Has(8) ? c.Elem(8) : c.Elem(0), std::move(out));
  }
  bool Prepack(int input, const InferContext& c, const kernels::Packing& packing) {
    return input == 3 && product.Prepack(*c.Constant(3), packing);
  }

  void Run(RunContext& c) const {
    Tensor& y = c.Out(0);
    if (y.size() == 0) return;
    const float by = alpha * *c.In(1).data<float>();
    std::vector<float> scales(c.In(4).data<float>(), c.In(4).data<float>() + c.In(4).size());
    for (float& s : scales) s = by * s / (c.Has(7) ? *c.In(7).data<float>() : 1.0f);
    using Kind = kernels::IntResult::Kind;
    kernels::IntResult result = {.kind = !c.Has(7)                   ? Kind::kFloat
                                         : y.dtype() == DType::kInt8 ? Kind::kInt8
                                                                     : Kind::kUint8,
                                 .scale = {scales.data(), scales.size() > 1},
                                 .zero = c.Has(8) ? ToInt32s(&c.In(8))[0] : 0};
    const int64_t n = y.shape()[1];
    std::vector<int32_t> bias;
    if (c.Has(6)) {
      const Tensor& add = c.In(6);
      const bool row = add.size() == 1 || (add.size() == n && add.shape().Back(0) == n);
      if (!row) return RunSums(c, result);
      bias.assign(n, *add.data<int32_t>());
      if (add.size() == n) std::copy_n(add.data<int32_t>(), n, bias.begin());
      result.bias = bias.data();
    }
    product.Run(c, c.In(0), c.In(3), &c.In(2), &c.In(5), y, result);
  }

 private:
  static void CheckCount(const InferContext& c, int i, const Dim& count) {
    if (!c.Has(i) || !c.HasRank(i)) return;
    const Dim size = Product(c.Shape(i), 0, c.Shape(i).rank());
    if (size.Differs(Dim(1)) && size.Differs(count))
      c.Fail("{} has shape {}, but must be of one number{}.", c.InputName(i), c.Shape(i).ToString(),
             count == Dim(1) ? "" : " or one for each column");
  }

  /// With a C that is no row: the sums first.
  void RunSums(RunContext& c, const kernels::IntResult& result) const {
    Tensor& y = c.Out(0);
    Tensor sums(DType::kInt32, y.shape());
    product.Run(c, c.In(0), c.In(3), &c.In(2), &c.In(5), sums, {});
    int32_t* sum = sums.data<int32_t>();
    kernels::BroadcastBinary(kernels::BroadcastPlan(y.shape(), c.In(6).shape()), sum, c.In(6).data<int32_t>(), sum,
                             AddFunction(), c.threads());
    const int64_t n = y.shape()[1];
    const bool is_signed = y.dtype() == DType::kInt8;
    const double low = (is_signed ? -128 : 0) - result.zero;
    for (int64_t i = 0; i < y.size(); ++i) {
      const float scale = result.scale.At(i % n);
      if (y.dtype() == DType::kFloat) {
        y.data<float>()[i] = static_cast<float>(sum[i]) * scale;
      } else {
        const double q = std::nearbyint(static_cast<double>(sum[i]) * scale);
        const auto clamped = static_cast<int32_t>(q > low ? std::min(q, low + 255) : low);
        static_cast<uint8_t*>(y.raw())[i] = static_cast<uint8_t>(clamped + result.zero);
      }
    }
  }
};
extern const OpDef kMicrosoftQGemm =
    Define<QGemm>({.name = "QGemm", .domain = kMicrosoftDomain, .min_inputs = 6, .max_inputs = 9, .types = kBytes});

/// The product of matrices of int16; sums wrap round in int32. com.microsoft MatMulInteger16.
struct MatMulInteger16 {
  void Infer(InferContext& c) const {
    c.ExpectElem(1, {DType::kInt16});
    c.Out(0, DType::kInt32, ProductShape(c, 0, 1));
  }
  void Run(RunContext& c) const {
    Tensor& y = c.Out(0);
    if (y.size() == 0) return;
    const ProductSizes s(c.In(0).shape(), c.In(1).shape(), false, false);
    c.threads().ParallelFor(s.batch * s.m, 1 + 65536 / (1 + s.n * s.k), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const int16_t* left = c.In(0).data<int16_t>() + MatrixOffset(s.a, s.out, r / s.m, s.m * s.k) + r % s.m * s.k;
        const int16_t* right = c.In(1).data<int16_t>() + MatrixOffset(s.b, s.out, r / s.m, s.k * s.n);
        auto* out = reinterpret_cast<uint32_t*>(y.data<int32_t>()) + r * s.n;
        std::fill_n(out, s.n, 0);
        for (int64_t k = 0; k < s.k; ++k) {
          const int32_t x = left[k];
          for (int64_t n = 0; n < s.n; ++n) out[n] += static_cast<uint32_t>(x * right[k * s.n + n]);
        }
      }
    });
  }
};
extern const OpDef kMicrosoftMatMulInteger16 = Define<MatMulInteger16>({.name = "MatMulInteger16",
                                                                        .domain = kMicrosoftDomain,
                                                                        .min_inputs = 2,
                                                                        .max_inputs = 2,
                                                                        .types = {DType::kInt16}});

}  // namespace slipway
