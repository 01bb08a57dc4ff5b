#include <algorithm>
#include <cstring>

#include "core/dtype_visit.h"
#include "ops/shape_math.h"

namespace slipway {

/// Ones on the k-th diagonal of a matrix of the input's shape, zeros elsewhere. ONNX EyeLike, since 22.
struct EyeLike {
  int64_t k = 0;
  std::optional<int64_t> dtype;
  static EyeLike Parse(const Attributes& a) {
    EyeLike op{.k = a.Int("k", 0)};
    if (a.Has("dtype")) op.dtype = a.Int("dtype", 0);
    return op;
  }
  void Infer(InferContext& c) const {
    c.ExpectRank(0, 2, 2);
    const DType type = dtype ? ToDType(c, *dtype, "dtype") : c.Elem(0);
    if (!(kNumericTypes | TypeSet{DType::kBool}).Has(type)) c.Fail("cannot give {}.", Name(type));
    c.Out(0, type, c.Shape(0));
  }
  void Run(RunContext& c) const {
    Tensor& y = c.Out(0);
    const int64_t rows = y.shape()[0], columns = y.shape()[1];
    std::memset(y.raw(), 0, y.bytes());
    const int64_t diagonal = std::clamp(k, -rows, columns);
    VisitAll(y.dtype(), [&]<class T>() {
      if constexpr (std::is_arithmetic_v<T> || std::is_same_v<T, Float16> || std::is_same_v<T, BFloat16>) {
        for (int64_t r = std::max<int64_t>(0, -diagonal); r < rows && r + diagonal < columns; ++r) {
          y.data<T>()[r * columns + r + diagonal] = T(1);
        }
      }
    });
  }
};
extern const OpDef kEyeLike = Define<EyeLike>(
    {.name = "EyeLike", .since = 22, .types = kNumericTypes | TypeSet{DType::kBool}, .shape_only = true});

}  // namespace slipway
