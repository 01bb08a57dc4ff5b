#include "kernels/gemm/gemm_once.h"

#include <algorithm>

#include "kernels/fetch.h"
#include "kernels/gemm/gemm.h"
#include "kernels/once_store.h"

namespace slipway::kernels {

int64_t ColumnsAtOnce(int64_t k, int64_t n, int threads) {
  constexpr int64_t kCacheFloats = 192 * 1024;
  constexpr int64_t kWidest = 64;  // a multiple of every panel's width
  if (n * k <= kCacheFloats || n <= kWidest) return n;
  const auto longest_share = [&](int64_t columns) {
    const int64_t parts = (n + columns - 1) / columns;
    return (parts + threads - 1) / threads * columns;
  };
  int64_t best = std::max(kCacheFloats / std::max<int64_t>(1, k) / kWidest, int64_t{1}) * kWidest;
  for (int64_t columns = best - kWidest; columns > 0; columns -= kWidest) {
    if (longest_share(columns) < longest_share(best)) best = columns;
  }
  return best;
}

void GemmOnce(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t row_stride,
              int64_t col_stride, float* c, int64_t ldc, const Epilogue& epilogue, const Threads& threads) {
  // A few rows of columns side by side take no longer than the packing would.
  constexpr int64_t kFewRows = 12;
  if ((m <= kFewRows && col_stride == 1) || k == 0) {
    return GemmUnpacked(m, n, k, a, lda, b, row_stride, col_stride, c, ldc, epilogue, threads);
  }
  const int64_t columns = ColumnsAtOnce(k, n, threads.count());
  const Threads alone(1);
  const auto pack = [&](int64_t first, int64_t count, std::byte* memory, const Threads& packers) {
    constexpr int64_t kBytes = sizeof(float);
    if (col_stride == 1) {
      Fetch(b + first, k, count * kBytes, row_stride * kBytes);
    } else {
      Fetch(b + first * col_stride, count, k * kBytes, col_stride * kBytes);
    }
    return PackMatrix(b + first * col_stride, k, count, row_stride, col_stride, reinterpret_cast<float*>(memory),
                      packers);
  };
  if (columns == n) {
    const auto memory = OnceMemory(PackedBytes(k, n));
    return Gemm(m, a, lda, pack(0, n, memory.get(), threads), c, ldc, epilogue, threads);
  }
  threads.ParallelFor((n + columns - 1) / columns, 1, [&](int64_t begin, int64_t end) {
    const auto memory = OnceMemory(PackedBytes(k, columns));
    for (int64_t first = begin * columns; first < std::min(end * columns, n); first += columns) {
      const int64_t count = std::min(columns, n - first);
      Epilogue e = epilogue;
      if (e.bias != nullptr) e.bias += first;
      if (e.residual != nullptr) e.residual += first;
      Gemm(m, a, lda, pack(first, count, memory.get(), alone), c + first, ldc, e, alone);
    }
  });
}

}  // namespace slipway::kernels
