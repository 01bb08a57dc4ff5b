#include "kernels/attention/attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention/attention.cc"
#include "kernels/targets.h"
// After targets.h.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/attention/masked_rows.h"
#include "kernels/attention/softmax_row-inl.h"
#include "kernels/attention/tile-inl.h"
#include "kernels/gemm/scratch.h"

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {
namespace {

// Rows whose scores against a block of keys stay in L1 (25 KB).
constexpr int64_t kQueryTile = 24;
// Rows of one task: what packs the keys and values once for itself.
constexpr int64_t kTaskRows = 10 * kQueryTile;
constexpr int64_t kLeastTaskRows = 32;
// Windows and offsets come from data: bounded by more than any sequence's length, their sums do not overflow.
constexpr int64_t kFar = int64_t{1} << 48;

constexpr int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t RoundUp(int64_t a, int64_t b) { return CeilDiv(a, b) * b; }

struct KeyRange {
  int64_t begin;
  int64_t end;
  bool empty() const { return begin >= end; }
};

/// Rows [first, first + rows) of the query rows that share one head of keys: all queries of its first query head, then
/// of the next.
class Task {
 public:
  Task(const AttentionArgs& args, const MaskedRows& masked, int64_t batch, int64_t kv_head, int64_t first, int64_t rows)
      : args_(args), batch_(batch), kv_head_(kv_head), first_(first), rows_(rows) {
    left_ = std::min(args.window_left, kFar);
    right_ = std::min(args.window_right, kFar);
    offset_ = std::clamp(args.offsets ? args.offsets[batch] : args.offset, -2 * kFar, 2 * kFar);
    keys_seen_ = args.key_counts ? std::clamp<int64_t>(args.key_counts[batch], 0, args.keys) : args.keys;
    value_stride_ = RoundUp(args.value_size, kLanes);
    depth_blocks_ = std::max<int64_t>(1, CeilDiv(args.size, kBlock));
    keys_in_place_ = rows <= kFewRows && args.size % kLanes == 0 && depth_blocks_ == 1;
    values_in_place_ = rows <= kTileRows && args.value_size % kLanes == 0;
    const int64_t padded_rows = RoundUp(rows, kQueryTile);
    static thread_local Scratch scratch;
    float* memory =
        scratch.Reserve(static_cast<size_t>(padded_rows * (depth_blocks_ * kRowStride + value_stride_ + 2) +
                                            kQueryTile * kRowStride + (args.size + value_stride_) * kBlock));
    queries_ = memory;
    scores_ = queries_ + padded_rows * depth_blocks_ * kRowStride;
    packed_keys_ = scores_ + kQueryTile * kRowStride;
    packed_values_ = packed_keys_ + args.size * kBlock;
    sums_ = packed_values_ + value_stride_ * kBlock;
    max_ = sums_ + padded_rows * value_stride_;
    total_ = max_ + padded_rows;
    FindRows(masked);
  }

  void Run() {
    PackQueries();
    constexpr float kHidden = -std::numeric_limits<float>::infinity();
    for (int64_t r = 0; r < rows_; ++r) {
      max_[r] = args_.sinks ? args_.sinks[row_[r].head] : kHidden;
      total_[r] = max_[r] == kHidden ? 0.0f : 1.0f;
    }
    const KeyRange all = SeenBy(0, rows_);
    const int64_t tiles = CeilDiv(rows_, kQueryTile);
    for (int64_t begin = all.begin; begin < all.end; begin += kBlock) {
      const KeyRange block = {begin, std::min(begin + kBlock, all.end)};
      PackBlock(block);
      for (int64_t t = 0; t < tiles; ++t) {
        const int64_t first = rows_ * t / tiles;
        PrefetchNext(t, tiles);
        RunTile(first, rows_ * (t + 1) / tiles - first, block, started_[t]);
      }
    }
    for (int64_t t = 0; t < tiles; ++t) WriteOutput(rows_ * t / tiles, rows_ * (t + 1) / tiles, started_[t]);
  }

 private:
  /// A query row of the task: whose it is, and the keys that it sees.
  struct Row {
    int64_t head;
    int64_t query;
    KeyRange keys;
    bool masked;  ///< the mask does something to those keys
  };

  void FindRows(const MaskedRows& masked) {
    const bool mask = args_.mask.add || args_.mask.keep;
    int64_t head = kv_head_ * (args_.heads / args_.kv_heads) + first_ / args_.queries, query = first_ % args_.queries;
    for (int64_t r = 0; r < rows_; ++r) {
      KeyRange keys = {0, keys_seen_};
      const int64_t at = query + offset_;
      if (args_.window_left >= 0) keys.begin = std::max(keys.begin, at - left_);
      if (args_.window_right >= 0) keys.end = std::min(keys.end, at + right_ + 1);
      const MaskedRow* row = masked.Find(batch_, head, query);
      if (row) keys = {std::max(keys.begin, row->begin), std::min(keys.end, row->end)};
      row_[r] = {.head = head, .query = query, .keys = keys, .masked = mask && !(row && row->plain)};
      if (++query == args_.queries) ++head, query = 0;
    }
  }

  /// The smallest range that holds all that rows [first, first + count) see.
  KeyRange SeenBy(int64_t first, int64_t count) const {
    KeyRange all = {args_.keys, 0};
    for (int64_t r = first; r < first + count; ++r) {
      const KeyRange& keys = row_[r].keys;
      if (!keys.empty()) all = {std::min(all.begin, keys.begin), std::max(all.end, keys.end)};
    }
    return all;
  }

  template <class T>
  T* RowOf(const HeadsView<T>& view, int64_t r) const {
    return view.data + batch_ * view.batch_stride + row_[r].head * view.head_stride + row_[r].query * view.row_stride;
  }

  void PackQueries() {
    for (int64_t r = 0; r < rows_; ++r) {
      const float* from = RowOf(args_.q, r);
      for (int64_t block = 0; block < depth_blocks_; ++block) {
        float* to = queries_ + (block * RoundUp(rows_, kQueryTile) + r) * kRowStride;
        const int64_t count = std::min(kBlock, args_.size - block * kBlock);
        for (int64_t i = 0; i < count; ++i) to[i] = from[block * kBlock + i] * args_.scale;
      }
    }
  }

  void PackBlock(KeyRange block) {
    const auto& k = args_.k;
    const auto& v = args_.v;
    keys_ = k.data + batch_ * k.batch_stride + kv_head_ * k.head_stride + block.begin * k.row_stride;
    values_ = v.data + batch_ * v.batch_stride + kv_head_ * v.head_stride + block.begin * v.row_stride;
    const int64_t count = block.end - block.begin;
    if (!keys_in_place_) PackKeys(keys_, k.row_stride, count, args_.size, packed_keys_);
    if (!values_in_place_) PackValues(values_, v.row_stride, count, args_.value_size, value_stride_, packed_values_);
  }

  void ComputeScores(int64_t first, int64_t rows, int64_t keys) {
    if (keys_in_place_) {
      kScoresInPlace[rows - 1](queries_ + first * kRowStride, keys_, args_.k.row_stride, keys, args_.size, scores_);
      return;
    }
    for (int64_t block = 0; block < depth_blocks_; ++block) {
      const int64_t depth = std::min(kBlock, args_.size - block * kBlock);
      TileProduct(rows, CeilDiv(keys, kLanes), depth,
                  queries_ + (block * RoundUp(rows_, kQueryTile) + first) * kRowStride,
                  packed_keys_ + block * kBlock * kPanel, kPanel, kPanel * args_.size, scores_, kRowStride, block > 0);
    }
  }

  /// Asks for a part of what the next task reads, the rows of the next head of keys: most often they lie side by side
  /// with this one's, too far apart for the CPU to guess them.
  template <class T>
  void PrefetchHead(const HeadsView<T>& view, int64_t head, int64_t rows, int64_t size, int64_t part, int64_t parts) {
    const T* data = view.data + batch_ * view.batch_stride + head * view.head_stride;
    for (int64_t r = rows * part / parts; r < rows * (part + 1) / parts; ++r) {
      for (int64_t i = 0; i < size; i += 16) __builtin_prefetch(data + r * view.row_stride + i, 0, 2);
    }
  }

  void PrefetchNext(int64_t tile, int64_t tiles) {
    const int64_t next = kv_head_ + 1, share = args_.heads / args_.kv_heads;
    if (rows_ != share * args_.queries || rows_ < kLeastTaskRows || next >= args_.kv_heads || args_.keys > kTaskRows)
      return;
    for (int64_t h = next * share; h < (next + 1) * share; ++h)
      PrefetchHead(args_.q, h, args_.queries, args_.size, tile, tiles);
    PrefetchHead(args_.k, next, args_.keys, args_.size, tile, tiles);
    PrefetchHead(args_.v, next, args_.keys, args_.value_size, tile, tiles);
  }

  void RunTile(int64_t first, int64_t rows, KeyRange block, bool& started) {
    const KeyRange seen = SeenBy(first, rows);
    const int64_t keys = std::min(block.end, seen.end) - block.begin;
    if (keys <= 0 || seen.begin >= block.end) return;
    ComputeScores(first, rows, keys);
    const int64_t padded = RoundUp(keys, kLanes);
    float greatest[kQueryTile];
    for (int64_t r = 0; r < rows; ++r) {
      const Row& row = row_[first + r];
      const int64_t end = std::clamp<int64_t>(row.keys.end - block.begin, 0, keys);
      float* scores = scores_ + r * kRowStride;
      if (args_.softcap != 0) SoftcapRow(scores, end, args_.softcap);
      if (row.masked) AddMaskRow(args_.mask, batch_, row.head, row.query, block.begin, end, scores);
      const int64_t begin = std::clamp<int64_t>(row.keys.begin - block.begin, 0, end);
      greatest[r] = GreatestOf(scores, begin, end, padded, max_[first + r]);
    }
    // A loop of its own, so that rows do not wait for each other's greatest.
    for (int64_t r = 0; r < rows; ++r) {
      float& max = max_[first + r];
      const float factor = ExponentialsOf(scores_ + r * kRowStride, padded, max, greatest[r], total_[first + r]);
      if (started && factor != 1) ScaleRow(sums_ + (first + r) * value_stride_, value_stride_, factor);
      max = greatest[r];
    }
    const float* values = values_in_place_ ? values_ : packed_values_;
    TileProduct(rows, value_stride_ / kLanes, keys, scores_, values,
                values_in_place_ ? args_.v.row_stride : value_stride_, kPanel, sums_ + first * value_stride_,
                value_stride_, started);
    started = true;
  }

  /// A tile that never started has seen no key: its sums hold nothing.
  void WriteOutput(int64_t begin, int64_t end, bool started) {
    const bool zero = args_.masked_rows_are_zero || args_.keys == 0 || args_.sinks;
    const float masked = zero ? 0.0f : std::numeric_limits<float>::quiet_NaN();
    for (int64_t r = begin; r < end; ++r) {
      float* to = RowOf(args_.out, r);
      const float* from = sums_ + r * value_stride_;
      const float factor = total_[r] == 0 ? masked : 1 / total_[r];
      if (!started) {
        std::fill(to, to + args_.value_size, masked);
        continue;
      }
      for (int64_t i = 0; i < args_.value_size; ++i) to[i] = from[i] * factor;
    }
  }

  const AttentionArgs& args_;
  const int64_t batch_;
  const int64_t kv_head_;
  const int64_t first_;
  const int64_t rows_;
  int64_t left_;
  int64_t right_;
  int64_t offset_;
  int64_t keys_seen_;
  int64_t value_stride_;
  int64_t depth_blocks_;
  bool keys_in_place_;
  bool values_in_place_;
  const float* keys_ = nullptr;
  const float* values_ = nullptr;
  float* queries_;
  float* scores_;
  float* packed_keys_;
  float* packed_values_;
  float* sums_;                                            ///< of the values so far, each times its exponential
  float* max_;                                             ///< of the scores so far
  float* total_;                                           ///< of the exponentials so far
  std::array<bool, kTaskRows / kQueryTile> started_ = {};  ///< by tile: sums_ holds something
  std::array<Row, kTaskRows> row_;
};

void RunAttention(const AttentionArgs& args, const Threads& threads) {
  const MaskedRows masked(args, threads);
  const int64_t rows = args.heads / args.kv_heads * args.queries;
  const int64_t heads = args.batch * args.kv_heads;
  int64_t parts = CeilDiv(rows, kTaskRows);
  const int64_t most_parts = std::max<int64_t>(parts, rows / kLeastTaskRows);
  if (threads.count() > 1) parts = std::clamp(CeilDiv(3 * threads.count(), heads), parts, most_parts);
  threads.ParallelFor(heads * parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t head = i / parts;
      const int64_t first = rows * (i % parts) / parts;
      const int64_t count = rows * (i % parts + 1) / parts - first;
      Task(args, masked, head / args.kv_heads, head % args.kv_heads, first, count).Run();
    }
  });
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace slipway::kernels {

HWY_EXPORT(RunAttention);

void Attention(const AttentionArgs& args, const Threads& threads) {
  if (args.batch <= 0 || args.heads <= 0 || args.queries <= 0 || args.value_size <= 0) return;
  ChooseTarget();
  HWY_DYNAMIC_DISPATCH(RunAttention)(args, threads);
}

}  // namespace slipway::kernels
#endif  // HWY_ONCE
