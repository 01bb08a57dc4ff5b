// The packed form of a right-hand matrix (gemm.h), for inclusion once a target.

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels/gemm/columns-inl.h"
#include "kernels/gemm/gemm_job.h"

#if defined(SLIPWAY_KERNELS_GEMM_PANELS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLIPWAY_KERNELS_GEMM_PANELS_INL_H_
#undef SLIPWAY_KERNELS_GEMM_PANELS_INL_H_
#else
#define SLIPWAY_KERNELS_GEMM_PANELS_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {

/// Columns that the packed matrix has memory for: the last panel is one vector wide where that holds its columns.
int64_t PaddedColumns(int64_t n) {
  const int64_t rest = n % kPanelWidth;
  return n - rest + (rest == 0 ? 0 : rest <= kLanes ? kLanes : kPanelWidth);
}

/// Copies a square of 4 x 4 elements, transposed.
HWY_INLINE void Transpose4(const float* in, int64_t in_stride, float* out, int64_t out_stride) {
#if HWY_TARGET == HWY_SCALAR
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) out[j * out_stride + i] = in[i * in_stride + j];
  }
#else
  const hn::FixedTag<float, 4> d;
  const hn::RepartitionToWide<decltype(d)> dw;
  const auto r0 = hn::LoadU(d, in), r1 = hn::LoadU(d, in + in_stride);
  const auto r2 = hn::LoadU(d, in + 2 * in_stride), r3 = hn::LoadU(d, in + 3 * in_stride);
  const auto low01 = hn::BitCast(dw, hn::InterleaveLower(d, r0, r1));
  const auto low23 = hn::BitCast(dw, hn::InterleaveLower(d, r2, r3));
  const auto high01 = hn::BitCast(dw, hn::InterleaveUpper(d, r0, r1));
  const auto high23 = hn::BitCast(dw, hn::InterleaveUpper(d, r2, r3));
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(dw, low01, low23)), d, out);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(dw, low01, low23)), d, out + out_stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(dw, high01, high23)), d, out + 2 * out_stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(dw, high01, high23)), d, out + 3 * out_stride);
#endif
}

/// Packs `cols` columns of `rows` rows into a panel `width` wide.
void PackRows(const float* b, int64_t rows, int64_t cols, int64_t row_stride, int64_t col_stride, int64_t width,
              float* out) {
  int64_t done = 0;
  if (row_stride == 1 && col_stride != 1) {
    const int64_t rows4 = rows / 4 * 4;
    for (; done + 4 <= cols; done += 4) {
      const float* in = b + done * col_stride;
      for (int64_t i = 0; i < rows4; i += 4) Transpose4(in + i, col_stride, out + i * width + done, width);
      for (int64_t i = rows4; i < rows; ++i) {
        for (int64_t j = 0; j < 4; ++j) out[i * width + done + j] = in[j * col_stride + i];
      }
    }
  }
  for (int64_t i = 0; i < rows; ++i) {
    const float* in = b + i * row_stride;
    float* row = out + i * width;
    if (col_stride == 1) {
      std::memcpy(row + done, in + done, (cols - done) * sizeof(float));
    } else {
      for (int64_t j = done; j < cols; ++j) row[j] = in[j * col_stride];
    }
    std::memset(row + cols, 0, (width - cols) * sizeof(float));
  }
}

/// Rows that are packed at a time: what is written 16 bytes at a time stays in the L1 cache until it is whole.
constexpr int64_t kPackedRows = 64;

/// Packs `cols` columns of k rows into a panel `width` wide.
void PackPanel(const float* b, int64_t k, int64_t cols, int64_t row_stride, int64_t col_stride, int64_t width,
               float* out) {
  for (int64_t i = 0; i < k; i += kPackedRows) {
    PackRows(b + i * row_stride, std::min(kPackedRows, k - i), cols, row_stride, col_stride, width, out + i * width);
  }
}

/// Packs rows [first_row, last_row) of the k of a matrix.
void PackPanels(const float* b, int64_t first_row, int64_t last_row, int64_t k, int64_t n, int64_t row_stride,
                int64_t col_stride, float* out, const Threads& threads) {
  const int64_t panels = DivideUp(n, kPanelWidth);
  const int64_t grain = std::max<int64_t>(1, 64 * 1024 / std::max<int64_t>(1, (last_row - first_row) * kPanelWidth));
  // A row that lies in memory as such is read on for some pages' length, not a panel's width at a time.
  const int64_t share = DivideUp(panels, 4 * threads.count());
  const int64_t side_by_side = col_stride == 1 ? std::min<int64_t>(16, share) : 1;
  const int64_t rows = col_stride == 1 ? 16 : kPackedRows;
  threads.ParallelFor(panels, std::max(grain, side_by_side), [&](int64_t begin, int64_t end) HWY_ATTR {
    for (int64_t first = begin; first < end; first += side_by_side) {
      for (int64_t i = first_row; i < last_row; i += rows) {
        for (int64_t p = first; p < std::min(first + side_by_side, end); ++p) {
          const int64_t col = p * kPanelWidth;
          const int64_t cols = std::min<int64_t>(n - col, kPanelWidth);
          const int64_t width = cols <= kLanes ? kLanes : kPanelWidth;
          PackRows(b + i * row_stride + col * col_stride, std::min(rows, last_row - i), cols, row_stride, col_stride,
                   width, out + col * k + i * width);
        }
      }
    }
  });
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#endif  // SLIPWAY_KERNELS_GEMM_PANELS_INL_H_
