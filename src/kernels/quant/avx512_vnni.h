#pragma once

#include <cstdint>

namespace slipway::kernels {

/// A tile of at most 12 rows of unsigned bytes, lda apart, times `steps` groups of 4 rows of a panel of 32 columns of
/// signed bytes, of which 16 or 32 are wanted. sums[row * 32 + column] is written.
using VnniTile = void (*)(const uint8_t* a, int64_t lda, const int8_t* b, int64_t steps, int32_t* sums);

/// The kernel for 1 to 12 rows; null where the CPU or the build lacks AVX-512 VNNI.
VnniTile ChooseVnniTile(int rows, bool wide);

}  // namespace slipway::kernels
