#include "kernels/gemm/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "kernels/gemm/scratch.h"
#include "kernels/targets.h"
#include "kernels/testing.h"

namespace slipway::kernels {
namespace {

struct Shape {
  int64_t m, n, k;
};

std::string Describe(const Shape& s, const std::string& what) {
  return what + " m=" + std::to_string(s.m) + " n=" + std::to_string(s.n) + " k=" + std::to_string(s.k) + " on " +
         IsaName();
}

/// What a product of the given operands must give, and how far off each element may be: the rounding of k products in
/// any order, and of the activation.
struct Expected {
  std::vector<double> value;
  std::vector<double> bound;
};
Expected PlainGemm(const Shape& s, const float* a, int64_t lda, const float* b, int64_t row_stride, int64_t col_stride,
                   const Epilogue& e) {
  Expected want;
  for (int64_t i = 0; i < s.m; ++i) {
    for (int64_t j = 0; j < s.n; ++j) {
      double sum = 0, size = 0;
      for (int64_t p = 0; p < s.k; ++p) {
        const double product = double{a[i * lda + p]} * b[p * row_stride + j * col_stride];
        sum += product;
        size += std::abs(product);
      }
      const double scale = double{e.scale} * (e.scales != nullptr ? e.scales[j] : 1);
      sum *= scale;
      size *= std::abs(scale);
      for (const float* add : {e.bias != nullptr ? e.bias + j : nullptr,
                               e.residual != nullptr ? e.residual + i * e.residual_stride + j : nullptr}) {
        if (add != nullptr) sum += *add, size += std::abs(*add);
      }
      const double y = Activate(e, sum);
      want.value.push_back(y);
      // Slopes of the activations are under 1.2, LeakyRelu's and HardSigmoid's here too.
      want.bound.push_back((2 + 0.1 * s.k) * 1.2e-7 * size + 6e-7 * std::abs(y) + 3e-7 * std::abs(sum));
    }
  }
  return want;
}

constexpr float kUntouched = 12345.0f;

void ExpectMatrix(const Expected& want, const Shape& s, const std::vector<float>& c, int64_t ldc,
                  const std::string& what) {
  for (int64_t i = 0; i < s.m; ++i) {
    for (int64_t j = 0; j < ldc; ++j) {
      if (i * ldc + j >= static_cast<int64_t>(c.size())) break;
      const float got = c[i * ldc + j];
      if (j >= s.n) {
        ASSERT_EQ(got, kUntouched) << Describe(s, what) << ": wrote past row " << i << " at " << j;
      } else {
        const int64_t at = i * s.n + j;
        ASSERT_NEAR(got, want.value[at], want.bound[at]) << Describe(s, what) << " at " << i << ", " << j;
      }
    }
  }
}

class ArraySource : public RowSource {
 public:
  ArraySource(const float* a, int64_t lda, Shape s) : a_(a), lda_(lda), s_(s) {}
  void Read(int64_t row, int64_t rows, int64_t col, int64_t cols, float* out, int64_t stride) const override {
    EXPECT_TRUE(row >= 0 && rows > 0 && row + rows <= s_.m);
    EXPECT_TRUE(col >= 0 && cols > 0 && col + cols <= s_.k && cols <= stride);
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < cols; ++j) out[i * stride + j] = a_[(row + i) * lda_ + col + j];
    }
  }

 private:
  const float* a_;
  int64_t lda_;
  Shape s_;
};

enum class How { kPacked, kPackedTransposed, kPackedStrided, kSource, kUnpacked, kUnpackedTransposed };

/// One product by one of the ways in, against the plain loop.
void Check(const Shape& s, How how, Epilogue e, bool alias, int thread_count) {
  const Threads threads(thread_count);
  const int64_t lda = s.k + 3, ldc = s.n + 5;
  const bool transposed = how == How::kPackedTransposed || how == How::kUnpackedTransposed;
  const bool strided = how == How::kPackedStrided;
  const int64_t row_stride = transposed ? 1 : strided ? 2 * s.n + 1 : s.n + 2;
  const int64_t col_stride = transposed ? s.k + 1 : strided ? 2 : 1;
  const std::vector<float> a = Numbers(s.m * lda, 1);
  const std::vector<float> b = Numbers(s.k * row_stride + s.n * col_stride + 1, 2);
  const std::vector<float> bias = Numbers(s.n, 3);
  // Exactly as long as the matrix needs, so that a sanitizer sees a store past the end.
  std::vector<float> c((s.m - 1) * ldc + s.n, kUntouched);
  const std::vector<float> other = Numbers(c.size(), 4);
  const std::vector<float> scales = Numbers(s.n, 5);
  if (e.bias != nullptr) e.bias = bias.data();
  if (e.scales != nullptr) e.scales = scales.data();
  if (e.residual != nullptr) e.residual = other.data(), e.residual_stride = ldc;
  const Expected want = PlainGemm(s, a.data(), lda, b.data(), row_stride, col_stride, e);
  if (e.residual != nullptr && alias) {
    for (int64_t i = 0; i < s.m; ++i) std::copy_n(&other[i * ldc], s.n, &c[i * ldc]);
    e.residual = c.data();
  }
  if (how == How::kUnpacked || how == How::kUnpackedTransposed) {
    GemmUnpacked(s.m, s.n, s.k, a.data(), lda, b.data(), row_stride, col_stride, c.data(), ldc, e, threads);
  } else {
    Scratch memory;
    float* out = memory.Reserve(PackedBytes(s.k, s.n) / sizeof(float));
    const PackedMatrix packed = PackMatrix(b.data(), s.k, s.n, row_stride, col_stride, out, threads);
    if (how == How::kSource) {
      Gemm(s.m, ArraySource(a.data(), lda, s), packed, c.data(), ldc, e, threads);
    } else {
      Gemm(s.m, a.data(), lda, packed, c.data(), ldc, e, threads);
    }
  }
  ExpectMatrix(want, s, c, ldc, "way " + std::to_string(static_cast<int>(how)));
}

const float kPresent = 0;  // Stands in for the array that Check makes.

TEST(Gemm, OddSizes) {
  ForEachTarget([] {
    for (const int64_t m : {1, 2, 3, 5, 7, 11, 12, 13, 17, 25}) {
      for (const int64_t n : {1, 2, 3, 5, 7, 13, 16, 17, 31, 33, 64, 65}) {
        for (const int64_t k : {0, 1, 2, 3, 5, 7, 13, 31}) {
          Check({m, n, k}, How::kPacked, {}, false, 1);
          Check({m, n, k}, How::kUnpacked, {}, false, 1);
        }
      }
    }
  });
}

TEST(Gemm, ManyBlocks) {
  const Shape shapes[] = {{65, 65, 257}, {255, 33, 385},   {17, 31, 1000}, {1, 257, 1031},
                          {2, 65, 3000}, {300, 17, 400},   {64, 64, 768},  {33, 100, 1024},
                          {700, 5, 150}, {130, 130, 1021}, {37, 40, 2500}, {500, 30, 40}};
  ForEachTarget([&] {
    for (const Shape& s : shapes) {
      for (const How how : {How::kPacked, How::kPackedTransposed, How::kPackedStrided, How::kSource, How::kUnpacked,
                            How::kUnpackedTransposed}) {
        for (const int threads : {1, 2}) Check(s, how, {.bias = &kPresent}, false, threads);
      }
    }
  });
}

TEST(Gemm, RowsThatShareCacheLinesAreCopied) {
  ForEachTarget([] {
    const Threads threads(2);
    for (const Shape& s : {Shape{29, 40, 1024}, Shape{150, 70, 1024}, Shape{13, 33, 700}}) {
      const std::vector<float> a = Numbers(s.m * 1024, 1), b = Numbers(s.k * s.n, 2);
      std::vector<float> c(s.m * s.n, kUntouched);
      GemmUnpacked(s.m, s.n, s.k, a.data(), 1024, b.data(), s.n, 1, c.data(), s.n, {}, threads);
      ExpectMatrix(PlainGemm(s, a.data(), 1024, b.data(), s.n, 1, {}), s, c, s.n, "power of two");
    }
  });
}

TEST(Gemm, EpiloguesWithAndWithoutAliasing) {
  ForEachTarget([] {
    for (int activation = 0; activation <= static_cast<int>(Activation::kHardSigmoid); ++activation) {
      for (const Shape& s : {Shape{13, 37, 20}, Shape{5, 16, 0}, Shape{14, 65, 800}, Shape{1, 19, 33}}) {
        for (const float scale : {1.0f, 0.37f}) {
          for (const bool bias : {false, true}) {
            for (const bool residual : {false, true}) {
              const Epilogue e{.scale = scale,
                               .bias = bias ? &kPresent : nullptr,
                               .residual = residual ? &kPresent : nullptr,
                               .activation = static_cast<Activation>(activation),
                               .alpha = 0.2f,
                               .beta = 0.5f};
              Check(s, How::kPacked, e, false, 2);
              if (residual) Check(s, How::kSource, e, true, 2);
              Epilogue scaled = e;
              scaled.scales = &kPresent;
              Check(s, How::kUnpacked, scaled, residual, 2);
            }
          }
        }
      }
    }
  });
}

/// Products large enough for Strassen's step, by the ways in that take it.
TEST(Gemm, LargeProducts) {
  for (const Shape& s : {Shape{64, 400, 386}, Shape{97, 770, 768}, Shape{200, 401, 800}}) {
    for (const bool all : {false, true}) {
      const std::vector<float> a = Numbers(s.m * s.k, 1), b = Numbers(s.k * s.n, 2), bias = Numbers(s.n, 3);
      const std::vector<float> other = Numbers(s.m * s.n, 4);
      Epilogue e{.scale = 0.6f, .bias = bias.data()};
      const std::vector<float> scales = Numbers(s.n, 5);
      if (all) {
        e.residual = other.data(), e.residual_stride = s.n, e.activation = Activation::kGelu;
        e.scales = scales.data();
      }
      const Expected want = PlainGemm(s, a.data(), s.k, b.data(), s.n, 1, e);
      ForEachTarget([&] {
        ColumnNotes notes(s.k, s.n);
        for (const int count : {1, 2, 5}) {
          const Threads threads(count);
          Scratch memory;
          PackedMatrix packed =
              PackMatrix(b.data(), s.k, s.n, s.n, 1, memory.Reserve(PackedBytes(s.k, s.n) / sizeof(float)), threads);
          std::vector<float> first(s.m * s.n), again = other;
          Gemm(s.m, a.data(), s.k, packed, first.data(), s.n, e, threads);
          ExpectMatrix(want, s, first, s.n, "packed");
          packed.notes = &notes;
          Epilogue aliased = e;
          if (all) aliased.residual = again.data();
          Gemm(s.m, a.data(), s.k, packed, again.data(), s.n, aliased, threads);
          ASSERT_EQ(again, first) << Describe(s, "with notes");
          GemmUnpacked(s.m, s.n, s.k, a.data(), s.k, b.data(), s.n, 1, again.data(), s.n, e, threads);
          ASSERT_EQ(again, first) << Describe(s, "unpacked");
        }
      });
    }
  }
}

/// A large product whose rows and columns differ much in magnitude: each element is as exact as a product of its own.
TEST(Gemm, LargeProductsOfUnevenNumbers) {
  const Shape s{90, 800, 400};
  std::vector<float> a = Numbers(s.m * s.k, 1), b = Numbers(s.k * s.n, 2);
  const auto scale_row = [&](int64_t row, float by) {
    for (int64_t i = 0; i < s.k; ++i) a[row * s.k + i] *= by;
  };
  const auto scale_column = [&](int64_t col, float by) {
    for (int64_t i = 0; i < s.k; ++i) b[i * s.n + col] *= by;
  };
  scale_row(3, 1e6f), scale_row(20, 0), scale_row(41, 1e-9f);
  scale_column(300, 0), scale_column(310, 1e-9f), scale_column(600, 1e7f);
  a[50 * s.k + 7] = 1e5f;
  const int64_t nan_row = 60, infinite_row = 62, nan_column = 5;
  const Expected want = PlainGemm(s, a.data(), s.k, b.data(), s.n, 1, {});
  a[nan_row * s.k + 9] = std::numeric_limits<float>::quiet_NaN();
  a[infinite_row * s.k + 9] = std::numeric_limits<float>::infinity();
  b[11 * s.n + nan_column] = std::numeric_limits<float>::quiet_NaN();
  ForEachTarget([&] {
    for (const int count : {1, 2}) {
      std::vector<float> c(s.m * s.n);
      GemmUnpacked(s.m, s.n, s.k, a.data(), s.k, b.data(), s.n, 1, c.data(), s.n, {}, Threads(count));
      for (int64_t i = 0; i < s.m; ++i) {
        for (int64_t j = 0; j < s.n; ++j) {
          const float got = c[i * s.n + j];
          if (i == nan_row || j == nan_column) {
            ASSERT_TRUE(std::isnan(got)) << Describe(s, "uneven") << " at " << i << ", " << j;
          } else if (i == infinite_row) {
            ASSERT_FALSE(std::isfinite(got)) << Describe(s, "uneven") << " at " << i << ", " << j;
          } else {
            ASSERT_NEAR(got, want.value[i * s.n + j], want.bound[i * s.n + j])
                << Describe(s, "uneven") << " at " << i << ", " << j;
          }
        }
      }
    }
  });
}

TEST(Gemm, PackedPieceByPieceIsPackedAsAWhole) {
  ForEachTarget([] {
    for (const Shape& s : {Shape{0, 100, 300}, Shape{0, 5, 64}, Shape{0, 700, 131}}) {
      const std::vector<float> b = Numbers(s.k * s.n, 1);
      const size_t floats = PackedBytes(s.k, s.n) / sizeof(float);
      for (const bool transposed : {false, true}) {
        const int64_t row_stride = transposed ? 1 : s.n, col_stride = transposed ? s.k : 1;
        Scratch whole_memory, memory;
        float* whole = whole_memory.Reserve(floats);
        float* pieces = memory.Reserve(floats);
        std::fill_n(whole, floats, 0.0f), std::fill_n(pieces, floats, 0.0f);
        PackMatrix(b.data(), s.k, s.n, row_stride, col_stride, whole, Threads(2));
        for (const auto& [first, last] : {std::pair<int64_t, int64_t>{0, 64}, {64, 100}, {100, s.k}}) {
          if (first >= s.k) continue;
          PackMatrixRows(b.data(), first, std::min(last, s.k), s.k, s.n, row_stride, col_stride, pieces, Threads(2));
        }
        ASSERT_TRUE(std::equal(whole, whole + floats, pieces)) << Describe(s, transposed ? "transposed" : "by rows");
      }
    }
  });
}

TEST(Gemm, NothingToDo) {
  const Threads threads(1);
  float x = kUntouched;
  GemmUnpacked(0, 5, 5, &x, 5, &x, 5, 1, &x, 5, {}, threads);
  GemmUnpacked(5, 0, 5, &x, 5, &x, 5, 1, &x, 5, {}, threads);
  EXPECT_EQ(x, kUntouched);
}

TEST(Gemm, NanAndInfinityPassThrough) {
  ForEachTarget([] {
    const Threads threads(1);
    const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
    const float a[] = {nan, inf, -inf, 1};
    const float b[] = {1, 2, 3};
    for (const Activation activation : {Activation::kNone, Activation::kRelu}) {
      float c[12];
      GemmUnpacked(4, 3, 1, a, 1, b, 3, 1, c, 3, {.activation = activation}, threads);
      const float low = activation == Activation::kRelu ? 0 : -inf;
      for (int j = 0; j < 3; ++j) {
        EXPECT_TRUE(std::isnan(c[j])) << IsaName();
        EXPECT_EQ(c[3 + j], inf);
        EXPECT_EQ(c[6 + j], low);
        EXPECT_EQ(c[9 + j], b[j]);
      }
    }
  });
}

}  // namespace
}  // namespace slipway::kernels
