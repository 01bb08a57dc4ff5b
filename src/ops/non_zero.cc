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
    const int64_t columns = shape.rank() > 0 ? shape.Back(0) : 1, rows = columns ? x.size() / columns : 0;
    // How many each row has; then each row's columns, without a branch on what they hold.
    std::vector<int64_t> counts(rows), places(columns);
    VisitAll(x.dtype(), [&]<class T>() {
      const T* in = x.data<T>();
      int64_t total = 0;
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t i = 0; i < columns; ++i) counts[r] += IsNonZero(in[r * columns + i]);
        total += counts[r];
      }
      int64_t* out = c.Allocate(0, DType::kInt64, {shape.rank(), total}).template data<int64_t>();
      if (shape.rank() == 0) return;
      int64_t at = 0;
      for (int64_t r = 0; r < rows; ++r) {
        if (counts[r] == 0) continue;
        int64_t n = 0;
        for (int64_t i = 0; i < columns; ++i) {
          places[n] = i;
          n += IsNonZero(in[r * columns + i]);
        }
        int64_t rest = r;
        for (int axis = shape.rank() - 2; axis >= 0; --axis) {
          std::fill_n(out + axis * total + at, counts[r], rest % shape[axis]);
          rest /= shape[axis];
        }
        std::copy_n(places.data(), counts[r], out + (shape.rank() - 1) * total + at);
        at += counts[r];
      }
    });
  }
};
extern const OpDef kNonZero = Define<NonZero>({.name = "NonZero", .since = 13});

}  // namespace slipway
