#pragma once

#include <cstdint>

#include "thread/pool.h"

namespace slipway::kernels {

/// Windows over images, channels last. oh and ow are the caller's (floor or ceil mode); what lies outside of [h, w] is
/// padding.
struct PoolShape {
  int64_t n = 0;
  int64_t h = 0;
  int64_t w = 0;
  int64_t c = 0;
  int64_t kh = 1;
  int64_t kw = 1;
  int64_t stride_h = 1;
  int64_t stride_w = 1;
  int64_t dilation_h = 1;
  int64_t dilation_w = 1;
  int64_t pad_top = 0;
  int64_t pad_left = 0;
  int64_t pad_bottom = 0;
  int64_t pad_right = 0;
  int64_t oh = 0;
  int64_t ow = 0;
};

/// y[n, oh, ow, c] = the largest of each window of x[n, h, w, c]; NaN where it holds one, -infinity where it is all
/// padding.
void MaxPool(const float* x, const PoolShape& shape, float* y, const Threads& threads);

/// y[n, oh, ow, c] = the mean of each window. `count_padding`: padding counts as zeros, though what ceil mode adds
/// behind pad_bottom and pad_right does not. 0 where there is nothing to count.
void AveragePool(const float* x, const PoolShape& shape, bool count_padding, float* y, const Threads& threads);

}  // namespace slipway::kernels
