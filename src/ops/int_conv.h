#pragma once

#include <memory>
#include <vector>

#include "ops/int_product.h"
#include "ops/windows.h"

namespace slipway {

/// A convolution of 8-bit images with 8-bit weights, each less its zero point. Products of bytes over windows that are
/// gathered as they are read; one channel to one is summed directly.
class IntConv {
 public:
  WindowAttributes window;
  int64_t group = 1;
  bool channels_last = false;

  static IntConv Parse(const Attributes& a);
  bool Prepack(const Tensor& w, const kernels::Packing& packing);
  /// Zero points: one for x, one or one an output channel for w. `result` says what the sums become; data, stride and
  /// zero points are set here.
  void Run(RunContext& c, const Tensor& x, const Tensor& w, const Tensor* x_zero, const Tensor* w_zero, Tensor& y,
           kernels::IntResult result) const;

 private:
  /// Each group's matrix packed; where one channel goes to one, the taps of each output channel instead.
  struct Weights {
    std::shared_ptr<const std::byte> block;
    std::vector<kernels::PackedIntMatrix> groups;
  };
  std::shared_ptr<const Weights> MakeWeights(const Tensor& w, const kernels::Packing& packing) const;

  std::shared_ptr<const Weights> weights_;
};

}  // namespace slipway
