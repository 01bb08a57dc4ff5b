#include "quant/weights.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <vector>

namespace slipway {
namespace {

struct Limits {
  int low, high;
};
Limits LimitsOf(const WeightRange& r) {
  if (!r.is_signed) return {0, r.reduced ? 127 : 255};
  if (r.reduced) return {-64, 64};
  // As many steps on either side of 0.
  return {r.symmetric ? -127 : -128, 127};
}

/// The factor for a scale that makes the squared error least: what lies far out is worth clipping where the many others
/// gain by it. Counts the largest number, and a sample of all.
class Clip {
 public:
  Clip(float largest, Limits limits) : largest_(largest), limits_(limits) {}
  void Add(float w) {
    for (size_t i = 0; i < std::size(kFactors); ++i) errors_[i] += SquaredError(w, i);
  }
  /// `share`: how many numbers each that was added stands for.
  float Best(double share) const {
    size_t best = 0;
    double least = 0;
    for (size_t i = 0; i < std::size(kFactors); ++i) {
      const double error = errors_[i] * share + SquaredError(largest_, i);
      if (i == 0 || error < least) {
        best = i;
        least = error;
      }
    }
    return kFactors[best];
  }

 private:
  static constexpr float kFactors[] = {1, 0.95f, 0.9f, 0.85f, 0.8f, 0.75f, 0.7f};
  double SquaredError(float w, size_t factor) const {
    const float scale = largest_ * kFactors[factor] / static_cast<float>(limits_.high);
    const float q = std::nearbyint(w / scale);
    const float kept = std::clamp(q, static_cast<float>(limits_.low), static_cast<float>(limits_.high)) * scale;
    return (static_cast<double>(w) - kept) * (static_cast<double>(w) - kept);
  }

  float largest_;
  Limits limits_;
  double errors_[std::size(kFactors)] = {};
};

/// For each channel, what its scale is to be multiplied by.
std::vector<float> ChooseClips(const float* w, int64_t size, int64_t inner, const std::vector<float>& largest,
                               Limits limits) {
  const auto channels = static_cast<int64_t>(largest.size());
  std::vector<Clip> clips;
  for (const float l : largest) clips.emplace_back(l, limits);
  // An odd step, so that each of a power of two of channels has its share of the sample.
  constexpr int64_t kSample = 1024;
  const int64_t wanted = channels == 1 ? 64 * kSample : kSample * channels;
  const int64_t step = std::max<int64_t>(1, size / wanted) | 1;
  for (int64_t i = 0; i < size; i += step) clips[i / inner % channels].Add(w[i]);
  std::vector<float> out;
  for (const Clip& c : clips) out.push_back(c.Best(static_cast<double>(step)));
  return out;
}

}  // namespace

QuantizedWeight QuantizeWeight(const Tensor& weight, const WeightRange& range, int axis) {
  const Shape& shape = weight.shape();
  const int64_t channels = axis < 0 ? 1 : shape[axis];
  const int64_t inner = axis < 0 ? weight.size() : shape.SizeFrom(axis + 1);
  const DType type = range.is_signed ? DType::kInt8 : DType::kUint8;
  const Shape many = axis < 0 ? Shape{} : Shape{channels};
  QuantizedWeight out = {Tensor(type, shape), Tensor(DType::kFloat, many), Tensor(type, many)};
  const Limits limits = LimitsOf(range);
  const float* w = weight.data<float>();
  std::vector<float> low(channels, 0), high(channels, 0);
  const auto channel = [&](int64_t i) { return axis < 0 ? 0 : i / inner % channels; };
  for (int64_t i = 0; i < weight.size(); ++i) {
    const int64_t c = channel(i);
    low[c] = std::min(low[c], w[i]);
    high[c] = std::max(high[c], w[i]);
  }
  std::vector<float> scales(channels), zeros(channels);
  if (range.symmetric) {
    for (int64_t c = 0; c < channels; ++c) high[c] = std::max(high[c], -low[c]);
    if (range.is_signed) {
      const std::vector<float> clips = ChooseClips(w, weight.size(), inner, high, limits);
      for (int64_t c = 0; c < channels; ++c) high[c] *= clips[c];
    }
    for (int64_t c = 0; c < channels; ++c) low[c] = -high[c];
  }
  for (int64_t c = 0; c < channels; ++c) {
    const double scale = (static_cast<double>(high[c]) - low[c]) / (limits.high - limits.low);
    // A weight of zeros has any scale, which must not be 0 or too small to divide by.
    scales[c] = scale < std::numeric_limits<float>::min() ? 1.0f : static_cast<float>(scale);
    zeros[c] = range.symmetric ? std::nearbyint(static_cast<float>(limits.low + limits.high) / 2)
                               : std::nearbyint(static_cast<float>(limits.low) - low[c] / scales[c]);
    zeros[c] = std::clamp(zeros[c], static_cast<float>(limits.low), static_cast<float>(limits.high));
    out.scale.data<float>()[c] = scales[c];
    static_cast<uint8_t*>(out.zero.raw())[c] = static_cast<uint8_t>(static_cast<int>(zeros[c]));
  }
  for (int64_t i = 0; i < weight.size(); ++i) {
    const int64_t c = channel(i);
    const float q = std::nearbyint(w[i] / scales[c]) + zeros[c];
    // NaN gives the lowest.
    const float v = q > static_cast<float>(limits.low) ? std::min(q, static_cast<float>(limits.high))
                                                       : static_cast<float>(limits.low);
    static_cast<uint8_t*>(out.values.raw())[i] = static_cast<uint8_t>(static_cast<int>(v));
  }
  return out;
}

}  // namespace slipway
