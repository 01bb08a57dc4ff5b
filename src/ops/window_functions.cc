#include <cmath>
#include <numbers>

#include "core/dtype_visit.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

/// a0 - a1 cos(2 pi n / N) + a2 cos(4 pi n / N).
struct Cosines {
  double a0, a1, a2;
};

/// `size` values of a window; N is the size, or for one that is symmetric (periodic 0) one less.
template <Cosines kCosines>
struct WindowFunction {
  bool periodic = true;
  int64_t type = 1;
  static WindowFunction Parse(const Attributes& a) {
    return {.periodic = a.Int("periodic", 1) != 0, .type = a.Int("output_datatype", 1)};
  }
  void Infer(InferContext& c) const {
    c.ExpectElem(0, kIndexTypes);
    const DType elem = ToDType(c, type, "output_datatype");
    if (!kNumericTypes.Has(elem)) c.Fail("attribute 'output_datatype' is {}, but a window is of numbers.", Name(elem));
    const auto size = ConstInt(c, 0);
    if (size && *size < 0) c.Fail("the size is {}.", *size);
    const auto symbol = ShapeInts(c, 0);
    c.Out(0, elem, {size ? Dim(*size) : symbol && symbol->size() == 1 ? (*symbol)[0] : Dim::Unknown()});
  }
  void Run(RunContext& c) const {
    Tensor& y = c.Out(0);
    const int64_t n = y.size();
    // A symmetric window of one value is at its peak.
    const double turn = 2 * std::numbers::pi / static_cast<double>(periodic ? n : n - 1);
    VisitNumeric(y.dtype(), [&]<class T>() {
      using Wide = std::conditional_t<std::is_arithmetic_v<T>, double, float>;
      for (int64_t i = 0; i < n; ++i) {
        const double angle = n == 1 && !periodic ? std::numbers::pi : turn * static_cast<double>(i);
        // In the order of the reference: for integers a peak just under 1 would be 0.
        const double w = (kCosines.a2 * std::cos(2 * angle) - kCosines.a1 * std::cos(angle)) + kCosines.a0;
        y.data<T>()[i] = static_cast<T>(static_cast<Wide>(w));
      }
    });
  }
};

template <Cosines kCosines>
constexpr OpDef DefineWindow(std::string_view name) {
  return Define<WindowFunction<kCosines>>({.name = name, .since = 17, .types = kIndexTypes});
}

}  // namespace

/// Windows made of cosines. ONNX BlackmanWindow, HammingWindow and HannWindow, since 17.
extern const OpDef kBlackmanWindow = DefineWindow<Cosines{0.42, 0.5, 0.08}>("BlackmanWindow");
extern const OpDef kHammingWindow = DefineWindow<Cosines{25.0 / 46, 21.0 / 46, 0}>("HammingWindow");
extern const OpDef kHannWindow = DefineWindow<Cosines{0.5, 0.5, 0}>("HannWindow");

}  // namespace slipway
