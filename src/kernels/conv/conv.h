#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/epilogue.h"
#include "kernels/packing.h"

namespace slipway::kernels {

/// What is fixed about a convolution whatever image it is given. With fewer axes: depth 1, height 1 everywhere.
struct ConvAttributes {
  int64_t c = 0;   ///< input channels, all groups together
  int64_t oc = 0;  ///< output channels, all groups together
  int64_t kd = 1;
  int64_t kh = 1;
  int64_t kw = 1;
  int64_t stride_d = 1;
  int64_t stride_h = 1;
  int64_t stride_w = 1;
  int64_t dilation_d = 1;
  int64_t dilation_h = 1;
  int64_t dilation_w = 1;
  int64_t groups = 1;
};

/// The images of one call. What lies outside of [d, h, w] reads as zero, so the padding behind is implied by od, oh,
/// ow.
struct ConvShape {
  int64_t n = 0;
  int64_t d = 1;
  int64_t h = 0;
  int64_t w = 0;
  int64_t pad_front = 0;
  int64_t pad_top = 0;
  int64_t pad_left = 0;
  int64_t od = 1;
  int64_t oh = 0;
  int64_t ow = 0;
};

/// Output positions along one axis, rounded down; 0 where the kernel is longer than the padded input.
int64_t ConvOutputSize(int64_t size, int64_t kernel, int64_t stride, int64_t dilation, int64_t pad_begin,
                       int64_t pad_end);

/// Images that lie behind one another: the depth, which may not be padded then, is but a second count of them.
constexpr bool IsFlat(const ConvAttributes& a) { return a.kd == 1 && a.stride_d == 1; }

/// 1x1 at stride 1.
constexpr bool IsPointwise(const ConvAttributes& a) {
  return IsFlat(a) && a.kh == 1 && a.kw == 1 && a.stride_h == 1 && a.stride_w == 1;
}
/// The same with no padding, so that it is a product of the pixels as they are.
constexpr bool IsPointwise(const ConvAttributes& a, const ConvShape& s) {
  return IsPointwise(a) && s.pad_top == 0 && s.pad_left == 0 && s.oh == s.h && s.ow == s.w;
}

/// Images, channels last.
struct ConvInput {
  const float* data;
  const float* scale = nullptr;  ///< [n, c], multiplied into each image first; only where CanScale()
};

enum class ConvAlgorithm : uint8_t {
  kGemm,             ///< 1x1 as a matrix product of the pixels, anything else through an implicit im2col
  kDirect,           ///< tap by tap, where groups are narrow
  kWinograd2,        ///< F(2x2, 3x3)
  kWinograd3,        ///< F(3x3, 3x3)
  kWinograd4,        ///< F(4x4, 3x3)
  kWinogradRows,     ///< 7 taps along each row at stride 2 of an image of few channels: F(4, 4) and F(4, 3)
  kWinogradStride2,  ///< 3x3 at stride 2: F(2x2, 2x2) of every second row and column, with those between
};

/// One algorithm with weights in its own form.
class ConvKernel {
 public:
  virtual ~ConvKernel() = default;
  virtual void Run(const ConvInput& x, const ConvShape& shape, const Epilogue& epilogue, float* y,
                   const Threads& threads) const = 0;
  virtual size_t Bytes() const = 0;
};

/// A convolution of float32 images, channels last, with weights packed once; safe to run from many threads.
class PackedConv {
 public:
  static constexpr int kAlgorithms = 7;
  /// `weights` as ONNX has them, [oc, c / groups, kd, kh, kw]; not referred to afterwards. groups divides c and oc.
  /// With `expected` the weights are packed only for what is fastest on such images, otherwise for each algorithm that
  /// may be fastest on some. Either way every shape runs.
  PackedConv(const ConvAttributes& attributes, const float* weights, const Packing& packing,
             const ConvShape* expected = nullptr);

  /// Packs for one algorithm, which has to be able to do it (Supports()).
  PackedConv(const ConvAttributes& attributes, const float* weights, const Packing& packing, ConvAlgorithm algorithm);

  /// What is quickest on such images, where everything is packed for it.
  static ConvAlgorithm Fastest(const ConvAttributes& attributes, const ConvShape& shape);
  static bool Supports(const ConvAttributes& attributes, ConvAlgorithm algorithm);
  /// Whether the input may have a scale: a product of the pixels as they are.
  static bool CanScale(const ConvAttributes& attributes, const ConvShape& shape);

  /// y[n, od, oh, ow, oc] = epilogue(conv(x[n, d, h, w, c])). The residual is packed like y, whatever residual_stride
  /// says, and may be y itself; x may not overlap y.
  void Run(const ConvInput& x, const ConvShape& shape, const Epilogue& epilogue, float* y,
           const Threads& threads) const;

  const ConvAttributes& attributes() const { return attributes_; }
  /// What Run uses for such images.
  ConvAlgorithm Choose(const ConvShape& shape) const;
  /// Memory held by the packed weights.
  size_t Bytes() const;

 private:
  void Pack(ConvAlgorithm algorithm, const float* weights, const Packing& packing);

  ConvAttributes attributes_;
  std::unique_ptr<ConvKernel> kernels_[kAlgorithms];
};

/// What a PackedConv for such images gives, for weights that are used but once: they are packed in scratch memory,
/// where there are many a part at a time.
void ConvOnce(const ConvAttributes& attributes, const float* weights, const ConvInput& x, const ConvShape& shape,
              const Epilogue& epilogue, float* y, const Threads& threads);

}  // namespace slipway::kernels
