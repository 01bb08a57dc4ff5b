#pragma once

#include "ops/one_number.h"
#include "ops/op.h"

namespace slipway {

/// Fails where input i is given and known not to have exactly one element. What reads the first element of an input
/// asks this in its shape rule, which runs on numbers before each new shape is computed.
void ExpectOne(const InferContext& c, int i);

/// A shape of `rank` axes that the contents of an input decide. Not known at all for rank 0: nobody would look at those
/// contents before the run if the shape were settled without them.
inline SymbolicShape ToldByData(int rank) { return rank == 0 ? SymbolicShape() : SymbolicShape::OfRank(rank); }

}  // namespace slipway
