#include "kernels/attention/attention_halves.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/elementwise/unary.h"
#include "kernels/gemm/gemm.h"
#include "kernels/reduce/softmax.h"
#include "kernels/reduce/softmax_halves.h"

namespace slipway::kernels {
namespace {

constexpr float kHidden = -std::numeric_limits<float>::infinity();

const Threads& OneThread() {
  static const Threads one(1);
  return one;
}

void Round(DType type, float* x, int64_t n) { ScaleInHalves(type, 1, x, x, n); }

bool IsHalf(DType type) { return type == DType::kFloat16 || type == DType::kBFloat16; }

/// A tile of one head's queries.
struct QueryTile {
  int64_t batch, head, first, rows;
  int64_t begin, end;  ///< keys that any of them may see
  float* scores;       ///< [rows, end - begin]
  int64_t keys() const { return end - begin; }
};

int64_t OffsetOf(const AttentionArgs& a, int64_t batch) { return a.offsets ? a.offsets[batch] : a.offset; }
int64_t CountOf(const AttentionArgs& a, int64_t batch) { return a.key_counts ? a.key_counts[batch] : a.keys; }

void Softcap(const AttentionArgs& a, const HalfSteps& steps, float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] /= a.softcap;
  Round(steps.type, x, n);
  UnaryFloat(UnaryOp::kTanh, x, x, n, 0, 0, OneThread());
  Round(steps.type, x, n);
  ScaleInHalves(steps.type, a.softcap, x, x, n);
}

void ApplyMask(const AttentionArgs& a, const HalfSteps& steps, const QueryTile& t) {
  const int64_t count = CountOf(a, t.batch);
  for (int64_t i = 0; i < t.rows; ++i) {
    float* row = t.scores + i * t.keys();
    const int64_t query = t.first + i, place = query + OffsetOf(a, t.batch);
    const int64_t low = a.window_left >= 0 ? place - a.window_left : 0;
    const int64_t high = std::min(count, a.window_right >= 0 ? place + a.window_right + 1 : count);
    const AttentionMask& m = a.mask;
    const int64_t at = t.batch * m.batch_stride + t.head * m.head_stride + query * m.row_stride;
    for (int64_t j = t.begin; j < t.end; ++j) {
      float& score = row[j - t.begin];
      if (j < low || j >= high || (m.keep && !m.keep[at + j * m.col_stride])) {
        score = kHidden;
      } else if (m.add) {
        score += m.add[at + j * m.col_stride];
      }
    }
    if (m.add) Round(steps.type, row, t.keys());
  }
}

void Softmax(const HalfSteps& steps, const QueryTile& t) {
  if (IsHalf(steps.softmax)) {
    Round(steps.softmax, t.scores, t.rows * t.keys());
    SoftmaxInHalves(steps.softmax, t.scores, t.rows, t.keys());
  } else {
    for (int64_t i = 0; i < t.rows; ++i) {
      float* row = t.scores + i * t.keys();
      if (std::all_of(row, row + t.keys(), [](float x) { return x == kHidden; })) {
        std::fill_n(row, t.keys(), 0.0f);
      } else {
        SoftmaxFloat(row, row, 1, t.keys(), 1, false, OneThread());
      }
    }
  }
  Round(steps.type, t.scores, t.rows * t.keys());
}

void Run(const AttentionArgs& a, const HalfSteps& steps, const float* keys, float scale, const QueryTile& t) {
  float* out = a.out.data + t.batch * a.out.batch_stride + t.head * a.out.head_stride + t.first * a.out.row_stride;
  if (t.keys() <= 0) {
    for (int64_t i = 0; i < t.rows; ++i) std::fill_n(out + i * a.out.row_stride, a.value_size, 0.0f);
    return;
  }
  const auto keep = [&](int64_t stage) {
    if (!steps.kept || steps.stage != stage) return;
    const int64_t row = (t.batch * a.heads + t.head) * a.queries + t.first;
    std::copy_n(t.scores, t.rows * a.keys, steps.kept + row * a.keys);
  };
  std::vector<float> queries(t.rows * a.size);
  for (int64_t i = 0; i < t.rows; ++i) {
    const float* from = a.q.data + t.batch * a.q.batch_stride + t.head * a.q.head_stride;
    ScaleInHalves(steps.type, scale, from + (t.first + i) * a.q.row_stride, &queries[i * a.size], a.size);
  }
  const int64_t kv_head = t.head / (a.heads / a.kv_heads);
  const float* head_keys = keys + ((t.batch * a.kv_heads + kv_head) * a.keys + t.begin) * a.size;
  GemmUnpacked(t.rows, t.keys(), a.size, queries.data(), a.size, head_keys, 1, a.size, t.scores, t.keys(), {},
               OneThread());
  Round(steps.type, t.scores, t.rows * t.keys());
  keep(0);
  if (a.softcap > 0) Softcap(a, steps, t.scores, t.rows * t.keys());
  keep(1);
  ApplyMask(a, steps, t);
  keep(2);
  Softmax(steps, t);
  keep(3);
  const float* values = a.v.data + t.batch * a.v.batch_stride + kv_head * a.v.head_stride + t.begin * a.v.row_stride;
  GemmUnpacked(t.rows, a.value_size, t.keys(), t.scores, t.keys(), values, a.v.row_stride, 1, out, a.out.row_stride, {},
               OneThread());
}

/// All keys, scaled and rounded, as [batch, kv_heads, keys, size].
std::vector<float> ScaledKeys(const AttentionArgs& a, DType type, float scale, const Threads& threads) {
  std::vector<float> out(a.batch * a.kv_heads * a.keys * a.size);
  threads.ParallelFor(a.batch * a.kv_heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* from = a.k.data + i / a.kv_heads * a.k.batch_stride + i % a.kv_heads * a.k.head_stride;
      for (int64_t j = 0; j < a.keys; ++j)
        ScaleInHalves(type, scale, from + j * a.k.row_stride, &out[(i * a.keys + j) * a.size], a.size);
    }
  });
  return out;
}

}  // namespace

void AttentionInHalves(const AttentionArgs& a, const HalfSteps& steps, const Threads& threads) {
  if (a.batch <= 0 || a.heads <= 0 || a.queries <= 0) return;
  // A scale below 0 has no root: all of it goes to the queries.
  const bool root = a.scale >= 0;
  float scale = root ? std::sqrt(a.scale) : a.scale;
  Round(steps.type, &scale, 1);
  const std::vector<float> keys = ScaledKeys(a, steps.type, root ? scale : 1, threads);
  constexpr int64_t kScores = 1 << 16;  // of a tile: they stay in the L2 cache
  const int64_t tile = std::clamp<int64_t>(kScores / std::max<int64_t>(1, a.keys), 8, 64);
  const int64_t tiles = (a.queries + tile - 1) / tile;
  threads.ParallelFor(a.batch * a.heads * tiles, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> scores(std::min(tile, a.queries) * a.keys);
    for (int64_t i = begin; i < end; ++i) {
      QueryTile t{.batch = i / tiles / a.heads,
                  .head = i / tiles % a.heads,
                  .first = i % tiles * tile,
                  .rows = 0,
                  .begin = 0,
                  .end = a.keys,
                  .scores = scores.data()};
      t.rows = std::min(tile, a.queries - t.first);
      if (!steps.kept) {
        const int64_t place = t.first + OffsetOf(a, t.batch);
        if (a.window_left >= 0) t.begin = std::clamp<int64_t>(place - a.window_left, 0, a.keys);
        t.end = std::min(a.keys, CountOf(a, t.batch));
        if (a.window_right >= 0) t.end = std::min(t.end, place + t.rows + a.window_right);
      }
      Run(a, steps, keys.data(), scale, t);
    }
  });
}

}  // namespace slipway::kernels
