#pragma once

#include "ops/op.h"

namespace slipway {

/// Fails where input i is given and known not to have exactly one element. What reads the first element of an input
/// asks this in its shape rule, which runs on numbers before each new shape is computed.
void ExpectOne(const InferContext& c, int i);

}  // namespace slipway
