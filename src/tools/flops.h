#pragma once

#include <cstdint>

#include "plan/plan.h"

namespace slipway {

/// Floating-point (or integer) operations of a plan's products, two for a multiplication with its addition.
int64_t Flops(const Graph& graph, const Plan& plan);

}  // namespace slipway
