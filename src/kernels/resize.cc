#include "kernels/resize.h"

#include <algorithm>
#include <cmath>

namespace slipway::kernels {
namespace {

/// An axis's size before it was rounded down, by its scale.
double Length(const ResizeAxis& a) {
  const double out = static_cast<double>(a.out), exact = a.scale * static_cast<double>(a.in);
  return exact - out > 1e-5 * out && exact < out + 1 ? exact : out;
}

double Original(const ResizeAxis& a, double x) {
  const auto in = static_cast<double>(a.in), out = static_cast<double>(a.out);
  switch (a.coordinates) {
    case CoordinateMode::kHalfPixel:
      return (x + 0.5) / a.scale - 0.5;
    case CoordinateMode::kHalfPixelSymmetric:
      return in / 2 * (1 - out / (a.scale * in)) + (x + 0.5) / a.scale - 0.5;
    case CoordinateMode::kPytorchHalfPixel:
      return a.out > 1 ? (x + 0.5) / a.scale - 0.5 : 0;
    case CoordinateMode::kAlignCorners:
      return a.out > 1 ? x * (in - 1) / (Length(a) - 1) : 0;
    case CoordinateMode::kAsymmetric:
      return x / a.scale;
    case CoordinateMode::kHalfPixelForNearest:
      return (x + 0.5) / a.scale;
    default:
      return a.out > 1 ? a.start * (in - 1) + x * (a.end - a.start) * (in - 1) / (out - 1)
                       : 0.5 * (a.start + a.end) * (in - 1);
  }
}

double Nearest(NearestMode mode, double x) {
  switch (mode) {
    case NearestMode::kPreferFloor:
      return std::ceil(x - 0.5);
    case NearestMode::kPreferCeil:
      return std::floor(x + 0.5);
    case NearestMode::kFloor:
      return std::floor(x);
    default:
      return std::ceil(x);
  }
}

double Filter(const ResizeAxis& a, double distance) {
  const double x = std::abs(distance), c = a.cubic_a;
  if (a.filter == ResizeFilter::kLinear) return std::max(0.0, 1 - x);
  if (x <= 1) return ((c + 2) * x - (c + 3)) * x * x + 1;
  return x < 2 ? ((c * x - 5 * c) * x + 8 * c) * x - 4 * c : 0;
}

}  // namespace

ResizeTaps MakeResizeTaps(const ResizeAxis& a) {
  ResizeTaps r;
  const bool nearest = a.filter == ResizeFilter::kNearest;
  const double squeeze = a.antialias ? std::min(1.0, a.scale) : 1;  // antialiasing widens the filter by its inverse
  const double reach = a.filter == ResizeFilter::kCubic ? 2 : 1;
  // Beyond the axis's ends there is nothing new to see: no more taps than that, however small the scale.
  const auto support = static_cast<int64_t>(std::min(std::ceil(reach / squeeze), static_cast<double>(a.in) + reach));
  r.taps = nearest ? 1 : static_cast<int>(2 * support);
  r.outside.assign(a.out, false);
  for (int64_t j = 0; j < a.out; ++j) {
    const double x = Original(a, static_cast<double>(j)), last = static_cast<double>(a.in - 1);
    if (a.coordinates == CoordinateMode::kCropAndResize) r.outside[j] = x < 0 || x > last;
    const double held = x == x ? std::clamp(x, -1e9, 1e15) : 0;
    if (nearest) {
      r.index.push_back(static_cast<int64_t>(std::clamp(Nearest(a.nearest, held), 0.0, last)));
      continue;
    }
    const auto first = static_cast<int64_t>(std::floor(held)) - support + 1;
    double sum = 0;
    std::vector<double> weights;
    for (int t = 0; t < r.taps; ++t) {
      const int64_t i = first + t;
      const bool out = a.exclude_outside && (i < 0 || i >= a.in);
      weights.push_back(out ? 0 : Filter(a, (static_cast<double>(i) - held) * squeeze));
      sum += weights.back();
      r.index.push_back(std::clamp<int64_t>(i, 0, a.in - 1));
    }
    const bool normalize = (a.exclude_outside || a.antialias) && sum != 0;
    for (double w : weights) r.weight.push_back(static_cast<float>(normalize ? w / sum : w));
  }
  return r;
}

}  // namespace slipway::kernels
