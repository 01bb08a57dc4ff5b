#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "slipway/tensor.h"
#include "thread/pool.h"

namespace slipway::kernels {

/// Row-major strides of a shape, in elements.
std::vector<int64_t> DenseStrides(std::span<const int64_t> shape);

/// to[i * to_strides] = from[i * from_strides] for every index i of `shape`; strides count elements, may be negative,
/// and 0 in `from_strides` repeats. The two do not overlap, and no place is written twice. Runs of memory are copied as
/// such, and exchanged axes go in blocks.
void StridedCopy(DType type, std::span<const int64_t> shape, const void* from, std::span<const int64_t> from_strides,
                 void* to, std::span<const int64_t> to_strides, const Threads& threads);

/// Copies `bytes` of memory, or as many strings, on several threads where it is much.
void CopyElements(DType type, const void* from, void* to, int64_t count, const Threads& threads);

/// Sets `count` elements at `to` to the one at `value`.
void FillElements(DType type, const void* value, void* to, int64_t count, const Threads& threads);

/// The place of an element, `index` elements behind `base`.
inline const void* At(const void* base, DType type, int64_t index) {
  return static_cast<const char*>(base) + index * static_cast<int64_t>(SizeOf(type));
}
inline void* At(void* base, DType type, int64_t index) {
  return static_cast<char*>(base) + index * static_cast<int64_t>(SizeOf(type));
}

}  // namespace slipway::kernels
