#include <algorithm>
#include <cmath>

#include "core/dtype_visit.h"
#include "ops/indexing.h"
#include "ops/shape_math.h"
#include "ops/taps.h"

namespace slipway {
namespace {

enum class SampleMode : uint8_t { kNearest, kLinear, kCubic };
enum class Padding : uint8_t { kZeros, kBorder, kReflection };

/// Mirrors x at `low` and `high` until it lies between them.
template <class C>
C Reflect(C x, C low, C high) {
  const C range = high - low;
  if (range <= 0) return low;
  const C past = x < low ? low - x : x > high ? x - high : 0;
  if (past == 0) return x;
  const C turns = std::floor(past / range), rest = past - turns * range;
  const bool from_low = (x < low) == (std::fmod(turns, C(2)) == 0);
  return from_low ? low + rest : high - rest;
}

/// The cubic convolution's weights at a distance `x` past the second of four elements.
template <class C>
void CubicWeights(C x, C* w) {
  constexpr C a = C(-0.75);
  const auto outer = [&](C d) { return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; };
  const auto inner = [&](C d) { return ((a + 2) * d - (a + 3)) * d * d + 1; };
  w[0] = outer(x + 1);
  w[1] = inner(x);
  w[2] = inner(1 - x);
  w[3] = outer(2 - x);
}

}  // namespace

/// The input at the places that a grid names, in [-1, 1] along each spatial axis, last axis first. ONNX GridSample,
/// since 22.
struct GridSample {
  SampleMode mode = SampleMode::kLinear;
  Padding padding = Padding::kZeros;
  bool align_corners = false;

  static GridSample Parse(const Attributes& a) {
    GridSample op{.align_corners = a.Int("align_corners", 0) != 0};
    const std::string mode = a.String("mode", "linear"), padding = a.String("padding_mode", "zeros");
    if (mode != "linear" && mode != "nearest" && mode != "cubic")
      throw Error(Code::kBadGraph,
                  fmt::format("attribute 'mode' is '{}', but must be linear, nearest or cubic.", mode));
    if (padding != "zeros" && padding != "border" && padding != "reflection") {
      throw Error(Code::kBadGraph,
                  fmt::format("attribute 'padding_mode' is '{}', but must be zeros, border or reflection.", padding));
    }
    op.mode = mode == "linear" ? SampleMode::kLinear : mode == "cubic" ? SampleMode::kCubic : SampleMode::kNearest;
    op.padding = padding == "zeros" ? Padding::kZeros : padding == "border" ? Padding::kBorder : Padding::kReflection;
    return op;
  }

  void Infer(InferContext& c) const {
    c.ExpectElem(1, kFloatTypes);
    if (mode != SampleMode::kNearest) c.ExpectElem(0, kNumericTypes);
    if (!c.HasRank(0) || !c.HasRank(1))
      return c.Out(0, c.Elem(0), c.HasRank(0) ? SymbolicShape::OfRank(c.Shape(0).rank()) : SymbolicShape());
    const SymbolicShape &x = c.Shape(0), &grid = c.Shape(1);
    c.ExpectRank(0, 3, kMostAxes + 2);
    c.ExpectRank(1, x.rank(), x.rank());
    if (grid[x.rank() - 1].Differs(x.rank() - 2))
      c.Fail("the grid {} has {} coordinates a point for {} spatial axes.", c.InputName(1),
             grid[x.rank() - 1].ToString(), x.rank() - 2);
    if (grid[0].Differs(x[0])) c.Fail("{} images have {} grids.", x[0].ToString(), grid[0].ToString());
    SymbolicShape out = x;
    for (int i = 2; i < x.rank(); ++i) out[i] = grid[i - 1];
    c.Out(0, c.Elem(0), out);
  }

  void Run(RunContext& c) const {
    if (c.Out(0).size() == 0) return;
    if (c.In(0).shape().SizeFrom(2) == 0) c.Fail("there is nothing to sample in shape {}.", c.In(0).shape().ToString());
    VisitFloat(c.In(1).dtype(), [&]<class G>() {
      if (mode == SampleMode::kNearest) {
        VisitBySize(c.In(0).dtype(), [&]<class T>() { RunTyped<G, T>(c); });
      } else {
        VisitNumeric(c.In(0).dtype(), [&]<class T>() { RunTyped<G, T>(c); });
      }
    });
  }

 private:
  static constexpr int kMostAxes = 6;
  /// Points sampled together: their taps are found once for all channels, and stay in the first cache.
  static constexpr int64_t kPoints = 32;

  template <class G, class T>
  void RunTyped(RunContext& c) const {
    using C = std::conditional_t<std::is_same_v<G, double>, double, float>;
    const Shape &shape = c.In(0).shape(), &out = c.Out(0).shape();
    const int axes = shape.rank() - 2;
    const int64_t channels = shape[1], image = shape.SizeFrom(2), points = out.SizeFrom(2);
    const int64_t blocks = (points + kPoints - 1) / kPoints;
    int64_t most = 1;
    for (int i = 0; i < axes; ++i) most *= mode == SampleMode::kNearest ? 1 : mode == SampleMode::kLinear ? 2 : 4;
    if constexpr (std::is_same_v<T, C>) {
      if (mode != SampleMode::kNearest) return RunBlocks<G, T>(c, most);
    }
    c.threads().ParallelFor(
        shape[0] * blocks, GrainFor(kPoints * most * channels * 4), [&](int64_t begin, int64_t end) {
          std::vector<Taps<C>> taps(kPoints, Taps<C>(most));
          for (int64_t b = begin; b < end; ++b) {
            const int64_t n = b / blocks, first = b % blocks * kPoints, count = std::min(kPoints, points - first);
            const G* grid = c.In(1).data<G>() + (n * points + first) * axes;
            for (int64_t p = 0; p < count; ++p) Find(shape, grid + p * axes, taps[p]);
            for (int64_t k = 0; k < channels; ++k) {
              const T* from = c.In(0).data<T>() + (n * channels + k) * image;
              T* to = c.Out(0).data<T>() + (n * channels + k) * points + first;
              for (int64_t p = 0; p < count; ++p) to[p] = Sample<T>(from, taps[p]);
            }
          }
        });
  }

  /// The same by large blocks of points, so that a channel's pixels are read while they are near, wherever points lie.
  template <class G, class T>
  void RunBlocks(RunContext& c, int64_t most) const {
    const Shape &shape = c.In(0).shape(), &out = c.Out(0).shape();
    const int64_t axes = shape.rank() - 2, channels = shape[1], image = shape.SizeFrom(2), points = out.SizeFrom(2);
    const int64_t size = std::clamp<int64_t>(points / (4 * c.threads().count()), 32, 2048);
    const int64_t blocks = (points + size - 1) / size;
    const bool flat = mode == SampleMode::kLinear && axes == 2;
    c.threads().ParallelFor(shape[0] * blocks, 1, [&](int64_t begin, int64_t end) {
      Taps<T> taps(most);
      TapBlock<T> block(size, most, shape.Back(0));
      for (int64_t b = begin; b < end; ++b) {
        const int64_t n = b / blocks, first = b % blocks * size, count = std::min(size, points - first);
        block.Clear();
        for (int64_t p = 0; p < count; ++p) {
          const G* where = c.In(1).data<G>() + (n * points + first + p) * axes;
          const auto at = [&](int axis) { return Place(static_cast<T>(where[3 - axis]), shape[axis]); };
          if (flat && block.SetSquare(p, shape[2], at(2), at(3))) continue;
          Find(shape, where, taps);
          block.Set(p, taps);
        }
        for (int64_t k = n * channels; k < (n + 1) * channels; ++k)
          block.Sample(c.In(0).data<T>() + k * image, count, c.Out(0).data<T>() + k * points + first);
      }
    });
  }

  template <class T, class C>
  T Sample(const T* image, const Taps<C>& taps) const {
    if (mode == SampleMode::kNearest) return taps.size() == 0 ? T() : image[taps.index(0)];
    if constexpr (requires(T t) { static_cast<float>(t); }) {
      using Acc = std::conditional_t<std::is_same_v<T, double> || std::is_integral_v<T>, double, float>;
      Acc sum = 0;
      for (int64_t i = 0; i < taps.size(); ++i) {
        sum += static_cast<Acc>(image[taps.index(i)]) * static_cast<Acc>(taps.weight(i));
      }
      if constexpr (std::is_integral_v<T>) {
        // Cubic weights overshoot.
        sum = std::clamp<Acc>(sum, static_cast<Acc>(std::numeric_limits<T>::min()),
                              std::nextafter(std::ldexp(Acc(1), std::numeric_limits<T>::digits), Acc(0)));
      }
      return static_cast<T>(sum);
    } else {
      return T();
    }
  }

  /// Where [-1, 1] is on an axis of `size` pixels.
  template <class C>
  C Place(C place, int64_t size) const {
    const auto length = static_cast<C>(size);
    return align_corners ? (place + 1) / 2 * (length - 1) : ((place + 1) * length - 1) / 2;
  }

  template <class G, class C>
  void Find(const Shape& shape, const G* where, Taps<C>& taps) const {
    taps.Start();
    for (int axis = 2; axis < shape.rank(); ++axis) {
      const int64_t size = shape[axis];
      const auto length = static_cast<C>(size);
      const C low = align_corners ? C(0) : C(-0.5), high = align_corners ? length - 1 : length - C(0.5);
      C x = Place(static_cast<C>(where[shape.rank() - 1 - axis]), size);
      if (mode == SampleMode::kNearest) x = std::nearbyint(x);
      if (x < low || x > high) {
        // Cubic weights go with the place outside; it is their taps that stay at the border, as in PyTorch.
        const C reach = mode == SampleMode::kCubic ? 3 : 0;
        if (padding == Padding::kBorder) x = std::clamp<C>(x, -reach, length - 1 + reach);
        if (padding == Padding::kReflection) x = Reflect(x, low, high);
      }
      // What is no number, or further off than any tap reaches, is as good as just outside.
      if (!(x > -4 && x < length + 4)) x = -4;
      const int64_t n = mode == SampleMode::kNearest ? 1 : mode == SampleMode::kLinear ? 2 : 4;
      const auto base = static_cast<int64_t>(std::floor(x));
      const C past = x - static_cast<C>(base);
      int64_t at[4];
      C weight[4] = {1 - past, past};
      if (n == 1) weight[0] = 1;
      if (n == 4) CubicWeights(past, weight);
      for (int64_t k = 0; k < n; ++k) at[k] = Padded(base + k - (n == 4 ? 1 : 0), size, low, high);
      taps.Add(size, n, at, weight);
    }
    taps.Finish();
  }

  template <class C>
  int64_t Padded(int64_t i, int64_t size, C low, C high) const {
    if (i >= 0 && i < size) return i;
    if (padding == Padding::kZeros) return -1;
    const auto mirrored = static_cast<int64_t>(Reflect(static_cast<C>(i), low, high));
    return std::clamp<int64_t>(padding == Padding::kBorder ? i : mirrored, 0, size - 1);
  }
};
extern const OpDef kGridSample =
    Define<GridSample>({.name = "GridSample", .since = 22, .min_inputs = 2, .max_inputs = 2});

/// The grid of an affine transform: theta [N, 2, 3] or [N, 3, 4] times each place of an image of the given size. ONNX
/// AffineGrid, since 20.
struct AffineGrid {
  bool align_corners = false;
  static AffineGrid Parse(const Attributes& a) { return {.align_corners = a.Int("align_corners", 0) != 0}; }

  void Infer(InferContext& c) const {
    c.ExpectElem(1, {DType::kInt64});
    c.ExpectRank(0, 3, 3);
    c.ExpectRank(1, 1, 1);
    const auto size = c.Ints(1);
    if (!size) {
      const bool counted = c.HasRank(1) && c.Shape(1)[0].is_const();
      if (!counted) return c.Out(0, c.Elem(0));
      SymbolicShape out = SymbolicShape::OfRank(static_cast<int>(std::clamp<int64_t>(c.Shape(1)[0].value(), 1, 5)));
      out[out.rank() - 1] = out.rank() - 2;
      return c.Out(0, c.Elem(0), std::move(out));
    }
    const auto axes = static_cast<int64_t>(size->size()) - 2;
    if (axes != 2 && axes != 3) c.Fail("size has {} elements, but 4 or 5 are wanted.", axes + 2);
    if (c.HasRank(0)) {
      const SymbolicShape& theta = c.Shape(0);
      if (theta[0].Differs((*size)[0]) || theta[1].Differs(axes) || theta[2].Differs(axes + 1))
        c.Fail("theta {} has shape {}, but [{}, {}, {}] is wanted.", c.InputName(0), theta.ToString(),
               (*size)[0].ToString(), axes, axes + 1);
    }
    std::vector<Dim> dims = {(*size)[0]};
    dims.insert(dims.end(), size->begin() + 2, size->end());
    for (const Dim& d : dims) {
      if (d.is_const() && d.value() < 0) c.Fail("a size is negative: {}.", d.value());
    }
    dims.emplace_back(axes);
    c.Out(0, c.Elem(0), std::move(dims));
  }

  void Run(RunContext& c) const {
    const Shape& shape = c.Out(0).shape();
    const int axes = shape.rank() - 2;
    const int64_t points = shape.SizeTo(shape.rank() - 1) / std::max<int64_t>(1, shape[0]);
    VisitFloat(c.Out(0).dtype(), [&]<class T>() {
      using Acc = std::conditional_t<std::is_same_v<T, double>, double, float>;
      c.threads().ParallelFor(shape[0] * points, 4096, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const T* theta = c.In(0).data<T>() + i / points * axes * (axes + 1);
          T* to = c.Out(0).data<T>() + i * axes;
          double place[4] = {0, 0, 0, 0};  // last axis first, then 1
          int64_t rest = i % points;
          for (int a = 0; a < axes; ++a) {
            const int64_t size = shape[axes - a];
            place[a] = Place(rest % size, size);
            rest /= size;
          }
          place[axes] = 1;
          for (int row = 0; row < axes; ++row) {
            double sum = 0;
            for (int k = 0; k <= axes; ++k)
              sum += static_cast<double>(static_cast<Acc>(theta[row * (axes + 1) + k])) * place[k];
            to[row] = static_cast<T>(static_cast<Acc>(sum));
          }
        }
      });
    });
  }

 private:
  double Place(int64_t i, int64_t size) const {
    const auto n = static_cast<double>(size), at = static_cast<double>(i);
    // One pixel lies at the first corner.
    if (align_corners) return size == 1 ? -1 : 2 * at / (n - 1) - 1;
    return (2 * at + 1) / n - 1;
  }
};
extern const OpDef kAffineGrid =
    Define<AffineGrid>({.name = "AffineGrid", .since = 20, .min_inputs = 2, .max_inputs = 2, .types = kFloatTypes});

}  // namespace slipway
