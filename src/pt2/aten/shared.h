#pragma once

#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "pt2/converter.h"

namespace slipway::pt2 {

/// The end of an axis, as ONNX's Slice takes it.
inline constexpr int64_t kEnd = std::numeric_limits<int64_t>::max();

/// The node's first argument.
inline TensorRef First(Call& c) { return c.Tensor(c.node().inputs.at(0).first); }

/// The permutation that leaves `rank` axes where they are.
inline std::vector<int64_t> Identity(int rank) {
  std::vector<int64_t> perm(rank);
  std::iota(perm.begin(), perm.end(), 0);
  return perm;
}

/// The angle of (x, y), both of this type, in (-pi, pi].
ValueId AngleOf(Call& c, ValueId y, ValueId x, DType type);

}  // namespace slipway::pt2
