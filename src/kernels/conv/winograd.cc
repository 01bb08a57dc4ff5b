#include <vector>

#include "kernels/conv/algorithms.h"
#include "kernels/conv/winograd_forms.h"
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
constexpr int kMost = WinogradForm::kMost * WinogradForm::kMost;

struct WinogradCall {
  const WinogradForm& form;
  const ConvAttributes& a;
  const ConvShape& s;
  const Epilogue& e;
  const float* x;
  float* y;
  int64_t tiles_h;
  int64_t tiles_w;
};

/// Kernels [count][c][3][3] to transform and pack, and the matrices [c, count], `stride` floats apart.
struct WinogradWeights {
  const WinogradForm& form;
  int64_t c;
  int64_t count;
  const float* weights;
  float* out;
  int64_t stride;
};

/// Tiles that go through the transforms and products together, and where their values lie: a row of channels for each
/// tile that has the value, one value after the other. Values that meet the same matrix are one left-hand matrix.
struct TileBlock {
  int64_t begin;
  int64_t end;
  int64_t row[kMost];          ///< the first of each value
  int64_t matrix_row[kMost];   ///< the first of those that a matrix is multiplied with
  int64_t matrix_rows[kMost];  ///< how many
  int64_t spare;               ///< a row that stands for the values that a tile does not have
};

/// Rows of channels, a line between those of different matrices: or all would fall into the same sets of the cache.
struct Rows {
  float* data;
  int64_t length;
  int64_t At(int64_t row, int64_t matrix) const { return row * length + matrix * kLine; }
};

/// A tile's corner in its image, in outputs, and whether all of its outputs exist along an axis.
struct TilePosition {
  int64_t image;
  int64_t oy;
  int64_t ox;
  bool whole_h;
  bool whole_w;
};

inline TilePosition Position(const WinogradCall& call, int64_t tile) {
  const int64_t in_image = tile % (call.tiles_h * call.tiles_w), side = call.form.tile;
  const int64_t oy = in_image / call.tiles_w * side, ox = in_image % call.tiles_w * side;
  return {tile / (call.tiles_h * call.tiles_w), oy, ox, oy + side <= call.s.oh, ox + side <= call.s.ow};
}

/// Whether a tile has value (i, j).
constexpr bool HasValue(const WinogradForm& form, int i, int j, bool whole_h, bool whole_w) {
  return (whole_h || !form.whole[i]) && (whole_w || !form.whole[j]);
}
constexpr int MatrixOf(const WinogradForm& form, int i, int j) {
  return form.matrix[i] * form.matrices + form.matrix[j];
}

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
  static constexpr const WinogradForm& kForm = kForm4;
  static HWY_INLINE void Input(const V (&x)[6], V (&out)[6]) {
    const D d;
    const V p = hn::Set(d, static_cast<float>(kP4));
    const V q = hn::Set(d, static_cast<float>(kQ4));
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
    out[1] =
        hn::MulAdd(hn::Set(d, static_cast<float>(kP4)), odd_p, hn::Mul(hn::Set(d, static_cast<float>(kQ4)), odd_q));
    out[2] = hn::MulAdd(hn::Set(d, 0.5f), even_p, hn::Add(even_q, even_q));
    const V odd = hn::MulAdd(hn::Set(d, static_cast<float>(kP4 / 2)), odd_p, m[5]);
    out[3] = hn::MulAdd(hn::Set(d, static_cast<float>(kQ4 * 2)), odd_q, odd);
  }
};

struct F3 {
  static constexpr const WinogradForm& kForm = kForm3;
  static HWY_INLINE void Input(const V (&x)[5], V (&out)[5]) {
    const D d;
    const V p2 = hn::Set(d, static_cast<float>(kP3 * kP3));
    const V q2 = hn::Set(d, static_cast<float>(kQ3 * kQ3));
    const V even_p = hn::Mul(hn::Set(d, static_cast<float>(kP3)), hn::NegMulAdd(q2, x[0], x[2]));
    const V odd_p = hn::NegMulAdd(q2, x[1], x[3]);
    const V even_q = hn::Mul(hn::Set(d, static_cast<float>(kQ3)), hn::NegMulAdd(p2, x[0], x[2]));
    const V odd_q = hn::NegMulAdd(p2, x[1], x[3]);
    out[0] = hn::Add(even_p, odd_p);
    out[1] = hn::Sub(even_p, odd_p);
    out[2] = hn::Add(even_q, odd_q);
    out[3] = hn::Sub(even_q, odd_q);
    const V high = hn::NegMulAdd(hn::Set(d, static_cast<float>(kP3 * kP3 + kQ3 * kQ3)), x[2], x[4]);
    out[4] = hn::MulAdd(hn::Set(d, static_cast<float>(kP3 * kP3 * kQ3 * kQ3)), x[0], high);
  }
  static HWY_INLINE void Output(const V (&m)[5], V (&out)[3]) {
    const D d;
    const V even_p = hn::Add(m[0], m[1]);
    const V odd_p = hn::Sub(m[0], m[1]);
    const V even_q = hn::Add(m[2], m[3]);
    const V odd_q = hn::Sub(m[2], m[3]);
    out[0] = hn::Add(even_p, even_q);
    out[1] =
        hn::MulAdd(hn::Set(d, static_cast<float>(kP3)), odd_p, hn::Mul(hn::Set(d, static_cast<float>(kQ3)), odd_q));
    const V even = hn::MulAdd(hn::Set(d, static_cast<float>(kP3 * kP3)), even_p, m[4]);
    out[2] = hn::MulAdd(hn::Set(d, static_cast<float>(kQ3 * kQ3)), even_q, even);
  }
};

struct F2 {
  static constexpr const WinogradForm& kForm = kForm2;
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

struct Stride2 {
  static constexpr const WinogradForm& kForm = kFormStride2;
  static HWY_INLINE void Input(const V (&x)[5], V (&out)[5]) {
    out[0] = hn::Sub(x[0], x[2]);
    out[1] = x[2];
    out[2] = hn::Sub(x[4], x[2]);
    out[3] = x[1];
    out[4] = x[3];
  }
  static HWY_INLINE void Output(const V (&m)[5], V (&out)[2]) {
    out[0] = hn::Add(m[0], hn::Add(m[1], m[3]));
    out[1] = hn::Add(m[2], hn::Add(m[1], m[4]));
  }
};

/// Where the values of one tile after the other lie.
template <class F>
class ValueCursor {
 public:
  static constexpr int kValues = F::kForm.values;
  /// At tile `begin` of the block.
  ValueCursor(const WinogradCall& call, const TileBlock& block, int64_t begin, const Rows& rows)
      : length_(rows.length) {
    for (int i = 0; i < kValues; ++i) {
      for (int j = 0; j < kValues; ++j) {
        next_[i * kValues + j] = rows.At(block.row[i * kValues + j], MatrixOf(F::kForm, i, j));
      }
    }
    spare_ = rows.At(block.spare, F::kForm.matrices * F::kForm.matrices);
    for (int64_t tile = block.begin; tile < begin; ++tile) Next(Position(call, tile));
  }

  HWY_INLINE void Next(const TilePosition& tile) {
#pragma GCC unroll 8
    for (int i = 0; i < kValues; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < kValues; ++j) {
        const int v = i * kValues + j;
        const bool has = HasValue(F::kForm, i, j, tile.whole_h, tile.whole_w);
        at_[v] = has ? next_[v] : spare_;
        next_[v] += has ? length_ : 0;
      }
    }
  }
  HWY_INLINE int64_t At(int i, int j) const { return at_[i * kValues + j]; }

 private:
  int64_t length_;
  int64_t spare_;
  int64_t next_[kValues * kValues];
  int64_t at_[kValues * kValues];
};

template <class F>
HWY_INLINE void InputVector(const WinogradCall& call, const float* x, int64_t y0, int64_t x0, size_t lanes,
                            const ValueCursor<F>& cursor, float* out) {
  constexpr int kInputs = F::kForm.inputs;
  constexpr int kValues = F::kForm.values;
  const D d;
  const bool inside = y0 >= 0 && x0 >= 0 && y0 + kInputs <= call.s.h && x0 + kInputs <= call.s.w;
  V half[kValues][kInputs];
  for (int j = 0; j < kInputs; ++j) {
    V in[kInputs];
    V transformed[kValues];
#pragma GCC unroll 8
    for (int i = 0; i < kInputs; ++i) {
      const bool exists = inside || (y0 + i >= 0 && y0 + i < call.s.h && x0 + j >= 0 && x0 + j < call.s.w);
      in[i] = exists ? LoadFirst(x + (i * call.s.w + j) * call.a.c, lanes) : hn::Zero(d);
    }
    F::Input(in, transformed);
#pragma GCC unroll 8
    for (int i = 0; i < kValues; ++i) half[i][j] = transformed[i];
  }
  for (int i = 0; i < kValues; ++i) {
    V transformed[kValues];
    F::Input(half[i], transformed);
#pragma GCC unroll 8
    for (int j = 0; j < kValues; ++j) hn::StoreU(transformed[j], d, out + cursor.At(i, j));
  }
}

/// Input of tiles [begin, end) of a block.
template <class F>
void TransformInput(const WinogradCall& call, const TileBlock& block, int64_t begin, int64_t end, const Rows& rows) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(D()));
  const int64_t channels = call.a.c;
  ValueCursor<F> cursor(call, block, begin, rows);
  for (int64_t tile = begin; tile < end; ++tile) {
    const TilePosition at = Position(call, tile);
    cursor.Next(at);
    const int64_t y0 = at.oy * F::kForm.stride - call.s.pad_top;
    const int64_t x0 = at.ox * F::kForm.stride - call.s.pad_left;
    const float* x = call.x + ((at.image * call.s.h + y0) * call.s.w + x0) * channels;
    for (int64_t c = 0; c < channels; c += lanes) {
      InputVector<F>(call, x + c, y0, x0, static_cast<size_t>(std::min(lanes, channels - c)), cursor, rows.data + c);
    }
  }
}

template <class F>
HWY_INLINE void OutputVector(const WinogradCall& call, const TilePosition& at, const ValueCursor<F>& cursor,
                             const float* in, int64_t channel, size_t lanes) {
  constexpr int kValues = F::kForm.values;
  constexpr int kTile = F::kForm.tile;
  const D d;
  V half[kTile][kValues];
  for (int j = 0; j < kValues; ++j) {
    V m[kValues];
    V transformed[kTile];
#pragma GCC unroll 8
    for (int i = 0; i < kValues; ++i) m[i] = hn::LoadU(d, in + cursor.At(i, j));
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

/// Output channels [channel, channel + channels) of a block's tiles from its products.
template <class F>
void TransformOutput(const WinogradCall& call, const TileBlock& block, int64_t channel, int64_t channels,
                     const Rows& rows) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(D()));
  std::fill_n(rows.data + rows.At(block.spare, F::kForm.matrices * F::kForm.matrices), rows.length, 0.0f);
  ValueCursor<F> cursor(call, block, block.begin, rows);
  for (int64_t tile = block.begin; tile < block.end; ++tile) {
    const TilePosition at = Position(call, tile);
    cursor.Next(at);
    for (int64_t c = 0; c < channels; c += lanes) {
      const size_t count = static_cast<size_t>(std::min(lanes, channels - c));
      OutputVector<F>(call, at, cursor, rows.data + c, channel + c, count);
    }
  }
}

/// Calls f with the form's transforms.
template <class Function>
void WithForm(const WinogradForm& form, const Function& f) {
  if (form.stride == 2) return f(Stride2());
  if (form.tile == 4) return f(F4());
  if (form.tile == 3) return f(F3());
  f(F2());
}

void WinogradInput(const WinogradCall& call, const TileBlock& block, int64_t begin, int64_t end, const Rows& rows) {
  WithForm(call.form, [&]<class F>(F) HWY_ATTR { TransformInput<F>(call, block, begin, end, rows); });
}

void WinogradOutput(const WinogradCall& call, const TileBlock& block, int64_t channel, int64_t channels,
                    const Rows& rows) {
  WithForm(call.form, [&]<class F>(F) HWY_ATTR { TransformOutput<F>(call, block, channel, channels, rows); });
}

/// G w G^T of the 3x3 kernels of a vector of output channels, in double, rounded once. taps[9][Lanes] holds the
/// kernels; matrix m's part goes to out + m * stride.
HWY_INLINE void TransformKernels(const WinogradForm& form, const float* taps, float* out, int64_t stride) {
  const D d;
  const hn::Rebind<double, hn::Half<D>> dd;
  const size_t lanes = hn::Lanes(d);
  const auto& g = form.kernel;
  for (size_t at = 0; at < lanes; at += hn::Lanes(dd)) {
    const hn::Half<D> df;
    hn::Vec<decltype(dd)> w[3][3], row[3];
    for (int i = 0; i < 9; ++i) w[i / 3][i % 3] = hn::PromoteTo(dd, hn::LoadU(df, taps + i * lanes + at));
    for (int i = 0; i < form.matrices; ++i) {
#pragma GCC unroll 3
      for (int x = 0; x < 3; ++x) {
        row[x] = hn::MulAdd(hn::Set(dd, g[i][2]), w[2][x],
                            hn::MulAdd(hn::Set(dd, g[i][1]), w[1][x], hn::Mul(hn::Set(dd, g[i][0]), w[0][x])));
      }
      for (int j = 0; j < form.matrices; ++j) {
        const auto u = hn::MulAdd(hn::Set(dd, g[j][2]), row[2],
                                  hn::MulAdd(hn::Set(dd, g[j][1]), row[1], hn::Mul(hn::Set(dd, g[j][0]), row[0])));
        hn::StoreU(hn::DemoteTo(df, u), df, out + (i * form.matrices + j) * stride + at);
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
        TransformKernels(job.form, taps, out, job.stride);
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
  WinogradConv(const ConvAttributes& a, const float* weights, const WinogradForm& form, const Packing& packing)
      : a_(a), form_(form), out_blocks_(CeilDiv(a.oc, kOutBlock)) {
    matrix_floats_ = AlignUp(static_cast<int64_t>(PackedBytes(a.c, std::min(kOutBlock, a.oc)) / sizeof(float)), kLine);
    storage_ = FloatBlock(packing.store, out_blocks_ * Matrices() * matrix_floats_, [&](float* out) {
      packing.threads.ParallelFor(out_blocks_, 1, [&](int64_t begin, int64_t end) {
        for (int64_t block = begin; block < end; ++block) PackBlock(weights, block, out);
      });
    });
    for (int64_t i = 0; i < out_blocks_ * Matrices(); ++i) {
      const int64_t columns = std::min(kOutBlock, a.oc - i / Matrices() * kOutBlock);
      packed_.push_back({.k = a.c,
                         .n = columns,
                         .data = storage_.get() + i * matrix_floats_,
                         .next = storage_.get() + (i + 1) % (out_blocks_ * Matrices()) * matrix_floats_});
    }
  }

  void Run(const ConvInput& x, const ConvShape& s, const Epilogue& epilogue, float* y,
           const Threads& threads) const override {
    ChooseTarget();
    const WinogradCall call{form_, a_, s, epilogue, x.data, y, CeilDiv(s.oh, form_.tile), CeilDiv(s.ow, form_.tile)};
    const int64_t tiles = s.n * call.tiles_h * call.tiles_w;
    // The transformed input of a block of tiles takes half of the second-level cache; a product of fewer rows than
    // kLeast would wait for its weights.
    constexpr int64_t kCacheFloats = 128 * 1024;
    constexpr int64_t kLeast = 16;
    const int64_t most = std::max(kLeast, kCacheFloats / (form_.values * form_.values * AlignUp(a_.c, kLine)));
    int64_t blocks = CeilDiv(tiles, most);
    if (blocks < threads.count()) return RunTogether(call, tiles, threads);
    if (blocks < 8 * threads.count()) blocks = AlignUp(blocks, threads.count());
    const int64_t size = CeilDiv(tiles, blocks);
    threads.ParallelFor(tiles, size, [&](int64_t begin, int64_t end) {
      for (int64_t first = begin; first < end; first += size) {
        const TileBlock block = Block(call, first, std::min(end, first + size));
        const Rows inputs = InputRows(block);
        HWY_DYNAMIC_DISPATCH(WinogradInput)(call, block, block.begin, block.end, inputs);
        for (int64_t o = 0; o < out_blocks_; ++o) Multiply(call, block, o, inputs, ProductRows(block));
      }
    });
  }

  size_t Bytes() const override {
    return static_cast<size_t>(out_blocks_ * Matrices() * matrix_floats_) * sizeof(float);
  }

 private:
  int Matrices() const { return form_.matrices * form_.matrices; }
  Rows Reserve(Scratch& scratch, const TileBlock& block, int64_t length) const {
    const Rows rows{nullptr, length};
    return {scratch.Reserve(static_cast<size_t>(rows.At(block.spare + 1, Matrices()))), length};
  }
  Rows InputRows(const TileBlock& block) const {
    static thread_local Scratch scratch;
    return Reserve(scratch, block, AlignUp(a_.c, kLine));
  }
  Rows ProductRows(const TileBlock& block) const {
    static thread_local Scratch scratch;
    return Reserve(scratch, block, kOutBlock);
  }

  TileBlock Block(const WinogradCall& call, int64_t begin, int64_t end) const {
    int64_t tiles[2][2] = {};  // of whole height or all, of whole width or all
    for (int64_t tile = begin; tile < end; ++tile) {
      const TilePosition at = Position(call, tile);
      for (int h = 0; h <= (at.whole_h ? 1 : 0); ++h) {
        for (int w = 0; w <= (at.whole_w ? 1 : 0); ++w) ++tiles[h][w];
      }
    }
    TileBlock block{.begin = begin, .end = end};
    int64_t row = 0;
    for (int m = 0; m < Matrices(); ++m) {
      block.matrix_row[m] = row;
      for (int v = 0; v < form_.values * form_.values; ++v) {
        const int i = v / form_.values, j = v % form_.values;
        if (MatrixOf(form_, i, j) != m) continue;
        block.row[v] = row;
        row += tiles[form_.whole[i]][form_.whole[j]];
      }
      block.matrix_rows[m] = row - block.matrix_row[m];
    }
    block.spare = row;
    return block;
  }

  /// Few tiles: all threads transform the input, then share the blocks of output channels.
  void RunTogether(const WinogradCall& call, int64_t tiles, const Threads& threads) const {
    const TileBlock block = Block(call, 0, tiles);
    const Rows inputs = InputRows(block);
    threads.ParallelFor(tiles, 1, [&](int64_t begin, int64_t end) {
      HWY_DYNAMIC_DISPATCH(WinogradInput)(call, block, begin, end, inputs);
    });
    threads.ParallelFor(out_blocks_, 1, [&](int64_t begin, int64_t end) {
      for (int64_t o = begin; o < end; ++o) Multiply(call, block, o, inputs, ProductRows(block));
    });
  }

  /// The products of a block of tiles with a block of output channels, and their outputs.
  void Multiply(const WinogradCall& call, const TileBlock& block, int64_t out_block, const Rows& inputs,
                const Rows& products) const {
    const Threads alone(1);
    for (int m = 0; m < Matrices(); ++m) {
      Gemm(block.matrix_rows[m], inputs.data + inputs.At(block.matrix_row[m], m), inputs.length,
           packed_[static_cast<size_t>(out_block * Matrices() + m)],
           products.data + products.At(block.matrix_row[m], m), products.length, {}, alone);
    }
    const int64_t channel = out_block * kOutBlock;
    HWY_DYNAMIC_DISPATCH(WinogradOutput)(call, block, channel, std::min(kOutBlock, a_.oc - channel), products);
  }

  void PackBlock(const float* weights, int64_t block, float* out) const {
    const int64_t first = block * kOutBlock;
    const WinogradWeights job{form_,
                              a_.c,
                              std::min(kOutBlock, a_.oc - first),
                              weights + first * a_.c * 9,
                              out + block * Matrices() * matrix_floats_,
                              matrix_floats_};
    HWY_DYNAMIC_DISPATCH(WinogradPack)(job);
  }

  ConvAttributes a_;
  const WinogradForm& form_;
  int64_t out_blocks_;
  int64_t matrix_floats_;
  std::shared_ptr<const float> storage_;
  std::vector<PackedMatrix> packed_;  ///< [out_blocks][matrices]
};

}  // namespace

std::unique_ptr<ConvKernel> MakeWinogradConv(const ConvAttributes& attributes, const float* weights,
                                             ConvAlgorithm algorithm, const Packing& packing) {
  return std::make_unique<WinogradConv>(attributes, weights, FormOf(algorithm), packing);
}

}  // namespace slipway::kernels
#endif
