#include "core/dtype_visit.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

template <class T>
bool IsNonZero(const T& x) {
  if constexpr (std::is_same_v<T, std::string>)
    return !x.empty();
  else if constexpr (requires { x.bits; })
    return static_cast<float>(x) != 0;
  else if constexpr (requires { x.value; })
    return x.value != 0;
  else
    return x != T(0);
}

}  // namespace

/// The indices of elements that are not zero, one column each: [rank, count]. ONNX NonZero, since 13.
struct NonZero {
  void Infer(InferContext& c) const {
    c.Out(0, DType::kInt64, {c.HasRank(0) ? Dim(c.Shape(0).rank()) : Dim::Unknown(), Dim::Unknown()});
  }
  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    const Shape& shape = x.shape();
    std::vector<int64_t> found;
    VisitAll(x.dtype(), [&]<class T>() {
      const T* in = x.data<T>();
      for (int64_t i = 0; i < x.size(); ++i) {
        if (IsNonZero(in[i])) found.push_back(i);
      }
    });
    const auto count = static_cast<int64_t>(found.size());
    Tensor& y = c.Allocate(0, DType::kInt64, {shape.rank(), count});
    int64_t* out = y.data<int64_t>();
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      for (int64_t i = 0; i < count; ++i) {
        out[axis * count + i] = found[i] % shape[axis];
        found[i] /= shape[axis];
      }
    }
  }
};
extern const OpDef kNonZero = Define<NonZero>({.name = "NonZero", .since = 13});

}  // namespace slipway
