#pragma once

#include <cstdint>

#include "plan/plan.h"

namespace slipway {

/// Floating-point (or integer) operations of a plan's products, two for a multiplication with its addition.
int64_t Flops(const Graph& graph, const Plan& plan);
/// The same of one step.
int64_t Flops(const Graph& graph, const Plan& plan, const Step& step);
/// Bytes of the tensors that a step reads and writes, each counted once; those known only in the run are left out.
int64_t Bytes(const Graph& graph, const Plan& plan, const Step& step);

}  // namespace slipway
