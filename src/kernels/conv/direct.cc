#include "kernels/conv/algorithms.h"
#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/direct.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/conv/output-inl.h"

#ifndef SLIPWAY_KERNELS_CONV_DIRECT_TYPES
#define SLIPWAY_KERNELS_CONV_DIRECT_TYPES
namespace slipway::kernels {
namespace {

struct DirectCall {
  const ConvAttributes& a;
  const ConvShape& s;
  const Epilogue& e;
  const float* x;
  const float* weights;   ///< [kh][group_c][kw][padded_c]
  int64_t padded_c;       ///< output channels: whole vectors of any instruction set
  int64_t channel_block;  ///< a multiple of 16
  int64_t group_c;        ///< input channels a group
  int64_t group_oc;
  float* y;
};

/// What the lanes of an input vector hold, which are multiplied with a vector of output channels.
enum class Source : uint8_t {
  kOwn,     ///< a channel each: depthwise
  kOne,     ///< all the same channel: the output vector lies within a group
  kGroups,  ///< that channel of each of their groups
};

/// Output pixels of a row that are computed together, and what of their input exists.
struct PixelBlock {
  const float* x;    ///< the first pixel's first input column in the row of kernel row 0, channel 0; may lie outside
  int64_t ky_begin;  ///< kernel rows inside of the image
  int64_t ky_end;
  int64_t column_begin;  ///< columns from x on that are inside of the image
  int64_t column_end;
  int64_t pixels;
  int64_t out;  ///< offset of the first pixel in y
};

}  // namespace
}  // namespace slipway::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {
namespace {

// Rows of 7, 14, 28, 56 and 112 pixels leave no rest; with a kernel row of 7 weights 15 registers are in use.
constexpr int kPixels = 7;

using D = ConvTag;
using V = ConvVec;

/// Reads input vectors for the output channels from c on.
template <Source kSource>
class Reader {
 public:
  Reader(const DirectCall& call, int64_t c, size_t lanes)
      : first_(kSource == Source::kOwn ? c : c / call.group_oc * call.group_c), count_(lanes) {
    if constexpr (kSource == Source::kGroups) {
      count_ = lanes / static_cast<size_t>(call.group_oc) * static_cast<size_t>(call.group_c);
      const D d;
      HWY_ALIGN int32_t index[hn::MaxLanes(D())];
      for (size_t i = 0; i < hn::Lanes(d); ++i) {
        index[i] = static_cast<int32_t>(static_cast<int64_t>(i) / call.group_oc * call.group_c);
      }
      index_ = hn::Load(hn::RebindToSigned<D>(), index);
    }
  }
  int64_t first() const { return first_; }

  /// For channel i of the groups; `pixel` is at first().
  auto Of(int64_t i) const {
    if constexpr (kSource == Source::kGroups) {
      const hn::RebindToSigned<D> di;
      const auto lookup = hn::IndicesFromVec(D(), hn::Add(index_, hn::Set(di, static_cast<int32_t>(i))));
      return [lookup, count = count_](const float* pixel)
                 HWY_ATTR { return hn::TableLookupLanes(LoadFirst(pixel, count), lookup); };
    } else if constexpr (kSource == Source::kOne) {
      return [i](const float* pixel) HWY_ATTR { return hn::Set(D(), pixel[i]); };
    } else {
      return [count = count_](const float* pixel) HWY_ATTR { return LoadFirst(pixel, count); };
    }
  }

 private:
  int64_t first_;
  size_t count_;
  hn::Vec<hn::RebindToSigned<D>> index_;
};

HWY_INLINE void Finish(const DirectCall& call, const PixelBlock& b, const V* acc, int64_t c, size_t lanes) {
  StorePixels<kPixels>(call.e, acc, b.pixels, call.y, b.out + c, call.a.oc, c, lanes);
}

/// One vector of channels of a block; the kernel's width and stride are known, its columns follow one another.
template <Source kSource, int kKw, int kStride, bool kEdge>
HWY_INLINE void FixedVector(const DirectCall& call, const PixelBlock& b, int64_t c, size_t lanes) {
  constexpr int kColumns = (kPixels - 1) * kStride + kKw;
  const D d;
  const int64_t pixel = call.a.c;
  V acc[kPixels];
  for (V& v : acc) v = hn::Zero(d);
  const Reader<kSource> reader(call, c, lanes);
  const int64_t group_c = kSource == Source::kOwn ? 1 : call.group_c;
  for (int64_t ky = b.ky_begin; ky < b.ky_end; ++ky) {
    const float* row = b.x + ky * call.a.dilation_h * call.s.w * pixel + reader.first();
    for (int64_t i = 0; i < group_c; ++i) {
      const auto read = reader.Of(i);
      const float* weights = call.weights + (ky * group_c + i) * kKw * call.padded_c + c;
      V w[kKw];
#pragma GCC unroll 32
      for (int k = 0; k < kKw; ++k) w[k] = hn::LoadU(d, weights + k * call.padded_c);
      const float* x = row;
#pragma GCC unroll 32
      for (int j = 0; j < kColumns; ++j, x += pixel) {
        if (kEdge && (j < b.column_begin || j >= b.column_end)) continue;
        const V v = read(x);
#pragma GCC unroll 32
        for (int k = 0; k < kKw; ++k) {
          if (j < k || (j - k) % kStride != 0 || (j - k) / kStride >= kPixels) continue;
          acc[(j - k) / kStride] = hn::MulAdd(v, w[k], acc[(j - k) / kStride]);
        }
      }
    }
  }
  Finish(call, b, acc, c, lanes);
}

/// The same for any kernel, tap by tap.
template <Source kSource, bool kEdge>
HWY_INLINE void AnyVector(const DirectCall& call, const PixelBlock& b, int64_t c, size_t lanes) {
  const D d;
  const ConvAttributes& a = call.a;
  V acc[kPixels];
  for (V& v : acc) v = hn::Zero(d);
  const Reader<kSource> reader(call, c, lanes);
  const int64_t group_c = kSource == Source::kOwn ? 1 : call.group_c;
  for (int64_t ky = b.ky_begin; ky < b.ky_end; ++ky) {
    const float* row = b.x + ky * a.dilation_h * call.s.w * a.c + reader.first();
    for (int64_t i = 0; i < group_c; ++i) {
      const auto read = reader.Of(i);
      const float* weights = call.weights + (ky * group_c + i) * a.kw * call.padded_c + c;
      for (int64_t kx = 0; kx < a.kw; ++kx) {
        const V w = hn::LoadU(d, weights + kx * call.padded_c);
#pragma GCC unroll 32
        for (int p = 0; p < kPixels; ++p) {
          const int64_t column = p * a.stride_w + kx * a.dilation_w;
          if (kEdge && (column < b.column_begin || column >= b.column_end)) continue;
          acc[p] = hn::MulAdd(read(row + column * a.c), w, acc[p]);
        }
      }
    }
  }
  Finish(call, b, acc, c, lanes);
}

/// kKw = 0: any kernel.
template <Source kSource, int kKw, int kStride, bool kEdge>
HWY_INLINE void OneVector(const DirectCall& call, const PixelBlock& b, int64_t c, size_t lanes) {
  if constexpr (kKw == 0) {
    AnyVector<kSource, kEdge>(call, b, c, lanes);
  } else {
    FixedVector<kSource, kKw, kStride, kEdge>(call, b, c, lanes);
  }
}

/// Channels [begin, end) of a block.
template <Source kSource, int kKw, int kStride, bool kEdge>
HWY_NOINLINE void Channels(const DirectCall& call, const PixelBlock& b, int64_t begin, int64_t end) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(D()));
  int64_t c = begin;
  for (; c + lanes <= end; c += lanes) OneVector<kSource, kKw, kStride, kEdge>(call, b, c, hn::Lanes(D()));
  if (c < end) OneVector<kSource, kKw, kStride, kEdge>(call, b, c, static_cast<size_t>(end - c));
}

template <Source kSource, int kKw, int kStride>
void Row(const DirectCall& call, int64_t image, int64_t oy, int64_t begin, int64_t end) {
  const ConvAttributes& a = call.a;
  const ConvShape& s = call.s;
  const int64_t y0 = oy * a.stride_h - s.pad_top;
  PixelBlock b;
  b.ky_begin = y0 >= 0 ? 0 : CeilDiv(-y0, a.dilation_h);
  b.ky_end = y0 >= s.h ? 0 : std::min(a.kh, CeilDiv(s.h - y0, a.dilation_h));
  const int64_t columns = (kPixels - 1) * a.stride_w + (a.kw - 1) * a.dilation_w + 1;
  for (int64_t ox = 0; ox < s.ow; ox += kPixels) {
    const int64_t x0 = ox * a.stride_w - s.pad_left;
    b.x = call.x + ((image * s.h + y0) * s.w + x0) * a.c;
    b.column_begin = std::max<int64_t>(0, -x0);
    b.column_end = std::min(columns, s.w - x0);
    b.pixels = std::min<int64_t>(kPixels, s.ow - ox);
    b.out = ((image * s.oh + oy) * s.ow + ox) * a.oc;
    if (b.column_begin > 0 || b.column_end < columns) {
      Channels<kSource, kKw, kStride, true>(call, b, begin, end);
    } else {
      Channels<kSource, kKw, kStride, false>(call, b, begin, end);
    }
  }
}

using RowFunction = void (*)(const DirectCall&, int64_t, int64_t, int64_t, int64_t);

template <Source kSource>
RowFunction ChooseRow(const ConvAttributes& a) {
  if (a.dilation_w != 1 || a.stride_w > 2) return Row<kSource, 0, 1>;
  const bool two = a.stride_w == 2;
  switch (a.kw) {
    case 3:
      return two ? Row<kSource, 3, 2> : Row<kSource, 3, 1>;
    case 5:
      return two ? Row<kSource, 5, 2> : Row<kSource, 5, 1>;
    case 7:
      return two ? Row<kSource, 7, 2> : Row<kSource, 7, 1>;
    default:
      return Row<kSource, 0, 1>;
  }
}

RowFunction ChooseRow(const DirectCall& call) {
  if (call.group_c == 1 && call.group_oc == 1) return ChooseRow<Source::kOwn>(call.a);
  const bool within_a_group = call.group_oc % static_cast<int64_t>(hn::Lanes(D())) == 0;
  return within_a_group ? ChooseRow<Source::kOne>(call.a) : ChooseRow<Source::kGroups>(call.a);
}

/// Rows [begin, end) of all images and channel blocks: row = (image, channel block, output row).
void DirectRows(const DirectCall& call, int64_t begin, int64_t end) {
  const RowFunction row = ChooseRow(call);
  const int64_t blocks = CeilDiv(call.a.oc, call.channel_block);
  for (int64_t i = begin; i < end; ++i) {
    const int64_t c = i / call.s.oh % blocks * call.channel_block;
    row(call, i / call.s.oh / blocks, i % call.s.oh, c, std::min(call.a.oc, c + call.channel_block));
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

HWY_EXPORT(DirectRows);

class DirectConv : public ConvKernel {
 public:
  DirectConv(const ConvAttributes& a, const float* weights, const Packing& packing)
      : a_(a), group_c_(a.c / a.groups), group_oc_(a.oc / a.groups) {
    constexpr int64_t kWidest = 16;
    const int64_t taps = a.kh * a.kw;
    padded_c_ = AlignUp(a.oc, kWidest);
    weights_ = FloatBlock(packing.store, taps * group_c_ * padded_c_, [&](float* out) {
      for (int64_t t = 0; t < taps; ++t) {
        for (int64_t i = 0; i < group_c_; ++i) {
          float* row = out + ((t / a.kw * group_c_ + i) * a.kw + t % a.kw) * padded_c_;
          for (int64_t c = 0; c < padded_c_; ++c) row[c] = c < a.oc ? weights[(c * group_c_ + i) * taps + t] : 0;
        }
      }
    });
    // The weights of a block stay in the first-level cache while it goes over the image.
    constexpr int64_t kWeightFloats = 4096;
    const int64_t largest = std::max<int64_t>(64, kWeightFloats / (taps * group_c_));
    channel_block_ = AlignUp(CeilDiv(a.oc, CeilDiv(a.oc, largest)), kWidest);
  }

  void Run(const ConvInput& x, const ConvShape& s, const Epilogue& epilogue, float* y,
           const Threads& threads) const override {
    ChooseTarget();
    const DirectCall call{a_, s, epilogue, x.data, weights_.get(), padded_c_, channel_block_, group_c_, group_oc_, y};
    const int64_t rows = s.n * CeilDiv(a_.oc, channel_block_) * s.oh;
    constexpr int64_t kWorthAThread = 1 << 16;
    const int64_t row_work = s.ow * std::min(a_.oc, channel_block_) * a_.kh * a_.kw * group_c_;
    threads.ParallelFor(rows, std::max<int64_t>(1, kWorthAThread / row_work), [&](int64_t begin, int64_t end) {
      HWY_DYNAMIC_DISPATCH(DirectRows)(call, begin, end);
    });
  }

  size_t Bytes() const override { return static_cast<size_t>(a_.kh * a_.kw * group_c_ * padded_c_) * sizeof(float); }

 private:
  ConvAttributes a_;
  int64_t group_c_;
  int64_t group_oc_;
  int64_t padded_c_;
  int64_t channel_block_;
  std::shared_ptr<const float> weights_;
};

}  // namespace

std::unique_ptr<ConvKernel> MakeDirectConv(const ConvAttributes& attributes, const float* weights,
                                           const Packing& packing) {
  return std::make_unique<DirectConv>(attributes, weights, packing);
}

}  // namespace slipway::kernels
#endif
