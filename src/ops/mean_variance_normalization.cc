#include <cmath>

#include "kernels/reduce/reduce.h"
#include "ops/arithmetic.h"

namespace slipway {

/// (x - mean) / deviation, both over the axes. ONNX MeanVarianceNormalization, since 13.
struct MeanVarianceNormalization {
  std::vector<int64_t> axes;
  static MeanVarianceNormalization Parse(const Attributes& a) { return {.axes = a.Ints("axes", {0, 2, 3})}; }

  void Infer(InferContext& c) const {
    if (c.HasRank(0)) UniqueAxes(c, axes, c.Shape(0).rank());
    InferSameAsFirst(c);
  }
  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    if (c.In(0).size() == 0) return;
    Visit(Types<float, double>{}, c.In(0).dtype(), "a float", [&]<class T>() { RunTyped<T>(c); });
  }

 private:
  template <class T>
  void RunTyped(RunContext& c) const {
    const Tensor& x = c.In(0);
    Tensor& y = c.Out(0);
    std::vector<int64_t> places;
    Shape kept = x.shape();
    for (int64_t a : axes) {
      places.push_back(ModAxis(a, kept.rank()));
      kept[static_cast<int>(places.back())] = 1;
    }
    const kernels::ReducePlan plan(x.shape(), places);
    const auto n = static_cast<double>(plan.reduced());
    Tensor moment(x.dtype(), kept);
    const kernels::BroadcastPlan broadcast(x.shape(), kept);
    kernels::ReducePlain(
        plan, x.data<T>(), moment.data<T>(), 0.0, [](double s, T v) { return s + v; },
        [n](double s) { return static_cast<T>(s / n); }, c.threads());
    kernels::BroadcastBinary(broadcast, x.data<T>(), moment.data<T>(), y.data<T>(), SubFunction(), c.threads());
    kernels::ReducePlain(
        plan, y.data<T>(), moment.data<T>(), 0.0, [](double s, T v) { return s + double{v} * v; },
        [n](double s) { return static_cast<T>(std::sqrt(s / n) + 1e-9); }, c.threads());
    kernels::BroadcastBinary(broadcast, y.data<T>(), moment.data<T>(), y.data<T>(), DivFunction(), c.threads());
  }
};
extern const OpDef kMeanVarianceNormalization = Define<MeanVarianceNormalization>(
    {.name = "MeanVarianceNormalization", .since = 13, .types = kFloatTypes, .in_place = 0});

/// x / (bias + alpha / size * sum of squares over `size` channels about its own) ^ beta. ONNX LRN, since 13.
struct LRN {
  float alpha = 1e-4f, beta = 0.75f, bias = 1;
  int64_t size = 1;
  static LRN Parse(const Attributes& a) {
    LRN op{.alpha = a.Float("alpha", 1e-4f),
           .beta = a.Float("beta", 0.75f),
           .bias = a.Float("bias", 1),
           .size = a.RequiredInt("size")};
    if (op.size < 1)
      throw Error(Code::kBadGraph, fmt::format("attribute 'size' is {}, but must be 1 or more", op.size));
    return op;
  }
  void Infer(InferContext& c) const {
    c.ExpectRank(0, 2, 1 << 20);
    InferSameAsFirst(c);
  }
  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    if (c.In(0).size() == 0) return;
    Visit(Types<float, double>{}, c.In(0).dtype(), "a float", [&]<class T>() { RunTyped<T>(c); });
  }

 private:
  template <class T>
  void RunTyped(RunContext& c) const {
    const Shape& shape = c.In(0).shape();
    const int64_t channels = shape[1], pixels = shape.SizeFrom(2);
    const int64_t before = std::min((size - 1) / 2, channels), after = std::min(size - 1 - (size - 1) / 2, channels);
    c.threads().ParallelFor(shape[0] * channels, 1, [&](int64_t begin, int64_t end) {
      std::vector<T> sum(pixels);
      for (int64_t p = begin; p < end; ++p) {
        const int64_t channel = p % channels;
        const T *image = c.In(0).data<T>() + (p - channel) * pixels, *x = image + channel * pixels;
        std::fill(sum.begin(), sum.end(), T{0});
        for (int64_t k = std::max<int64_t>(0, channel - before); k <= std::min(channels - 1, channel + after); ++k) {
          for (int64_t i = 0; i < pixels; ++i) sum[i] += image[k * pixels + i] * image[k * pixels + i];
        }
        T* y = c.Out(0).data<T>() + p * pixels;
        const T factor = static_cast<T>(alpha) / static_cast<T>(size);
        for (int64_t i = 0; i < pixels; ++i) y[i] = x[i] / std::pow(T{bias} + factor * sum[i], T{beta});
      }
    });
  }
};
extern const OpDef kLRN = Define<LRN>({.name = "LRN", .since = 13, .types = kFloatTypes});

/// The determinants of the matrices of the last two axes. ONNX Det, since 22.
struct Det {
  void Infer(InferContext& c) const {
    c.ExpectRank(0, 2, 1 << 20);
    if (!c.HasRank(0)) return c.Out(0, c.Elem(0));
    const std::vector<Dim>& x = c.Shape(0).dims();
    if (x.back().Differs(x[x.size() - 2]))
      c.Fail("{} has shape {}: its matrices are not square.", c.InputName(0), c.Shape(0).ToString());
    c.Out(0, c.Elem(0), std::vector<Dim>(x.begin(), x.end() - 2));
  }
  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    const std::vector<double> x = ToVectorOf<double>(c.In(0));
    const int64_t n = c.In(0).shape().Back(0);
    Visit(Types<float, double>{}, c.In(0).dtype(), "a float", [&]<class T>() {
      for (int64_t i = 0; i < c.Out(0).size(); ++i) {
        c.Out(0).data<T>()[i] = static_cast<T>(Determinant({x.begin() + i * n * n, x.begin() + (i + 1) * n * n}, n));
      }
    });
  }

 private:
  static double Determinant(std::vector<double> a, int64_t n) {
    double det = 1;
    for (int64_t k = 0; k < n; ++k) {
      int64_t pivot = k;
      for (int64_t r = k + 1; r < n; ++r) pivot = std::abs(a[r * n + k]) > std::abs(a[pivot * n + k]) ? r : pivot;
      if (a[pivot * n + k] == 0) return 0;
      if (pivot != k) {
        std::swap_ranges(&a[k * n], &a[k * n] + n, &a[pivot * n]);
        det = -det;
      }
      det *= a[k * n + k];
      for (int64_t r = k + 1; r < n; ++r) {
        const double f = a[r * n + k] / a[k * n + k];
        for (int64_t i = k; i < n; ++i) a[r * n + i] -= f * a[k * n + i];
      }
    }
    return det;
  }
};
extern const OpDef kDet = Define<Det>({.name = "Det", .since = 22, .types = kFloatTypes});

}  // namespace slipway
