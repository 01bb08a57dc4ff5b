#include "kernels/scratch.h"

#include <hwy/aligned_allocator.h>

#include <algorithm>

#include "slipway/error.h"

namespace slipway::kernels {

float* Scratch(size_t count) {
  thread_local hwy::AlignedFreeUniquePtr<float[]> memory;
  thread_local size_t capacity = 0;
  if (count > capacity) {
    memory.reset();
    capacity = 0;
    memory = hwy::AllocateAligned<float>(count);
    if (!memory) throw Error(Code::kOutOfMemory, "kernel scratch memory: allocation failed");
    capacity = count;
  }
  return memory.get();
}

}  // namespace slipway::kernels
