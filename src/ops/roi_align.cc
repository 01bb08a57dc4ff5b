#include <algorithm>
#include <cmath>
#include <limits>

#include "core/dtype_visit.h"
#include "ops/in_float.h"
#include "ops/indexing.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

/// The samples of one axis of a region's bins: between which two elements each lies.
struct Sample {
  int64_t low, high;
  double above;  ///< the weight of `high`
};

/// The samples of one bin that lie in the image, and how many there are in all.
struct Bin {
  std::vector<Sample> inside;
  double count = 0;

  /// `count` samples in the middles of equal parts of [start, start + extent).
  void Fill(double start, double extent, double samples, int64_t size) {
    inside.clear();
    count = std::max(samples, 0.0);
    const double step = extent / samples, last = static_cast<double>(size);
    if (!(count >= 1) || !std::isfinite(step) || !std::isfinite(start)) return;
    const double a = (-1 - start) / step, b = (last - start) / step;
    // A step of 0 puts all samples at one place.
    const double first = step == 0 ? 0 : std::clamp(std::floor(std::min(a, b)) - 1, 0.0, count);
    const double end = step == 0 ? count : std::clamp(std::ceil(std::max(a, b)) + 1, 0.0, count);
    for (double i = first; i < end; ++i) {
      double x = start + (i + 0.5) * step;
      if (!(x >= -1 && x <= last)) continue;
      x = std::clamp(x, 0.0, last - 1);
      const auto low = static_cast<int64_t>(x);
      inside.push_back({low, std::min(low + 1, size - 1), x - static_cast<double>(low)});
    }
  }
};

/// The pixels of a row of bins and their weights, found once for all channels.
template <class T>
class BinRow {
 public:
  void Fill(const Bin& down, const std::vector<Bin>& across, int64_t columns) {
    at_.clear();
    weight_.clear();
    bins_.clear();
    for (const Bin& bin : across) {
      for (const Sample& y : down.inside) {
        for (const Sample& x : bin.inside) {
          Put(y.low * columns + x.low, (1 - y.above) * (1 - x.above));
          Put(y.low * columns + x.high, (1 - y.above) * x.above);
          Put(y.high * columns + x.low, y.above * (1 - x.above));
          Put(y.high * columns + x.high, y.above * x.above);
        }
      }
      const double count = down.count * bin.count;
      // Samples outside of the image are zeros.
      const bool all = static_cast<double>(down.inside.size() * bin.inside.size()) == count;
      bins_.push_back({at_.size(), static_cast<T>(1 / std::max(count, 1.0)), !all || count < 1});
    }
  }
  void Means(const T* image, T* to) const {
    size_t i = 0;
    for (const End& bin : bins_) {
      T sum = 0;
      for (; i < bin.end; ++i) sum += weight_[i] * image[at_[i]];
      *to++ = sum * bin.factor;
    }
  }
  void Maxima(const T* image, T* to) const {
    size_t i = 0;
    for (const End& bin : bins_) {
      T most = bin.has_zeros ? T(0) : -std::numeric_limits<T>::infinity();
      for (; i < bin.end; ++i) most = std::max(most, weight_[i] * image[at_[i]]);
      *to++ = most;
    }
  }

 private:
  struct End {
    size_t end;
    T factor;
    bool has_zeros;
  };
  void Put(int64_t at, double weight) {
    at_.push_back(at);
    weight_.push_back(static_cast<T>(weight));
  }
  std::vector<int64_t> at_;
  std::vector<T> weight_;
  std::vector<End> bins_;
};

}  // namespace

/// The mean (or maximum) of bilinear samples in each bin of regions of an image. ONNX RoiAlign, since 22.
struct RoiAlign {
  bool max = false;
  bool half_pixel = true;
  int64_t height = 1, width = 1, sampling_ratio = 0;
  float scale = 1;

  static RoiAlign Parse(const Attributes& a) {
    RoiAlign op{.height = a.Int("output_height", 1),
                .width = a.Int("output_width", 1),
                .sampling_ratio = a.Int("sampling_ratio", 0),
                .scale = a.Float("spatial_scale", 1)};
    const std::string mode = a.String("mode", "avg"), place = a.String("coordinate_transformation_mode", "half_pixel");
    if (mode != "avg" && mode != "max")
      throw Error(Code::kBadGraph, fmt::format("attribute 'mode' is '{}', but must be avg or max.", mode));
    if (place != "half_pixel" && place != "output_half_pixel") {
      throw Error(Code::kBadGraph, fmt::format("attribute 'coordinate_transformation_mode' is '{}', but must be "
                                               "half_pixel or output_half_pixel.",
                                               place));
    }
    op.max = mode == "max";
    op.half_pixel = place == "half_pixel";
    return op;
  }

  void Infer(InferContext& c) const {
    c.ExpectSameElem(1, 0);
    c.ExpectElem(2, kIndexTypes);
    c.ExpectRank(0, 4, 4);
    c.ExpectRank(1, 2, 2);
    c.ExpectRank(2, 1, 1);
    if (height < 1 || width < 1) c.Fail("the output would be {} x {}.", height, width);
    if (sampling_ratio < 0 || sampling_ratio > 1024) c.Fail("attribute 'sampling_ratio' is {}.", sampling_ratio);
    Dim count = Dim::Unknown();
    if (c.HasRank(1)) {
      count = c.Shape(1)[0];
      if (c.Shape(1)[1].Differs(4)) c.Fail("regions have 4 coordinates, not {}.", c.Shape(1)[1].ToString());
      if (c.HasRank(2) && c.Shape(2)[0].Differs(count))
        c.Fail("{} regions have {} batch indices.", count.ToString(), c.Shape(2)[0].ToString());
    }
    c.Out(0, c.Elem(0), {count, c.HasRank(0) ? c.Shape(0)[1] : Dim::Unknown(), height, width});
  }

  void Run(RunContext& c) const {
    if (c.Out(0).size() == 0) return;
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    Visit(Types<float, double>{}, c.In(0).dtype(), "a float", [&]<class T>() { RunTyped<T>(c); });
  }

 private:
  template <class T>
  void RunTyped(RunContext& c) const {
    const Shape& shape = c.In(0).shape();
    const int64_t rows = shape[2], columns = shape[3], channels = shape[1];
    if (rows * columns == 0) c.Fail("the image has no pixels: {}.", shape.ToString());
    const auto batches = CheckedIndices(c, c.In(2), shape[0]);
    c.threads().ParallelFor(c.Out(0).shape()[0], 1, [&](int64_t begin, int64_t end) {
      std::vector<Bin> down(height), across(width);
      BinRow<T> row;
      for (int64_t n = begin; n < end; ++n) {
        const T* roi = c.In(1).data<T>() + n * 4;
        FillBins(roi[1], roi[3], rows, down);
        FillBins(roi[0], roi[2], columns, across);
        for (int64_t y = 0; y < height; ++y) {
          row.Fill(down[y], across, columns);
          for (int64_t k = 0; k < channels; ++k) {
            const T* image = c.In(0).data<T>() + (batches[n] * channels + k) * rows * columns;
            T* to = c.Out(0).data<T>() + ((n * channels + k) * height + y) * width;
            max ? row.Maxima(image, to) : row.Means(image, to);
          }
        }
      }
    });
  }

  void FillBins(double from, double to, int64_t size, std::vector<Bin>& bins) const {
    const double shift = half_pixel ? 0.5 : 0;
    const double start = from * scale - shift;
    double extent = to * scale - shift - start;
    if (!half_pixel) extent = std::max(extent, 1.0);
    extent /= static_cast<double>(bins.size());
    const double samples = sampling_ratio > 0 ? static_cast<double>(sampling_ratio) : std::ceil(extent);
    for (size_t i = 0; i < bins.size(); ++i)
      bins[i].Fill(start + static_cast<double>(i) * extent, extent, samples, size);
  }
};
extern const OpDef kRoiAlign =
    Define<RoiAlign>({.name = "RoiAlign", .since = 22, .min_inputs = 3, .max_inputs = 3, .types = kFloatTypes});

/// The maximum of each bin of regions [batch index, x1, y1, x2, y2] of an image, whole pixels. ONNX MaxRoiPool, since
/// 22.
struct MaxRoiPool {
  std::vector<int64_t> pooled;
  float scale = 1;
  static MaxRoiPool Parse(const Attributes& a) {
    return {.pooled = a.RequiredInts("pooled_shape"), .scale = a.Float("spatial_scale", 1)};
  }

  void Infer(InferContext& c) const {
    c.ExpectSameElem(1, 0);
    c.ExpectRank(0, 4, 4);
    c.ExpectRank(1, 2, 2);
    if (pooled.size() != 2 || pooled[0] < 1 || pooled[1] < 1)
      c.Fail("attribute 'pooled_shape' is [{}], but must be two sizes of 1 or more.", fmt::join(pooled, ", "));
    if (c.HasRank(1) && c.Shape(1)[1].Differs(5))
      c.Fail("regions are a batch index and 4 coordinates, not {} numbers.", c.Shape(1)[1].ToString());
    c.Out(0, c.Elem(0),
          {c.HasRank(1) ? c.Shape(1)[0] : Dim::Unknown(), c.HasRank(0) ? c.Shape(0)[1] : Dim::Unknown(), pooled[0],
           pooled[1]});
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    Visit(Types<float, double>{}, c.In(0).dtype(), "a float", [&]<class T>() { RunTyped<T>(c); });
  }

 private:
  template <class T>
  void RunTyped(RunContext& c) const {
    const Shape& shape = c.In(0).shape();
    const int64_t channels = shape[1], rows = shape[2], columns = shape[3];
    c.threads().ParallelFor(c.Out(0).shape()[0], 1, [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        const T* roi = c.In(1).data<T>() + n * 5;
        if (!(roi[0] >= 0 && roi[0] < static_cast<T>(shape[0])))
          c.Fail("region {} is of image {} of {}.", n, roi[0], shape[0]);
        const auto batch = static_cast<int64_t>(roi[0]);
        for (int64_t i = 0; i < pooled[0] * pooled[1]; ++i) {
          const auto [top, bottom] = RangeOf(roi[2], roi[4], i / pooled[1], pooled[0], rows);
          const auto [left, right] = RangeOf(roi[1], roi[3], i % pooled[1], pooled[1], columns);
          for (int64_t k = 0; k < channels; ++k) {
            const T* image = c.In(0).data<T>() + (batch * channels + k) * rows * columns;
            const bool any = top < bottom && left < right;
            T most = any ? image[top * columns + left] : T(0);
            for (int64_t y = top; y < bottom; ++y) {
              for (int64_t x = left; x < right; ++x) most = std::max(most, image[y * columns + x]);
            }
            c.Out(0).data<T>()[(n * channels + k) * pooled[0] * pooled[1] + i] = most;
          }
        }
      }
    });
  }

  /// The pixels of bin `i` of `bins`, in [0, size].
  std::pair<int64_t, int64_t> RangeOf(double from, double to, int64_t i, int64_t bins, int64_t size) const {
    const double start = std::round(from * scale), extent = std::max(std::round(to * scale) - start + 1, 1.0);
    const double bin = extent / static_cast<double>(bins), at = static_cast<double>(i),
                 last = static_cast<double>(size);
    const auto pixel = [&](double x) { return x >= 0 ? static_cast<int64_t>(std::min(x, last)) : 0; };
    return {pixel(std::floor(at * bin) + start), pixel(std::ceil((at + 1) * bin) + start)};
  }
};
extern const OpDef kMaxRoiPool =
    Define<MaxRoiPool>({.name = "MaxRoiPool", .since = 22, .min_inputs = 2, .max_inputs = 2, .types = kFloatTypes});

}  // namespace slipway
