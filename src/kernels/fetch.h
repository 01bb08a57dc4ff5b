#pragma once

#include <cstddef>
#include <cstdint>

namespace slipway::kernels {

/// Brings `rows` rows of `row_bytes`, `stride` bytes apart, from memory to the L2 cache, in their order: what reads
/// them next may go across them, which memory answers slowly.
inline void Fetch(const void* data, int64_t rows, int64_t row_bytes, int64_t stride) {
  constexpr uintptr_t kLine = 64, kPage = 4096;
  for (int64_t row = 0; row < rows; ++row) {
    const auto begin = reinterpret_cast<uintptr_t>(data) + static_cast<uintptr_t>(row * stride);
    const uintptr_t end = begin + static_cast<uintptr_t>(row_bytes);
    for (uintptr_t at = begin; at < end; at = (at / kPage + 1) * kPage) {
      // The system maps a file's page when it is read, not when it is fetched.
      static_cast<void>(*reinterpret_cast<const volatile char*>(at));
      const uintptr_t page_end = (at / kPage + 1) * kPage;
      for (uintptr_t line = at; line < (page_end < end ? page_end : end); line += kLine) {
        __builtin_prefetch(reinterpret_cast<const void*>(line), 0, 2);
      }
    }
  }
}

}  // namespace slipway::kernels
