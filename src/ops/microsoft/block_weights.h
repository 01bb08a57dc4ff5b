#pragma once

#include "ops/op.h"
#include "ops/shape_math.h"

namespace slipway {

/// Input i holds so many numbers, however they are shaped.
inline void CheckHolds(const InferContext& c, int i, int64_t count) {
  if (c.HasRank(i) && Product(c.Shape(i), 0, c.Shape(i).rank()).Differs(Dim(count)))
    c.Fail("{} has shape {}, but must hold {} numbers.", c.InputName(i), c.Shape(i).ToString(), count);
}

/// The shape of A B^T, with A the first input and B [n, k] in blocks.
inline SymbolicShape BlockProductShape(const InferContext& c, int64_t n, int64_t k) {
  SymbolicShape out = c.Shape(0);
  if (!out.has_rank()) return out;
  if (out.rank() < 1 || out[out.rank() - 1].Differs(Dim(k)))
    c.Fail("{} has shape {}, but its last axis must be {}.", c.InputName(0), out.ToString(), k);
  out[out.rank() - 1] = n;
  return out;
}

}  // namespace slipway
