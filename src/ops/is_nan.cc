#include <cmath>

#include "core/dtype_visit.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

constexpr TypeSet kClassifiedTypes =
    kFloatTypes | TypeSet{DType::kFloat8E4M3FN, DType::kFloat8E4M3FNUZ, DType::kFloat8E5M2, DType::kFloat8E5M2FNUZ};

/// y = f(x) with x as float or double.
template <class F>
void Classify(RunContext& c, const F& f) {
  const Tensor& x = c.In(0);
  VisitAll(x.dtype(), [&]<class T>() {
    if constexpr (std::is_floating_point_v<T> || requires(T t) { t.bits; }) {
      using Wide = std::conditional_t<std::is_floating_point_v<T>, T, float>;
      const T* in = x.data<T>();
      bool* out = c.Out(0).data<bool>();
      c.threads().ParallelFor(x.size(), 16384, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) out[i] = f(static_cast<Wide>(in[i]));
      });
    }
  });
}

}  // namespace

/// ONNX IsNaN, since 20.
struct IsNaN {
  void Infer(InferContext& c) const { c.Out(0, DType::kBool, c.Shape(0)); }
  void Run(RunContext& c) const {
    Classify(c, [](auto x) { return x != x; });
  }
};
extern const OpDef kIsNaN = Define<IsNaN>({.name = "IsNaN", .since = 20, .types = kClassifiedTypes});

/// True at the infinities asked for. ONNX IsInf, since 20.
struct IsInf {
  bool negative = true, positive = true;
  static IsInf Parse(const Attributes& a) {
    return {.negative = a.Int("detect_negative", 1) != 0, .positive = a.Int("detect_positive", 1) != 0};
  }
  void Infer(InferContext& c) const { c.Out(0, DType::kBool, c.Shape(0)); }
  void Run(RunContext& c) const {
    Classify(c, [this](auto x) { return std::isinf(x) && (x > 0 ? positive : negative); });
  }
};
extern const OpDef kIsInf = Define<IsInf>({.name = "IsInf", .since = 20, .types = kClassifiedTypes});

}  // namespace slipway
