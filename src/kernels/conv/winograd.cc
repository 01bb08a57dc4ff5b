#include <algorithm>

#include "core/mapped_file.h"
#include "kernels/conv/algorithms.h"
#include "kernels/conv/layout.h"
#include "kernels/conv/winograd_forms.h"
#include "kernels/fetch.h"
#include "kernels/gemm/gemm.h"
#include "kernels/gemm/scratch.h"
#include "kernels/once_store.h"
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

constexpr int64_t kTapBlock = 16;  // output channels whose taps lie side by side

/// Kernels [count / kTapBlock][c][3][3][kTapBlock, or fewer in the last] to transform and pack, and the matrices [c,
/// count], `stride` floats apart.
struct WinogradWeights {
  const WinogradForm& form;
  int64_t c;
  int64_t count;
  const float* taps;
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

/// Kernel row `i` of a form applied to three taps. Most of a form's numbers are 0 or 1.
template <class F, class VD>
HWY_INLINE VD Combine(int i, const VD& w0, const VD& w1, const VD& w2) {
  const hn::DFromV<VD> d;
  const double(&g)[3] = F::kForm.kernel[i];
  if (g[0] == 0 && g[1] == 0 && g[2] == 1) return w2;
  VD sum = g[0] == 1 ? w0 : hn::Mul(hn::Set(d, g[0]), w0);
  if (g[1] != 0) sum = hn::MulAdd(hn::Set(d, g[1]), w1, sum);
  if (g[2] != 0) sum = hn::MulAdd(hn::Set(d, g[2]), w2, sum);
  return sum;
}

/// G w G^T of the 3x3 kernels of a vector of output channels, of which `exist`, in double, rounded once. Tap t lies at
/// taps + t * tap_stride; matrix m's part goes to out + m * stride.
template <class F>
HWY_INLINE void TransformKernels(const float* taps, int64_t tap_stride, size_t exist, float* out, int64_t stride) {
  constexpr int kMatrices = F::kForm.matrices;
  const D d;
  const hn::Half<D> df;
  const hn::Rebind<double, hn::Half<D>> dd;
  using VD = hn::Vec<decltype(dd)>;
  constexpr int kHalves = kLanes > 1 ? 2 : 1;
  VD w[kHalves][3][3];
  for (int t = 0; t < 9; ++t) {
    HWY_ALIGN float some[kLanes];
    const float* tap = taps + t * tap_stride;
    if (exist < kLanes) {
      hn::Store(LoadFirst(tap, exist), d, some);
      tap = some;
    }
    for (int h = 0; h < kHalves; ++h) w[h][t / 3][t % 3] = hn::PromoteTo(dd, hn::LoadU(df, tap + h * hn::Lanes(df)));
  }
#pragma GCC unroll 8
  for (int i = 0; i < kMatrices; ++i) {
    VD row[kHalves][3];
#pragma GCC unroll 2
    for (int h = 0; h < kHalves; ++h) {
#pragma GCC unroll 3
      for (int x = 0; x < 3; ++x) row[h][x] = Combine<F>(i, w[h][0][x], w[h][1][x], w[h][2][x]);
    }
#pragma GCC unroll 8
    for (int j = 0; j < kMatrices; ++j) {
#pragma GCC unroll 2
      for (int h = 0; h < kHalves; ++h) {
        const VD u = Combine<F>(j, row[h][0], row[h][1], row[h][2]);
        hn::StoreU(hn::DemoteTo(df, u), df, out + (i * kMatrices + j) * stride + h * hn::Lanes(df));
      }
    }
  }
}

void WinogradPack(const WinogradWeights& job) {
  WithForm(job.form, [&]<class F>(F) HWY_ATTR {
    for (int64_t col = 0; col < job.count; col += kPanelWidth) {
      const int64_t width = job.count - col <= kLanes ? kLanes : kPanelWidth;
      for (int64_t c = 0; c < job.c; ++c) {
        for (int64_t from = 0; from < width; from += kLanes) {
          const int64_t channel = std::min(col + from, job.count), block = channel / kTapBlock * kTapBlock;
          const int64_t together = std::min(kTapBlock, job.count - block);
          const float* taps = job.taps + (block * job.c + c * together) * 9 + channel - block;
          const auto exist = static_cast<size_t>(std::min<int64_t>(job.count - channel, kLanes));
          TransformKernels<F>(taps, together, exist, job.out + col * job.c + c * width + from, job.stride);
        }
      }
    }
  });
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
  WinogradConv(const ConvAttributes& a, const float* weights, const WinogradForm& form, const Packing* packing)
      : a_(a), form_(form), out_blocks_(CeilDiv(a.oc, kOutBlock)) {
    const size_t bytes = PackedBytes(a.c, std::min(kOutBlock, a.oc));
    // A line apart: rows of all matrices are written side by side, and would fall into the same set of the cache.
    matrix_floats_ = AlignUp(static_cast<int64_t>(bytes / sizeof(float)), kLine) + kLine;
    if (packing == nullptr) {
      weights_ = weights;
      return;
    }
    storage_ = FloatBlock(packing->store, out_blocks_ * BlockFloats(), [&](float* out) {
      packing->threads.ParallelFor(out_blocks_, 1, [&](int64_t begin, int64_t end) {
        for (int64_t block = begin; block < end; ++block) {
          PackBlock(weights, block, out + block * BlockFloats());
          // A file's pages go as they are packed, so that there are never two of large weights.
          const int64_t first = block * kOutBlock, count = std::min(kOutBlock, a_.oc - first) * a_.c * 9;
          ReleasePages(Tensor(DType::kFloat, {count}, const_cast<float*>(weights + first * a_.c * 9)));
        }
      });
    });
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
    if (weights_ != nullptr && blocks > 1) {  // each block of tiles would pack all weights anew
      OnceStore store;
      const Packing packing{threads, store};
      return WinogradConv(a_, weights_, form_, &packing).Run(x, s, epilogue, y, threads);
    }
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

  size_t Bytes() const override { return static_cast<size_t>(out_blocks_ * BlockFloats()) * sizeof(float); }

 private:
  int Matrices() const { return form_.matrices * form_.matrices; }
  int64_t BlockFloats() const { return Matrices() * matrix_floats_; }
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
    const int64_t channel = out_block * kOutBlock, channels = std::min(kOutBlock, a_.oc - channel);
    const std::shared_ptr<const float> matrices = BlockMatrices(out_block);
    for (int m = 0; m < Matrices(); ++m) {
      const float* data = matrices.get() + m * matrix_floats_;
      const bool last = m + 1 == Matrices() && (weights_ != nullptr || out_block + 1 == out_blocks_);
      const PackedMatrix b{.k = a_.c,
                           .n = channels,
                           .data = data,
                           .next = last ? storage_.get() : data + matrix_floats_,
                           .strassen = kStrassen};
      Gemm(block.matrix_rows[m], inputs.data + inputs.At(block.matrix_row[m], m), inputs.length, b,
           products.data + products.At(block.matrix_row[m], m), products.length, {}, alone);
    }
    HWY_DYNAMIC_DISPATCH(WinogradOutput)(call, block, channel, channels, products);
  }

  std::shared_ptr<const float> BlockMatrices(int64_t block) const {
    if (weights_ == nullptr) return {storage_, storage_.get() + block * BlockFloats()};
    const auto memory = OnceMemory(static_cast<size_t>(BlockFloats()) * sizeof(float));
    auto* out = reinterpret_cast<float*>(memory.get());
    PackBlock(weights_, block, out);
    return {memory, out};
  }

  void PackBlock(const float* weights, int64_t block, float* out) const {
    const int64_t first = block * kOutBlock, count = std::min(kOutBlock, a_.oc - first);
    const auto memory = OnceMemory(static_cast<size_t>(count * a_.c * 9) * sizeof(float));
    auto* taps = reinterpret_cast<float*>(memory.get());
    const int64_t row = a_.c * 9, row_bytes = row * static_cast<int64_t>(sizeof(float));
    for (int64_t o = 0; o < count; o += kTapBlock) {
      const float* from = weights + (first + o) * row;
      const int64_t together = std::min(kTapBlock, count - o);
      Fetch(from, together, row_bytes, row_bytes);
      ToChannelsLast(from, 1, together, row, taps + o * row, Threads(1));
    }
    HWY_DYNAMIC_DISPATCH(WinogradPack)({form_, a_.c, count, taps, out, matrix_floats_});
  }

  ConvAttributes a_;
  const WinogradForm& form_;
  int64_t out_blocks_;
  int64_t matrix_floats_;
  const float* weights_ = nullptr;        ///< to be packed in each run; null: they are packed
  std::shared_ptr<const float> storage_;  ///< [out_blocks][matrices]
};

}  // namespace

std::unique_ptr<ConvKernel> MakeWinogradConv(const ConvAttributes& attributes, const float* weights,
                                             ConvAlgorithm algorithm, const Packing* packing) {
  return std::make_unique<WinogradConv>(attributes, weights, FormOf(algorithm), packing);
}

}  // namespace slipway::kernels
#endif
