#include <algorithm>
#include <vector>

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

/// Where n elements are not zero; how many. There is room for n.
template <class T>
int64_t Places(const T* x, int64_t n, int64_t* places) {
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i) {
    places[count] = i;
    count += IsNonZero(x[i]);
  }
  return count;
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
    // A row at a time, or a run of elements where rows are short; without a branch on what they hold.
    const int64_t columns = shape.rank() > 0 ? shape.Back(0) : 1;
    const bool by_row = columns >= 32;
    const int64_t run = by_row ? columns : 1024;
    std::vector<int64_t> places(run);
    VisitAll(x.dtype(), [&]<class T>() {
      const T* in = x.data<T>();
      const int64_t size = x.size();
      int64_t total = 0, at = 0;
      for (int64_t i = 0; i < size; ++i) total += IsNonZero(in[i]);
      int64_t* out = c.Allocate(0, DType::kInt64, {shape.rank(), total}).template data<int64_t>();
      for (int64_t begin = 0; begin < size; begin += run) {
        const int64_t n = Places(in + begin, std::min(run, size - begin), places.data());
        for (int64_t j = 0; !by_row && j < n; ++j) places[j] += begin;
        int64_t row = begin / std::max<int64_t>(1, columns);
        for (int axis = shape.rank() - 1; axis >= 0; --axis) {
          int64_t* to = out + axis * total + at;
          if (by_row && axis == shape.rank() - 1) {
            std::copy_n(places.data(), n, to);
          } else if (by_row) {
            std::fill_n(to, n, row % shape[axis]);
            row /= shape[axis];
          } else {
            for (int64_t j = 0; j < n; ++j) {
              to[j] = places[j] % shape[axis];
              places[j] /= shape[axis];
            }
          }
        }
        at += n;
      }
    });
  }
};
extern const OpDef kNonZero = Define<NonZero>({.name = "NonZero", .since = 13});

}  // namespace slipway
