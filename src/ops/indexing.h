#pragma once

#include <cstdint>

#include "core/dtype_visit.h"
#include "ops/op.h"

namespace slipway {

/// A loop's share of `items` of `bytes` each below which a second thread costs more than it saves.
inline int64_t GrainFor(int64_t bytes) { return bytes >= 65536 ? 1 : 65536 / (bytes < 1 ? 1 : bytes); }

/// An index into an axis of `size` in [0, size); Fail()s where it is outside [-size, size).
inline int64_t CheckedIndex(const RunContext& c, int64_t index, int64_t size) {
  if (index < -size || index >= size) c.Fail("index {} is out of range for an axis of size {}.", index, size);
  return index < 0 ? index + size : index;
}

/// All indices of a tensor of int32 or int64, checked.
inline std::vector<int64_t> CheckedIndices(const RunContext& c, const Tensor& indices, int64_t size) {
  return VisitIndex(indices.dtype(), [&]<class I>() {
    std::vector<int64_t> out(indices.size());
    const I* in = indices.data<I>();
    for (size_t i = 0; i < out.size(); ++i) out[i] = CheckedIndex(c, in[i], size);
    return out;
  });
}

}  // namespace slipway
