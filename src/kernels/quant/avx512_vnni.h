#pragma once

#include <cstdint>

namespace slipway::kernels {

/// What a coming tile reads of B: fetched to the L2 cache meanwhile, `step` bytes a group of 4 rows.
struct VnniFetch {
  const char* from;
  int64_t step;
};

/// A tile of at most 12 rows of unsigned bytes, lda apart, times `steps` groups of 4 rows of a panel of 32 columns of
/// signed bytes, of which 16 or 32 are wanted. sums[row * 32 + column] is written.
using VnniTile = void (*)(const uint8_t* a, int64_t lda, const int8_t* b, int64_t steps, const VnniFetch& fetch,
                          int32_t* sums);

/// The kernel for 1 to 12 rows; null where the CPU or the build lacks AVX-512 VNNI.
VnniTile ChooseVnniTile(int rows, bool wide);

}  // namespace slipway::kernels
