#pragma once

#include <cstdint>

namespace slipway::kernels {

/// Rows of integers of 2, 4 or 8 bits, packed from the low bits of a byte up, in blocks that have a scale and a zero
/// point each. A row is `blocks` blocks of block_size * bits / 8 bytes.
struct BlockRows {
  const uint8_t* data;
  const float* scales;  ///< [rows, blocks]
  const float* zeros;   ///< [rows, blocks]
  int bits;
  int64_t block_size;
  int64_t blocks;
  int64_t k;  ///< columns; the last block may have fewer than it holds
};

/// out[j] = (row's j-th integer - zero) * scale, for k columns.
void DequantizeBlocks(const BlockRows& b, int64_t row, float* out);

/// What DotBlocks reads of a row x of k floats: its numbers in the order that bits are unpacked in, zeros past k, and
/// each block's sum. `order` has blocks * block_size floats, `sums` has `blocks`.
void OrderForBlocks(const BlockRows& b, const float* x, float* order, float* sums);

/// The product of such a row with row `row`: 4 bits without unpacking to memory, others by DequantizeBlocks.
float DotBlocks(const BlockRows& b, int64_t row, const float* order, const float* sums);

}  // namespace slipway::kernels
