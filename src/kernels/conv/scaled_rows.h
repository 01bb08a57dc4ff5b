#pragma once

#include <cstdint>

#include "kernels/gemm/gemm.h"

namespace slipway::kernels {

/// Pixels whose channels are multiplied by one factor a channel and image on their way into a product: the gate of a
/// squeeze-and-excitation block, without a pass over the image of its own.
class ScaledRows : public RowSource {
 public:
  /// x[images * pixels, c], scale[images, c].
  ScaledRows(const float* x, const float* scale, int64_t pixels, int64_t c)
      : x_(x), scale_(scale), pixels_(pixels), c_(c) {}
  void Read(int64_t row, int64_t rows, int64_t col, int64_t cols, float* out, int64_t stride) const override;

 private:
  const float* x_;
  const float* scale_;
  int64_t pixels_;  ///< of an image
  int64_t c_;
};

}  // namespace slipway::kernels
