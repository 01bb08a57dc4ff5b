#include <cmath>
#include <vector>

#include "kernels/conv/algorithms.h"
#include "kernels/gemm/gemm.h"
#include "kernels/gemm/scratch.h"
#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/winograd_rows.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/conv/output-inl.h"

#ifndef SLIPWAY_KERNELS_CONV_WINOGRAD_ROWS_TYPES
#define SLIPWAY_KERNELS_CONV_WINOGRAD_ROWS_TYPES
namespace slipway::kernels {
namespace {

constexpr int kTile = 4;                          // outputs
constexpr int kTaps = 7;                          // of a kernel's row, which goes over the image by twos
constexpr int kPixels = 2 * (kTile - 1) + kTaps;  // under a tile
constexpr int kFinite = 6;                        // points besides infinity
constexpr int kPlanes = kFinite + 1;
constexpr int64_t kSlack = 16;  // floats; of it what vectors of four write past the end

// Every second pixel meets four taps, F(4, 4), those between meet three, F(4, 3). Interpolated at the same points,
// infinity besides for the former, their products add up before they are transformed. Of +-p, +-q, +-r these have about
// the least error.
constexpr double kPoints[3] = {0.3125, 0.875, 1.875};

/// Some tiles of a band of output rows.
struct RowsCall {
  const ConvAttributes& a;
  const ConvShape& s;
  const Epilogue& e;
  float* y;
  int64_t tiles;
};

}  // namespace
}  // namespace slipway::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {
namespace {

using Few = hn::CappedTag<float, 4>;
using FewVec = hn::Vec<Few>;

/// The polynomial through all points but one, for each, of six numbers.
HWY_INLINE void Interpolate(const FewVec (&x)[6], FewVec (&out)[kFinite]) {
  const Few d;
#pragma GCC unroll 3
  for (int i = 0; i < 3; ++i) {
    const double q = kPoints[(i + 1) % 3] * kPoints[(i + 1) % 3], r = kPoints[(i + 2) % 3] * kPoints[(i + 2) % 3];
    const FewVec sum = hn::Set(d, static_cast<float>(q + r));
    const FewVec product = hn::Set(d, static_cast<float>(q * r));
    const FewVec point = hn::Set(d, static_cast<float>(kPoints[i]));
    const FewVec even = hn::MulAdd(product, x[0], hn::NegMulAdd(sum, x[2], x[4]));
    const FewVec odd = hn::MulAdd(product, x[1], hn::NegMulAdd(sum, x[3], x[5]));
    out[2 * i] = hn::MulAdd(point, even, odd);
    out[2 * i + 1] = hn::NegMulAdd(point, even, odd);
  }
}

/// The same for infinity, of x0, x2, x4, x6.
HWY_INLINE FewVec InterpolateHigh(FewVec x0, FewVec x2, FewVec x4, FewVec x6) {
  constexpr double p = kPoints[0] * kPoints[0], q = kPoints[1] * kPoints[1], r = kPoints[2] * kPoints[2];
  const Few d;
  const FewVec high = hn::NegMulAdd(hn::Set(d, static_cast<float>(p + q + r)), x4, x6);
  const FewVec middle = hn::MulAdd(hn::Set(d, static_cast<float>(p * q + p * r + q * r)), x2, high);
  return hn::NegMulAdd(hn::Set(d, static_cast<float>(p * q * r)), x0, middle);
}

/// A row of pixels of c channels to `tiles` tiles of each plane: c numbers of the even pixels, then, but at infinity,
/// c of the odd ones. Vectors may reach past what they are about, into what is written after them.
void TransformLine(const float* line, int64_t c, int64_t tiles, float* const (&planes)[kPlanes]) {
  const Few d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t t = 0; t < tiles; ++t, line += 2 * kTile * c) {
    for (const int64_t odd : {0, 1}) {
      for (int64_t i = 0; i < c; i += lanes) {
        const float* from = line + odd * c + i;
        FewVec x[6], out[kFinite];
#pragma GCC unroll 6
        for (int k = 0; k < 6; ++k) x[k] = hn::LoadU(d, from + 2 * k * c);
        Interpolate(x, out);
#pragma GCC unroll 6
        for (int k = 0; k < kFinite; ++k) hn::StoreU(out[k], d, planes[k] + (2 * t + odd) * c + i);
        if (odd == 0) {
          const FewVec high = InterpolateHigh(x[0], x[2], x[4], hn::LoadU(d, from + 12 * c));
          hn::StoreU(high, d, planes[kFinite] + t * c + i);
        }
      }
    }
  }
}

HWY_INLINE void OutputVector(const RowsCall& call, const float* in, int64_t plane, int64_t count, int64_t at,
                             int64_t channel, size_t lanes) {
  constexpr double p = kPoints[0], q = kPoints[1], r = kPoints[2];
  const ConvTag d;
  const auto combine = [&](double a, double b, double c, ConvVec x, ConvVec y, ConvVec z) HWY_ATTR {
    const ConvVec first = hn::Mul(hn::Set(d, static_cast<float>(a)), x);
    const ConvVec second = hn::MulAdd(hn::Set(d, static_cast<float>(b)), y, first);
    return hn::MulAdd(hn::Set(d, static_cast<float>(c)), z, second);
  };
  ConvVec even[3], odd[3], out[kTile];
#pragma GCC unroll 3
  for (int i = 0; i < 3; ++i) {
    const ConvVec plus = hn::LoadU(d, in + 2 * i * plane), minus = hn::LoadU(d, in + (2 * i + 1) * plane);
    even[i] = hn::Add(plus, minus);
    odd[i] = hn::Sub(plus, minus);
  }
  out[0] = hn::Add(even[0], hn::Add(even[1], even[2]));
  out[1] = combine(p, q, r, odd[0], odd[1], odd[2]);
  out[2] = combine(p * p, q * q, r * r, even[0], even[1], even[2]);
  out[3] = combine(p * p * p, q * q * q, r * r * r, odd[0], odd[1], odd[2]);
  out[3] = hn::Add(out[3], hn::LoadU(d, in + kFinite * plane));
  StorePixels<kTile>(call.e, out, count, call.y, at + channel, call.a.oc, channel, lanes);
}

/// The products of a row of tiles, `row` floats a tile and `plane` a plane, to outputs from offset `at` of y on.
void TransformRow(const RowsCall& call, const float* products, int64_t row, int64_t plane, int64_t at, int64_t pixels) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(ConvTag()));
  for (int64_t x = 0; x < pixels; x += kTile, products += row) {
    const int64_t count = std::min<int64_t>(kTile, pixels - x);
    for (int64_t c = 0; c < call.a.oc; c += lanes) {
      const size_t exist = static_cast<size_t>(std::min(lanes, call.a.oc - c));
      OutputVector(call, products + c, plane, count, at + x * call.a.oc, c, exist);
    }
  }
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace slipway::kernels {
namespace {

HWY_EXPORT(TransformLine);
HWY_EXPORT(TransformRow);

class WinogradRowsConv : public ConvKernel {
 public:
  WinogradRowsConv(const ConvAttributes& a, const float* weights, const Packing& packing) : a_(a) {
    const int64_t k = a.kh * 2 * a.c;
    plane_floats_ = AlignUp(static_cast<int64_t>(PackedBytes(k, a.oc) / sizeof(float)), kSlack);
    storage_ = FloatBlock(packing.store, kPlanes * plane_floats_, [&](float* out) {
      std::vector<float> dense(static_cast<size_t>(a.oc * k));
      for (int i = 0; i < kPlanes; ++i) {
        Transform(weights, i, dense.data());
        const int64_t depth = Depth(i);
        PackMatrix(dense.data(), depth, a.oc, 1, depth, out + i * plane_floats_, packing.threads);
      }
    });
    for (int i = 0; i < kPlanes; ++i) packed_[i] = {Depth(i), a.oc, storage_.get() + i * plane_floats_};
  }

  void Run(const ConvInput& x, const ConvShape& s, const Epilogue& epilogue, float* y,
           const Threads& threads) const override {
    ChooseTarget();
    constexpr int64_t kBandRows = 8, kPartTiles = 64;
    const int64_t bands = CeilDiv(s.oh, kBandRows), parts = CeilDiv(CeilDiv(s.ow, kTile), kPartTiles);
    const int64_t tiles = CeilDiv(CeilDiv(s.ow, kTile), parts);
    const RowsCall call{a_, s, epilogue, y, tiles};
    threads.ParallelFor(s.n * bands * parts, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t first = i / parts % bands * kBandRows;
        RunBand(call, x.data, i / parts / bands, first, std::min(s.oh, first + kBandRows), i % parts * tiles * kTile);
      }
    });
  }

  size_t Bytes() const override { return static_cast<size_t>(kPlanes * plane_floats_) * sizeof(float); }

 private:
  /// Numbers of a tile in a row of a plane.
  int64_t Numbers(int plane) const { return plane < kFinite ? 2 * a_.c : a_.c; }
  int64_t Depth(int plane) const { return a_.kh * Numbers(plane); }

  /// out[oc][kh][even taps, odd taps][c], but without the odd ones at infinity.
  void Transform(const float* weights, int plane, float* out) const {
    double even[4] = {0, 0, 0, 1}, odd[3] = {};
    if (plane < kFinite) {
      const double p = kPoints[plane / 2] * (plane % 2 == 0 ? 1 : -1);
      double norm = 2 * p;
      for (const double other : kPoints) norm *= other == kPoints[plane / 2] ? 1 : p * p - other * other;
      for (int i = 0; i < 4; ++i) even[i] = std::pow(p, i) / norm;
      std::copy_n(even, 3, odd);
    }
    for (int64_t o = 0; o < a_.oc; ++o) {
      for (int64_t ky = 0; ky < a_.kh; ++ky, out += Numbers(plane)) {
        for (int64_t c = 0; c < a_.c; ++c) {
          const float* row = weights + ((o * a_.c + c) * a_.kh + ky) * kTaps;
          const auto sum = [row](const double* factors, int from) {
            double all = 0;
            for (int k = from; k < kTaps; k += 2) all += factors[k / 2] * row[k];
            return static_cast<float>(all);
          };
          out[c] = sum(even, 0);
          if (plane < kFinite) out[a_.c + c] = sum(odd, 1);
        }
      }
    }
  }

  /// Output rows [first, last) from column ox on.
  void RunBand(const RowsCall& call, const float* x, int64_t image, int64_t first, int64_t last, int64_t ox) const {
    static thread_local Scratch scratch;
    const ConvShape& s = call.s;
    const int64_t pixels = std::min(call.tiles * kTile, s.ow - ox), tiles = CeilDiv(pixels, kTile);
    const int64_t rows = (last - first - 1) * a_.stride_h + (a_.kh - 1) * a_.dilation_h + 1;
    const int64_t columns = 2 * kTile * (tiles - 1) + kPixels;
    const int64_t line_floats = AlignUp(columns * a_.c + kSlack, kSlack);
    const int64_t value_floats = AlignUp(rows * tiles * 2 * a_.c + kSlack, kSlack);
    const int64_t product_row = AlignUp(a_.oc, kSlack), product_floats = tiles * product_row + kSlack;
    float* line = scratch.Reserve(static_cast<size_t>(line_floats + kPlanes * (value_floats + product_floats)));
    float* values = line + line_floats;
    float* products = values + kPlanes * value_floats;
    const int64_t from = (image * s.h + first * a_.stride_h - s.pad_top) * s.w;
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t iy = first * a_.stride_h - s.pad_top + r;
      const float* row = iy >= 0 && iy < s.h ? x + (from + r * s.w) * a_.c : nullptr;
      ReadLine(row, s.w, a_.c, ox * 2 - s.pad_left, columns, line);
      float* planes[kPlanes];
      for (int i = 0; i < kPlanes; ++i) planes[i] = values + i * value_floats + r * tiles * Numbers(i);
      HWY_DYNAMIC_DISPATCH(TransformLine)(line, a_.c, tiles, planes);
    }
    for (int64_t oy = first; oy < last; ++oy) {
      for (int i = 0; i < kPlanes; ++i) {
        const int64_t length = Numbers(i), plane_line = tiles * length;
        const WindowRows window = {.data = values + i * value_floats + (oy - first) * a_.stride_h * plane_line,
                                   .row_stride = length,
                                   .segments = a_.kh,
                                   .length = length,
                                   .segment_stride = a_.dilation_h * plane_line};
        Gemm(tiles, window, packed_[i], products + i * product_floats, product_row, {});
      }
      const int64_t at = ((image * s.oh + oy) * s.ow + ox) * a_.oc;
      HWY_DYNAMIC_DISPATCH(TransformRow)(call, products, product_row, product_floats, at, pixels);
    }
  }

  ConvAttributes a_;
  int64_t plane_floats_;
  std::shared_ptr<const float> storage_;
  PackedMatrix packed_[kPlanes];
};

}  // namespace

std::unique_ptr<ConvKernel> MakeWinogradRowsConv(const ConvAttributes& attributes, const float* weights,
                                                 const Packing& packing) {
  return std::make_unique<WinogradRowsConv>(attributes, weights, packing);
}

}  // namespace slipway::kernels
#endif
