#include "kernels/gemm/gemm_once.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/gemm/gemm.h"
#include "kernels/gemm/scratch.h"
#include "kernels/once_store.h"
#include "kernels/targets.h"
#include "kernels/testing.h"

namespace slipway::kernels {
namespace {

struct Case {
  int64_t m, n, k;
};

void Check(const Case& s, bool transposed, const Epilogue& with, int count) {
  const Threads threads(count);
  const int64_t lda = s.k + 3, ldc = s.n + 5, row_stride = transposed ? 1 : s.n, col_stride = transposed ? s.k : 1;
  const std::vector<float> a = Numbers(s.m * lda, 1), b = Numbers(s.k * s.n, 2), bias = Numbers(s.n, 3);
  const std::vector<float> residual = Numbers(s.m * ldc, 4), scales = Numbers(s.n, 5);
  Epilogue e = with;
  e.bias = bias.data();
  e.scales = scales.data();
  e.residual = residual.data();
  e.residual_stride = ldc;
  Scratch memory;
  const PackedMatrix packed = PackMatrix(b.data(), s.k, s.n, row_stride, col_stride,
                                         memory.Reserve(PackedBytes(s.k, s.n) / sizeof(float)), threads);
  std::vector<float> want(static_cast<size_t>(s.m * ldc), 7), got = want;
  Gemm(s.m, a.data(), lda, packed, want.data(), ldc, e, threads);
  GemmOnce(s.m, s.n, s.k, a.data(), lda, b.data(), row_stride, col_stride, got.data(), ldc, e, threads);
  for (size_t i = 0; i < want.size(); ++i) {
    ASSERT_NEAR(got[i], want[i], 2e-4) << "m=" << s.m << " n=" << s.n << " k=" << s.k << " transposed=" << transposed
                                       << " at " << i << " on " << IsaName();
  }
}

TEST(GemmOnce, GivesWhatAPackedMatrixGives) {
  ForEachTarget([] {
    for (const Case& s : {Case{1, 1000, 1280}, Case{5, 70, 300}, Case{13, 1, 40}, Case{49, 768, 3072},
                          Case{20, 1027, 1500}, Case{33, 500, 768}, Case{130, 64, 4000}, Case{16, 48, 0}}) {
      for (const bool transposed : {false, true}) {
        for (const int threads : {1, 2}) Check(s, transposed, {.activation = Activation::kRelu}, threads);
      }
    }
    Check({40, 200, 2500}, false, {.scale = 0.5f, .activation = Activation::kSilu}, 2);
  });
}

/// To the last bit where both take Strassen's step; also from parts of a matrix that would not take it for themselves.
TEST(GemmOnce, LargeProductsGiveWhatTheNextOnesGive) {
  ForEachTarget([] {
    for (const Case& s : {Case{64, 1100, 386}, Case{131, 1536, 1600}}) {
      for (const bool transposed : {false, true}) {
        for (const int count : {1, 2}) {
          const Threads threads(count);
          ASSERT_GT(StrassenDepth(s.m, s.n, s.k, {}, threads), 0);
          const int64_t row_stride = transposed ? 1 : s.n, col_stride = transposed ? s.k : 1;
          const std::vector<float> a = Numbers(s.m * s.k, 1), b = Numbers(s.k * s.n, 2);
          Scratch memory;
          const PackedMatrix packed = PackMatrix(b.data(), s.k, s.n, row_stride, col_stride,
                                                 memory.Reserve(PackedBytes(s.k, s.n) / sizeof(float)), threads);
          std::vector<float> want(static_cast<size_t>(s.m * s.n)), got = want;
          Gemm(s.m, a.data(), s.k, packed, want.data(), s.n, {}, threads);
          constexpr int64_t kPart = 64;
          for (const int64_t part : {s.n, kPart}) {
            for (int64_t j = 0; j < s.n; j += part) {
              GemmOnce(s.m, std::min(part, s.n - j), s.k, a.data(), s.k, b.data() + j * col_stride, row_stride,
                       col_stride, got.data() + j, s.n, {}, threads, true);
            }
            ASSERT_EQ(got, want) << "m=" << s.m << " transposed=" << transposed << " part=" << part << " on "
                                 << IsaName();
          }
        }
      }
    }
  });
}

TEST(GemmOnce, PartsFitTheCacheAndShareEvenly) {
  EXPECT_EQ(ColumnsAtOnce(64, 256, 2), 256);    // little as a whole
  EXPECT_EQ(ColumnsAtOnce(768, 2304, 2), 192);  // 12 parts; of 256 columns there would be 9
  EXPECT_EQ(ColumnsAtOnce(768, 2304, 1), 256);
  EXPECT_EQ(ColumnsAtOnce(100000, 640, 2), 64);
}

TEST(OnceMemory, IsTakenAgainByTheNext) {
  ForgetOnceMemory();
  const std::byte* large = OnceMemory(1 << 20).get();
  EXPECT_EQ(OnceMemory(1000).get(), large);
  const auto held = OnceMemory(5000);
  const auto other = OnceMemory(5000);
  EXPECT_EQ(held.get(), large);
  EXPECT_NE(other.get(), large);
  std::fill_n(OnceMemory(size_t{65} << 20).get(), size_t{65} << 20, std::byte{1});
}

}  // namespace
}  // namespace slipway::kernels
