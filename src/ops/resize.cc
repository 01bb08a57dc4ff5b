#include "kernels/resize.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/dtype_visit.h"
#include "ops/indexing.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

using kernels::CoordinateMode;
using kernels::NearestMode;
using kernels::ResizeAxis;
using kernels::ResizeFilter;
using kernels::ResizeTaps;

template <class E>
E Named(const Attributes& a, const char* attribute, const char* otherwise,
        std::initializer_list<std::pair<const char*, E>> all) {
  const std::string name = a.String(attribute, otherwise);
  for (const auto& [text, value] : all) {
    if (name == text) return value;
  }
  throw Error(Code::kBadGraph, fmt::format("{} is '{}', which is not one of the known ones.", attribute, name));
}

/// The nearest T; of integers the last one where x is outside of their range.
template <class T, class V>
T Rounded(V x) {
  if constexpr (std::is_same_v<T, bool> || !std::is_integral_v<T>) {
    return T(x);
  } else {
    if (x != x) return 0;
    constexpr auto kLowest = static_cast<double>(std::numeric_limits<T>::min());
    return static_cast<T>(std::clamp<double>(std::nearbyint(x), kLowest,
                                             std::nextafter(std::ldexp(1.0, std::numeric_limits<T>::digits), 0)));
  }
}

enum class Aspect { kStretch, kNotLarger, kNotSmaller };

}  // namespace

/// Samples a tensor anew at another size: nearest, linear or cubic. ONNX Resize, since 19.
struct Resize {
  ResizeAxis rules;
  Aspect aspect = Aspect::kStretch;
  float extrapolation = 0;
  std::optional<std::vector<int64_t>> axes;

  static Resize Parse(const Attributes& a) {
    Resize op;
    op.rules.coordinates = Named<CoordinateMode>(a, "coordinate_transformation_mode", "half_pixel",
                                                 {{"half_pixel", CoordinateMode::kHalfPixel},
                                                  {"half_pixel_symmetric", CoordinateMode::kHalfPixelSymmetric},
                                                  {"pytorch_half_pixel", CoordinateMode::kPytorchHalfPixel},
                                                  {"align_corners", CoordinateMode::kAlignCorners},
                                                  {"asymmetric", CoordinateMode::kAsymmetric},
                                                  {"tf_half_pixel_for_nn", CoordinateMode::kHalfPixelForNearest},
                                                  {"tf_crop_and_resize", CoordinateMode::kCropAndResize}});
    op.rules.filter = Named<ResizeFilter>(
        a, "mode", "nearest",
        {{"nearest", ResizeFilter::kNearest}, {"linear", ResizeFilter::kLinear}, {"cubic", ResizeFilter::kCubic}});
    op.rules.nearest = Named<NearestMode>(a, "nearest_mode", "round_prefer_floor",
                                          {{"round_prefer_floor", NearestMode::kPreferFloor},
                                           {"round_prefer_ceil", NearestMode::kPreferCeil},
                                           {"floor", NearestMode::kFloor},
                                           {"ceil", NearestMode::kCeil}});
    op.rules.cubic_a = a.Float("cubic_coeff_a", -0.75f);
    op.rules.antialias = a.Int("antialias", 0) != 0;
    op.rules.exclude_outside = a.Int("exclude_outside", 0) != 0;
    op.aspect = Named<Aspect>(
        a, "keep_aspect_ratio_policy", "stretch",
        {{"stretch", Aspect::kStretch}, {"not_larger", Aspect::kNotLarger}, {"not_smaller", Aspect::kNotSmaller}});
    op.extrapolation = a.Float("extrapolation_value", 0);
    if (a.Has("axes")) op.axes = a.Ints("axes");
    return op;
  }

  void Infer(InferContext& c) const {
    const TypeSet complex = {DType::kComplex64, DType::kComplex128};
    if (rules.filter != ResizeFilter::kNearest) c.ExpectElem(0, kNumericTypes | complex);
    const bool by_scales = Given(c, 2), by_sizes = Given(c, 3);
    if (by_scales == by_sizes) c.Fail("needs either scales or sizes.");
    if (by_scales && aspect != Aspect::kStretch) c.Fail("attribute 'keep_aspect_ratio_policy' goes with sizes only.");
    const bool crops = rules.coordinates == CoordinateMode::kCropAndResize;
    if (crops && !c.Has(1)) c.Fail("tf_crop_and_resize needs roi.");
    if (!c.HasRank(0)) return c.Out(0, c.Elem(0));
    SymbolicShape out = c.Shape(0);
    const auto which = UniqueAxes(c, Axes(out.rank()), out.rank());
    if (crops && c.Constant(1) && c.Constant(1)->size() != static_cast<int64_t>(2 * which.size()))
      c.Fail("roi has {} numbers for {} axes.", c.Constant(1)->size(), which.size());
    const std::optional<Shape> x = out.Concrete();
    if (by_scales) {
      const Tensor* scales = c.Constant(2);
      if (scales && scales->size() != static_cast<int64_t>(which.size()))
        c.Fail("{} scales for {} axes.", scales->size(), which.size());
      for (size_t i = 0; i < which.size(); ++i) {
        Dim& d = out[static_cast<int>(which[i])];
        const float scale = scales ? scales->data<float>()[i] : 1;
        if (!(scale > 0) || !std::isfinite(scale))
          c.Fail("the scale of axis {} is {}, but must be above 0.", which[i], scale);
        d = scales ? Scaled(c, d, scale, i, which.size()) : Dim::Unknown();
      }
    } else {
      const auto sizes = c.Ints(3);
      if (sizes && sizes->size() != which.size()) c.Fail("{} sizes for {} axes.", sizes->size(), which.size());
      for (size_t i = 0; i < which.size(); ++i) {
        out[static_cast<int>(which[i])] = sizes && aspect == Aspect::kStretch ? (*sizes)[i] : Dim::Unknown();
      }
      const auto numbers = c.ConstInts(3);
      if (numbers && x && aspect != Aspect::kStretch) KeepAspect(*numbers, which, *x, out);
      for (const Dim& d : out.dims()) {
        if (d.is_const() && d.value() < 0) c.Fail("a size is negative: {}.", d.value());
      }
    }
    const std::optional<Shape> y = out.Concrete();
    if (x && y && x->size() == 0 && y->size() != 0)
      c.Fail("{} is empty and cannot become {}.", c.InputName(0), out.ToString());
    c.Out(0, c.Elem(0), std::move(out));
  }

  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    Tensor& y = c.Out(0);
    if (y.size() == 0) return;
    const std::vector<ResizeTaps> taps = AllTaps(c);
    if (rules.filter == ResizeFilter::kNearest) {
      VisitBySize(x.dtype(), [&]<class T>() { RunNearest<T>(c, taps); });
    } else if (x.dtype() == DType::kComplex64) {
      RunComplex<float>(c, taps);
    } else if (x.dtype() == DType::kComplex128) {
      RunComplex<double>(c, taps);
    } else {
      VisitNumeric(x.dtype(), [&]<class T>() { RunFilter<T>(x, y, taps, c.threads()); });
    }
    if (rules.coordinates == CoordinateMode::kCropAndResize) {
      VisitAll(x.dtype(), [&]<class T>() { Extrapolate(taps, y.shape(), y.data<T>()); });
    }
  }

 private:
  static bool Given(const InferContext& c, int i) {
    if (!c.Has(i)) return false;
    const bool empty = c.HasRank(i) && c.Shape(i).rank() == 1 && c.Shape(i)[0] == Dim(0);
    return !empty;
  }
  std::vector<int64_t> Axes(int rank) const {
    if (axes) return *axes;
    std::vector<int64_t> all(rank);
    std::iota(all.begin(), all.end(), 0);
    return all;
  }

  Dim Scaled(const InferContext& c, const Dim& d, float scale, size_t i, size_t count) const {
    float region = 1;
    if (rules.coordinates == CoordinateMode::kCropAndResize) {
      const Tensor* roi = c.Constant(1);
      if (!roi || roi->size() != static_cast<int64_t>(2 * count)) return Dim::Unknown();
      region = static_cast<float>(RoiAt(*roi, i + count) - RoiAt(*roi, i));
    }
    if (!d.is_const())
      return region == 1 && scale == std::floor(scale) && scale < 1e6f ? d * Dim(static_cast<int64_t>(scale))
                                                                       : Dim::Unknown();
    // In float, as the scales are: 10 * 0.7f is 7, not a little less.
    const float size = std::floor(static_cast<float>(d.value()) * region * scale);
    if (!(size < 9e18f)) c.Fail("axis {} becomes too large.", i);
    return static_cast<int64_t>(std::max(size, 0.0f));
  }

  void KeepAspect(const std::vector<int64_t>& sizes, const std::vector<int64_t>& which, const Shape& x,
                  SymbolicShape& out) const {
    double scale = aspect == Aspect::kNotLarger ? INFINITY : 0;
    for (size_t i = 0; i < which.size(); ++i) {
      const double one =
          static_cast<double>(sizes[i]) / static_cast<double>(std::max<int64_t>(1, x[static_cast<int>(which[i])]));
      scale = aspect == Aspect::kNotLarger ? std::min(scale, one) : std::max(scale, one);
    }
    for (int64_t axis : which) {
      const int a = static_cast<int>(axis);
      out[a] = static_cast<int64_t>(std::floor(scale * static_cast<double>(x[a]) + 0.5));
    }
  }

  static double RoiAt(const Tensor& roi, size_t i) {
    return VisitFloat(roi.dtype(), [&]<class T>() -> double {
      if constexpr (std::is_arithmetic_v<T>)
        return static_cast<double>(roi.data<T>()[i]);
      else
        return static_cast<float>(roi.data<T>()[i]);
    });
  }

  std::vector<ResizeTaps> AllTaps(const RunContext& c) const {
    const Shape &x = c.In(0).shape(), &y = c.Out(0).shape();
    const auto which = Axes(x.rank());
    std::vector<ResizeAxis> each(x.rank(), rules);
    for (int i = 0; i < x.rank(); ++i) {
      each[i].in = x[i];
      each[i].out = y[i];
      each[i].scale = static_cast<double>(y[i]) / static_cast<double>(x[i]);
    }
    double kept = 0;  // with the aspect kept, one scale serves all axes
    const bool by_scales = c.Has(2) && c.In(2).size() > 0;
    for (size_t i = 0; i < which.size(); ++i) {
      ResizeAxis& a = each[ModAxis(which[i], x.rank())];
      if (by_scales) a.scale = c.In(2).data<float>()[i];
      if (!by_scales && aspect != Aspect::kStretch) {
        const double one = static_cast<double>(ToInts(c.In(3))[i]) / static_cast<double>(a.in);
        kept = i == 0 ? one : aspect == Aspect::kNotLarger ? std::min(kept, one) : std::max(kept, one);
      }
      if (rules.coordinates != CoordinateMode::kCropAndResize) continue;
      if (!c.Has(1) || c.In(1).size() != static_cast<int64_t>(2 * which.size()))
        c.Fail("roi must have {} elements.", 2 * which.size());
      a.start = RoiAt(c.In(1), i);
      a.end = RoiAt(c.In(1), i + which.size());
    }
    for (size_t i = 0; kept > 0 && i < which.size(); ++i) each[ModAxis(which[i], x.rank())].scale = kept;
    std::vector<ResizeTaps> taps;
    for (const ResizeAxis& a : each) taps.push_back(kernels::MakeResizeTaps(a));
    return taps;
  }

  template <class T>
  static void RunNearest(RunContext& c, const std::vector<ResizeTaps>& taps) {
    const Tensor& x = c.In(0);
    Tensor& y = c.Out(0);
    const int rank = x.shape().rank();
    const int64_t columns = rank ? y.shape().Back(0) : 1;
    const int64_t* last = rank ? taps[rank - 1].index.data() : nullptr;
    c.threads().ParallelFor(y.size() / columns, GrainFor(columns * sizeof(T)), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        int64_t at = 0, stride = rank ? x.shape().Back(0) : 1, rest = row;
        for (int i = rank - 2; i >= 0; --i) {
          at += taps[i].index[rest % y.shape()[i]] * stride;
          stride *= x.shape()[i];
          rest /= y.shape()[i];
        }
        const T* from = x.data<T>() + at;
        T* to = y.data<T>() + row * columns;
        for (int64_t j = 0; j < columns; ++j) to[j] = from[last ? last[j] : 0];
      }
    });
  }

  /// Images of which only height and width change: each on its own, through rows that stay in the cache.
  static void RunImages(const Tensor& in, Tensor& out, const std::vector<ResizeTaps>& taps, const Threads& threads) {
    const Shape &x = in.shape(), &y = out.shape();
    const int rank = x.rank();
    const int64_t h = x[rank - 2], w = x[rank - 1], out_h = y[rank - 2], out_w = y[rank - 1];
    const ResizeTaps &down = taps[rank - 2], &across = taps[rank - 1];
    threads.ParallelFor(x.SizeTo(rank - 2), 1, [&](int64_t begin, int64_t end) {
      std::vector<float> wide(h * out_w);
      for (int64_t image = begin; image < end; ++image) {
        const float* from = in.data<float>() + image * h * w;
        float* to = out.data<float>() + image * out_h * out_w;
        for (int64_t row = 0; row < h; ++row) ResizeRow(across, from + row * w, wide.data() + row * out_w, out_w);
        for (int64_t row = 0; row < out_h; ++row, to += out_w) {
          std::fill_n(to, out_w, 0.0f);
          for (int64_t t = row * down.taps; t < (row + 1) * down.taps; ++t) {
            const float weight = down.weight[t];
            const float* line = wide.data() + down.index[t] * out_w;
            for (int64_t j = 0; weight != 0 && j < out_w; ++j) to[j] += weight * line[j];
          }
        }
      }
    });
  }
  static void ResizeRow(const ResizeTaps& taps, const float* from, float* to, int64_t n) {
    const int64_t* index = taps.index.data();
    const float* weight = taps.weight.data();
    for (int64_t j = 0; j < n; ++j, index += taps.taps, weight += taps.taps) {
      float sum = 0;
      for (int t = 0; t < taps.taps; ++t) sum += weight[t] * from[index[t]];
      to[j] = sum;
    }
  }

  /// Real and imaginary parts are numbers side by side.
  template <class T>
  static void RunComplex(RunContext& c, std::vector<ResizeTaps> taps) {
    const auto parts = [](const Tensor& t) {
      std::vector<int64_t> dims(t.shape().begin(), t.shape().end());
      dims.push_back(2);
      return Tensor(kDTypeOf<T>, Shape(dims), const_cast<void*>(t.raw()));
    };
    taps.push_back({.taps = 1, .index = {0, 1}, .weight = {1, 1}, .outside = {false, false}});
    Tensor y = parts(c.Out(0));
    RunFilter<T>(parts(c.In(0)), y, taps, c.threads());
  }

  /// One axis after the other, innermost first, through tensors of float (double for what float does not hold).
  template <class T>
  static void RunFilter(const Tensor& x, Tensor& result, const std::vector<ResizeTaps>& taps, const Threads& threads) {
    constexpr bool kWide = std::is_same_v<T, double> || (std::is_integral_v<T> && sizeof(T) > 2);
    using V = std::conditional_t<kWide, double, float>;
    if constexpr (std::is_same_v<T, float>) {
      const int rank = x.shape().rank();
      bool images = rank > 2 && x.shape()[rank - 2] * result.shape()[rank - 1] < (1 << 20);
      for (int i = 0; images && i < rank - 2; ++i) images = IsIdentity(taps[i], x.shape()[i]);
      if (images) return RunImages(x, result, taps, threads);
    }
    Tensor now(kDTypeOf<V>, x.shape());
    if constexpr (std::is_same_v<T, V>) {
      now = x;
    } else {
      for (int64_t i = 0; i < x.size(); ++i) now.data<V>()[i] = static_cast<V>(x.data<T>()[i]);
    }
    const Shape& y = result.shape();
    for (int axis = y.rank() - 1; axis >= 0; --axis) {
      if (IsIdentity(taps[axis], now.shape()[axis])) continue;
      Shape shape = now.shape();
      shape[axis] = y[axis];
      Tensor next(kDTypeOf<V>, shape);
      ResizeOne<V>(taps[axis], now, axis, next, threads);
      now = std::move(next);
    }
    T* to = result.data<T>();
    const V* from = now.data<V>();
    for (int64_t i = 0; i < now.size(); ++i) {
      to[i] = Rounded<T>(from[i]);
    }
  }

  static bool IsIdentity(const ResizeTaps& taps, int64_t size) {
    if (static_cast<int64_t>(taps.outside.size()) != size) return false;
    for (int64_t j = 0; j < size; ++j) {
      for (int t = 0; t < taps.taps; ++t) {
        const float w = taps.weight[j * taps.taps + t];
        if (w != 0 && (w != 1 || taps.index[j * taps.taps + t] != j)) return false;
      }
    }
    return true;
  }

  template <class V>
  static void ResizeOne(const ResizeTaps& taps, const Tensor& x, int axis, Tensor& y, const Threads& threads) {
    const int64_t in = x.shape()[axis], out = y.shape()[axis], inner = x.shape().SizeFrom(axis + 1), n = taps.taps;
    if (inner == 1) {
      threads.ParallelFor(x.shape().SizeTo(axis), GrainFor(out * n * static_cast<int64_t>(sizeof(V))),
                          [&](int64_t begin, int64_t end) {
                            for (int64_t o = begin; o < end; ++o) {
                              const V* from = x.data<V>() + o * in;
                              V* to = y.data<V>() + o * out;
                              for (int64_t j = 0; j < out; ++j) {
                                V sum = 0;
                                for (int64_t t = j * n; t < (j + 1) * n; ++t)
                                  sum += taps.weight[t] * from[taps.index[t]];
                                to[j] = sum;
                              }
                            }
                          });
      return;
    }
    threads.ParallelFor(x.shape().SizeTo(axis) * out, GrainFor(inner * n * static_cast<int64_t>(sizeof(V))),
                        [&](int64_t begin, int64_t end) {
                          for (int64_t row = begin; row < end; ++row) {
                            const int64_t first = row % out * n;
                            const V* from = x.data<V>() + row / out * in * inner;
                            V* to = y.data<V>() + row * inner;
                            std::fill_n(to, inner, V(0));
                            for (int64_t t = first; t < first + n; ++t) {
                              const V w = taps.weight[t];
                              const V* line = from + taps.index[t] * inner;
                              if (w == 0) continue;
                              for (int64_t k = 0; k < inner; ++k) to[k] += w * line[k];
                            }
                          }
                        });
  }

  template <class T>
  void Extrapolate(const std::vector<ResizeTaps>& taps, const Shape& y, T* to) const {
    T value{};
    if constexpr (requires { T(extrapolation); }) value = Rounded<T>(extrapolation);
    for (int64_t i = 0; i < y.size(); ++i) {
      int64_t rest = i;
      bool outside = false;
      for (int axis = y.rank() - 1; axis >= 0; --axis) {
        outside |= taps[axis].outside[rest % y[axis]];
        rest /= y[axis];
      }
      if (outside) to[i] = value;
    }
  }
};
extern const OpDef kResize = Define<Resize>({.name = "Resize", .since = 19, .max_inputs = 4});

}  // namespace slipway
