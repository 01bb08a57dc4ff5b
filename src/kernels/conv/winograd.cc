#include <vector>

#include "kernels/conv/algorithms.h"
#include "kernels/gemm/gemm.h"
#include "kernels/gemm/scratch.h"
#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/winograd.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/conv/output-inl.h"
#include "kernels/gemm/columns-inl.h"

#ifndef SLIPWAY_KERNELS_CONV_WINOGRAD_TYPES
#define SLIPWAY_KERNELS_CONV_WINOGRAD_TYPES
namespace slipway::kernels {
namespace {

constexpr int64_t kOutBlock = 64;  // output channels multiplied and transformed together
constexpr int64_t kLine = 16;      // floats

// F(4, 3) interpolates at 0, +-sqrt(1/2), +-sqrt(2) and infinity: a third of the rounding error of 0, +-1, +-2. With
// these the squares are 1/2 and 2, their product 1 and their sum 5/2.
constexpr double kP = 0.70710678118654752440;
constexpr double kQ = 1.41421356237309504880;
constexpr double kWeights4[6][3] = {
    {1, 0, 0},
    {-2.0 / 3, -2.0 / 3 * kP, -1.0 / 3},
    {-2.0 / 3, 2.0 / 3 * kP, -1.0 / 3},
    {1.0 / 6, 1.0 / 6 * kQ, 1.0 / 3},
    {1.0 / 6, -1.0 / 6 * kQ, 1.0 / 3},
    {0, 0, 1},
};
constexpr double kWeights2[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};

/// Where the tiles of a call lie, and how they are laid out between the transforms: planes of [tiles][channels].
struct WinogradCall {
  int tile;
  const ConvAttributes& a;
  const ConvShape& s;
  const Epilogue& e;
  const float* x;
  float* y;
  int64_t tiles_h;
  int64_t tiles_w;
};

/// Kernels [count][c][3][3] to transform and pack, and the (tile + 2)^2 matrices [c, count], `stride` floats apart.
struct WinogradWeights {
  int tile;
  int64_t c;
  int64_t count;
  const float* weights;
  float* out;
  int64_t stride;
};

struct Planes {
  float* data;
  int64_t stride;  ///< from a plane to the next
  int64_t row;     ///< from a tile to the next
};

}  // namespace
}  // namespace slipway::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {
namespace {

using D = ConvTag;
using V = ConvVec;

struct F4 {
  static constexpr int kTile = 4;
  static constexpr int kSide = 6;
  static HWY_INLINE void Input(const V (&x)[6], V (&out)[6]) {
    const D d;
    const V p = hn::Set(d, static_cast<float>(kP));
    const V q = hn::Set(d, static_cast<float>(kQ));
    const V half = hn::Set(d, 0.5f);
    const V two = hn::Set(d, 2.0f);
    const V sum = hn::Set(d, 2.5f);
    const V even_p = hn::NegMulAdd(two, x[2], x[4]);
    const V odd_p = hn::Mul(p, hn::NegMulAdd(two, x[1], x[3]));
    const V even_q = hn::NegMulAdd(half, x[2], x[4]);
    const V odd_q = hn::Mul(q, hn::NegMulAdd(half, x[1], x[3]));
    out[0] = hn::NegMulAdd(sum, x[2], hn::Add(x[0], x[4]));
    out[1] = hn::Add(even_p, odd_p);
    out[2] = hn::Sub(even_p, odd_p);
    out[3] = hn::Add(even_q, odd_q);
    out[4] = hn::Sub(even_q, odd_q);
    out[5] = hn::NegMulAdd(sum, x[3], hn::Add(x[1], x[5]));
  }
  static HWY_INLINE void Output(const V (&m)[6], V (&out)[4]) {
    const D d;
    const V even_p = hn::Add(m[1], m[2]);
    const V odd_p = hn::Sub(m[1], m[2]);
    const V even_q = hn::Add(m[3], m[4]);
    const V odd_q = hn::Sub(m[3], m[4]);
    out[0] = hn::Add(m[0], hn::Add(even_p, even_q));
    out[1] = hn::MulAdd(hn::Set(d, static_cast<float>(kP)), odd_p, hn::Mul(hn::Set(d, static_cast<float>(kQ)), odd_q));
    out[2] = hn::MulAdd(hn::Set(d, 0.5f), even_p, hn::Add(even_q, even_q));
    const V odd = hn::MulAdd(hn::Set(d, static_cast<float>(kP / 2)), odd_p, m[5]);
    out[3] = hn::MulAdd(hn::Set(d, static_cast<float>(kQ * 2)), odd_q, odd);
  }
};

struct F2 {
  static constexpr int kTile = 2;
  static constexpr int kSide = 4;
  static HWY_INLINE void Input(const V (&x)[4], V (&out)[4]) {
    out[0] = hn::Sub(x[0], x[2]);
    out[1] = hn::Add(x[1], x[2]);
    out[2] = hn::Sub(x[2], x[1]);
    out[3] = hn::Sub(x[3], x[1]);
  }
  static HWY_INLINE void Output(const V (&m)[4], V (&out)[2]) {
    out[0] = hn::Add(m[0], hn::Add(m[1], m[2]));
    out[1] = hn::Add(m[3], hn::Sub(m[1], m[2]));
  }
};

/// A tile's corner in its image, in outputs; its inputs begin there less the padding.
struct TilePosition {
  int64_t image;
  int64_t oy;
  int64_t ox;
};

HWY_INLINE TilePosition Position(const WinogradCall& call, int64_t tile) {
  const int64_t in_image = tile % (call.tiles_h * call.tiles_w);
  return {tile / (call.tiles_h * call.tiles_w), in_image / call.tiles_w * call.tile,
          in_image % call.tiles_w * call.tile};
}

template <class F>
HWY_INLINE void TransformVector(const WinogradCall& call, const float* x, int64_t y0, int64_t x0, size_t lanes,
                                const Planes& planes, float* out) {
  constexpr int kSide = F::kSide;
  const D d;
  const bool inside = y0 >= 0 && x0 >= 0 && y0 + kSide <= call.s.h && x0 + kSide <= call.s.w;
  V half[kSide][kSide];
  for (int j = 0; j < kSide; ++j) {
    V in[kSide];
    V transformed[kSide];
#pragma GCC unroll 8
    for (int i = 0; i < kSide; ++i) {
      const bool exists = inside || (y0 + i >= 0 && y0 + i < call.s.h && x0 + j >= 0 && x0 + j < call.s.w);
      in[i] = exists ? LoadFirst(x + (i * call.s.w + j) * call.a.c, lanes) : hn::Zero(d);
    }
    F::Input(in, transformed);
#pragma GCC unroll 8
    for (int i = 0; i < kSide; ++i) half[i][j] = transformed[i];
  }
  for (int i = 0; i < kSide; ++i) {
    V transformed[kSide];
    F::Input(half[i], transformed);
#pragma GCC unroll 8
    for (int j = 0; j < kSide; ++j) hn::StoreU(transformed[j], d, out + (i * kSide + j) * planes.stride);
  }
}

/// Input of tiles [begin, end) to rows [0, end - begin) of the planes.
template <class F>
void TransformInput(const WinogradCall& call, int64_t begin, int64_t end, const Planes& planes) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(D()));
  const int64_t channels = call.a.c;
  for (int64_t tile = begin; tile < end; ++tile) {
    const TilePosition at = Position(call, tile);
    const int64_t y0 = at.oy - call.s.pad_top;
    const int64_t x0 = at.ox - call.s.pad_left;
    const float* x = call.x + ((at.image * call.s.h + y0) * call.s.w + x0) * channels;
    float* out = planes.data + (tile - begin) * planes.row;
    int64_t c = 0;
    for (; c + lanes <= channels; c += lanes) {
      TransformVector<F>(call, x + c, y0, x0, hn::Lanes(D()), planes, out + c);
    }
    if (c < channels) TransformVector<F>(call, x + c, y0, x0, static_cast<size_t>(channels - c), planes, out + c);
  }
}

template <class F>
HWY_INLINE void OutputVector(const WinogradCall& call, const TilePosition& at, const Planes& planes, const float* in,
                             int64_t channel, size_t lanes) {
  constexpr int kSide = F::kSide;
  constexpr int kTile = F::kTile;
  const D d;
  V half[kTile][kSide];
  for (int j = 0; j < kSide; ++j) {
    V m[kSide];
    V transformed[kTile];
#pragma GCC unroll 8
    for (int i = 0; i < kSide; ++i) m[i] = hn::LoadU(d, in + (i * kSide + j) * planes.stride);
    F::Output(m, transformed);
#pragma GCC unroll 8
    for (int i = 0; i < kTile; ++i) half[i][j] = transformed[i];
  }
  const int64_t rows = std::min<int64_t>(kTile, call.s.oh - at.oy);
  const int64_t columns = std::min<int64_t>(kTile, call.s.ow - at.ox);
  for (int64_t i = 0; i < rows; ++i) {
    V out[kTile];
    F::Output(half[i], out);
    const int64_t pixel = ((at.image * call.s.oh + at.oy + i) * call.s.ow) + at.ox;
    StorePixels<kTile>(call.e, out, columns, call.y, pixel * call.a.oc + channel, call.a.oc, channel, lanes);
  }
}

/// Output channels [channel, channel + channels) of tiles [begin, end) from products in rows [0, end - begin).
template <class F>
void TransformOutput(const WinogradCall& call, int64_t begin, int64_t end, int64_t channel, int64_t channels,
                     const Planes& planes) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(D()));
  for (int64_t tile = begin; tile < end; ++tile) {
    const TilePosition at = Position(call, tile);
    const float* in = planes.data + (tile - begin) * planes.row;
    int64_t c = 0;
    for (; c + lanes <= channels; c += lanes) {
      OutputVector<F>(call, at, planes, in + c, channel + c, hn::Lanes(D()));
    }
    if (c < channels) OutputVector<F>(call, at, planes, in + c, channel + c, static_cast<size_t>(channels - c));
  }
}

void WinogradInput(const WinogradCall& call, int64_t begin, int64_t end, const Planes& planes) {
  (call.tile == 4 ? TransformInput<F4> : TransformInput<F2>)(call, begin, end, planes);
}

void WinogradOutput(const WinogradCall& call, int64_t begin, int64_t end, int64_t channel, int64_t channels,
                    const Planes& planes) {
  (call.tile == 4 ? TransformOutput<F4> : TransformOutput<F2>)(call, begin, end, channel, channels, planes);
}

/// G w G^T of the 3x3 kernels of a vector of output channels, in double, rounded once. taps[9][Lanes] holds the
/// kernels; matrix m's part goes to out + m * stride.
template <int kSide>
HWY_INLINE void TransformKernels(const double (&g)[kSide][3], const float* taps, float* out, int64_t stride) {
  const D d;
  const hn::Rebind<double, hn::Half<D>> dd;
  const size_t lanes = hn::Lanes(d);
  for (size_t at = 0; at < lanes; at += hn::Lanes(dd)) {
    const hn::Half<D> df;
    hn::Vec<decltype(dd)> w[3][3], row[3];
    for (int i = 0; i < 9; ++i) w[i / 3][i % 3] = hn::PromoteTo(dd, hn::LoadU(df, taps + i * lanes + at));
    for (int i = 0; i < kSide; ++i) {
#pragma GCC unroll 3
      for (int x = 0; x < 3; ++x) {
        row[x] = hn::MulAdd(hn::Set(dd, g[i][2]), w[2][x],
                            hn::MulAdd(hn::Set(dd, g[i][1]), w[1][x], hn::Mul(hn::Set(dd, g[i][0]), w[0][x])));
      }
      for (int j = 0; j < kSide; ++j) {
        const auto u = hn::MulAdd(hn::Set(dd, g[j][2]), row[2],
                                  hn::MulAdd(hn::Set(dd, g[j][1]), row[1], hn::Mul(hn::Set(dd, g[j][0]), row[0])));
        hn::StoreU(hn::DemoteTo(df, u), df, out + (i * kSide + j) * stride + at);
      }
    }
  }
}

void WinogradPack(const WinogradWeights& job) {
  for (int64_t col = 0; col < job.count; col += kPanelWidth) {
    const int64_t cols = std::min<int64_t>(job.count - col, kPanelWidth);
    const int64_t width = cols <= kLanes ? kLanes : kPanelWidth;
    for (int64_t c = 0; c < job.c; ++c) {
      for (int64_t from = 0; from < width; from += kLanes) {
        HWY_ALIGN float taps[9 * kLanes];
        for (int64_t lane = 0; lane < kLanes; ++lane) {
          const bool exists = from + lane < cols;
          const float* w = job.weights + ((col + from + lane) * job.c + c) * 9;
          for (int t = 0; t < 9; ++t) taps[t * kLanes + lane] = exists ? w[t] : 0.0f;
        }
        float* out = job.out + col * job.c + c * width + from;
        job.tile == 4 ? TransformKernels(kWeights4, taps, out, job.stride)
                      : TransformKernels(kWeights2, taps, out, job.stride);
      }
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

HWY_EXPORT(WinogradInput);
HWY_EXPORT(WinogradPack);
HWY_EXPORT(WinogradOutput);

class WinogradConv : public ConvKernel {
 public:
  WinogradConv(const ConvAttributes& a, const float* weights, int tile, const Packing& packing)
      : a_(a), tile_(tile), side_(tile + 2), out_blocks_(CeilDiv(a.oc, kOutBlock)) {
    matrix_floats_ = AlignUp(static_cast<int64_t>(PackedBytes(a.c, std::min(kOutBlock, a.oc)) / sizeof(float)), kLine);
    storage_ = FloatBlock(packing.store, out_blocks_ * Matrices() * matrix_floats_, [&](float* out) {
      packing.threads.ParallelFor(out_blocks_, 1, [&](int64_t begin, int64_t end) {
        for (int64_t block = begin; block < end; ++block) PackBlock(weights, block, out);
      });
    });
    for (int64_t i = 0; i < out_blocks_ * Matrices(); ++i) {
      const int64_t columns = std::min(kOutBlock, a.oc - i / Matrices() * kOutBlock);
      packed_.push_back({.k = a.c, .n = columns, .data = storage_.get() + i * matrix_floats_});
    }
  }

  void Run(const ConvInput& x, const ConvShape& s, const Epilogue& epilogue, float* y,
           const Threads& threads) const override {
    ChooseTarget();
    const WinogradCall call{tile_, a_, s, epilogue, x.data, y, CeilDiv(s.oh, tile_), CeilDiv(s.ow, tile_)};
    const int64_t tiles = s.n * call.tiles_h * call.tiles_w;
    // The transformed input of a block of tiles takes half of the second-level cache; a product of fewer rows than
    // kLeast would wait for its weights.
    constexpr int64_t kCacheFloats = 128 * 1024;
    constexpr int64_t kLeast = 16;
    const int64_t most = std::max(kLeast, kCacheFloats / (Matrices() * InRow()));
    int64_t blocks = CeilDiv(tiles, most);
    if (blocks < threads.count()) return RunTogether(call, tiles, threads);
    if (blocks < 8 * threads.count()) blocks = AlignUp(blocks, threads.count());
    const int64_t block = CeilDiv(tiles, blocks);
    threads.ParallelFor(tiles, block, [&](int64_t begin, int64_t end) {
      const Planes inputs = InputPlanes(block);
      const Planes products = ProductPlanes(block);
      for (int64_t first = begin; first < end; first += block) {
        const int64_t last = std::min(end, first + block);
        HWY_DYNAMIC_DISPATCH(WinogradInput)(call, first, last, inputs);
        for (int64_t o = 0; o < out_blocks_; ++o) Multiply(call, first, last, o, inputs, products);
      }
    });
  }

  size_t Bytes() const override {
    return static_cast<size_t>(out_blocks_ * Matrices() * matrix_floats_) * sizeof(float);
  }

 private:
  int64_t Matrices() const { return side_ * side_; }
  int64_t InRow() const { return AlignUp(a_.c, kLine); }
  /// Planes are a line longer than their rows, or all would fall into the same sets of the cache.
  Planes InputPlanes(int64_t tiles) const {
    static thread_local Scratch scratch;
    const int64_t stride = tiles * InRow() + kLine;
    return {scratch.Reserve(static_cast<size_t>(Matrices() * stride)), stride, InRow()};
  }
  Planes ProductPlanes(int64_t tiles) const {
    static thread_local Scratch scratch;
    const int64_t stride = tiles * kOutBlock + kLine;
    return {scratch.Reserve(static_cast<size_t>(Matrices() * stride)), stride, kOutBlock};
  }

  /// Few tiles: all threads transform the input, then share the blocks of output channels.
  void RunTogether(const WinogradCall& call, int64_t tiles, const Threads& threads) const {
    const Planes inputs = InputPlanes(tiles);
    threads.ParallelFor(tiles, 1, [&](int64_t begin, int64_t end) {
      HWY_DYNAMIC_DISPATCH(WinogradInput)(call, begin, end, {inputs.data + begin * InRow(), inputs.stride, inputs.row});
    });
    threads.ParallelFor(out_blocks_, 1, [&](int64_t begin, int64_t end) {
      const Planes products = ProductPlanes(tiles);
      for (int64_t o = begin; o < end; ++o) Multiply(call, 0, tiles, o, inputs, products);
    });
  }

  /// The products of tiles [begin, end), in rows from 0 on, with a block of output channels, and their outputs.
  void Multiply(const WinogradCall& call, int64_t begin, int64_t end, int64_t out_block, const Planes& inputs,
                const Planes& products) const {
    const Threads alone(1);
    for (int64_t m = 0; m < Matrices(); ++m) {
      Gemm(end - begin, inputs.data + m * inputs.stride, inputs.row,
           packed_[static_cast<size_t>(out_block * Matrices() + m)], products.data + m * products.stride, products.row,
           {}, alone);
    }
    const int64_t channel = out_block * kOutBlock;
    HWY_DYNAMIC_DISPATCH(WinogradOutput)(call, begin, end, channel, std::min(kOutBlock, a_.oc - channel), products);
  }

  void PackBlock(const float* weights, int64_t block, float* out) const {
    const int64_t first = block * kOutBlock;
    const WinogradWeights job{tile_,
                              a_.c,
                              std::min(kOutBlock, a_.oc - first),
                              weights + first * a_.c * 9,
                              out + block * Matrices() * matrix_floats_,
                              matrix_floats_};
    HWY_DYNAMIC_DISPATCH(WinogradPack)(job);
  }

  ConvAttributes a_;
  int tile_;
  int64_t side_;
  int64_t out_blocks_;
  int64_t matrix_floats_;
  std::shared_ptr<const float> storage_;
  std::vector<PackedMatrix> packed_;  ///< [out_blocks][side * side]
};

}  // namespace

std::unique_ptr<ConvKernel> MakeWinogradConv(const ConvAttributes& attributes, const float* weights, int tile,
                                             const Packing& packing) {
  return std::make_unique<WinogradConv>(attributes, weights, tile, packing);
}

}  // namespace slipway::kernels
#endif
