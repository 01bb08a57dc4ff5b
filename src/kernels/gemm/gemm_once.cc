#include "kernels/gemm/gemm_once.h"

#include <algorithm>
#include <cstdlib>

#include "kernels/gemm/gemm.h"
#include "kernels/gemm/scratch.h"

namespace slipway::kernels {

void GemmOnce(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t row_stride,
              int64_t col_stride, float* c, int64_t ldc, const Epilogue& epilogue, const Threads& threads) {
  static const int64_t kFloats = std::getenv("GO") ? atol(std::getenv("GO")) : 192 * 1024;
  constexpr int64_t kWidest = 64;  // a multiple of every panel's width
  constexpr int64_t kFewRows = 12;
  if (m <= kFewRows || k == 0 || kFloats == 0) {
    return GemmUnpacked(m, n, k, a, lda, b, row_stride, col_stride, c, ldc, epilogue, threads);
  }
  const int64_t most = std::max(kFloats / k / kWidest, int64_t{1}) * kWidest;
  int64_t parts = (n + most - 1) / most;
  parts = (parts + threads.count() - 1) / threads.count() * threads.count();
  const int64_t columns = ((n + parts - 1) / parts + kWidest - 1) / kWidest * kWidest;
  parts = (n + columns - 1) / columns;
  const Threads alone(1);
  threads.ParallelFor(parts, 1, [&](int64_t begin, int64_t end) {
    static thread_local Scratch scratch;
    float* memory = scratch.Reserve(PackedBytes(k, columns) / sizeof(float));
    for (int64_t part = begin; part < end; ++part) {
      const int64_t first = part * columns, count = std::min(columns, n - first);
      static const bool kPre = std::getenv("PRE") != nullptr;
      if (kPre && col_stride == 1) {
        for (int64_t i = 0; i < k; ++i) {
          const char* row = reinterpret_cast<const char*>(b + first + i * row_stride);
          for (int64_t at = 0; at < count * 4; at += 64) __builtin_prefetch(row + at, 0, 2);
        }
      }
      if (kPre && row_stride == 1 && col_stride != 1) {
        for (int64_t i = 0; i < count; ++i) {
          const char* row = reinterpret_cast<const char*>(b + (first + i) * col_stride);
          for (int64_t at = 0; at < k * 4; at += 64) __builtin_prefetch(row + at, 0, 2);
        }
      }
      const PackedMatrix packed =
          PackMatrix(b + first * col_stride, k, count, row_stride, col_stride, memory, alone);
      Epilogue e = epilogue;
      if (e.bias != nullptr) e.bias += first;
      if (e.residual != nullptr) e.residual += first;
      Gemm(m, a, lda, packed, c + first, ldc, e, alone);
    }
  });
}

}  // namespace slipway::kernels
