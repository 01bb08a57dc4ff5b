#include "kernels/attention/masked_rows.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace slipway::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
/// Added to a score of any use, this leaves nothing of it beside one to which no less than kSeen was added.
constexpr float kAbsorbing = -1e30f;
constexpr float kSeen = -1e20f;

/// `hidden` and what is less hides a score. NaN does not: it is to be seen.
MaskedRow RowOf(const float* mask, int64_t n, float hidden) {
  int64_t begin = 0, end = n;
  while (begin < end && mask[begin] <= hidden) ++begin;
  while (begin < end && mask[end - 1] <= hidden) --end;
  if (hidden != -kInfinity && std::all_of(mask + begin, mask + end, [](float x) { return x <= kSeen; }))
    return RowOf(mask, n, -kInfinity);
  uint32_t bits = 0;
  for (int64_t j = begin; j < end; ++j) bits |= std::bit_cast<uint32_t>(mask[j]) << 1;  // without the sign of -0
  return {begin, end, bits == 0};
}

MaskedRow RowOf(const uint8_t* keep, int64_t n) {
  int64_t begin = 0, end = n;
  while (begin < end && !keep[begin]) ++begin;
  while (begin < end && !keep[end - 1]) --end;
  bool all = true;
  for (int64_t j = begin; j < end; ++j) all &= keep[j] != 0;
  return {begin, end, all};
}

}  // namespace

MaskedRows::MaskedRows(const AttentionArgs& args, const Threads& threads) {
  const AttentionMask& mask = args.mask;
  if ((!mask.add && !mask.keep) || mask.col_stride != 1) return;
  // A window, or a count of keys, may leave a row none but the keys that a finite number hides: those are averaged.
  const float hidden = args.window_left >= 0 || args.window_right >= 0 ? -kInfinity : kAbsorbing;
  const int64_t batches = mask.batch_stride || args.key_counts ? args.batch : 1;
  const int64_t heads = mask.head_stride ? args.heads : 1, queries = mask.row_stride ? args.queries : 1;
  if (mask.row_stride) row_stride_ = 1;
  if (mask.head_stride) head_stride_ = queries;
  if (batches > 1) batch_stride_ = heads * queries;
  rows_.resize(batches * heads * queries);
  const int64_t grain = 1 + (1 << 16) / (1 + args.keys);
  threads.ParallelFor(static_cast<int64_t>(rows_.size()), grain, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t batch = i / queries / heads;
      const int64_t keys = args.key_counts ? std::clamp<int64_t>(args.key_counts[batch], 0, args.keys) : args.keys;
      const int64_t at =
          batch * mask.batch_stride + i / queries % heads * mask.head_stride + i % queries * mask.row_stride;
      rows_[i] = mask.add ? RowOf(mask.add + at, keys, hidden) : RowOf(mask.keep + at, keys);
    }
  });
}

}  // namespace slipway::kernels
