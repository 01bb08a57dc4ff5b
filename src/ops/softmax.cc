#include "kernels/reduce/softmax.h"

#include <algorithm>
#include <cmath>

#include "kernels/reduce/softmax_halves.h"
#include "ops/in_float.h"
#include "ops/indexing.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

/// A tensor seen as [outer, size, inner] about an axis.
struct AroundAxis {
  int64_t outer, size, inner;
  AroundAxis(const Shape& shape, int axis)
      : outer(shape.SizeTo(axis)), size(shape[axis]), inner(shape.SizeFrom(axis + 1)) {}
};

/// Calls f(first element) for each row along the axis; its elements lie `inner` apart.
template <class F>
void ForEachRow(const AroundAxis& t, const Threads& threads, const F& f) {
  threads.ParallelFor(t.outer * t.inner, GrainFor(8 * t.size), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) f(r / t.inner * t.size * t.inner + r % t.inner);
  });
}

struct AxisOp {
  int64_t axis = -1;
  void InferAxis(InferContext& c) const {
    if (c.HasRank(0)) c.Axis(axis, c.Shape(0).rank());
    InferSameAsFirst(c);
  }
  AroundAxis Around(const RunContext& c) const {
    const Shape& shape = c.In(0).shape();
    return AroundAxis(shape, ModAxis(axis, shape.rank()));
  }
};

void SoftmaxRow(const double* x, double* y, int64_t size, int64_t step, bool log) {
  double top = x[0], sum = 0;
  for (int64_t i = 0; i < size; ++i) top = x[i * step] > top || x[i * step] != x[i * step] ? x[i * step] : top;
  for (int64_t i = 0; i < size; ++i) sum += std::exp(x[i * step] - top);
  const double log_sum = std::log(sum);
  for (int64_t i = 0; i < size; ++i) {
    const double shifted = x[i * step] - top;
    y[i * step] = log ? shifted - log_sum : std::exp(shifted) / sum;
  }
}

/// ONNX Softmax and LogSoftmax, since 13.
template <bool kLog>
struct SoftmaxOf : AxisOp {
  static SoftmaxOf Parse(const Attributes& a) { return {{.axis = a.Int("axis", -1)}}; }
  void Infer(InferContext& c) const { InferAxis(c); }
  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    if (x.size() == 0) return;
    const AroundAxis t = Around(c);
    const bool halves = x.dtype() == DType::kFloat16 || x.dtype() == DType::kBFloat16;
    if (!kLog && halves && t.inner == 1)
      return kernels::SoftmaxOfHalves(x.dtype(), x.raw(), c.Out(0).raw(), t.outer, t.size, c.threads());
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    if (x.dtype() == DType::kFloat) {
      return kernels::SoftmaxFloat(x.data<float>(), c.Out(0).data<float>(), t.outer, t.size, t.inner, kLog,
                                   c.threads());
    }
    ForEachRow(t, c.threads(), [&](int64_t at) {
      SoftmaxRow(x.data<double>() + at, c.Out(0).data<double>() + at, t.size, t.inner, kLog);
    });
  }
};

}  // namespace

extern const OpDef kSoftmax =
    Define<SoftmaxOf<false>>({.name = "Softmax", .since = 13, .types = kFloatTypes, .in_place = 0});
extern const OpDef kLogSoftmax =
    Define<SoftmaxOf<true>>({.name = "LogSoftmax", .since = 13, .types = kFloatTypes, .in_place = 0});

/// 1 at the first of the greatest along the axis, 0 elsewhere. ONNX Hardmax, since 13.
struct Hardmax : AxisOp {
  static Hardmax Parse(const Attributes& a) { return {{.axis = a.Int("axis", -1)}}; }
  void Infer(InferContext& c) const { InferAxis(c); }
  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    if (c.In(0).size() == 0) return;
    const AroundAxis t = Around(c);
    Visit(Types<float, double>{}, c.In(0).dtype(), "a float", [&]<class T>() {
      ForEachRow(t, c.threads(), [&](int64_t at) {
        const T* x = c.In(0).data<T>() + at;
        T* y = c.Out(0).data<T>() + at;
        int64_t top = 0;
        for (int64_t i = 1; i < t.size; ++i) top = x[i * t.inner] > x[top * t.inner] ? i : top;
        for (int64_t i = 0; i < t.size; ++i) y[i * t.inner] = i == top;
      });
    });
  }
};
extern const OpDef kHardmax = Define<Hardmax>({.name = "Hardmax", .since = 13, .types = kFloatTypes, .in_place = 0});

/// x divided by its p-norm (p 1 or 2) along the axis; 0 where the norm is 0. ONNX LpNormalization, since 22.
struct LpNormalization : AxisOp {
  int64_t p = 2;
  static LpNormalization Parse(const Attributes& a) {
    const int64_t p = a.Int("p", 2);
    if (p != 1 && p != 2) throw Error(Code::kBadGraph, fmt::format("attribute 'p' is {}, but must be 1 or 2", p));
    return {{.axis = a.Int("axis", -1)}, p};
  }
  void Infer(InferContext& c) const { InferAxis(c); }
  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    if (c.In(0).size() == 0) return;
    const AroundAxis t = Around(c);
    Visit(Types<float, double>{}, c.In(0).dtype(), "a float", [&]<class T>() {
      ForEachRow(t, c.threads(), [&](int64_t at) {
        const T* x = c.In(0).data<T>() + at;
        T* y = c.Out(0).data<T>() + at;
        double sum = 0;
        for (int64_t i = 0; i < t.size; ++i)
          sum += p == 1 ? std::abs(x[i * t.inner]) : double{x[i * t.inner]} * x[i * t.inner];
        const double norm = p == 1 ? sum : std::sqrt(sum);
        for (int64_t i = 0; i < t.size; ++i) y[i * t.inner] = norm == 0 ? T(0) : static_cast<T>(x[i * t.inner] / norm);
      });
    });
  }
};
extern const OpDef kLpNormalization =
    Define<LpNormalization>({.name = "LpNormalization", .since = 22, .types = kFloatTypes, .in_place = 0});

}  // namespace slipway
