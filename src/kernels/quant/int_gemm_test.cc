#include "kernels/quant/int_gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/gemm/scratch.h"
#include "kernels/targets.h"

namespace slipway::kernels {
namespace {

struct Shape {
  int64_t m, n, k;
};

/// Bytes of all values, the extremes often, the same on every run.
std::vector<uint8_t> Bytes(int64_t count, uint32_t seed) {
  std::vector<uint8_t> v(count);
  for (uint8_t& x : v) {
    seed = seed * 1664525 + 1013904223;
    constexpr uint8_t kExtremes[] = {0, 127, 128, 255};
    x = seed >> 30 == 0 ? static_cast<uint8_t>(seed >> 16) : kExtremes[seed >> 28 & 3];
  }
  return v;
}

std::vector<DotForm> Forms() {
  if (BestDotForm() == DotForm::kPairs) return {DotForm::kPairs};
  return {DotForm::kPairs, BestDotForm()};
}

int32_t Number(uint8_t byte, bool is_signed) { return is_signed ? static_cast<int8_t>(byte) : byte; }

struct Operands {
  Shape s;
  bool a_signed, b_signed;
  std::vector<uint8_t> a, b;
  std::vector<int32_t> a_zero, b_zero, bias;
  bool a_many = false, b_many = false;
  bool transposed = false;

  Operands(Shape shape, int kind)
      : s(shape),
        a_signed(kind & 1),
        b_signed(kind & 2),
        a(Bytes(s.m * s.k, 1)),
        b(Bytes(s.k * s.n, 2)),
        a_many(kind & 4),
        b_many(kind & 8),
        transposed(kind & 16) {
    const auto zeros = [](int64_t n, bool is_signed, uint32_t seed) {
      std::vector<int32_t> out;
      for (const uint8_t v : Bytes(n, seed)) out.push_back(Number(v, is_signed));
      return out;
    };
    a_zero = zeros(s.m, a_signed, 3);
    b_zero = zeros(s.n, b_signed, 4);
    for (int64_t j = 0; j < s.n; ++j) bias.push_back(static_cast<int32_t>(j * 7919 % 1000) - 500);
  }

  int32_t Sum(int64_t i, int64_t j) const {
    int64_t sum = bias[j];
    for (int64_t p = 0; p < s.k; ++p) {
      sum += static_cast<int64_t>(Number(a[i * s.k + p], a_signed) - a_zero[a_many ? i : 0]) *
             (Number(b[transposed ? j * s.k + p : p * s.n + j], b_signed) - b_zero[b_many ? j : 0]);
    }
    return static_cast<int32_t>(sum);
  }

  void Run(IntResult result, DotForm form, int thread_count) const {
    const Threads threads(thread_count);
    Scratch memory;
    void* out = memory.Reserve(PackedIntBytes(s.k, s.n, form) / sizeof(float));
    const PackedIntMatrix packed =
        PackIntMatrix(b.data(), b_signed, s.k, s.n, transposed ? 1 : s.n, transposed ? s.k : 1, out, threads, form);
    result.a_zero = {a_zero.data(), a_many};
    result.b_zero = {b_zero.data(), b_many};
    result.bias = bias.data();
    IntGemm(s.m, ByteArrayRows(a.data(), s.k, s.k), a_signed, packed, result, threads);
  }
};

TEST(IntGemm, SumsAreExact) {
  std::vector<Shape> shapes = {{64, 70, 130}, {130, 33, 257}, {3, 300, 1000}, {200, 5, 64}, {500, 40, 30}};
  for (const int64_t m : {1, 2, 5, 11, 12, 13, 25}) {
    for (const int64_t n : {1, 2, 15, 17, 33, 65}) {
      for (const int64_t k : {0, 1, 2, 3, 4, 7, 66}) shapes.push_back({m, n, k});
    }
  }
  ForEachTarget([&] {
    for (const Shape& s : shapes) {
      for (int kind = 0; kind<32; kind += s.m * s.n * s.k> 100000 ? 5 : 1) {
        const Operands x(s, kind);
        for (const DotForm form : Forms()) {
          std::vector<int32_t> got(s.m * (s.n + 3), 12345);
          x.Run({.data = got.data(), .stride = s.n + 3}, form, 1 + kind % 2);
          for (int64_t i = 0; i < s.m; ++i) {
            for (int64_t j = 0; j < s.n + 3; ++j) {
              ASSERT_EQ(got[i * (s.n + 3) + j], j < s.n ? x.Sum(i, j) : 12345)
                  << s.m << "x" << s.n << "x" << s.k << " kind " << kind << " form " << static_cast<int>(form) << " on "
                  << IsaName() << " at " << i << ", " << j;
            }
          }
        }
      }
    }
  });
}

TEST(IntGemm, ResultsOfOtherTypes) {
  ForEachTarget([] {
    for (const Shape& s : {Shape{13, 37, 20}, Shape{1, 16, 300}, Shape{70, 65, 41}}) {
      for (int kind = 0; kind < 16; ++kind) {
        const Operands x(s, kind);
        std::vector<float> scales, bias;
        for (int64_t j = 0; j < s.n; ++j) {
          scales.push_back(0x1p-9f * static_cast<float>(1 + j % 7));
          bias.push_back(static_cast<float>(j % 5) - 2);
        }
        std::vector<float> residual(s.m * s.n, 0.5f);
        for (const DotForm form : Forms()) {
          IntResult result = {.stride = s.n, .scale = {scales.data(), kind % 3 > 0}};
          const auto scale = [&](int64_t j) { return scales[result.scale.many ? j : 0]; };
          std::vector<float> floats(s.m * s.n);
          result.kind = IntResult::Kind::kFloat;
          result.data = floats.data();
          result.epilogue = {.bias = bias.data(),
                             .residual = residual.data(),
                             .residual_stride = s.n,
                             .activation = Activation::kRelu};
          x.Run(result, form, 2);
          std::vector<uint8_t> bytes(s.m * s.n);
          const bool is_signed = kind % 2;
          result.kind = is_signed ? IntResult::Kind::kInt8 : IntResult::Kind::kUint8;
          result.data = bytes.data();
          result.zero = is_signed ? -3 : 121;
          x.Run(result, form, 2);
          for (int64_t i = 0; i < s.m * s.n; ++i) {
            const int64_t j = i % s.n;
            const int32_t sum = x.Sum(i / s.n, j);
            ASSERT_EQ(floats[i], std::max(0.0f, static_cast<float>(sum) * scale(j) + bias[j] + 0.5f)) << IsaName();
            const double q = std::nearbyint(static_cast<double>(sum) * scale(j)) + result.zero;
            ASSERT_EQ(Number(bytes[i], is_signed), std::clamp(q, is_signed ? -128.0 : 0.0, is_signed ? 127.0 : 255.0))
                << IsaName() << " " << sum << " * " << scale(j);
          }
        }
      }
    }
  });
}

}  // namespace
}  // namespace slipway::kernels
