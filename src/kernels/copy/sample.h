#pragma once

#include <cstdint>

namespace slipway::kernels {

/// out[p] = the weighted sum of the pixels at corner[p], its right neighbour, and the two below (`row` elements on), by
/// weights[4p...]. All four have to be in the image, also for points whose weights are 0.
void SampleSquares(const float* image, int64_t row, const int64_t* corner, const float* weights, int64_t n, float* out);

}  // namespace slipway::kernels
