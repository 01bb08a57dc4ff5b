#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "kernels/conv/algorithms.h"
#include "kernels/conv/scaled_rows.h"
#include "kernels/fetch.h"
#include "kernels/gemm/gemm.h"
#include "kernels/gemm/gemm_once.h"
#include "kernels/gemm/scratch.h"
#include "kernels/once_store.h"

namespace slipway::kernels {
namespace {

/// Runs of a few dozen floats are the rule (a row of the kernel over 3 channels): short of what pays for a call of
/// memcpy.
inline void CopyRun(const float* from, int64_t count, float* to) {
  if (count >= 64) {
    std::memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
  } else if (count >= 4) {
    for (int64_t i = 0; i + 4 < count; i += 4) std::memcpy(to + i, from + i, 4 * sizeof(float));
    std::memcpy(to + count - 4, from + count - 4, 4 * sizeof(float));
  } else {
    if (count > 0) to[0] = from[0];
    if (count > 1) to[1] = from[1];
    if (count > 2) to[2] = from[2];
  }
}

/// im2col without the matrix: row = output pixel, column = (kd, kh, kw, channel of the group).
class PatchRows : public RowSource {
 public:
  PatchRows(const ConvAttributes& a, const ConvShape& s, const float* x, int64_t channel, int64_t channels)
      : a_(a), s_(s), x_(x), channel_(channel), channels_(channels) {
    // Neighbouring pixels with all their channels lie in a run: one copy does for a row of the kernel.
    if (channels == a.c && a.dilation_w == 1) {
      run_ = a.kw * channels;
      taps_ = 1;
    } else {
      run_ = channels;
      taps_ = a.kw;
    }
  }

  void Read(int64_t row, int64_t rows, int64_t col, int64_t cols, float* out, int64_t stride) const override {
    const bool whole = cols == a_.kd * a_.kh * taps_ * run_;
    const int64_t last_z = s_.d - 1 - (a_.kd - 1) * a_.dilation_d;
    const int64_t last_y = s_.h - 1 - (a_.kh - 1) * a_.dilation_h;
    const int64_t last_x = s_.w - 1 - (a_.kw - 1) * a_.dilation_w;
    int64_t ox = row % s_.ow;
    int64_t oy = row / s_.ow % s_.oh;
    int64_t oz = row / (s_.ow * s_.oh) % s_.od;
    int64_t image = row / (s_.ow * s_.oh * s_.od);
    for (int64_t r = 0; r < rows; ++r, out += stride) {
      const int64_t z0 = oz * a_.stride_d - s_.pad_front;
      const int64_t y0 = oy * a_.stride_h - s_.pad_top;
      const int64_t x0 = ox * a_.stride_w - s_.pad_left;
      if (whole && z0 >= 0 && z0 <= last_z && y0 >= 0 && y0 <= last_y && x0 >= 0 && x0 <= last_x) {
        ReadInside(x_ + (((image * s_.d + z0) * s_.h + y0) * s_.w + x0) * a_.c + channel_, out);
      } else {
        ReadPixel(image, z0, y0, x0, col, cols, out);
      }
      if (++ox < s_.ow) continue;
      ox = 0;
      if (++oy < s_.oh) continue;
      oy = 0;
      if (++oz < s_.od) continue;
      oz = 0;
      ++image;
    }
  }

 private:
  /// All columns of a pixel whose taps are all in the image, the first at `from`.
  void ReadInside(const float* from, float* out) const {
    const int64_t tap_step = a_.dilation_w * a_.c;
    const int64_t row_step = a_.dilation_h * s_.w * a_.c;
    const int64_t plane_step = a_.dilation_d * s_.h * s_.w * a_.c;
    for (int64_t k = 0; k < a_.kd * a_.kh; ++k) {
      const float* row = from + k / a_.kh * plane_step + k % a_.kh * row_step;
      for (int64_t t = 0; t < taps_; ++t, out += run_) CopyRun(row + t * tap_step, run_, out);
    }
  }

  void ReadPixel(int64_t image, int64_t z0, int64_t y0, int64_t x0, int64_t col, int64_t cols, float* out) const {
    int64_t segment = col / run_;
    int64_t begin = col % run_;
    for (const int64_t end_col = col + cols; col < end_col; ++segment, begin = 0) {
      const int64_t end = std::min(run_, begin + end_col - col);
      const int64_t iz = z0 + segment / taps_ / a_.kh * a_.dilation_d;
      const int64_t iy = y0 + segment / taps_ % a_.kh * a_.dilation_h;
      const int64_t ix = x0 + segment % taps_ * a_.dilation_w;
      ReadRun(image * s_.d + iz, iz >= 0 && iz < s_.d, iy, ix, begin, end, out);
      out += end - begin;
      col += end - begin;
    }
  }

  /// Elements [begin, end) of the run that starts at pixel (iy, ix) of a plane, zeros where it leaves the image.
  void ReadRun(int64_t plane, bool exists, int64_t iy, int64_t ix, int64_t begin, int64_t end, float* out) const {
    if (!exists || iy < 0 || iy >= s_.h) return ZeroRun(end - begin, out);
    const int64_t lo = std::clamp(-ix * channels_, begin, end);
    const int64_t hi = std::clamp((s_.w - ix) * channels_, lo, end);
    const float* from = x_ + ((plane * s_.h + iy) * s_.w + ix) * a_.c + channel_;
    ZeroRun(lo - begin, out);
    CopyRun(from + lo, hi - lo, out + (lo - begin));
    ZeroRun(end - hi, out + (hi - begin));
  }

  const ConvAttributes& a_;
  const ConvShape& s_;
  const float* x_;
  int64_t channel_;
  int64_t channels_;
  int64_t run_;   ///< contiguous floats of the input
  int64_t taps_;  ///< runs in a row of the kernel
};

class GemmConv : public ConvKernel {
 public:
  GemmConv(const ConvAttributes& a, const float* weights, const Packing& packing) : a_(a) {
    // Narrow groups leave most of a vector idle: put several side by side as one block-diagonal group.
    constexpr int64_t kWide = 16;
    int64_t merge = 1;
    while (a.oc / a.groups * merge < kWide && a.groups % (2 * merge) == 0) merge *= 2;
    groups_ = a.groups / merge;
    c_ = a.c / groups_;
    oc_ = a.oc / groups_;
    const int64_t k = a.kd * a.kh * a.kw * c_;
    bytes_ = AlignUp(static_cast<int64_t>(PackedBytes(k, oc_)), 64);
    const int64_t floats = bytes_ / static_cast<int64_t>(sizeof(float));
    storage_ = FloatBlock(packing.store, groups_ * floats, [&](float* out) {
      for (int64_t g = 0; g < groups_; ++g) PackGroup(weights, g, merge, out + g * floats, packing.threads);
    });
    for (int64_t g = 0; g < groups_; ++g) {
      packed_.push_back({.k = k, .n = oc_, .data = storage_.get() + g * floats, .strassen = kStrassen});
    }
  }

  void Run(const ConvInput& x, const ConvShape& s, const Epilogue& epilogue, float* y,
           const Threads& threads) const override {
    if (HasShortRuns() && s.ow >= kShortRow) return RunInBands(x.data, s, epilogue, y, threads);
    const int64_t m = s.n * s.od * s.oh * s.ow;
    if (x.scale != nullptr) {
      return Gemm(m, ScaledRows(x.data, x.scale, s.h * s.w, a_.c), packed_[0], y, a_.oc, epilogue, threads);
    }
    for (int64_t g = 0; g < groups_; ++g) {
      const Epilogue e = epilogue.From(g * oc_);
      if (IsPointwise(a_, s)) {
        Gemm(m, x.data + g * c_, a_.c, packed_[static_cast<size_t>(g)], y + g * oc_, a_.oc, e, threads);
      } else {
        Gemm(m, PatchRows(a_, s, x.data, g * c_, c_), packed_[static_cast<size_t>(g)], y + g * oc_, a_.oc, e, threads);
      }
    }
  }

  size_t Bytes() const override { return static_cast<size_t>(groups_ * bytes_); }

  /// The product with some output channels at a time, whose weights are packed before it in memory that threads keep.
  static void RunInParts(const ConvAttributes& a, const float* weights, const ConvInput& x, const ConvShape& s,
                         const Epilogue& epilogue, float* y, const Threads& threads) {
    const GemmConv conv(a);
    const int64_t k = a.kd * a.kh * a.kw * a.c;
    const int64_t columns = ColumnsAtOnce(k, a.oc, threads.count());
    const int64_t m = s.n * s.od * s.oh * s.ow;
    const Threads alone(1);
    threads.ParallelFor(CeilDiv(a.oc, columns), 1, [&](int64_t begin, int64_t end) {
      const auto dense = OnceMemory(static_cast<size_t>(kColumns * k) * sizeof(float));
      const auto panels = OnceMemory(PackedBytes(k, columns));
      for (int64_t first = begin * columns; first < std::min(end * columns, a.oc); first += columns) {
        const int64_t count = std::min(columns, a.oc - first);
        auto* packed = reinterpret_cast<float*>(panels.get());
        conv.PackColumns(weights, 0, 1, first, count, reinterpret_cast<float*>(dense.get()), packed);
        const Epilogue e = epilogue.From(first);
        const PackedMatrix b{.k = k, .n = count, .data = packed, .strassen = kStrassen};
        if (x.scale != nullptr) {
          Gemm(m, ScaledRows(x.data, x.scale, s.h * s.w, a.c), b, y + first, a.oc, e, alone);
        } else {
          Gemm(m, PatchRows(a, s, x.data, 0, a.c), b, y + first, a.oc, e, alone);
        }
      }
    });
  }

 private:
  static constexpr int64_t kColumns = 64;  // whole panels of every instruction set

  /// One group, not packed.
  explicit GemmConv(const ConvAttributes& a) : a_(a), groups_(1), c_(a.c), oc_(a.oc), bytes_(0) {}

  /// Few channels, as an image's three: gathering a pixel's patch copies many short runs for few products.
  bool HasShortRuns() const {
    constexpr int64_t kFewChannels = 8;
    constexpr int64_t kMostColumns = 1024;
    const int64_t taps = a_.kd * a_.kh * a_.kw;
    return groups_ == 1 && a_.c <= kFewChannels && a_.dilation_w == 1 && taps > 1 && taps * a_.c <= kMostColumns;
  }
  static constexpr int64_t kShortRow = 8;

  /// Each band of output rows copies the input rows under it once, with the padding, and multiplies patches where they
  /// lie in that copy. In volumes a band is one row, and its copy holds a row for each of the kernel's.
  void RunInBands(const float* x, const ConvShape& s, const Epilogue& epilogue, float* y,
                  const Threads& threads) const {
    const int64_t band_rows = IsFlat(a_) ? 8 : 1;
    const int64_t bands = CeilDiv(s.oh, band_rows);
    // A signal is one long row: its parts are shared out.
    const int64_t parts = s.n * s.od * bands > 1 ? 1 : CeilDiv(s.ow, 256);
    const int64_t pixels = CeilDiv(s.ow, parts);
    const int64_t line = ((pixels - 1) * a_.stride_w + a_.kw) * a_.c;
    threads.ParallelFor(s.n * s.od * bands * parts, 1, [&](int64_t begin, int64_t end) {
      static thread_local Scratch scratch;
      for (int64_t i = begin; i < end; ++i) {
        const int64_t plane = i / parts / bands, first = i / parts % bands * band_rows;
        const int64_t ox = i % parts * pixels, count = std::min(pixels, s.ow - ox);
        const int64_t rows = std::min(band_rows, s.oh - first);
        const int64_t row_step = IsFlat(a_) ? 1 : a_.dilation_h;
        const int64_t in_rows = IsFlat(a_) ? (rows - 1) * a_.stride_h + (a_.kh - 1) * a_.dilation_h + 1 : a_.kh;
        float* copy = scratch.Reserve(static_cast<size_t>(a_.kd * in_rows * line));
        for (int64_t r = 0; r < a_.kd * in_rows; ++r) {
          const int64_t iz = plane % s.od * a_.stride_d - s.pad_front + r / in_rows * a_.dilation_d;
          const int64_t iy = first * a_.stride_h - s.pad_top + r % in_rows * row_step;
          const bool inside = iz >= 0 && iz < s.d && iy >= 0 && iy < s.h;
          const int64_t in_plane = plane / s.od * s.d + iz;
          ReadLine(inside ? x + (in_plane * s.h + iy) * s.w * a_.c : nullptr, s.w, a_.c, ox * a_.stride_w - s.pad_left,
                   (count - 1) * a_.stride_w + a_.kw, copy + r * line);
        }
        for (int64_t r = 0; r < rows; ++r) {
          const int64_t at = ((plane * s.oh + first + r) * s.ow + ox) * a_.oc;
          Epilogue e = epilogue;
          if (e.residual != nullptr) e.residual += at;
          const WindowRows window = {.data = copy + r * a_.stride_h * line,
                                     .row_stride = a_.stride_w * a_.c,
                                     .segments = a_.kd * a_.kh,
                                     .length = a_.kw * a_.c,
                                     .segment_stride = (IsFlat(a_) ? a_.dilation_h : 1) * line};
          Gemm(count, window, packed_[0], y + at, a_.oc, e);
        }
      }
    });
  }

  void PackGroup(const float* weights, int64_t g, int64_t merge, float* out, const Threads& threads) const {
    const int64_t taps = a_.kd * a_.kh * a_.kw;
    const int64_t k = taps * c_;
    const bool plain = taps == 1 && merge == 1;
    const int64_t grain = CeilDiv(int64_t{64} << 10, kColumns * k);
    threads.ParallelFor(CeilDiv(oc_, kColumns), grain, [&](int64_t begin, int64_t end) {
      const auto dense = std::make_unique_for_overwrite<float[]>(plain ? 0 : static_cast<size_t>(kColumns * k));
      const int64_t first = begin * kColumns;
      PackColumns(weights, g, merge, first, std::min(end * kColumns, oc_) - first, dense.get(), out + first * k);
    });
  }

  /// Packs `columns` columns of a group from `first` on; `dense` has room for kColumns of them.
  void PackColumns(const float* weights, int64_t g, int64_t merge, int64_t first, int64_t columns, float* dense,
                   float* out) const {
    const int64_t taps = a_.kd * a_.kh * a_.kw, k = taps * c_;
    for (int64_t at = 0; at < columns; at += kColumns) {
      const int64_t count = std::min(kColumns, columns - at);
      const int64_t bytes = k / merge * static_cast<int64_t>(sizeof(float));
      const float* from = weights + (g * oc_ + first + at) * (k / merge);
      Fetch(from, count, bytes, bytes);
      if (taps == 1 && merge == 1) {
        PackMatrix(from, k, count, 1, k, out + at * k, Threads(1));
        continue;
      }
      for (int64_t o = 0; o < count; ++o) Unfold(weights, g, merge, first + at + o, dense + o * k);
      PackMatrix(dense, k, count, 1, k, out + at * k, Threads(1));
    }
  }

  /// out[kd][kh][kw][c] of output channel o of merged group g from weights[oc][c][kh][kw]; zero between groups that
  /// were merged.
  void Unfold(const float* weights, int64_t g, int64_t merge, int64_t o, float* out) const {
    const int64_t c = c_ / merge;
    const int64_t taps = a_.kd * a_.kh * a_.kw;
    if (merge > 1) std::fill(out, out + taps * c_, 0.0f);
    const float* from = weights + (g * oc_ + o) * c * taps;
    float* to = out + o / (oc_ / merge) * c;
    for (int64_t t = 0; t < taps; ++t) {
      for (int64_t i = 0; i < c; ++i) to[t * c_ + i] = from[i * taps + t];
    }
  }

  ConvAttributes a_;
  int64_t groups_;  ///< after merging
  int64_t c_;       ///< input channels a merged group
  int64_t oc_;
  int64_t bytes_;  ///< packed weights a merged group
  std::shared_ptr<const float> storage_;
  std::vector<PackedMatrix> packed_;
};

}  // namespace

std::unique_ptr<ConvKernel> MakeGemmConv(const ConvAttributes& attributes, const float* weights,
                                         const Packing& packing) {
  return std::make_unique<GemmConv>(attributes, weights, packing);
}

void GemmConvOnce(const ConvAttributes& a, const float* weights, const ConvInput& x, const ConvShape& s,
                  const Epilogue& epilogue, float* y, const Threads& threads) {
  // In parts the patches are gathered for each of them; up to here the whole is not much for a cache.
  constexpr size_t kWholeBytes = size_t{4} << 20;
  if (a.groups == 1 && PackedBytes(a.kd * a.kh * a.kw * a.c, a.oc) > kWholeBytes) {
    return GemmConv::RunInParts(a, weights, x, s, epilogue, y, threads);
  }
  OnceStore store;
  GemmConv(a, weights, {threads, store}).Run(x, s, epilogue, y, threads);
}

}  // namespace slipway::kernels
