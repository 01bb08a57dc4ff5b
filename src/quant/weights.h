#pragma once

#include "slipway/tensor.h"

namespace slipway {

/// Numbers that a weight is quantized to.
struct WeightRange {
  bool is_signed;
  bool symmetric;
  bool reduced;  ///< 7 bits
};

struct QuantizedWeight {
  Tensor values;  ///< int8 or uint8
  Tensor scale;   ///< float: a scalar, or one for each channel
  Tensor zero;    ///< of the values' type, as many
};

/// A float tensor in bytes, with one scale, or one for each index of `axis` where that is not negative. Signed
/// symmetric scales are those of least squared error, which may clip a few numbers; the others reach from end to end.
QuantizedWeight QuantizeWeight(const Tensor& weight, const WeightRange& range, int axis);

}  // namespace slipway
