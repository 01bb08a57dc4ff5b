#include "kernels/conv/separable.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/conv/algorithms.h"
#include "kernels/gemm/scratch.h"

namespace slipway::kernels {
namespace {

/// Floats between the convolutions that stay in a core's L2 cache, with their weights and what goes in and out.
constexpr int64_t kBandFloats = 96 * 1024;
/// So few of all images may as well go from one convolution to the next as a whole.
constexpr int64_t kTogetherFloats = 256 * 1024;

ConvShape Pixels(int64_t rows, int64_t width) { return {.n = 1, .h = rows, .w = width, .oh = rows, .ow = width}; }

/// One call: sizes, and the way of a band of output rows.
class Bands {
 public:
  Bands(const SeparableConv& conv, const ConvShape& s, const SeparableConv::Epilogues& e, const float* x, float* y)
      : conv_(conv), s_(s), e_(e), x_(x), y_(y) {
    const ConvAttributes& a = conv.depthwise->attributes();
    stride_ = a.stride_h;
    extent_ = (a.kh - 1) * a.dilation_h + 1;
    in_line_ = s.w * (conv.expand ? conv.expand->attributes().c : a.c);
    wide_in_line_ = s.w * a.c;
    wide_out_line_ = s.ow * a.c;
    out_line_ = s.ow * (conv.project ? conv.project->attributes().oc : a.oc);
  }

  /// Floats between the convolutions for so many output rows.
  int64_t Floats(int64_t rows) const {
    const int64_t in_rows = std::min(s_.h, (rows - 1) * stride_ + extent_);
    return (conv_.expand ? in_rows * wide_in_line_ : 0) + (conv_.project ? rows * wide_out_line_ : 0);
  }

  void Run(const Threads& threads) {
    if (s_.n * Floats(s_.oh) <= kTogetherFloats) return RunTogether(threads);
    // Twice as many as threads, so that they end together; none of less than four rows for that.
    const int64_t count = threads.count();
    bands_ = std::clamp<int64_t>(CeilDiv(2 * count, s_.n), 1, std::max<int64_t>(1, s_.oh / 4));
    while (bands_ < s_.oh && Floats(CeilDiv(s_.oh, bands_)) > kBandFloats) ++bands_;
    if (s_.n % count != 0) bands_ = std::min(s_.oh, AlignUp(bands_, count));
    // A thread's next band is most often the one below, whether or not it comes in the same range.
    std::vector<InputRows> left(static_cast<size_t>(count));
    threads.ParallelForIndexed(s_.n * bands_, 1, [&](int64_t begin, int64_t end, int thread) {
      InputRows& there = left[static_cast<size_t>(thread)];
      for (int64_t i = begin; i < end; ++i) {
        if (i != there.next || i % bands_ == 0) there = {};
        RunBand(i / bands_, i % bands_, there);
        there.next = i + 1;
      }
    });
  }

 private:
  /// All images, one convolution after the other.
  void RunTogether(const Threads& threads) const {
    static thread_local Scratch scratch;
    const int64_t wide_in = conv_.expand ? s_.n * s_.h * wide_in_line_ : 0;
    const int64_t wide_out = conv_.project ? s_.n * s_.oh * wide_out_line_ : 0;
    float* memory = scratch.Reserve(static_cast<size_t>(wide_in + wide_out));
    const float* in = x_;
    if (conv_.expand) {
      conv_.expand->Run({x_}, Pixels(s_.n * s_.h, s_.w), e_.expand, memory, threads);
      in = memory;
    }
    conv_.depthwise->Run({in}, s_, e_.depthwise, conv_.project ? memory + wide_in : y_, threads);
    if (conv_.project) {
      conv_.project->Run({memory + wide_in}, Pixels(s_.n * s_.oh, s_.ow), e_.project, y_, threads);
    }
  }

  /// Rows of the depthwise convolution's input that a band left in the scratch memory: the next one needs the last
  /// again.
  struct InputRows {
    int64_t begin = 0;
    int64_t end = 0;
    int64_t next = 0;  ///< band
  };

  void RunBand(int64_t image, int64_t band, InputRows& there) const {
    static thread_local Scratch scratch;
    const int64_t most = CeilDiv(s_.oh, bands_);
    float* wide_in = scratch.Reserve(static_cast<size_t>(Floats(most)));
    const int64_t first = band * s_.oh / bands_;
    const int64_t rows = (band + 1) * s_.oh / bands_ - first;
    const int64_t from = first * stride_ - s_.pad_top;
    const int64_t begin = std::clamp<int64_t>(from, 0, s_.h);
    const int64_t end = std::clamp<int64_t>(from + (rows - 1) * stride_ + extent_, begin, s_.h);
    float* wide_out = wide_in;
    const float* in = x_ + (image * s_.h + begin) * in_line_;
    if (conv_.expand) {
      wide_out += std::min(s_.h, (most - 1) * stride_ + extent_) * wide_in_line_;
      int64_t next = begin;
      if (there.end > begin) {
        std::memmove(wide_in, wide_in + (begin - there.begin) * wide_in_line_,
                     static_cast<size_t>((there.end - begin) * wide_in_line_) * sizeof(float));
        next = there.end;
      }
      if (next < end) {
        conv_.expand->Run({x_ + (image * s_.h + next) * in_line_}, Pixels(end - next, s_.w), e_.expand,
                          wide_in + (next - begin) * wide_in_line_, Threads(1));
      }
      there = {.begin = begin, .end = end};
      in = wide_in;
    }
    float* out = y_ + (image * s_.oh + first) * out_line_;
    const ConvShape shape = {
        .n = 1, .h = end - begin, .w = s_.w, .pad_top = begin - from, .pad_left = s_.pad_left, .oh = rows, .ow = s_.ow};
    conv_.depthwise->Run({in}, shape, At(e_.depthwise, out), conv_.project ? wide_out : out, Threads(1));
    if (conv_.project) conv_.project->Run({wide_out}, Pixels(rows, s_.ow), At(e_.project, out), out, Threads(1));
  }

  /// The epilogue where y is at `out`: a residual is shaped as y.
  Epilogue At(Epilogue e, const float* out) const {
    if (e.residual != nullptr) e.residual += out - y_;
    return e;
  }

  const SeparableConv& conv_;
  const ConvShape& s_;
  const SeparableConv::Epilogues& e_;
  const float* x_;
  float* y_;
  int64_t stride_;
  int64_t extent_;
  int64_t bands_ = 1;  ///< of output rows an image
  // Floats a row of each image.
  int64_t in_line_;
  int64_t wide_in_line_;
  int64_t wide_out_line_;
  int64_t out_line_;
};

}  // namespace

void SeparableConv::Run(const float* x, const ConvShape& shape, const Epilogues& epilogues, float* y,
                        const Threads& threads) const {
  if (shape.n * shape.oh * shape.ow == 0) return;
  Bands(*this, shape, epilogues, x, y).Run(threads);
}

}  // namespace slipway::kernels
