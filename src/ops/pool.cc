#include <cmath>
#include <limits>
#include <optional>

#include "core/dtype_visit.h"
#include "kernels/conv/pool_planes.h"
#include "kernels/reduce/reduce.h"
#include "ops/in_float.h"
#include "ops/windows.h"

namespace slipway {
namespace {

/// Calls visit(offset) for each element of the window at output position `p` of one image that lies inside, in the
/// order of the axes; gives the number of positions of the window that lie in the image or its padding.
template <class F>
int64_t VisitWindow(const WindowAttributes& w, const Shape& x, const Shape& y, int64_t p, const F& visit) {
  const int rank = static_cast<int>(w.kernel.size());
  int64_t start[16], first[16], count[16], taps = 1, padded = 1;
  for (int i = rank - 1; i >= 0; --i) {
    const int64_t size = x[i + 2], positions = y[i + 2], begin = w.PadBegin(i, size, positions);
    start[i] = p % positions * w.strides[i] - begin;
    p /= positions;
    const int64_t d = w.dilations[i];
    first[i] = start[i] < 0 ? (-start[i] + d - 1) / d : 0;
    const int64_t past = start[i] >= size ? 0 : std::min(w.kernel[i], (size - start[i] + d - 1) / d);
    count[i] = std::max<int64_t>(0, past - first[i]);
    taps *= count[i];
    const int64_t room = size + w.PadEnd(i, size, positions) - start[i];
    padded *= std::min(w.kernel[i], (room + d - 1) / d);
  }
  for (int64_t t = 0; t < taps; ++t) {
    int64_t rest = t, offset = 0, step = 1;
    for (int i = rank - 1; i >= 0; --i) {
      offset += (start[i] + (first[i] + rest % count[i]) * w.dilations[i]) * step;
      rest /= count[i];
      step *= x[i + 2];
    }
    visit(offset);
  }
  return padded;
}

/// The image sizes of a window over [n, c, spatial...] or [n, spatial..., c], by the last two spatial axes.
kernels::PoolShape ShapeFor(const WindowAttributes& w, const Shape& x, const Shape& y, bool channels_last) {
  const int first = channels_last ? 1 : 2;
  kernels::PoolShape s{.n = x[0], .h = 1, .c = x[channels_last ? x.rank() - 1 : 1], .oh = 1};
  const int last = x.rank() - 3;
  s.w = x[first + last];
  s.ow = y[first + last];
  s.kw = w.kernel[last];
  s.stride_w = w.strides[last];
  s.dilation_w = w.dilations[last];
  s.pad_left = w.PadBegin(last, s.w, s.ow);
  s.pad_right = w.PadEnd(last, s.w, s.ow);
  if (last == 0) return s;
  const int before = last - 1;
  s.h = x[first + before];
  s.oh = y[first + before];
  s.kh = w.kernel[before];
  s.stride_h = w.strides[before];
  s.dilation_h = w.dilations[before];
  s.pad_top = w.PadBegin(before, s.h, s.oh);
  s.pad_bottom = w.PadEnd(before, s.h, s.oh);
  return s;
}

int64_t ParseP(const Attributes& a) {
  const int64_t p = a.Int("p", 2);
  if (p < 1) throw Error(Code::kBadGraph, fmt::format("attribute 'p' is {}, but must be 1 or more", p));
  return p;
}

/// What the three windowed pools share.
struct WindowPool {
  WindowAttributes window;
  bool channels_last = false;

  /// Called with nothing left to throw after it: g++ 12 destroys a base twice where a later initializer throws.
  static WindowPool ParseWindow(const Attributes& a) {
    const bool last = a.Int("channels_last", 0) != 0;
    return {.window = WindowAttributes::ParsePool(a), .channels_last = last};
  }
  void InferShape(InferContext& c) const {
    const SymbolicShape& x = c.Shape(0);
    if (!x.has_rank()) return Set(c, {});
    if (x.rank() < 3 || x.rank() > 16)
      c.Fail("{} has shape {}, but an image wants [N, C, spatial...].", c.InputName(0), x.ToString());
    WindowAttributes w = window;
    w.Complete(c, x.rank() - 2);
    Set(c, WindowOutput(c, w, x, x[channels_last ? x.rank() - 1 : 1], channels_last));
  }
  static void Set(InferContext& c, const SymbolicShape& shape) {
    c.Out(0, c.Elem(0), shape);
    if (c.HasOut(1)) c.Out(1, DType::kInt64, shape);
  }
  /// The window with its defaults filled in; Infer has checked it.
  WindowAttributes For(const RunContext& c) const {
    WindowAttributes w = window;
    w.Complete(InferContext(*c.graph, *c.node), c.In(0).shape().rank() - 2);
    return w;
  }
  /// Runs one(x plane, y plane, plane's number) for each [n, c].
  template <class T, class F>
  static void ForEachPlane(RunContext& c, const F& one) {
    const Tensor& x = c.In(0);
    Tensor& y = c.Out(0);
    const int64_t planes = y.shape().SizeTo(2), in = x.shape().SizeFrom(2), out = y.shape().SizeFrom(2);
    c.threads().ParallelFor(planes, 1, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) one(x.data<T>() + p * in, y.data<T>() + p * out, p);
    });
  }
};

/// The slices of a volume under a window, each pooled for itself.
struct Slices {
  const float* first;
  int64_t step;    ///< from one to the next
  int64_t inside;  ///< of the volume
  int64_t padded;  ///< of the volume or its padding
};

/// A pool over three axes: pool(slices, shape, y) over the last two, then combine(Slices, size, y) what lies in a
/// window along the first.
template <class Pool, class Combine>
void PoolVolume(RunContext& c, const WindowAttributes& w, const Pool& pool, const Combine& combine) {
  const Shape &x = c.In(0).shape(), &y = c.Out(0).shape();
  const int64_t planes = y.SizeTo(2), depth = x[2], positions = y[2], size = y.SizeFrom(3);
  auto* pooled = static_cast<float*>(c.Scratch(static_cast<size_t>(planes * depth * size) * sizeof(float)));
  pool(planes * depth, ShapeFor(w, x, y, false), pooled);
  const int64_t pad = w.PadBegin(0, depth, positions), end = depth + w.PadEnd(0, depth, positions);
  const int64_t dilation = w.dilations[0];
  c.threads().ParallelFor(planes * positions, 16384 / (size * w.kernel[0]) + 1, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) {
      const int64_t start = i % positions * w.strides[0] - pad;
      const int64_t before = start < 0 ? (-start + dilation - 1) / dilation : 0;
      const auto taps = [&](int64_t limit) {
        return std::clamp<int64_t>((limit - start + dilation - 1) / dilation, 0, w.kernel[0]);
      };
      combine({.first = pooled + (i / positions * depth + start + before * dilation) * size,
               .step = dilation * size,
               .inside = std::max<int64_t>(0, taps(depth) - before),
               .padded = taps(end)},
              size, c.Out(0).template data<float>() + i * size);
    }
  });
}

}  // namespace

/// The largest of each window, and where it was. ONNX MaxPool, since 22.
struct MaxPool : WindowPool {
  bool column_major = false;
  static MaxPool Parse(const Attributes& a) {
    const bool column_major = a.Int("storage_order", 0) != 0;
    return {ParseWindow(a), column_major};
  }
  void Infer(InferContext& c) const { InferShape(c); }
  void Run(RunContext& c) const {
    if (c.Out(0).size() == 0) return;
    if (RunHalvesInFloat(c, [&](RunContext& in_float) { Run(in_float); })) return;
    const WindowAttributes w = For(c);
    const Tensor& x = c.In(0);
    if (x.dtype() == DType::kFloat && x.shape().rank() <= 4 && !c.HasOut(1)) {
      const kernels::PoolShape s = ShapeFor(w, x.shape(), c.Out(0).shape(), channels_last);
      float* y = c.Out(0).data<float>();
      if (channels_last) return kernels::MaxPool(x.data<float>(), s, y, c.threads());
      return kernels::MaxPoolPlanes(x.data<float>(), s.n * s.c, s, y, c.threads());
    }
    if (x.dtype() == DType::kFloat && x.shape().rank() == 5 && !c.HasOut(1)) {
      return PoolVolume(
          c, w,
          [&](int64_t slices, const kernels::PoolShape& s, float* y) {
            kernels::MaxPoolPlanes(x.data<float>(), slices, s, y, c.threads());
          },
          [](const Slices& in, int64_t size, float* y) {
            std::fill(y, y + size, -std::numeric_limits<float>::infinity());
            for (int64_t z = 0; z < in.inside; ++z) {
              const float* from = in.first + z * in.step;
              for (int64_t i = 0; i < size; ++i) y[i] = from[i] > y[i] || from[i] != from[i] ? from[i] : y[i];
            }
          });
    }
    Visit(Types<float, double, int8_t, uint8_t>{}, x.dtype(), "float, double, int8 or uint8",
          [&]<class T>() { RunPlain<T>(c, w); });
  }

 private:
  template <class T>
  void RunPlain(RunContext& c, const WindowAttributes& w) const {
    const Shape &xs = c.In(0).shape(), &ys = c.Out(0).shape();
    const int64_t in = xs.SizeFrom(2), out = ys.SizeFrom(2);
    int64_t* indices = c.HasOut(1) ? c.Out(1).data<int64_t>() : nullptr;
    ForEachPlane<T>(c, [&](const T* x, T* y, int64_t plane) {
      for (int64_t p = 0; p < out; ++p) {
        int64_t best = -1;
        VisitWindow(w, xs, ys, p, [&](int64_t at) {
          if (best < 0 || x[at] > x[best] || (x[at] != x[at] && x[best] == x[best])) best = at;
        });
        y[p] = best >= 0                              ? x[best]
               : std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity()
                                                      : std::numeric_limits<T>::lowest();
        if (indices) indices[plane * out + p] = plane * in + (column_major && best >= 0 ? ColumnMajor(xs, best) : best);
      }
    });
  }
  /// The place of an element of an image when the first spatial axis runs fastest.
  static int64_t ColumnMajor(const Shape& x, int64_t at) {
    int64_t out = 0;
    for (int i = x.rank() - 1; i >= 2; --i) {
      int64_t step = 1;
      for (int k = 2; k < i; ++k) step *= x[k];
      out += at % x[i] * step;
      at /= x[i];
    }
    return out;
  }
};
extern const OpDef kMaxPool = Define<MaxPool>(
    {.name = "MaxPool", .since = 22, .max_outputs = 2, .types = kFloatTypes | TypeSet{DType::kInt8, DType::kUint8}});
extern const OpDef kSlipwayMaxPool =
    Define<MaxPool>({.name = "MaxPool", .domain = kSlipwayDomain, .types = {DType::kFloat}});

/// The mean of each window. ONNX AveragePool, since 22.
struct AveragePool : WindowPool {
  bool count_padding = false;
  static AveragePool Parse(const Attributes& a) {
    const bool count_padding = a.Int("count_include_pad", 0) != 0;
    return {ParseWindow(a), count_padding};
  }
  void Infer(InferContext& c) const { InferShape(c); }
  void Run(RunContext& c) const {
    if (c.Out(0).size() == 0) return;
    if (RunHalvesInFloat(c, [&](RunContext& in_float) { Run(in_float); })) return;
    const WindowAttributes w = For(c);
    const Tensor& x = c.In(0);
    if (x.dtype() == DType::kFloat && x.shape().rank() <= 4) {
      const kernels::PoolShape s = ShapeFor(w, x.shape(), c.Out(0).shape(), channels_last);
      float* y = c.Out(0).data<float>();
      if (channels_last) return kernels::AveragePool(x.data<float>(), s, count_padding, y, c.threads());
      return kernels::AveragePoolPlanes(x.data<float>(), s.n * s.c, s, count_padding, y, c.threads());
    }
    if (x.dtype() == DType::kFloat && x.shape().rank() == 5) {
      return PoolVolume(
          c, w,
          [&](int64_t slices, const kernels::PoolShape& s, float* y) {
            kernels::AveragePoolPlanes(x.data<float>(), slices, s, count_padding, y, c.threads());
          },
          [this](const Slices& in, int64_t size, float* y) {
            const float count = static_cast<float>(std::max<int64_t>(1, count_padding ? in.padded : in.inside));
            std::fill(y, y + size, 0.0f);
            for (int64_t z = 0; z < in.inside; ++z) {
              const float* from = in.first + z * in.step;
              for (int64_t i = 0; i < size; ++i) y[i] += from[i] / count;
            }
          });
    }
    Visit(Types<float, double>{}, x.dtype(), "float or double", [&]<class T>() {
      const Shape &xs = x.shape(), &ys = c.Out(0).shape();
      ForEachPlane<T>(c, [&](const T* in, T* out, int64_t) {
        for (int64_t p = 0; p < ys.SizeFrom(2); ++p) {
          T sum{};
          int64_t inside = 0;
          const int64_t padded = VisitWindow(w, xs, ys, p, [&](int64_t at) {
            sum += in[at];
            ++inside;
          });
          const int64_t count = count_padding ? padded : inside;
          out[p] = count > 0 ? sum / static_cast<T>(count) : T{};
        }
      });
    });
  }
};
extern const OpDef kAveragePool = Define<AveragePool>({.name = "AveragePool", .since = 22, .types = kFloatTypes});
extern const OpDef kSlipwayAveragePool =
    Define<AveragePool>({.name = "AveragePool", .domain = kSlipwayDomain, .types = {DType::kFloat}});

/// The p-norm of each window. ONNX LpPool, since 22.
struct LpPool : WindowPool {
  int64_t p = 2;
  static LpPool Parse(const Attributes& a) {
    const int64_t p = ParseP(a);
    return {{.window = WindowAttributes::ParsePool(a)}, p};
  }
  void Infer(InferContext& c) const { InferShape(c); }
  void Run(RunContext& c) const {
    if (c.Out(0).size() == 0) return;
    if (RunHalvesInFloat(c, [&](RunContext& in_float) { Run(in_float); })) return;
    const WindowAttributes w = For(c);
    Visit(Types<float, double>{}, c.In(0).dtype(), "float or double", [&]<class T>() {
      const Shape &xs = c.In(0).shape(), &ys = c.Out(0).shape();
      ForEachPlane<T>(c, [&](const T* in, T* out, int64_t) {
        for (int64_t i = 0; i < ys.SizeFrom(2); ++i) {
          double sum = 0;
          VisitWindow(w, xs, ys, i, [&](int64_t at) {
            sum += std::pow(std::abs(static_cast<double>(in[at])), static_cast<double>(p));
          });
          out[i] = static_cast<T>(std::pow(sum, 1.0 / static_cast<double>(p)));
        }
      });
    });
  }
};
extern const OpDef kLpPool = Define<LpPool>({.name = "LpPool", .since = 22, .types = kFloatTypes});

namespace {

/// A pool over all of the spatial axes: `Reduce` has Start, Add(accumulator, element) and End(accumulator, count).
template <class Reduce>
struct GlobalPool {
  bool channels_last = false;
  Reduce reduce;
  static GlobalPool Parse(const Attributes& a) { return {a.Int("channels_last", 0) != 0, Reduce::Parse(a)}; }
  void Infer(InferContext& c) const {
    SymbolicShape out = c.Shape(0);
    if (!out.has_rank()) return c.Out(0, c.Elem(0));
    if (out.rank() < 2)
      c.Fail("{} has shape {}, but an image wants [N, C, spatial...].", c.InputName(0), out.ToString());
    for (int i = channels_last ? 1 : 2; i < out.rank() - (channels_last ? 1 : 0); ++i) out[i] = 1;
    c.Out(0, c.Elem(0), out);
  }
  void Run(RunContext& c) const {
    if (c.Out(0).size() == 0) return;
    if (RunHalvesInFloat(c, [&](RunContext& in_float) { Run(in_float); })) return;
    const Tensor& x = c.In(0);
    const Shape& shape = x.shape();
    const int64_t n = shape[0], channels = shape[channels_last ? shape.rank() - 1 : 1];
    const int64_t pixels = shape.size() / std::max<int64_t>(1, n * channels);
    if constexpr (Reduce::kOp.has_value()) {
      if (x.dtype() == DType::kFloat) {
        const int64_t sizes[] = {n, channels_last ? pixels : channels, channels_last ? channels : pixels};
        const int64_t axes[] = {channels_last ? 1 : 2};
        return kernels::ReduceFloat(*Reduce::kOp, kernels::ReducePlan(sizes, axes), x.data<float>(),
                                    c.Out(0).data<float>(), c.threads());
      }
    }
    const int64_t pixel_step = channels_last ? channels : 1, channel_step = channels_last ? 1 : pixels;
    Visit(Types<float, double>{}, x.dtype(), "float or double", [&]<class T>() {
      const int64_t grain = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, pixels));
      c.threads().ParallelFor(n * channels, grain, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const T* from = x.data<T>() + i / channels * channels * pixels + i % channels * channel_step;
          double sum = Reduce::kStart;
          for (int64_t k = 0; k < pixels; ++k) sum = reduce.Add(sum, static_cast<double>(from[k * pixel_step]));
          c.Out(0).data<T>()[i] = static_cast<T>(reduce.End(sum, pixels));
        }
      });
    });
  }
};

struct MeanOfAll {
  static constexpr std::optional<kernels::ReduceOp> kOp = kernels::ReduceOp::kMean;
  static constexpr double kStart = 0;
  static MeanOfAll Parse(const Attributes&) { return {}; }
  static double Add(double sum, double x) { return sum + x; }
  static double End(double sum, int64_t count) { return sum / static_cast<double>(count); }
};
struct MaxOfAll {
  static constexpr std::optional<kernels::ReduceOp> kOp = kernels::ReduceOp::kMax;
  static constexpr double kStart = -std::numeric_limits<double>::infinity();
  static MaxOfAll Parse(const Attributes&) { return {}; }
  static double Add(double most, double x) { return x > most || x != x ? x : most; }
  static double End(double most, int64_t) { return most; }
};
struct NormOfAll {
  static constexpr std::optional<kernels::ReduceOp> kOp = std::nullopt;
  static constexpr double kStart = 0;
  double p = 2;
  static NormOfAll Parse(const Attributes& a) { return {static_cast<double>(ParseP(a))}; }
  double Add(double sum, double x) const { return sum + std::pow(std::abs(x), p); }
  double End(double sum, int64_t) const { return std::pow(sum, 1 / p); }
};

}  // namespace

/// The mean, the largest, the p-norm of each channel's image. ONNX GlobalAveragePool and GlobalMaxPool, since 22;
/// GlobalLpPool, since 22.
extern const OpDef kGlobalAveragePool =
    Define<GlobalPool<MeanOfAll>>({.name = "GlobalAveragePool", .since = 22, .types = kFloatTypes});
extern const OpDef kGlobalMaxPool =
    Define<GlobalPool<MaxOfAll>>({.name = "GlobalMaxPool", .since = 22, .types = kFloatTypes});
extern const OpDef kGlobalLpPool =
    Define<GlobalPool<NormOfAll>>({.name = "GlobalLpPool", .since = 22, .types = kFloatTypes});
extern const OpDef kSlipwayGlobalAveragePool =
    Define<GlobalPool<MeanOfAll>>({.name = "GlobalAveragePool", .domain = kSlipwayDomain, .types = {DType::kFloat}});
extern const OpDef kSlipwayGlobalMaxPool =
    Define<GlobalPool<MaxOfAll>>({.name = "GlobalMaxPool", .domain = kSlipwayDomain, .types = {DType::kFloat}});

}  // namespace slipway
