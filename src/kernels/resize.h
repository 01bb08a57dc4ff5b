#pragma once

#include <cstdint>
#include <vector>

namespace slipway::kernels {

/// How coordinates of a resized axis lead to the original's; ONNX's coordinate_transformation_mode.
enum class CoordinateMode {
  kHalfPixel,
  kHalfPixelSymmetric,
  kPytorchHalfPixel,
  kAlignCorners,
  kAsymmetric,
  kHalfPixelForNearest,
  kCropAndResize
};
enum class NearestMode { kPreferFloor, kPreferCeil, kFloor, kCeil };
enum class ResizeFilter { kNearest, kLinear, kCubic };

/// All that decides where an axis's elements come from.
struct ResizeAxis {
  int64_t in = 1;
  int64_t out = 1;
  double scale = 1;  ///< as given: out / in need not be it
  double start = 0;  ///< of the region of interest, as parts of the axis; used by kCropAndResize alone
  double end = 1;
  CoordinateMode coordinates = CoordinateMode::kHalfPixel;
  ResizeFilter filter = ResizeFilter::kNearest;
  NearestMode nearest = NearestMode::kPreferFloor;
  double cubic_a = -0.75;
  bool antialias = false;
  bool exclude_outside = false;
};

/// Output element j is the sum over t < taps of weight[j * taps + t] times input element index[j * taps + t].
struct ResizeTaps {
  int taps = 1;
  std::vector<int64_t> index;
  std::vector<float> weight;
  std::vector<bool> outside;  ///< per output element: kCropAndResize leads out of the input
};

ResizeTaps MakeResizeTaps(const ResizeAxis& axis);

}  // namespace slipway::kernels
