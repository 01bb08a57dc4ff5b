#pragma once

#include <span>
#include <vector>

#include "kernels/attention/attention.h"
#include "ops/op.h"

namespace slipway::microsoft {

/// The element types of the attention operators; all are computed in float.
inline constexpr TypeSet kAttentionTypes = {DType::kFloat, DType::kFloat16, DType::kBFloat16};

/// Heads of a [batch, rows, heads * size] matrix whose rows are `row_stride` apart.
template <class T>
kernels::HeadsView<T> FlatHeads(T* data, int64_t rows, int64_t row_stride, int64_t size) {
  return {data, rows * row_stride, size, row_stride};
}

/// [batch, heads, rows, size]
template <class T>
kernels::HeadsView<T> DeepHeads(T* data, int64_t heads, int64_t rows, int64_t size) {
  return {data, heads * rows * size, rows * size, size};
}

/// A cache of [batch, heads, room, size] rows: what it held, then new rows.
struct Cache {
  int64_t batch = 0, heads = 0, size = 0;
  const float* past = nullptr;  ///< [batch, heads, past_room, size]
  int64_t past_room = 0;
  std::span<const int64_t> past_rows;  ///< in use, one a batch item
  kernels::HeadsView<const float> fresh;
  int64_t fresh_rows = 0;
  int64_t room = 0;
  /// Writes the cache with the new rows behind those in use. Rows behind them are what they were where room is
  /// past_room, else zeros.
  void Write(float* out, const Threads& threads) const;
};

/// A cache [..., batch, heads, room, size] as each beam came to it: row j < past of beam i of an item is that of the
/// beam that input `beams`, [items, beams in one, length], names at [item, i, j].
Tensor PickBeams(const RunContext& c, int beams, const Tensor& cache, int64_t past);

/// What is added to scores [batch, heads, queries, keys]: `mask` says which keys count (see the operators), and those
/// that do not get `filter`; `bias` is [batch or 1, heads or 1, queries or 1, keys]. Either may be null. Fail()s where
/// a shape does not fit.
class ScoreMask {
 public:
  struct Sizes {
    int64_t batch, heads, queries, keys;
    int64_t fresh;  ///< keys that are not from a cache
  };
  ScoreMask(const RunContext& c, const Tensor* mask, float filter, const Tensor* bias, const Sizes& sizes);
  kernels::AttentionMask view() const { return view_; }

 private:
  void ReadBias(const RunContext& c, const Tensor& bias, const Sizes& s);
  void ReadMask(const RunContext& c, const Tensor& mask, float filter, const Sizes& s);
  Tensor storage_;
  kernels::AttentionMask view_;
};

/// The shape rule's part of ScoreMask.
void CheckMask(const InferContext& c, int input, const Dim& batch);
void CheckBias(const InferContext& c, int input, const Dim& batch, const Dim& heads, const Dim& queries,
               const Dim& keys);

enum class ScoreStage : uint8_t { kScaled, kSoftmax };
/// The scores themselves as [batch, heads, queries, keys], rows `row` long; keys that are not seen get 0 (after the
/// softmax) or -inf.
void WriteScores(const kernels::AttentionArgs& args, ScoreStage stage, float* out, int64_t row, const Threads& threads);

/// `x` with bias[i] added to each row of `size` numbers; x itself where there is no bias.
Tensor PlusRow(const Tensor& x, const float* bias, int64_t size, const Threads& threads);

/// 1 / sqrt(size) where an attribute says nothing or 0.
float ScaleOf(float attribute, int64_t size);

/// The one element of an int32 or int64 input, which must lie in [0, most].
int64_t CountInput(const RunContext& c, int input, int64_t most);

/// Turns heads in place by their positions' angles, which are position / 10000^(2 i / size).
void TurnByPosition(kernels::HeadsView<float> x, int64_t batch, int64_t heads, int64_t rows, int64_t turned,
                    int64_t first_position, const Threads& threads);

}  // namespace slipway::microsoft
