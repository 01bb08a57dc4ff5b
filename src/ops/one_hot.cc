#include <utility>

#include "core/dtype_visit.h"
#include "kernels/copy/strided_copy.h"
#include "ops/one_number.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

constexpr TypeSet kOneHotTypes = kIntTypes | TypeSet{DType::kFloat16, DType::kFloat, DType::kDouble};

template <class T>
double AsDouble(const T& value) {
  if constexpr (std::is_arithmetic_v<T>)
    return static_cast<double>(value);
  else
    return static_cast<float>(value);
}

/// The depth, or -1 where it is no size.
int64_t DepthOf(const Tensor& depth) {
  return VisitNumeric(depth.dtype(), [&]<class T>() -> int64_t {
    const T value = *depth.data<T>();
    if constexpr (std::is_integral_v<T>) {
      return std::in_range<int64_t>(value) && value >= T(0) ? static_cast<int64_t>(value) : -1;
    } else {
      const double d = AsDouble(value);
      return d >= 0 && d < 9e18 ? static_cast<int64_t>(d) : -1;
    }
  });
}

}  // namespace

/// A new axis of `depth`, with the "on" value where the index says and the "off" value elsewhere. ONNX OneHot,
/// since 28.
struct OneHot {
  int64_t axis = -1;
  static OneHot Parse(const Attributes& a) { return {.axis = a.Int("axis", -1)}; }

  void Infer(InferContext& c) const {
    c.ExpectElem(1, kOneHotTypes);
    ExpectOne(c, 1);
    c.ExpectRank(2, 1, 1);
    if (c.HasRank(2) && c.Shape(2)[0].Differs(2))
      c.Fail("values must be [off, on], but has shape {}.", c.Shape(2).ToString());
    if (!c.HasRank(0)) return c.Out(0, c.Elem(2));
    std::vector<Dim> dims = c.Shape(0).dims();
    const auto at = c.Axis(axis, static_cast<int64_t>(dims.size()) + 1);
    Dim depth = Dim::Unknown();
    if (const Tensor* t = c.Constant(1)) {
      if (t->size() != 1) c.Fail("depth must have one element, but has shape {}.", t->shape().ToString());
      const int64_t n = DepthOf(*t);
      if (n < 0) c.Fail("depth is no size of an axis.");
      depth = n;
    } else if (const auto ints = ShapeInts(c, 1); ints && ints->size() == 1 && NeverNegative((*ints)[0])) {
      depth = (*ints)[0];
    }
    dims.insert(dims.begin() + at, depth);
    c.Out(0, c.Elem(2), std::move(dims));
  }

  void Run(RunContext& c) const {
    const Tensor& indices = c.In(0);
    Tensor& y = c.Out(0);
    if (y.size() == 0) return;
    const int at = ModAxis(axis, y.shape().rank());
    const int64_t depth = y.shape()[at], inner = y.shape().SizeFrom(at + 1);
    kernels::FillElements(y.dtype(), c.In(2).raw(), y.raw(), y.size(), c.threads());
    VisitBySize(y.dtype(), [&]<class T>() {
      const T on = c.In(2).data<T>()[1];
      T* to = y.data<T>();
      VisitNumeric(indices.dtype(), [&]<class I>() {
        for (int64_t i = 0; i < indices.size(); ++i) {
          const int64_t index = Place(indices.data<I>()[i], depth);
          if (index >= 0) to[(i / inner * depth + index) * inner + i % inner] = on;
        }
      });
    });
  }

 private:
  /// The index in [0, depth), or -1 where it is outside [-depth, depth).
  template <class I>
  static int64_t Place(I value, int64_t depth) {
    int64_t index;
    if constexpr (std::is_integral_v<I>) {
      if (!std::in_range<int64_t>(value)) return -1;
      index = static_cast<int64_t>(value);
    } else {
      const double d = AsDouble(value);
      if (!(d >= -9e18 && d <= 9e18)) return -1;
      index = static_cast<int64_t>(d);
    }
    if (index < -depth || index >= depth) return -1;
    return index < 0 ? index + depth : index;
  }
};
extern const OpDef kOneHot =
    Define<OneHot>({.name = "OneHot", .since = 28, .min_inputs = 3, .max_inputs = 3, .types = kOneHotTypes});

}  // namespace slipway
