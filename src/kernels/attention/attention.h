#pragma once

#include <cstdint>

#include "thread/pool.h"

namespace slipway::kernels {

/// A [batch, heads, rows, size] view whose rows are contiguous: [B, H, S, D], [B, S, H * D] and slices of a fused QKV
/// matrix are all read in place. Strides count elements.
template <class T>
struct HeadsView {
  T* data = nullptr;
  int64_t batch_stride = 0;
  int64_t head_stride = 0;
  int64_t row_stride = 0;
};

/// A mask over [batch, heads, queries, keys]; a stride of 0 repeats along that axis. At most one of the pointers is
/// set.
struct AttentionMask {
  const float* add = nullptr;     ///< added to the scores
  const uint8_t* keep = nullptr;  ///< 0: the score becomes -inf
  int64_t batch_stride = 0;
  int64_t head_stride = 0;
  int64_t row_stride = 0;
  int64_t col_stride = 1;
};

/// out = softmax(softcap(scale * q k^T) + mask) v for each head, where softcap(x) = softcap * tanh(x / softcap).
/// Query head h reads the keys and values of head h / (heads / kv_heads).
struct AttentionArgs {
  int64_t batch = 1;
  int64_t heads = 1;
  int64_t kv_heads = 1;  ///< divides heads
  int64_t queries = 0;
  int64_t keys = 0;
  int64_t size = 0;        ///< of a query and key row
  int64_t value_size = 0;  ///< of a value and output row
  HeadsView<const float> q = {};
  HeadsView<const float> k = {};
  HeadsView<const float> v = {};
  HeadsView<float> out = {};  ///< overlaps no input
  AttentionMask mask = {};
  float scale = 1;
  float softcap = 0;  ///< 0: none
  /// Query i sees the keys from i + offset - window_left to i + offset + window_right; -1: no bound on that side.
  /// Causal attention is window_right = 0; offset is the number of past keys.
  int64_t window_left = -1;
  int64_t window_right = -1;
  int64_t offset = 0;
  const int64_t* offsets = nullptr;     ///< one a batch item instead of `offset`; null: none
  const int64_t* key_counts = nullptr;  ///< one a batch item: keys from there on are hidden; null: all are seen
  const float* sinks = nullptr;         ///< one a head: a score that no value belongs to; null: none
  /// A query all of whose scores are -inf gives NaN, as a Softmax node would; or 0, as ONNX Attention wants.
  bool masked_rows_are_zero = false;
};

/// Computes attention tile by tile, never holding more than a tile of scores. No keys at all give zeros.
void Attention(const AttentionArgs& args, const Threads& threads);

}  // namespace slipway::kernels
