#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/dtype_visit.h"
#include "ops/indexing.h"
#include "ops/microsoft/attention.h"
#include "ops/rotary.h"

namespace slipway::microsoft {

void Cache::Write(float* out, const Threads& threads) const {
  threads.ParallelFor(batch * heads, GrainFor(room * size * sizeof(float)), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t b = i / heads, h = i % heads, used = past_rows.empty() ? 0 : past_rows[b];
      float* to = out + i * room * size;
      const float* old = past ? past + i * past_room * size : nullptr;
      if (used > 0 && old != to) std::memcpy(to, old, static_cast<size_t>(used * size) * sizeof(float));
      const int64_t rows = std::min(fresh_rows, room - used);
      for (int64_t r = 0; r < rows; ++r) {
        std::memcpy(to + (used + r) * size,
                    fresh.data + b * fresh.batch_stride + h * fresh.head_stride + r * fresh.row_stride,
                    static_cast<size_t>(size) * sizeof(float));
      }
      const int64_t done = (used + std::max<int64_t>(rows, 0)) * size;
      if (room == past_room && old) {
        if (old != to) std::copy(old + done, old + room * size, to + done);
      } else {
        std::fill(to + done, to + room * size, 0.0f);
      }
    }
  });
}

Tensor PickBeams(const RunContext& c, int beams, const Tensor& cache, int64_t past) {
  const Shape &shape = c.In(beams).shape(), &kept = cache.shape();
  const int32_t* names = c.In(beams).data<int32_t>();
  const int64_t batch = kept.Back(3), heads = kept.Back(2), room = kept.Back(1), size = kept.Back(0);
  if (shape.rank() != 3 || shape[1] < 1 || shape[0] * shape[1] != batch || shape[2] < past) {
    c.Fail("cache_indirection has shape {}, which does not fit a batch of {} with {} cached keys.", shape.ToString(),
           batch, past);
  }
  Tensor out = cache.Clone();
  const int64_t parts = kept.SizeTo(kept.rank() - 4), width = shape[1];
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t j = 0; j < past; ++j) {
      const int64_t beam = names[b * shape[2] + j];
      if (beam < 0 || beam >= width) c.Fail("cache_indirection names beam {} of {}.", beam, width);
      const int64_t from = b / width * width + beam;
      for (int64_t i = 0; i < parts * heads; ++i) {
        const int64_t part = i / heads * batch, h = i % heads;
        std::copy_n(cache.data<float>() + (((part + from) * heads + h) * room + j) * size, size,
                    out.data<float>() + (((part + b) * heads + h) * room + j) * size);
      }
    }
  }
  return out;
}

void CheckMask(const InferContext& c, int input, const Dim& batch) {
  if (!c.Has(input)) return;
  c.ExpectElem(input, {DType::kInt32});
  c.ExpectRank(input, 1, 4);
  if (c.HasRank(input) && c.Shape(input).rank() > 1 && c.Shape(input)[0].Differs(batch))
    c.Fail("{} has shape {}, but the batch is {}.", c.InputName(input), c.Shape(input).ToString(), batch.ToString());
}

void CheckBias(const InferContext& c, int input, const Dim& batch, const Dim& heads, const Dim& queries,
               const Dim& keys) {
  if (!c.Has(input)) return;
  c.ExpectSameElem(input, 0);
  c.ExpectRank(input, 4, 4);
  if (!c.HasRank(input)) return;
  const SymbolicShape& bias = c.Shape(input);
  const Dim* wanted[] = {&batch, &heads, &queries, &keys};
  for (int i = 0; i < 4; ++i) {
    if (bias[i].Differs(*wanted[i]) && !(i < 3 && bias[i] == Dim(1)))
      c.Fail("{} has shape {}, but the scores have [{}, {}, {}, {}].", c.InputName(input), bias.ToString(),
             batch.ToString(), heads.ToString(), queries.ToString(), keys.ToString());
  }
}

ScoreMask::ScoreMask(const RunContext& c, const Tensor* mask, float filter, const Tensor* bias, const Sizes& s) {
  if (bias) ReadBias(c, *bias, s);
  if (mask) ReadMask(c, *mask, filter, s);
}

void ScoreMask::ReadBias(const RunContext& c, const Tensor& bias, const Sizes& s) {
  const Shape& shape = bias.shape();
  const int64_t wanted[] = {s.batch, s.heads, s.queries};
  bool fits = shape.rank() == 4 && shape[3] >= s.keys;
  for (int i = 0; fits && i < 3; ++i) fits = shape[i] == 1 || shape[i] == wanted[i];
  if (!fits) {
    c.Fail("the bias has shape {}, but the scores have [{}, {}, {}, {}].", shape.ToString(), s.batch, s.heads,
           s.queries, s.keys);
  }
  int64_t strides[3], step = shape[3];
  for (int i = 2; i >= 0; --i) {
    strides[i] = shape[i] == 1 ? 0 : step;
    step *= shape[i];
  }
  view_ = {.add = bias.data<float>(),
           .batch_stride = strides[0],
           .head_stride = strides[1],
           .row_stride = strides[2],
           .col_stride = 1};
}

void ScoreMask::ReadMask(const RunContext& c, const Tensor& mask, float filter, const Sizes& s) {
  const Shape& shape = mask.shape();
  const int32_t* in = mask.data<int32_t>();
  const int rank = shape.rank();
  const bool ranges = rank == 1 && shape[0] == 2 * s.batch;
  bool fits = false;
  if (rank == 1) fits = shape[0] == s.batch || ranges || shape[0] == 3 * s.batch + 2;
  if (rank == 2) fits = shape[0] == s.batch && (shape[1] == s.keys || shape[1] == s.fresh);
  if (rank == 3) fits = shape[0] == s.batch && shape[1] == s.queries && shape[2] == s.keys;
  if (rank == 4) fits = shape[0] == s.batch && shape[1] == 1 && shape[2] >= s.keys && shape[3] >= s.keys;
  if (!fits || (rank == 4 && s.queries > s.keys)) {
    c.Fail("the mask has shape {}, which does not fit a batch of {} with {} queries and {} keys.", shape.ToString(),
           s.batch, s.queries, s.keys);
  }
  const auto counts = [&](int64_t b, int64_t i, int64_t j) {
    switch (rank) {
      case 1:
        return j < in[b] && !(ranges && j < in[s.batch + b]);
      case 2:
        // A mask of the new keys alone leaves the cached ones in.
        return j < s.keys - shape[1] || in[b * shape[1] + j - (s.keys - shape[1])] > 0;
      case 3:
        return in[(b * s.queries + i) * s.keys + j] > 0;
      default:
        return in[(b * shape[2] + s.keys - s.queries + i) * shape[3] + j] > 0;
    }
  };
  const kernels::AttentionMask bias = view_;
  const int64_t heads = bias.add && bias.head_stride ? s.heads : 1;
  const int64_t rows = rank > 2 || (bias.add && bias.row_stride) ? s.queries : 1;
  storage_ = Tensor(DType::kFloat, {s.batch, heads, rows, s.keys});
  float* out = storage_.data<float>();
  c.threads().ParallelFor(s.batch * heads * rows, GrainFor(4 * s.keys), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t i = r % rows, h = r / rows % heads, b = r / rows / heads;
      const float* added =
          bias.add ? bias.add + b * bias.batch_stride + h * bias.head_stride + i * bias.row_stride : nullptr;
      for (int64_t j = 0; j < s.keys; ++j)
        out[r * s.keys + j] = (added ? added[j] : 0.0f) + (counts(b, i, j) ? 0.0f : filter);
    }
  });
  view_ = {.add = out,
           .batch_stride = heads * rows * s.keys,
           .head_stride = heads == 1 ? 0 : rows * s.keys,
           .row_stride = rows == 1 ? 0 : s.keys,
           .col_stride = 1};
}

void WriteScores(const kernels::AttentionArgs& a, ScoreStage stage, float* out, int64_t row, const Threads& threads) {
  constexpr double kHidden = -std::numeric_limits<double>::infinity();
  threads.ParallelFor(a.batch * a.heads, 1, [&](int64_t begin, int64_t end) {
    std::vector<double> scores(row);
    for (int64_t bh = begin; bh < end; ++bh) {
      const int64_t b = bh / a.heads, h = bh % a.heads, group = a.heads / a.kv_heads;
      const int64_t seen = a.key_counts ? std::min(a.key_counts[b], a.keys) : a.keys;
      for (int64_t i = 0; i < a.queries; ++i) {
        const int64_t at = i + (a.offsets ? a.offsets[b] : a.offset);
        const float* q = a.q.data + b * a.q.batch_stride + h * a.q.head_stride + i * a.q.row_stride;
        std::fill(scores.begin(), scores.end(), kHidden);
        double most = a.sinks ? a.sinks[h] : kHidden;
        for (int64_t j = 0; j < std::min(seen, row); ++j) {
          if ((a.window_left >= 0 && at - j > a.window_left) || (a.window_right >= 0 && j - at > a.window_right))
            continue;
          const float* k = a.k.data + b * a.k.batch_stride + h / group * a.k.head_stride + j * a.k.row_stride;
          double dot = 0;
          for (int64_t d = 0; d < a.size; ++d) dot += static_cast<double>(q[d]) * static_cast<double>(k[d]);
          dot *= static_cast<double>(a.scale);
          if (a.softcap != 0) dot = a.softcap * std::tanh(dot / static_cast<double>(a.softcap));
          if (a.mask.add) {
            dot += static_cast<double>(a.mask.add[b * a.mask.batch_stride + h * a.mask.head_stride +
                                                  i * a.mask.row_stride + j * a.mask.col_stride]);
          }
          scores[j] = dot;
          most = std::max(most, dot);
        }
        float* to = out + (bh * a.queries + i) * row;
        if (stage == ScoreStage::kScaled) {
          std::copy(scores.begin(), scores.end(), to);
          continue;
        }
        double total = a.sinks && most != kHidden ? std::exp(a.sinks[h] - most) : 0;
        for (double& x : scores) total += x = x == kHidden ? 0 : std::exp(x - most);
        for (int64_t j = 0; j < row; ++j) to[j] = total == 0 ? 0.0f : static_cast<float>(scores[j] / total);
      }
    }
  });
}

Tensor PlusRow(const Tensor& x, const float* bias, int64_t size, const Threads& threads) {
  if (!bias || x.size() == 0) return x;
  Tensor out(DType::kFloat, x.shape());
  const float* from = x.data<float>();
  float* to = out.data<float>();
  threads.ParallelFor(x.size() / size, GrainFor(4 * size), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t i = 0; i < size; ++i) to[r * size + i] = from[r * size + i] + bias[i];
    }
  });
  return out;
}

float ScaleOf(float attribute, int64_t size) {
  return attribute != 0 ? attribute : 1 / std::sqrt(static_cast<float>(std::max<int64_t>(size, 1)));
}

int64_t CountInput(const RunContext& c, int input, int64_t most) {
  const Tensor& t = c.In(input);
  if (t.size() != 1) c.Fail("input {} has shape {}, but must be one number.", input, t.shape().ToString());
  const int64_t n = VisitIndex(t.dtype(), [&]<class I>() { return static_cast<int64_t>(*t.data<I>()); });
  if (n < 0 || n > most) c.Fail("input {} is {}, but must lie between 0 and {}.", input, n, most);
  return n;
}

void TurnByPosition(kernels::HeadsView<float> x, int64_t batch, int64_t heads, int64_t rows, int64_t turned,
                    int64_t first_position, const Threads& threads) {
  const int64_t half = turned / 2;
  threads.ParallelFor(rows, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> cosines(half), sines(half);
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t i = 0; i < half; ++i) {
        const double angle = static_cast<double>(first_position + r) *
                             std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(turned));
        cosines[i] = static_cast<float>(std::cos(angle));
        sines[i] = static_cast<float>(std::sin(angle));
      }
      for (int64_t bh = 0; bh < batch * heads; ++bh) {
        float* head = x.data + bh / heads * x.batch_stride + bh % heads * x.head_stride + r * x.row_stride;
        TurnHead(head, head, cosines.data(), sines.data(), half, turned, false);
      }
    }
  });
}

}  // namespace slipway::microsoft
