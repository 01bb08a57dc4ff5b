#pragma once

// Included before <hwy/foreach_target.h> by every file that compiles a kernel for several instruction sets.
// The x86 sets left out would compile everything once more without being faster for float code; vectors of the SVE sets
// cannot be elements of an array, which register tiles need.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#endif

#include "thread/pool.h"

namespace slipway::kernels {

/// Chooses the instruction set that kernels run on, once for the process: the best the CPU has, or the one that
/// SLIPWAY_ISA names (scalar, sse4, avx2, avx3, neon). Throws Error(kInvalidArgument) where the CPU or this build lacks
/// that one.
/// A file that dispatches calls this first; it costs a load and a branch.
void ChooseTarget();

/// The name of the instruction set that kernels run on: "AVX2", "AVX3" (AVX-512), "NEON", …
const char* IsaName();

/// Calls f() once for each instruction set that both this build and the CPU have, with kernels dispatching to it, and
/// goes back to the first choice. For tests: matrices packed for one set are of no use to another. Not thread-safe.
void ForEachTarget(FunctionRef<void()> f);

}  // namespace slipway::kernels
