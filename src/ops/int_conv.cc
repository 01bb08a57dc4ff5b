#include "ops/int_conv.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/copy/strided_copy.h"
#include "ops/conv_shape.h"
#include "ops/epilogue.h"
#include "ops/indexing.h"

namespace slipway {
namespace {

constexpr int kMaxAxes = 16;

/// Where windows lie in an image [n, spatial..., channels].
struct Windows {
  int rank;
  int64_t size[kMaxAxes], positions[kMaxAxes], begin[kMaxAxes], stride[kMaxAxes];
  int64_t pixels = 1, out_pixels = 1, channels = 0;
  std::vector<int64_t> tap_at;      ///< [taps][rank]: where a tap lies from the window's corner
  std::vector<int64_t> tap_offset;  ///< the same in pixels

  Windows(const WindowAttributes& w, const int64_t* in, const int64_t* out, int axes, int64_t c)
      : rank(axes), channels(c) {
    int64_t taps = 1;
    for (int i = 0; i < rank; ++i) {
      size[i] = in[i];
      positions[i] = out[i];
      begin[i] = w.PadBegin(i, in[i], out[i]);
      stride[i] = w.strides[i];
      pixels *= in[i];
      out_pixels *= out[i];
      taps *= w.kernel[i];
    }
    tap_at.resize(taps * rank);
    for (int64_t t = 0; t < taps; ++t) {
      int64_t rest = t, offset = 0, step = 1;
      for (int i = rank - 1; i >= 0; --i) {
        tap_at[t * rank + i] = rest % w.kernel[i] * w.dilations[i];
        rest /= w.kernel[i];
        offset += tap_at[t * rank + i] * step;
        step *= size[i];
      }
      tap_offset.push_back(offset);
    }
  }

  /// Calls visit(tap, pixel) for the taps of window `row` in order; pixel is -1 where it lies in the padding.
  template <class F>
  void ForEachTap(int64_t row, const F& visit) const {
    int64_t corner[kMaxAxes], rest = row % out_pixels, pixel = 0, step = 1;
    const int64_t image = row / out_pixels * pixels;
    bool inside = true;
    const int64_t* last = &tap_at[tap_at.size() - rank];
    for (int i = rank - 1; i >= 0; --i) {
      corner[i] = rest % positions[i] * stride[i] - begin[i];
      rest /= positions[i];
      pixel += corner[i] * step;
      step *= size[i];
      inside &= corner[i] >= 0 && corner[i] + last[i] < size[i];
    }
    const auto taps = static_cast<int64_t>(tap_offset.size());
    for (int64_t t = 0; t < taps; ++t) {
      bool in = true;
      for (int i = 0; !inside && i < rank; ++i) {
        const int64_t at = corner[i] + tap_at[t * rank + i];
        in &= at >= 0 && at < size[i];
      }
      visit(t, in ? image + pixel + tap_offset[t] : -1);
    }
  }
};

/// A group's channels of each window, tap after tap.
class WindowRows final : public kernels::ByteRows {
 public:
  WindowRows(const Windows& windows, const uint8_t* x, int64_t first, int64_t count, uint8_t padding)
      : windows_(windows), x_(x + first), count_(count), padding_(padding) {}
  void Read(int64_t row, int64_t rows, uint8_t* out, int64_t stride) const override {
    for (int64_t r = 0; r < rows; ++r) {
      uint8_t* to = out + r * stride;
      windows_.ForEachTap(row + r, [&](int64_t tap, int64_t pixel) {
        if (pixel < 0) {
          std::memset(to + tap * count_, padding_, count_);
        } else {
          std::memcpy(to + tap * count_, x_ + pixel * windows_.channels, count_);
        }
      });
    }
  }

 private:
  const Windows& windows_;
  const uint8_t* x_;
  int64_t count_;
  uint8_t padding_;
};

/// A row of sums to what they become, as the product's kernel does it.
void FinishRow(const kernels::IntResult& result, const int32_t* sums, int64_t n, int64_t row) {
  using Kind = kernels::IntResult::Kind;
  const auto scale = [&](int64_t j) { return result.scale.data[result.scale.many ? j : 0]; };
  if (result.kind == Kind::kInt32) {
    std::copy_n(sums, n, static_cast<int32_t*>(result.data) + row * result.stride);
  } else if (result.kind == Kind::kFloat) {
    float* out = static_cast<float*>(result.data) + row * result.stride;
    const kernels::Epilogue& e = result.epilogue;
    for (int64_t j = 0; j < n; ++j) {
      out[j] = static_cast<float>(sums[j]) * scale(j) + (e.bias ? e.bias[j] : 0);
      if (e.residual) out[j] += e.residual[row * e.residual_stride + j];
      if (e.activation != kernels::Activation::kNone) out[j] = static_cast<float>(Activate(e, out[j]));
    }
  } else {
    auto* out = static_cast<uint8_t*>(result.data) + row * result.stride;
    const double low = (result.kind == Kind::kInt8 ? -128 : 0) - result.zero, high = low + 255;
    for (int64_t j = 0; j < n; ++j) {
      const double v = static_cast<double>(sums[j]) * scale(j);
      constexpr double kRound = 0x1.8p52;  // its last place is 1
      const double q = std::min(v > low ? v : low, high) + kRound - kRound;
      out[j] = static_cast<uint8_t>(static_cast<int32_t>(q) + result.zero);
    }
  }
}

/// One channel to one, for each pixel a row of all channels.
void Depthwise(const Windows& windows, const uint8_t* x, bool x_signed, int32_t x_zero, const int16_t* w,
               const kernels::IntResult& result, int64_t rows, const Threads& threads) {
  const int64_t n = windows.channels;
  const uint8_t flip = x_signed ? 0x80 : 0;
  const int32_t zero = x_zero + (x_signed ? 128 : 0);
  const int64_t taps = static_cast<int64_t>(windows.tap_offset.size());
  threads.ParallelFor(rows, GrainFor(2 * n * taps), [&](int64_t begin, int64_t end) {
    std::vector<int32_t> sums(n);
    for (int64_t row = begin; row < end; ++row) {
      if (result.bias) {
        std::copy_n(result.bias, n, sums.begin());
      } else {
        std::fill(sums.begin(), sums.end(), 0);
      }
      int32_t* sum = sums.data();
      windows.ForEachTap(row, [&](int64_t tap, int64_t pixel) {
        if (pixel < 0) return;
        const uint8_t* from = x + pixel * n;
        const int16_t* weights = w + tap * n;
        for (int64_t j = 0; j < n; ++j)
          sum[j] += static_cast<int32_t>(static_cast<uint8_t>(from[j] ^ flip) - zero) * weights[j];
      });
      FinishRow(result, sum, n, row);
    }
  });
}

}  // namespace

IntConv IntConv::Parse(const Attributes& a) {
  IntConv conv;
  conv.window = WindowAttributes::Parse(a);
  conv.group = a.Int("group", 1);
  conv.channels_last = a.Int("channels_last", 0) != 0;
  return conv;
}

std::shared_ptr<const IntConv::Weights> IntConv::MakeWeights(const Tensor& w, const kernels::Packing& packing) const {
  auto out = std::make_shared<Weights>();
  const int64_t oc = w.shape()[0], channels = w.shape()[1], taps = w.shape().SizeFrom(2), k = taps * channels;
  // [taps][channels of a group] for each output channel.
  const auto turn = [&](void* to) {
    kernels::StridedCopy(DType::kUint8, std::vector<int64_t>{oc, taps, channels}, w.raw(),
                         std::vector<int64_t>{k, 1, taps}, to, std::vector<int64_t>{k, channels, 1}, packing.threads);
  };
  const int64_t each = oc / group;
  if (channels == 1 && each == 1 && group > 1) {
    out->block = packing.store.Block(w.size(), turn);
    return out;
  }
  const bool is_signed = w.dtype() == DType::kInt8;
  const size_t bytes = (kernels::PackedIntBytes(k, each, kernels::BestDotForm()) + 63) / 64 * 64;
  out->block = packing.store.Block(group * bytes, [&](std::byte* to) {
    std::vector<uint8_t> turned(std::max<int64_t>(1, w.size()));
    turn(turned.data());
    for (int64_t g = 0; g < group; ++g)
      kernels::PackIntMatrix(turned.data() + g * each * k, is_signed, k, each, 1, k, to + g * bytes, packing.threads);
  });
  for (int64_t g = 0; g < group; ++g)
    out->groups.push_back(kernels::PackedIntAt(out->block.get() + g * bytes, is_signed, k, each));
  return out;
}

bool IntConv::Prepack(const Tensor& w, const kernels::Packing& packing) {
  if (w.shape().rank() < 3 || group < 1 || w.shape()[0] % group != 0) return false;
  weights_ = MakeWeights(w, packing);
  return true;
}

void IntConv::Run(RunContext& c, const Tensor& x, const Tensor& w, const Tensor* x_zero, const Tensor* w_zero,
                  Tensor& y, kernels::IntResult result) const {
  if (y.size() == 0) return;
  const int rank = x.shape().rank() - 2;
  if (rank > kMaxAxes) c.Fail("an image of {} spatial axes has too many.", rank);
  WindowAttributes spatial = window;
  FillConvWindow(spatial, w.shape());
  MemoryStore store;
  const auto weights = weights_ ? weights_ : MakeWeights(w, {c.threads(), store});
  const int first = channels_last ? 1 : 2, last = x.shape().rank() - 1;
  const int64_t n = x.shape()[0], channels = x.shape()[channels_last ? last : 1], oc = w.shape()[0];
  const Windows windows(spatial, x.shape().begin() + first, y.shape().begin() + first, rank, channels);
  const int64_t rows = n * windows.out_pixels, size = static_cast<int64_t>(SizeOf(y.dtype()));

  const auto* in = static_cast<const uint8_t*>(x.raw());
  char* out = static_cast<char*>(y.raw());
  if (!channels_last) {
    const int64_t in_bytes = (x.size() + 63) / 64 * 64;
    auto* memory = static_cast<uint8_t*>(c.Scratch(in_bytes + y.size() * size));
    kernels::StridedCopy(DType::kUint8, std::vector<int64_t>{n, windows.pixels, channels}, in,
                         std::vector<int64_t>{windows.pixels * channels, 1, windows.pixels}, memory,
                         std::vector<int64_t>{windows.pixels * channels, channels, 1}, c.threads());
    in = memory;
    out = reinterpret_cast<char*>(memory + in_bytes);
  }
  const std::vector<int32_t> x_zeros = ToInt32s(x_zero), w_zeros = ToInt32s(w_zero);
  const bool x_signed = x.dtype() == DType::kInt8, w_many = w_zeros.size() > 1;
  result.stride = oc;
  result.epilogue.residual_stride = oc;
  const int64_t each = oc / group, group_channels = channels / group;
  if (weights->groups.empty()) {
    const int64_t taps = w.shape().SizeFrom(2);
    std::vector<int16_t> by_tap(taps * oc);
    for (int64_t i = 0; i < oc; ++i) {
      for (int64_t t = 0; t < taps; ++t) {
        const auto byte = std::to_integer<uint8_t>(weights->block.get()[i * taps + t]);
        by_tap[t * oc + i] = static_cast<int16_t>((w.dtype() == DType::kInt8 ? static_cast<int8_t>(byte) : byte) -
                                                  w_zeros[w_many ? i : 0]);
      }
    }
    result.data = out;
    Depthwise(windows, in, x_signed, x_zeros[0], by_tap.data(), result, rows, c.threads());
  } else {
    for (int64_t g = 0; g < group; ++g) {
      kernels::IntResult mine = result;
      mine.data = out + g * each * size;
      mine.a_zero = {x_zeros.data(), false};
      mine.b_zero = {w_zeros.data() + (w_many ? g * each : 0), w_many};
      if (mine.bias) mine.bias += g * each;
      if (mine.scale.many) mine.scale.data += g * each;
      if (mine.epilogue.bias) mine.epilogue.bias += g * each;
      if (mine.epilogue.residual) mine.epilogue.residual += g * each;
      bool plain = windows.tap_offset.size() == 1;
      for (int i = 0; i < rank; ++i)
        plain &= windows.stride[i] == 1 && windows.begin[i] == 0 && windows.size[i] == windows.positions[i];
      const kernels::PackedIntMatrix& matrix = weights->groups[g];
      if (plain) {
        const kernels::ByteArrayRows pixels(in + g * group_channels, group_channels, channels);
        kernels::IntGemm(rows, pixels, x_signed, matrix, mine, c.threads());
      } else {
        const WindowRows gathered(windows, in, g * group_channels, group_channels, static_cast<uint8_t>(x_zeros[0]));
        kernels::IntGemm(rows, gathered, x_signed, matrix, mine, c.threads());
      }
    }
  }
  if (channels_last) return;
  kernels::StridedCopy(y.dtype(), std::vector<int64_t>{n, oc, windows.out_pixels}, out,
                       std::vector<int64_t>{windows.out_pixels * oc, 1, oc}, y.raw(),
                       std::vector<int64_t>{windows.out_pixels * oc, windows.out_pixels, 1}, c.threads());
}

}  // namespace slipway
