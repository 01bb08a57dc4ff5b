#include "quant/weights.h"

#include <algorithm>
#include <cmath>

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
  for (int64_t c = 0; c < channels; ++c) {
    if (range.symmetric) {
      high[c] = std::max(high[c], -low[c]);
      low[c] = -high[c];
    }
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
