#include <array>

#include "core/dtype_visit.h"
#include "ops/in_float.h"
#include "ops/indexing.h"
#include "ops/quantization.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

constexpr auto kSources = Types<int8_t, uint8_t, int16_t, uint16_t, int32_t>{} + lists::kSmallIntegerTypes +
                          Types<Float8E4M3FN, Float8E4M3FNUZ, Float8E5M2, Float8E5M2FNUZ, Float4E2M1>{};

/// x - zero as float.
template <class X>
float Difference(const X& x, const X& zero) {
  if constexpr (std::is_same_v<X, int32_t>) {
    return static_cast<float>(int64_t{x} - zero);
  } else if constexpr (requires(X t) { t.bits; }) {
    return static_cast<float>(x) - static_cast<float>(zero);
  } else {
    return static_cast<float>(static_cast<int32_t>(static_cast<int64_t>(x)) -
                              static_cast<int32_t>(static_cast<int64_t>(zero)));
  }
}

Tensor ScalesInFloat(const Tensor& scale, const Threads& threads) {
  if (scale.dtype() != DType::kFloat8E8M0) return ToFloat(scale, threads);
  Tensor out(DType::kFloat, scale.shape());
  for (int64_t i = 0; i < scale.size(); ++i) out.data<float>()[i] = static_cast<float>(scale.data<Float8E8M0>()[i]);
  return out;
}

}  // namespace

/// (x - zero point) * scale. ONNX DequantizeLinear, since 28; com.microsoft's is the same.
struct DequantizeLinear {
  Granularity granularity;
  int64_t output_dtype = 0;

  static DequantizeLinear Parse(const Attributes& a) {
    return {.granularity = Granularity::Parse(a), .output_dtype = a.Int("output_dtype", 0)};
  }

  void Infer(InferContext& c) const {
    c.ExpectElem(1, TypeSet{DType::kFloat, DType::kFloat16, DType::kBFloat16, DType::kFloat8E8M0});
    if (c.Has(2)) c.ExpectSameElem(2, 0);
    const DType type = output_dtype != 0 ? ToDType(c, output_dtype, "output_dtype") : c.Elem(1);
    if (type != DType::kFloat && type != DType::kFloat16 && type != DType::kBFloat16)
      c.Fail("cannot dequantize to {}: attribute 'output_dtype' must be float, float16 or bfloat16.", Name(type));
    granularity.Check(c, 1, 2);
    c.Out(0, type, c.Shape(0));
  }

  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    const Tensor scales = ScalesInFloat(c.In(1), c.threads());
    const ScaleLines lines(granularity, x.shape(), scales.shape());
    if (lines.count() == 0) return;
    Visit(kSources, x.dtype(), "a quantized type", [&]<class X>() {
      Visit(Types<float, Float16, BFloat16>{}, c.Out(0).dtype(), "a float of 16 or 32 bits", [&]<class Y>() {
        const X* zeros = c.Has(2) ? c.In(2).data<X>() : nullptr;
        c.threads().ParallelFor(lines.count(), GrainFor(4 * lines.length()), [&](int64_t begin, int64_t end) {
          for (int64_t l = begin; l < end; ++l) {
            const ScaleLines::Line line = lines.At(l);
            Scale(x.data<X>() + line.begin, zeros ? zeros + line.scale : nullptr, scales.data<float>() + line.scale,
                  lines.scale_each(), line.length, c.Out(0).data<Y>() + line.begin);
          }
        });
      });
    });
  }

 private:
  template <class X, class Y>
  static void Scale(const X* x, const X* zero, const float* scale, bool each, int64_t n, Y* y) {
    if (each) {
      for (int64_t i = 0; i < n; ++i) y[i] = static_cast<Y>(Difference(x[i], zero ? zero[i] : X{}) * scale[i]);
    } else {
      const X z = zero ? *zero : X{};
      const float s = *scale;
      for (int64_t i = 0; i < n; ++i) y[i] = static_cast<Y>(Difference(x[i], z) * s);
    }
  }
};
constexpr TypeSet kDequantized = kQuantizedTypes | TypeSet{DType::kInt32};
extern const OpDef kDequantizeLinear = Define<DequantizeLinear>(
    {.name = "DequantizeLinear", .since = 28, .min_inputs = 2, .max_inputs = 3, .types = kDequantized});
extern const OpDef kMicrosoftDequantizeLinear = Define<DequantizeLinear>(
    {.name = "DequantizeLinear", .domain = kMicrosoftDomain, .min_inputs = 2, .max_inputs = 3, .types = kDequantized});

}  // namespace slipway
