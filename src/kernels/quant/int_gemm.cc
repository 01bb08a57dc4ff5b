#include "kernels/quant/int_gemm.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/gemm/scratch.h"
#include "kernels/quant/avx512_vnni.h"
#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quant/int_gemm.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/quant/int_tile-inl.h"

#ifndef SLIPWAY_KERNELS_INT_GEMM_ONCE
#define SLIPWAY_KERNELS_INT_GEMM_ONCE
namespace slipway::kernels {

inline int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t RoundUp(int64_t a, int64_t b) { return DivideUp(a, b) * b; }

// A vnni panel's columns.
constexpr int kVnniWidth = 32;
constexpr int kVnniRows = 12;
// Columns that per-column numbers have memory for: a multiple of every form's panel.
constexpr int64_t kColumnMultiple = 64;

}  // namespace slipway::kernels
#endif  // SLIPWAY_KERNELS_INT_GEMM_ONCE

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {

constexpr int64_t kBlockBytes = 128 * 1024;     // of rows, which stay in the L2 cache while panels pass over them
constexpr int64_t kParallelWork = 1024 * 1024;  // products under which sharing costs more than it saves

int PanelWidth(DotForm form) { return form == DotForm::kVnni ? kVnniWidth : kPairWidth; }

/// Panels of a matrix, and the sums of its columns.
void PackPanels(const uint8_t* b, bool is_signed, int64_t k, int64_t n, int64_t row_stride, int64_t col_stride,
                DotForm form, int32_t* sums, void* out, const Threads& threads) {
  const int width = PanelWidth(form), group = form == DotForm::kVnni ? 4 : 2;
  const int64_t groups = DivideUp(k, group);
  const uint8_t flip = is_signed ? 0 : 0x80;
  const auto pack = [&]<class T>(T* panels, int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      T* to = panels + p * groups * group * width;
      int32_t* sum = sums + p * width;
      const int64_t col = p * width, cols = std::min<int64_t>(width, n - col);
      std::fill_n(sum, width, 0);
      for (int64_t g = 0; g < groups; ++g, to += group * width) {
        if (cols < width || (g + 1) * group > k) std::fill_n(to, group * width, T{0});
        for (int64_t i = g * group; i < std::min(k, (g + 1) * group); ++i) {
          const uint8_t* from = b + i * row_stride + col * col_stride;
          for (int64_t j = 0; j < cols; ++j) {
            const auto v = static_cast<int8_t>(from[j * col_stride] ^ flip);
            to[j * group + i % group] = v;
            sum[j] = static_cast<int32_t>(static_cast<uint32_t>(sum[j]) + static_cast<uint32_t>(v));
          }
        }
      }
    }
  };
  const int64_t padded = RoundUp(n, kColumnMultiple);
  std::fill(sums + RoundUp(n, width), sums + padded, 0);
  threads.ParallelFor(DivideUp(n, width), 1 + 65536 / (1 + k * width), [&](int64_t begin, int64_t end) {
    if (form == DotForm::kVnni) {
      pack(static_cast<int8_t*>(out), begin, end);
    } else {
      pack(static_cast<int16_t*>(out), begin, end);
    }
  });
}

/// Rows of A as the tiles read them, and their sums.
struct PreparedRows {
  const uint8_t* data;
  int64_t stride;  ///< in bytes
  const int32_t* sums;
};

int64_t RowStride(const IntJob& job) { return (RoundUp(job.b->k, 64) + 64) * (job.b->form == DotForm::kVnni ? 1 : 2); }

/// Bytes for PrepareRows.
int64_t RowBytes(const IntJob& job, int64_t rows) {
  const int64_t plain = job.b->form == DotForm::kVnni ? 0 : RoundUp(job.b->k, 64) + 64;
  return rows * (RowStride(job) + plain + static_cast<int64_t>(sizeof(int32_t))) + 64;
}

/// Rows [row, row + rows) into `memory`, laid out for `capacity` rows, of which these are those from `at` on.
void PrepareRows(const IntJob& job, int64_t row, int64_t rows, char* memory, int64_t capacity, int64_t at) {
  const int64_t k = job.b->k, stride = RowStride(job);
  const bool pairs = job.b->form == DotForm::kPairs;
  auto* ready = reinterpret_cast<uint8_t*>(memory) + at * stride;
  auto* sums = reinterpret_cast<int32_t*>(memory + capacity * stride) + at;
  const int64_t plain_stride = pairs ? RoundUp(k, 64) + 64 : stride;
  uint8_t* plain =
      pairs ? reinterpret_cast<uint8_t*>(memory + capacity * (stride + sizeof(int32_t))) + at * plain_stride : ready;
  if (k > 0) job.a->Read(row, rows, plain, plain_stride);
  for (int64_t r = 0; r < rows; ++r) {
    uint8_t* bytes = plain + r * plain_stride;
    std::memset(bytes + k, 0, RoundUp(k, 4) - k);
    sums[r] = FinishRow(bytes, k, job.a_is_signed);
    if (pairs) WidenRow(bytes, RoundUp(k, 2), reinterpret_cast<int16_t*>(ready + r * stride));
  }
}

PreparedRows Prepared(const IntJob& job, const char* memory, int64_t capacity) {
  const int64_t stride = RowStride(job);
  return {reinterpret_cast<const uint8_t*>(memory), stride,
          reinterpret_cast<const int32_t*>(memory + capacity * stride)};
}

/// Rows [row, row + rows) of the product, which `a` begins with, for panels [panel, panel_end).
void RunPanels(const IntJob& job, const PreparedRows& a, int64_t row, int64_t rows, int64_t panel, int64_t panel_end) {
  alignas(64) int32_t sums[kVnniRows * kColumnMultiple];
  const PackedIntMatrix& b = *job.b;
  const bool vnni = b.form == DotForm::kVnni;
  const int width = PanelWidth(b.form), most = vnni ? kVnniRows : kPairRows;
  const int64_t tiles = DivideUp(rows, most);
  const int64_t steps = DivideUp(b.k, vnni ? 4 : 2), panel_bytes = steps * width * 4;
  for (int64_t p = panel; p < panel_end; ++p) {
    const int64_t col = p * width;
    const int n = static_cast<int>(std::min<int64_t>(width, b.n - col));
    const void* data = static_cast<const char*>(b.data) + p * panel_bytes;
    // A thread's next task is most often the next panel.
    VnniFetch fetch{static_cast<const char*>(data), DivideUp(4 * width, tiles)};
    if (col + width < b.n) fetch.from += panel_bytes;
    int64_t done = 0;
    for (int64_t i = 0; i < tiles; ++i) {
      // Rows are shared out evenly, so that no tile is left with one or two.
      const int tile_rows = static_cast<int>(rows / tiles + (i < rows % tiles ? 1 : 0));
      const uint8_t* from = a.data + done * a.stride;
      if (vnni) {
        const auto* panel_data = static_cast<const int8_t*>(data);
        ChooseVnniTile(tile_rows, n > kVnniWidth / 2)(from, a.stride, panel_data, steps, fetch, sums);
        fetch.from += panel_bytes / tiles;
      } else {
        ChoosePairTile(tile_rows, n > kLanes)(reinterpret_cast<const int16_t*>(from), a.stride / 2,
                                              static_cast<const int32_t*>(data), steps, sums);
      }
      FinishTile(job, row + done, tile_rows, col, n, sums, width, a.sums + done);
      done += tile_rows;
    }
  }
}

void RunIntGemm(const IntJob& job, const Threads& threads) {
  static thread_local Scratch shared_memory;
  const auto memory = [](Scratch& scratch, const IntJob& j, int64_t rows) {
    return reinterpret_cast<char*>(scratch.Reserve(RowBytes(j, rows) / sizeof(float) + 1));
  };
  const int64_t m = job.m, k = std::max<int64_t>(1, job.b->k);
  const int64_t panels = DivideUp(job.b->n, PanelWidth(job.b->form));
  const int most = job.b->form == DotForm::kVnni ? kVnniRows : kPairRows;
  const bool small = std::max<int64_t>(2, m) * job.b->n * k < kParallelWork;
  const int count = small ? 1 : threads.count();
  if (count == 1 || m / (4 * most) >= count) {
    int64_t blocks = DivideUp(m, std::max<int64_t>(most, kBlockBytes / k / most * most));
    if (count > 1) blocks = RoundUp(std::max<int64_t>(blocks, count), count);
    const int64_t block = DivideUp(m, blocks);
    const auto run = [&](int64_t begin, int64_t end) {
      static thread_local Scratch own_memory;
      for (int64_t i = begin; i < end; ++i) {
        const int64_t row = i * block, rows = std::min(block, m - row);
        if (rows <= 0) continue;
        char* own = memory(own_memory, job, rows);
        PrepareRows(job, row, rows, own, rows, 0);
        RunPanels(job, Prepared(job, own, rows), row, rows, 0, panels);
      }
    };
    if (count == 1) return run(0, blocks);
    return threads.ParallelFor(blocks, 1, run);
  }
  // Too few rows for each thread to have its own: they are prepared once, and the panels are shared out.
  char* all = memory(shared_memory, job, m);
  threads.ParallelFor(m, 1 + 65536 / k,
                      [&](int64_t begin, int64_t end) { PrepareRows(job, begin, end - begin, all, m, begin); });
  const int64_t wanted = 4 * count;
  const int64_t blocks = std::clamp<int64_t>(DivideUp(wanted, panels), 1, std::max<int64_t>(1, m / (2 * most)));
  const int64_t block = DivideUp(m, blocks);
  const PreparedRows rows = Prepared(job, all, m);
  threads.ParallelFor(blocks * panels, DivideUp(blocks * panels, wanted), [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t row = begin / panels * block, panel = begin % panels;
      const int64_t last = std::min(panels, panel + end - begin);
      if (row < m) {
        RunPanels(job, {rows.data + row * rows.stride, rows.stride, rows.sums + row}, row, std::min(block, m - row),
                  panel, last);
      }
      begin += last - panel;
    }
  });
}

/// Whether kernels run on the instruction set that VNNI is part of.
bool IsAvx512() { return HWY_TARGET == HWY_AVX3; }

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace slipway::kernels {

HWY_EXPORT(PanelWidth);
HWY_EXPORT(PackPanels);
HWY_EXPORT(RunIntGemm);
HWY_EXPORT(IsAvx512);

DotForm BestDotForm() {
  ChooseTarget();
  const bool vnni = HWY_DYNAMIC_DISPATCH(IsAvx512)() && ChooseVnniTile(1, true) != nullptr;
  return vnni ? DotForm::kVnni : DotForm::kPairs;
}

size_t PackedIntBytes(int64_t k, int64_t n, DotForm form) {
  ChooseTarget();
  const int64_t padded = RoundUp(n, kColumnMultiple), steps = DivideUp(k, form == DotForm::kVnni ? 4 : 2);
  return RoundUp(std::max<int64_t>(64, padded * 4 + steps * padded * 4), 64);
}

PackedIntMatrix PackIntMatrix(const uint8_t* b, bool is_signed, int64_t k, int64_t n, int64_t row_stride,
                              int64_t col_stride, void* out, const Threads& threads, DotForm form) {
  ChooseTarget();
  auto* sums = static_cast<int32_t*>(out);
  void* data = sums + RoundUp(n, kColumnMultiple);
  HWY_DYNAMIC_DISPATCH(PackPanels)(b, is_signed, k, n, row_stride, col_stride, form, sums, data, threads);
  return PackedIntAt(out, is_signed, k, n, form);
}

PackedIntMatrix PackedIntAt(const void* packed, bool is_signed, int64_t k, int64_t n, DotForm form) {
  const auto* sums = static_cast<const int32_t*>(packed);
  return {
      .k = k, .n = n, .form = form, .is_signed = is_signed, .sums = sums, .data = sums + RoundUp(n, kColumnMultiple)};
}

void ByteArrayRows::Read(int64_t row, int64_t rows, uint8_t* out, int64_t stride) const {
  for (int64_t r = 0; r < rows; ++r) std::memcpy(out + r * stride, data_ + (row + r) * stride_, k_);
}

void IntGemm(int64_t m, const ByteRows& a, bool a_is_signed, const PackedIntMatrix& b, const IntResult& result,
             const Threads& threads) {
  if (m <= 0 || b.n <= 0) return;
  ChooseTarget();
  // What the sums of a tile lack, in 32-bit arithmetic that wraps round:
  //   (a - az)(b - bz) = a b - az (sum b - k bz) - bz sum a,
  // where bytes of the other sign are moved by 128 together with their zero points.
  const int64_t padded = RoundUp(b.n, kColumnMultiple);
  static thread_local std::vector<uint32_t> columns;
  columns.assign(3 * padded, 0);
  uint32_t *add = columns.data(), *times_a = add + padded, *times_sum = times_a + padded;
  const uint32_t a_shift = a_is_signed ? 128 : 0, b_shift = b.is_signed ? 0 : 128;
  const bool one_a = !result.a_zero.many;
  const uint32_t a_zero = one_a ? static_cast<uint32_t>(result.a_zero.At(0)) + a_shift : 0;
  bool any_a = !one_a, any_b = false;
  for (int64_t j = 0; j < b.n; ++j) {
    const uint32_t b_zero = static_cast<uint32_t>(result.b_zero.At(j)) - b_shift;
    times_sum[j] = b_zero;
    times_a[j] = static_cast<uint32_t>(b.sums[j]) - static_cast<uint32_t>(b.k) * b_zero;
    add[j] = (result.bias ? static_cast<uint32_t>(result.bias[j]) : 0) - a_zero * times_a[j];
    any_b |= b_zero != 0;
  }
  const IntJob job = {.m = m,
                      .a = &a,
                      .a_is_signed = a_is_signed,
                      .b = &b,
                      .result = &result,
                      .add = reinterpret_cast<const int32_t*>(add),
                      .times_a = any_a ? reinterpret_cast<const int32_t*>(times_a) : nullptr,
                      .times_sum = any_b ? reinterpret_cast<const int32_t*>(times_sum) : nullptr};
  HWY_DYNAMIC_DISPATCH(RunIntGemm)(job, threads);
}

}  // namespace slipway::kernels
#endif  // HWY_ONCE
