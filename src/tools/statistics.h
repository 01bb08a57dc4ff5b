#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "slipway/tensor.h"

namespace slipway {

/// A tensor's values in short, as doubles. Of complex numbers the magnitudes count; strings have none.
struct Statistics {
  double min = 0, max = 0, mean = 0;  ///< of what is finite
  int64_t finite = 0;
  int64_t not_finite = 0;
  std::vector<double> first;  ///< the first few values, infinities and NaN included
};

/// Nothing for strings.
std::optional<Statistics> Summarize(const Tensor& tensor, int64_t first = 5);

}  // namespace slipway
