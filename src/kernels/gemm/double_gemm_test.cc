#include "kernels/gemm/double_gemm.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/targets.h"
#include "kernels/testing.h"

namespace slipway::kernels {
namespace {

TEST(DoubleGemm, IsTheSumThatDefinesIt) {
  struct Sizes {
    int64_t m, n, k;
  };
  for (const Sizes& s :
       {Sizes{1, 1, 1}, {5, 3, 0}, {6, 16, 256}, {7, 17, 257}, {13, 33, 600}, {1, 70, 5}, {64, 8, 9}}) {
    for (const bool turned : {false, true}) {
      const std::vector<double> a = Numbers<double>(s.m * s.k, 1), b = Numbers<double>(s.k * s.n, 2);
      const DoubleMatrix left = turned ? DoubleMatrix{a.data(), 1, s.m} : DoubleMatrix{a.data(), s.k, 1};
      const DoubleMatrix right = turned ? DoubleMatrix{b.data(), 1, s.k} : DoubleMatrix{b.data(), s.n, 1};
      ForEachTarget([&] {
        const int64_t ldc = s.n + 2;
        std::vector<double> c(s.m * ldc, -7);
        DoubleGemm(s.m, s.n, s.k, left, right, c.data(), ldc, Threads(2));
        for (int64_t i = 0; i < s.m; ++i) {
          for (int64_t j = 0; j < s.n; ++j) {
            double want = 0;
            for (int64_t l = 0; l < s.k; ++l)
              want += a[turned ? l * s.m + i : i * s.k + l] * b[turned ? j * s.k + l : l * s.n + j];
            ASSERT_NEAR(c[i * ldc + j], want, 1e-12 * static_cast<double>(s.k + 1))
                << IsaName() << " " << s.m << " " << s.n << " " << s.k;
          }
          ASSERT_EQ(c[i * ldc + s.n], -7);
        }
      });
    }
  }
}

}  // namespace
}  // namespace slipway::kernels
