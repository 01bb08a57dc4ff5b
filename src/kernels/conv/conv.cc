#include "kernels/conv/conv.h"

#include <utility>

#include "kernels/conv/algorithms.h"
#include "kernels/conv/winograd_forms.h"
#include "kernels/gemm/gemm_once.h"
#include "kernels/once_store.h"

namespace slipway::kernels {
namespace {

/// In the order in which they stand in for one another.
constexpr ConvAlgorithm kAll[] = {
    ConvAlgorithm::kWinograd4,    ConvAlgorithm::kWinograd3, ConvAlgorithm::kWinograd2, ConvAlgorithm::kWinogradStride2,
    ConvAlgorithm::kWinogradRows, ConvAlgorithm::kDirect,    ConvAlgorithm::kGemm};

/// The transforms cost a pass over the pixels, and pay only where a pixel meets enough channels behind them.
constexpr int64_t kWinogradChannels = 32;

/// With more output channels a group, a matrix product makes up for the gathering of patches.
constexpr int64_t kDirectChannels = 32;

/// Whether a vector of output channels, up to 16, either lies within a group or holds whole ones, whose input channels
/// fill no more than a vector.
bool HasEvenGroups(const ConvAttributes& a) {
  const int64_t c = a.c / a.groups, oc = a.oc / a.groups;
  return oc % 16 == 0 || (16 % oc == 0 && c <= oc);
}

/// Dense, at that stride.
bool Is3x3(const ConvAttributes& a, int64_t stride) {
  return IsFlat(a) && a.groups == 1 && a.kh == 3 && a.kw == 3 && a.stride_h == stride && a.stride_w == stride &&
         a.dilation_h == 1 && a.dilation_w == 1;
}

// What a 3x3 convolution costs, in pixels multiplied by one matrix [c, oc] that is at hand. A matrix comes from memory,
// which takes as long as some pixels; the transforms and the ends of short sums take their part of a pixel.
constexpr double kMatrixPixels = 8;
constexpr double kTransform = 6;  // of a vector, in products
constexpr double kSumEnd = 10;    // of a sum, in products

double GemmCost(const ConvAttributes& a, const ConvShape& s) {
  const double taps = static_cast<double>(a.kh * a.kw);
  const double pixels = taps * static_cast<double>(s.n * s.oh * s.ow);
  return pixels * (1 + 2.0 / a.oc + kSumEnd / taps / a.c) + taps * kMatrixPixels;
}

double WinogradCost(const WinogradForm& form, const ConvAttributes& a, const ConvShape& s) {
  const auto values = [&form](int64_t size) {
    const int64_t missing = size % form.tile == 0 ? 0 : std::count(form.whole, form.whole + form.values, true);
    return CeilDiv(size, form.tile) * form.values - missing;
  };
  const double pixels = static_cast<double>(s.n * values(s.oh) * values(s.ow));
  return pixels * (1 + kTransform / a.oc + (kTransform + kSumEnd) / a.c) +
         kMatrixPixels * form.matrices * form.matrices;
}

ConvShape Flat(const ConvAttributes& a, ConvShape s) {
  if (IsFlat(a)) s.n *= std::exchange(s.d, 1), s.od = 1;
  return s;
}

}  // namespace

ConvAlgorithm PackedConv::Fastest(const ConvAttributes& a, const ConvShape& shape) {
  const ConvShape s = Flat(a, shape);
  if (Supports(a, ConvAlgorithm::kDirect) && a.oc / a.groups <= kDirectChannels) return ConvAlgorithm::kDirect;
  constexpr int64_t kLongRow = 32;  // of pixels, which leaves enough tiles to multiply side by side
  if (Supports(a, ConvAlgorithm::kWinogradRows) && a.oc >= kWinogradChannels && s.ow >= kLongRow) {
    return ConvAlgorithm::kWinogradRows;
  }
  ConvAlgorithm fastest = ConvAlgorithm::kGemm;
  if (std::min(a.c, a.oc) < kWinogradChannels) return fastest;
  double least = GemmCost(a, s);
  for (const ConvAlgorithm algorithm : kAll) {
    if (!IsWinograd(algorithm) || !Supports(a, algorithm)) continue;
    const double cost = WinogradCost(FormOf(algorithm), a, s);
    if (cost < least) least = cost, fastest = algorithm;
  }
  return fastest;
}

int64_t ConvOutputSize(int64_t size, int64_t kernel, int64_t stride, int64_t dilation, int64_t pad_begin,
                       int64_t pad_end) {
  const int64_t room = size + pad_begin + pad_end - (kernel - 1) * dilation - 1;
  return room < 0 ? 0 : room / stride + 1;
}

bool PackedConv::Supports(const ConvAttributes& a, ConvAlgorithm algorithm) {
  switch (algorithm) {
    case ConvAlgorithm::kGemm:
      return true;
    case ConvAlgorithm::kDirect:
      return IsFlat(a) && a.groups > 1 && HasEvenGroups(a);
    case ConvAlgorithm::kWinograd2:
    case ConvAlgorithm::kWinograd3:
    case ConvAlgorithm::kWinograd4:
      return Is3x3(a, 1);
    case ConvAlgorithm::kWinogradStride2:
      return Is3x3(a, 2);
    case ConvAlgorithm::kWinogradRows:
      return IsFlat(a) && a.groups == 1 && a.c <= 8 && a.kh > 2 && a.kh <= 16 && a.kw == 7 && a.stride_h <= 2 &&
             a.stride_w == 2 && a.dilation_h == 1 && a.dilation_w == 1;
  }
  return false;
}

bool PackedConv::CanScale(const ConvAttributes& a, const ConvShape& s) { return a.groups == 1 && IsPointwise(a, s); }

PackedConv::PackedConv(const ConvAttributes& attributes, const float* weights, const Packing& packing,
                       const ConvShape* expected)
    : attributes_(attributes) {
  if (expected != nullptr) {
    Pack(Fastest(attributes, *expected), weights, packing);
    return;
  }
  constexpr ConvShape kSmall = {.n = 1, .h = 1, .w = 1, .oh = 1, .ow = 1};
  constexpr ConvShape kLarge = {.n = 1, .h = 1024, .w = 1024, .oh = 1024, .ow = 1024};
  Pack(Fastest(attributes, kSmall), weights, packing);
  Pack(Fastest(attributes, kLarge), weights, packing);
}

PackedConv::PackedConv(const ConvAttributes& attributes, const float* weights, const Packing& packing,
                       ConvAlgorithm algorithm)
    : attributes_(attributes) {
  Pack(algorithm, weights, packing);
}

void PackedConv::Pack(ConvAlgorithm algorithm, const float* weights, const Packing& packing) {
  std::unique_ptr<ConvKernel>& kernel = kernels_[static_cast<int>(algorithm)];
  if (kernel != nullptr) return;
  switch (algorithm) {
    case ConvAlgorithm::kGemm:
      kernel = MakeGemmConv(attributes_, weights, packing);
      break;
    case ConvAlgorithm::kDirect:
      kernel = MakeDirectConv(attributes_, weights, packing);
      break;
    case ConvAlgorithm::kWinograd2:
    case ConvAlgorithm::kWinograd3:
    case ConvAlgorithm::kWinograd4:
    case ConvAlgorithm::kWinogradStride2:
      kernel = MakeWinogradConv(attributes_, weights, algorithm, &packing);
      break;
    case ConvAlgorithm::kWinogradRows:
      kernel = MakeWinogradRowsConv(attributes_, weights, packing);
      break;
  }
}

ConvAlgorithm PackedConv::Choose(const ConvShape& shape) const {
  const ConvAlgorithm fastest = Fastest(attributes_, shape);
  if (kernels_[static_cast<int>(fastest)] != nullptr) return fastest;
  for (ConvAlgorithm other : kAll) {
    if (kernels_[static_cast<int>(other)] != nullptr) return other;
  }
  return fastest;
}

void PackedConv::Run(const ConvInput& x, const ConvShape& shape, const Epilogue& epilogue, float* y,
                     const Threads& threads) const {
  if (shape.n * shape.od * shape.oh * shape.ow * attributes_.oc == 0) return;
  Epilogue packed = epilogue;
  packed.residual_stride = attributes_.oc;
  const ConvShape flat = Flat(attributes_, shape);
  kernels_[static_cast<int>(Choose(flat))]->Run(x, flat, packed, y, threads);
}

void ConvOnce(const ConvAttributes& a, const float* weights, const ConvInput& x, const ConvShape& shape,
              const Epilogue& epilogue, float* y, const Threads& threads) {
  if (shape.n * shape.od * shape.oh * shape.ow * a.oc == 0) return;
  Epilogue packed = epilogue;
  packed.residual_stride = a.oc;
  const ConvShape s = Flat(a, shape);
  const ConvAlgorithm algorithm = PackedConv::Fastest(a, s);
  if (IsWinograd(algorithm)) {
    MakeWinogradConv(a, weights, algorithm, nullptr)->Run(x, s, packed, y, threads);
  } else if (algorithm != ConvAlgorithm::kGemm) {
    OnceStore store;
    PackedConv(a, weights, {threads, store}, algorithm).Run(x, s, packed, y, threads);
  } else if (a.groups > 1 || x.scale != nullptr || !IsPointwise(a, s)) {
    GemmConvOnce(a, weights, x, s, packed, y, threads);
  } else {
    GemmOnce(s.n * s.h * s.w, a.oc, a.c, x.data, a.c, weights, 1, a.c, y, a.oc, packed, threads, kStrassen);
  }
}

size_t PackedConv::Bytes() const {
  size_t bytes = 0;
  for (const auto& kernel : kernels_) bytes += kernel == nullptr ? 0 : kernel->Bytes();
  return bytes;
}

}  // namespace slipway::kernels
