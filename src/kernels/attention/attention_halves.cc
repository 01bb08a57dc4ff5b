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

/// A tile of queries: of one head, or of all heads that share keys, one head's behind the other's.
struct QueryTile {
  int64_t batch, head, heads;
  int64_t first, queries;  ///< of each head
  int64_t begin, end;      ///< keys that any of them may see
  float* scores;           ///< [rows, keys]
  int64_t rows() const { return heads * queries; }
  int64_t keys() const { return end - begin; }
  int64_t head_of(int64_t row) const { return head + row / queries; }
  int64_t query_of(int64_t row) const { return first + row % queries; }
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
  for (int64_t i = 0; i < t.rows(); ++i) {
    float* row = t.scores + i * t.keys() - t.begin;  // at key 0
    const int64_t place = t.query_of(i) + OffsetOf(a, t.batch);
    const int64_t from = a.window_left >= 0 ? place - a.window_left : 0;
    const int64_t to = a.window_right >= 0 ? place + a.window_right + 1 : count;
    const int64_t low = std::clamp(from, t.begin, t.end), high = std::clamp(std::min(to, count), low, t.end);
    std::fill(row + t.begin, row + low, kHidden);
    std::fill(row + high, row + t.end, kHidden);
    const AttentionMask& m = a.mask;
    const int64_t at = t.batch * m.batch_stride + t.head_of(i) * m.head_stride + t.query_of(i) * m.row_stride;
    for (int64_t j = low; m.keep && j < high; ++j) {
      if (!m.keep[at + j * m.col_stride]) row[j] = kHidden;
    }
    if (!m.add) continue;
    for (int64_t j = low; j < high; ++j) row[j] += m.add[at + j * m.col_stride];
    Round(steps.type, row + low, high - low);
  }
}

void Softmax(const HalfSteps& steps, const QueryTile& t) {
  if (IsHalf(steps.softmax)) {
    if (steps.softmax != steps.type) Round(steps.softmax, t.scores, t.rows() * t.keys());
    SoftmaxInHalves(steps.softmax, t.scores, t.rows(), t.keys());
  } else {
    for (int64_t i = 0; i < t.rows(); ++i) {
      float* row = t.scores + i * t.keys();
      if (std::all_of(row, row + t.keys(), [](float x) { return x == kHidden; })) {
        std::fill_n(row, t.keys(), 0.0f);
      } else {
        SoftmaxFloat(row, row, 1, t.keys(), 1, false, OneThread());
      }
    }
  }
  if (steps.softmax != steps.type) Round(steps.type, t.scores, t.rows() * t.keys());
}

/// `keys`: those from t.begin on, scaled, `size` apart.
void Run(const AttentionArgs& a, const HalfSteps& steps, const float* keys, float scale, const QueryTile& t) {
  const auto row_of = [&](const auto& view, int64_t i) {
    return view.data + t.batch * view.batch_stride + t.head_of(i) * view.head_stride + t.query_of(i) * view.row_stride;
  };
  if (t.keys() <= 0) {
    for (int64_t i = 0; i < t.rows(); ++i) std::fill_n(row_of(a.out, i), a.value_size, 0.0f);
    return;
  }
  const auto keep = [&](int64_t stage) {
    if (!steps.kept || steps.stage != stage) return;
    for (int64_t i = 0; i < t.rows(); ++i) {
      const int64_t row = (t.batch * a.heads + t.head_of(i)) * a.queries + t.query_of(i);
      std::copy_n(t.scores + i * a.keys, a.keys, steps.kept + row * a.keys);
    }
  };
  std::vector<float> queries(t.rows() * a.size), out(t.rows() * a.value_size);
  for (int64_t i = 0; i < t.rows(); ++i)
    ScaleInHalves(steps.type, scale, row_of(a.q, i), queries.data() + i * a.size, a.size);
  const int64_t kv_head = t.head / (a.heads / a.kv_heads);
  GemmUnpacked(t.rows(), t.keys(), a.size, queries.data(), a.size, keys, 1, a.size, t.scores, t.keys(), {},
               OneThread());
  Round(steps.type, t.scores, t.rows() * t.keys());
  keep(0);
  if (a.softcap > 0) Softcap(a, steps, t.scores, t.rows() * t.keys());
  keep(1);
  ApplyMask(a, steps, t);
  keep(2);
  Softmax(steps, t);
  keep(3);
  const float* values = a.v.data + t.batch * a.v.batch_stride + kv_head * a.v.head_stride + t.begin * a.v.row_stride;
  GemmUnpacked(t.rows(), a.value_size, t.keys(), t.scores, t.keys(), values, a.v.row_stride, 1, out.data(),
               a.value_size, {}, OneThread());
  for (int64_t i = 0; i < t.rows(); ++i) std::copy_n(out.data() + i * a.value_size, a.value_size, row_of(a.out, i));
}

/// Keys [begin, end) of a head, scaled and rounded, side by side.
void ScaleKeys(const AttentionArgs& a, DType type, float scale, int64_t head, int64_t begin, int64_t end, float* out) {
  const float* from = a.k.data + head / a.kv_heads * a.k.batch_stride + head % a.kv_heads * a.k.head_stride;
  if (a.k.row_stride == a.size) return ScaleInHalves(type, scale, from + begin * a.size, out, (end - begin) * a.size);
  for (int64_t j = begin; j < end; ++j, out += a.size)
    ScaleInHalves(type, scale, from + j * a.k.row_stride, out, a.size);
}

}  // namespace

void AttentionInHalves(const AttentionArgs& a, const HalfSteps& steps, const Threads& threads) {
  if (a.batch <= 0 || a.heads <= 0 || a.queries <= 0) return;
  // A scale below 0 has no root: all of it goes to the queries.
  const bool root = a.scale >= 0;
  float scale = root ? std::sqrt(a.scale) : a.scale;
  Round(steps.type, &scale, 1);
  const float key_scale = root ? scale : 1;
  constexpr int64_t kScores = 1 << 16;  // of a tile: they stay in the L2 cache
  const int64_t tile = std::clamp<int64_t>(kScores / std::max<int64_t>(1, a.keys), 8, 64);
  // Few queries: heads that share keys go together, so that these are read once.
  const int64_t share = a.heads / a.kv_heads, together = share * a.queries <= tile ? share : 1;
  const int64_t tiles = (a.queries + tile - 1) / tile, groups = a.heads / together;
  // Keys that one tile reads are scaled as it comes to them, others beforehand.
  const bool once = tiles == 1 && together == share;
  std::vector<float> keys(once ? 0 : a.batch * a.kv_heads * a.keys * a.size);
  if (!once) {
    threads.ParallelFor(a.batch * a.kv_heads, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        ScaleKeys(a, steps.type, key_scale, i, 0, a.keys, keys.data() + i * a.keys * a.size);
    });
  }
  threads.ParallelFor(a.batch * groups * tiles, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> scores(std::min(tile, a.queries) * together * a.keys), own(once ? a.keys * a.size : 0);
    for (int64_t i = begin; i < end; ++i) {
      QueryTile t{.batch = i / tiles / groups,
                  .head = i / tiles % groups * together,
                  .heads = together,
                  .first = i % tiles * tile,
                  .queries = std::min(tile, a.queries - i % tiles * tile),
                  .begin = 0,
                  .end = a.keys,
                  .scores = scores.data()};
      if (!steps.kept) {
        const int64_t place = t.first + OffsetOf(a, t.batch);
        if (a.window_left >= 0) t.begin = std::clamp<int64_t>(place - a.window_left, 0, a.keys);
        t.end = std::min(a.keys, CountOf(a, t.batch));
        if (a.window_right >= 0) t.end = std::min(t.end, place + t.queries + a.window_right);
        t.begin = std::min(t.begin, std::max<int64_t>(t.end, 0));
      }
      const int64_t kv_head = t.batch * a.kv_heads + t.head / share;
      if (once && t.keys() > 0) ScaleKeys(a, steps.type, key_scale, kv_head, t.begin, t.end, own.data());
      Run(a, steps, once ? own.data() : keys.data() + (kv_head * a.keys + t.begin) * a.size, scale, t);
    }
  });
}

}  // namespace slipway::kernels
