#pragma once

#include <cstddef>

namespace slipway::kernels {

/// `count` floats of memory, aligned to a cache line and kept for the thread: valid until its next call of this.
float* Scratch(size_t count);

}  // namespace slipway::kernels
