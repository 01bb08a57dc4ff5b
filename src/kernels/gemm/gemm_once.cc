#include "kernels/gemm/gemm_once.h"

#include <algorithm>

#include "kernels/fetch.h"
#include "kernels/gemm/gemm.h"
#include "kernels/gemm/gemm_job.h"
#include "kernels/once_store.h"

namespace slipway::kernels {

int64_t ColumnsAtOnce(int64_t k, int64_t n, int threads) {
  constexpr int64_t kCacheFloats = 192 * 1024;
  constexpr int64_t kWidest = 64;  // a multiple of every panel's width
  if (n * k <= kCacheFloats || n <= kWidest) return n;
  const auto longest_share = [&](int64_t columns) {
    const int64_t parts = DivideUp(n, columns);
    return DivideUp(parts, threads) * columns;
  };
  int64_t best = std::max(kCacheFloats / std::max<int64_t>(1, k) / kWidest, int64_t{1}) * kWidest;
  for (int64_t columns = best - kWidest; columns > 0; columns -= kWidest) {
    if (longest_share(columns) < longest_share(best)) best = columns;
  }
  return best;
}

void GemmOnce(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t row_stride,
              int64_t col_stride, float* c, int64_t ldc, const Epilogue& epilogue, const Threads& threads,
              std::optional<bool> strassen) {
  if (m <= 0 || n <= 0) return;
  // A few rows of columns side by side take no longer than the packing would.
  constexpr int64_t kFewRows = 12;
  if ((m <= kFewRows && col_stride == 1) || k == 0) {
    return GemmUnpacked(m, n, k, a, lda, b, row_stride, col_stride, c, ldc, epilogue, threads);
  }
  // Rows of b that lie as such are read in runs the longer, the fewer of them are packed together: as many as Gemm adds
  // up at a time, so that the sums are the same.
  constexpr int64_t kMostRows = 1024;
  const int64_t strassen_depth = StrassenDepth(m, n, k, strassen, threads);
  const int64_t pieces = DivideUp(k, kMostRows);
  const int64_t plain = RoundUp(DivideUp(k, pieces), 8);
  const int64_t depth = col_stride != 1 ? k : strassen_depth > 0 ? strassen_depth : plain;
  const int64_t columns = ColumnsAtOnce(std::min(k, depth), n, threads.count());
  const Threads alone(1);
  const Threads& packers = columns == n ? threads : alone;
  const auto multiply = [&](int64_t first, int64_t count, std::byte* memory) {
    for (int64_t k0 = 0; k0 < k; k0 += depth) {
      const int64_t rows = std::min(depth, k - k0);
      const float* from = b + k0 * row_stride + first * col_stride;
      constexpr int64_t kBytes = sizeof(float);
      if (col_stride == 1) {
        Fetch(from, rows, count * kBytes, row_stride * kBytes);
      } else {
        Fetch(from, count, rows * kBytes, col_stride * kBytes);
      }
      PackedMatrix packed =
          PackMatrix(from, rows, count, row_stride, col_stride, reinterpret_cast<float*>(memory), packers);
      packed.strassen = strassen_depth > 0;
      Epilogue e = epilogue.From(first);
      if (k0 > 0) {
        e.bias = nullptr;
        e.residual = c + first;
        e.residual_stride = ldc;
      }
      if (k0 + rows < k) e.activation = Activation::kNone;
      Gemm(m, a + k0, lda, packed, c + first, ldc, e, packers);
    }
  };
  const int64_t parts = DivideUp(n, columns);
  threads.ParallelFor(parts, 1, [&](int64_t begin, int64_t end) {
    const auto memory = OnceMemory(PackedBytes(std::min(k, depth), columns));
    for (int64_t part = begin; part < end; ++part) {
      multiply(part * columns, std::min(columns, n - part * columns), memory.get());
    }
  });
}

}  // namespace slipway::kernels
