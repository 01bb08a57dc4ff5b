#include "kernels/attention/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/targets.h"

namespace slipway::kernels {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

enum class MaskKind { kNone, kAdd, kAddKeys, kKeep, kColumn };

struct Case {
  int64_t batch = 1, heads = 1, kv_heads = 1, queries = 1, keys = 1, size = 8, value_size = 8;
  MaskKind mask = MaskKind::kNone;
  float softcap = 0;
  int64_t left = -1, right = -1, offset = 0;
  bool interleaved = false;  // [B, S, H, D], with a gap behind each row; else [B, H, S, D]

  friend std::ostream& operator<<(std::ostream& os, const Case& c) {
    return os << "batch " << c.batch << " heads " << c.heads << "/" << c.kv_heads << " queries " << c.queries
              << " keys " << c.keys << " size " << c.size << " value_size " << c.value_size << " mask "
              << static_cast<int>(c.mask) << " softcap " << c.softcap << " window " << c.left << "," << c.right << "+"
              << c.offset << " interleaved " << c.interleaved;
  }
};

std::vector<float> Random(int64_t n, uint32_t seed) {
  std::mt19937 rng(seed);
  std::uniform_real_distribution<float> uniform(-2, 2);
  std::vector<float> x(static_cast<size_t>(n));
  for (float& e : x) e = uniform(rng);
  return x;
}

template <class T>
HeadsView<T> View(std::vector<float>& memory, int64_t heads, int64_t rows, int64_t size, bool interleaved) {
  if (interleaved) return {memory.data(), rows * (heads * size + 3), size, heads * size + 3};
  return {memory.data(), heads * rows * size, rows * size, size};
}

template <class T>
T& At(const HeadsView<T>& x, int64_t b, int64_t h, int64_t r, int64_t i) {
  return x.data[b * x.batch_stride + h * x.head_stride + r * x.row_stride + i];
}

/// The definition, in double.
void Plain(const AttentionArgs& a, HeadsView<float> out) {
  for (int64_t b = 0; b < a.batch; ++b) {
    for (int64_t h = 0; h < a.heads; ++h) {
      const int64_t kv = h / (a.heads / a.kv_heads);
      for (int64_t i = 0; i < a.queries; ++i) {
        std::vector<double> p(static_cast<size_t>(a.keys));
        double greatest = -kInf;
        for (int64_t j = 0; j < a.keys; ++j) {
          double s = 0;
          for (int64_t e = 0; e < a.size; ++e) s += double{At(a.q, b, h, i, e)} * At(a.k, b, kv, j, e);
          s *= a.scale;
          if (a.softcap != 0) s = a.softcap * std::tanh(s / a.softcap);
          const int64_t at =
              b * a.mask.batch_stride + h * a.mask.head_stride + i * a.mask.row_stride + j * a.mask.col_stride;
          if (a.mask.add) s = static_cast<float>(static_cast<float>(s) + a.mask.add[at]);
          if (a.mask.keep && !a.mask.keep[at]) s = -kInf;
          const int64_t place = i + (a.offsets ? a.offsets[b] : a.offset);
          if (a.window_left >= 0 && j < place - a.window_left) s = -kInf;
          if (a.window_right >= 0 && j > place + a.window_right) s = -kInf;
          if (a.key_counts && j >= a.key_counts[b]) s = -kInf;
          p[j] = s;
          greatest = std::max(greatest, s);
        }
        double total = 0;
        for (double& e : p) total += e = std::exp(e - greatest);
        for (int64_t e = 0; e < a.value_size; ++e) {
          double sum = 0;
          for (int64_t j = 0; j < a.keys; ++j) sum += p[j] / total * At(a.v, b, kv, j, e);
          const bool zero = a.masked_rows_are_zero && greatest == -kInf;
          At(out, b, h, i, e) = zero ? 0.0f : static_cast<float>(sum);
        }
      }
    }
  }
}

void ExpectSame(const AttentionArgs& args, const std::vector<float>& got_memory, std::vector<float>& want_memory,
                float bound) {
  const HeadsView<float> want = {want_memory.data(), args.out.batch_stride, args.out.head_stride, args.out.row_stride};
  Plain(args, want);
  for (size_t i = 0; i < want_memory.size(); ++i) {
    if (std::isnan(want_memory[i]) != std::isnan(got_memory[i]) || std::fabs(want_memory[i] - got_memory[i]) > bound) {
      FAIL() << IsaName() << ": at " << i << " got " << got_memory[i] << ", want " << want_memory[i];
    }
  }
}

void Check(const Case& c) {
  SCOPED_TRACE(::testing::PrintToString(c));
  const auto elements = [&](int64_t heads, int64_t rows, int64_t size) { return c.batch * rows * (heads * size + 3); };
  auto q = Random(elements(c.heads, c.queries, c.size), 1);
  auto k = Random(elements(c.kv_heads, c.keys, c.size), 2);
  auto v = Random(elements(c.kv_heads, c.keys, c.value_size), 3);
  std::vector<float> got(elements(c.heads, c.queries, c.value_size), 7.0f);
  std::vector<float> want = got;
  AttentionArgs a = {.batch = c.batch,
                     .heads = c.heads,
                     .kv_heads = c.kv_heads,
                     .queries = c.queries,
                     .keys = c.keys,
                     .size = c.size,
                     .value_size = c.value_size};
  a.q = View<const float>(q, c.heads, c.queries, c.size, c.interleaved);
  a.k = View<const float>(k, c.kv_heads, c.keys, c.size, c.interleaved);
  a.v = View<const float>(v, c.kv_heads, c.keys, c.value_size, c.interleaved);
  a.out = View<float>(got, c.heads, c.queries, c.value_size, c.interleaved);
  a.scale = 1 / std::sqrt(static_cast<float>(std::max<int64_t>(1, c.size)));
  a.softcap = c.softcap;
  a.window_left = c.left;
  a.window_right = c.right;
  a.offset = c.offset;
  auto add = Random(c.batch * c.heads * c.queries * c.keys, 4);
  for (size_t i = 0; i < add.size(); i += 3) add[i] = i % 2 ? -kInf : -50.0f;
  std::vector<uint8_t> keep(add.size());
  for (size_t i = 0; i < keep.size(); ++i) keep[i] = add[i] > -1;
  if (c.mask == MaskKind::kAdd)
    a.mask = {add.data(), nullptr, c.heads * c.queries * c.keys, c.queries * c.keys, c.keys, 1};
  if (c.mask == MaskKind::kAddKeys) a.mask = {add.data(), nullptr, c.keys, 0, 0, 1};
  if (c.mask == MaskKind::kKeep) a.mask = {nullptr, keep.data(), c.queries * c.keys, 0, c.keys, 1};
  if (c.mask == MaskKind::kColumn) a.mask = {add.data() + 1, nullptr, 0, 0, 1, 0};
  ForEachTarget([&] {
    std::fill(got.begin(), got.end(), 7.0f);
    Attention(a, Threads(2));
    // Averages of values under 2, by scores under 64 whose errors of an ulp or two (4e-6) become relative ones.
    ExpectSame(a, got, want, 1e-5f);
  });
}

TEST(Attention, MatchesTheDefinition) {
  std::vector<Case> cases;
  for (int64_t n : {1, 2, 3, 5, 11, 13, 23, 24, 25, 31, 33, 63, 97, 241}) {
    cases.push_back({.heads = 2, .queries = n, .keys = n, .size = 64, .value_size = 64});
  }
  for (int64_t keys : {1, 7, 255, 256, 257, 511, 513, 700}) {
    cases.push_back({.heads = 4, .kv_heads = 2, .queries = 1, .keys = keys, .size = 64, .value_size = 80});
    cases.push_back(
        {.heads = 6, .kv_heads = 1, .queries = 5, .keys = keys, .size = 20, .value_size = 36, .mask = MaskKind::kAdd});
  }
  for (int64_t size : {0, 1, 3, 8, 17, 32, 80, 128, 256, 257, 300}) {
    cases.push_back({.heads = 1, .queries = 37, .keys = 50, .size = size, .value_size = size + 1});
    cases.push_back({.heads = 3, .queries = 2, .keys = 19, .size = size, .value_size = size + 16, .interleaved = true});
  }
  for (MaskKind mask : {MaskKind::kNone, MaskKind::kAdd, MaskKind::kAddKeys, MaskKind::kKeep, MaskKind::kColumn}) {
    for (int64_t keys : {29, 300}) {
      Case c = {.batch = 2,
                .heads = 4,
                .kv_heads = 2,
                .queries = 29,
                .keys = keys,
                .size = 32,
                .value_size = 32,
                .mask = mask};
      c.interleaved = true;
      cases.push_back(c);
      c.softcap = 2;
      cases.push_back(c);
      c.right = 0;
      c.offset = keys - 29;
      cases.push_back(c);
      c.left = 4;
      cases.push_back(c);
    }
  }
  cases.push_back({.heads = 1, .queries = 600, .keys = 600, .size = 16, .value_size = 16, .right = 0});
  cases.push_back({.heads = 1, .queries = 600, .keys = 600, .size = 16, .value_size = 16, .left = 40, .right = 3});
  for (const Case& c : cases) Check(c);
}

struct Small {
  std::vector<float> q = {}, k = {}, v = {}, mask = {}, got = {}, want = {};
  AttentionArgs args = {};
};

Small MakeSmall(int64_t queries, int64_t keys) {
  Small s = {Random(queries * 16, 1), Random(keys * 16, 2), Random(keys * 16, 3)};
  s.mask.assign(queries * keys, 0.0f);
  s.got.assign(queries * 16, 7.0f);
  s.want = s.got;
  s.args = {.queries = queries, .keys = keys, .size = 16, .value_size = 16};
  s.args.q = {s.q.data(), 0, 0, 16};
  s.args.k = {s.k.data(), 0, 0, 16};
  s.args.v = {s.v.data(), 0, 0, 16};
  s.args.out = {s.got.data(), 0, 0, 16};
  s.args.mask = {.add = s.mask.data(), .row_stride = keys};
  return s;
}

TEST(Attention, HiddenRowsAreNaNOrZero) {
  // Row 0 sees nothing, row 1 only the last key, row 2 only the first, which is a block before.
  for (int64_t keys : {5, 300, 600}) {
    Small s = MakeSmall(5, keys);
    std::fill(s.mask.begin(), s.mask.begin() + 3 * keys, -kInf);
    s.mask[2 * keys - 1] = 0;
    s.mask[2 * keys] = 0;
    for (bool zero : {false, true}) {
      s.args.masked_rows_are_zero = zero;
      ForEachTarget([&] {
        Attention(s.args, Threads(1));
        ExpectSame(s.args, s.got, s.want, 1e-5f);
        EXPECT_EQ(std::isnan(s.got[0]), !zero);
      });
    }
  }
}

TEST(Attention, MasksThatHideTheEndsOfRows) {
  // Each row sees the keys from its own number on, as many as its number, the last ones or the middle; row 0 and row 5
  // see some to which something is added, row 6 is hidden as a whole by finite numbers.
  for (const float hidden : {-kInf, std::numeric_limits<float>::lowest(), -1e30f}) {
    for (const int64_t keys : {9, 300, 600}) {
      Small s = MakeSmall(31, keys);
      std::fill(s.mask.begin(), s.mask.end(), hidden);
      for (int64_t i = 0; i < 31; ++i) {
        if (i == 6 && hidden != -kInf) continue;
        const int64_t begin = i % 3 == 0 ? std::min(i, keys - 1) : i % 3 == 1 ? 0 : keys / 2;
        const int64_t end = i % 3 == 0 ? keys : i % 3 == 1 ? std::min(i + 1, keys) : keys / 2 + 1;
        for (int64_t j = begin; j < end; ++j) s.mask[i * keys + j] = i % 5 == 0 ? 0.5f * static_cast<float>(j % 3) : 0;
      }
      ForEachTarget([&] {
        for (const int64_t right : {int64_t{-1}, keys}) {
          s.args.window_right = right;
          Attention(s.args, Threads(2));
          ExpectSame(s.args, s.got, s.want, 1e-5f);
        }
      });
    }
  }
}

TEST(Attention, KeysPastTheCountDoNotHideTheOthers) {
  // All keys that count are hidden by a finite number: they are averaged, whatever follows.
  Small s = MakeSmall(3, 20);
  std::fill(s.mask.begin(), s.mask.end(), -1e30f);
  for (int64_t i = 0; i < 3; ++i) s.mask[i * 20 + 15] = 0;
  const int64_t count = 10;
  s.args.key_counts = &count;
  ForEachTarget([&] {
    Attention(s.args, Threads(1));
    ExpectSame(s.args, s.got, s.want, 1e-5f);
  });
}

TEST(Attention, LargeFiniteMaskGivesTheAverage) {
  for (int64_t keys : {5, 600}) {
    Small s = MakeSmall(7, keys);
    std::fill(s.mask.begin(), s.mask.end(), std::numeric_limits<float>::lowest());
    ForEachTarget([&] {
      Attention(s.args, Threads(1));
      for (int64_t i = 0; i < 16; ++i) {
        double sum = 0;
        for (int64_t j = 0; j < keys; ++j) sum += s.v[j * 16 + i];
        EXPECT_NEAR(s.got[i], sum / static_cast<double>(keys), 1e-5) << IsaName();
      }
    });
  }
}

TEST(Attention, NaNScoresGiveNaNRowsOnly) {
  for (int64_t keys : {5, 600}) {
    Small s = MakeSmall(7, keys);
    s.mask[3 * keys + 2] = std::numeric_limits<float>::quiet_NaN();
    s.mask[4 * keys + 2] = kInf;
    ForEachTarget([&] {
      Attention(s.args, Threads(1));
      ExpectSame(s.args, s.got, s.want, 1e-5f);
      EXPECT_TRUE(std::isnan(s.got[3 * 16]) && std::isnan(s.got[4 * 16]) && !std::isnan(s.got[5 * 16]));
    });
  }
}

TEST(Attention, OffsetsAndKeyCountsByBatchItem) {
  auto q = Random(3 * 4 * 16, 1), k = Random(3 * 40 * 16, 2), v = Random(3 * 40 * 16, 3);
  std::vector<float> got(3 * 4 * 16), want = got;
  const int64_t counts[] = {40, 17, 0};
  const int64_t offsets[] = {36, 13, 0};
  AttentionArgs a = {.batch = 3, .queries = 4, .keys = 40, .size = 16, .value_size = 16};
  a.q = {q.data(), 64, 0, 16};
  a.k = {k.data(), 640, 0, 16};
  a.v = {v.data(), 640, 0, 16};
  a.out = {got.data(), 64, 0, 16};
  a.window_right = 0;
  a.offsets = offsets;
  a.key_counts = counts;
  a.masked_rows_are_zero = true;
  ForEachTarget([&] {
    Attention(a, Threads(2));
    ExpectSame(a, got, want, 1e-5f);
  });
}

TEST(Attention, ExtremeWindowsAndOffsets) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  Small all = MakeSmall(5, 40);
  Attention(all.args, Threads(1));
  Small s = MakeSmall(5, 40);
  s.args.window_left = kMost;
  s.args.window_right = kMost;
  Attention(s.args, Threads(1));
  EXPECT_EQ(s.got, all.got);
  s.args.masked_rows_are_zero = true;
  s.args.window_right = 0;
  s.args.offset = -kMost;
  Attention(s.args, Threads(1));
  EXPECT_EQ(s.got, std::vector<float>(5 * 16, 0.0f));
}

TEST(Attention, NoKeysGiveZeros) {
  Small s = MakeSmall(3, 0);
  ForEachTarget([&] {
    Attention(s.args, Threads(1));
    EXPECT_EQ(s.got, std::vector<float>(48, 0.0f));
  });
}

}  // namespace
}  // namespace slipway::kernels
