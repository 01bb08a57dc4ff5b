#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/elementwise/axes.h"
#include "thread/pool.h"

namespace slipway::kernels {

enum class ReduceOp : uint8_t {
  kSum,
  kMean,
  kMax,  ///< NaN where any is
  kMin,  ///< NaN where any is
  kProd,
  kSumSquare,
  kL1,
  kL2,
  kLogSum,
  kLogSumExp,
};

/// A reduction of a contiguous tensor with neighbouring axes that behave alike made one. Outputs are in the kept axes'
/// order.
class ReducePlan {
 public:
  /// `axes` are in [0, rank) without repetition.
  ReducePlan(std::span<const int64_t> shape, std::span<const int64_t> axes);

  int64_t outputs() const { return outputs_; }
  int64_t reduced() const { return reduced_; }  ///< elements behind each output; 0 gives the operation's identity

  // The innermost run of elements, `inner` long, is reduced where inner_is_reduced and else kept; the axes outside it,
  // outermost first, with their strides in elements.
  bool inner_is_reduced() const { return inner_is_reduced_; }
  int64_t inner() const { return inner_; }
  std::span<const Axis<1>> outer_kept() const { return outer_kept_; }
  std::span<const Axis<1>> outer_reduced() const { return outer_reduced_; }
  int64_t outer_kept_count() const { return inner_is_reduced_ ? outputs_ : outputs_ / std::max<int64_t>(1, inner_); }
  int64_t outer_reduced_count() const { return inner_is_reduced_ ? reduced_ / std::max<int64_t>(1, inner_) : reduced_; }

 private:
  std::vector<Axis<1>> outer_kept_;
  std::vector<Axis<1>> outer_reduced_;
  int64_t inner_ = 1;
  int64_t outputs_ = 1;
  int64_t reduced_ = 1;
  bool inner_is_reduced_ = true;
};

/// y[output] = op over the elements behind it. Sums of rows add up in blocks, so that their error does not grow with
/// length. A mean of nothing is NaN, a maximum -inf, a minimum +inf.
void ReduceFloat(ReduceOp op, const ReducePlan& plan, const float* x, float* y, const Threads& threads);

/// y[output] = finish(combine(…combine(init, x0)…, xn)) in the order of memory, for any type; combine takes and gives
/// Acc.
template <class T, class Acc, class Y, class Combine, class Finish>
void ReducePlain(const ReducePlan& plan, const T* x, Y* y, Acc init, const Combine& combine, const Finish& finish,
                 const Threads& threads) {
  const int64_t kept_inner = plan.inner_is_reduced() ? 1 : plan.inner();
  const int64_t reduced_inner = plan.inner_is_reduced() ? plan.inner() : 1;
  const int64_t work = std::max<int64_t>(1, plan.reduced() * kept_inner);
  if (plan.outputs() == 0) return;
  threads.ParallelFor(plan.outer_kept_count(), std::max<int64_t>(1, 16384 / work), [&](int64_t begin, int64_t end) {
    std::vector<Acc> sums(static_cast<size_t>(kept_inner));
    ForEachOffset<1>(plan.outer_kept(), begin, end, [&](int64_t place, const std::array<int64_t, 1>& kept) {
      std::fill(sums.begin(), sums.end(), init);
      const auto fold = [&](int64_t, const std::array<int64_t, 1>& at) {
        const T* from = x + kept[0] + at[0];
        for (int64_t i = 0; i < reduced_inner; ++i) {
          for (int64_t c = 0; c < kept_inner; ++c) sums[c] = combine(sums[c], from[i * kept_inner + c]);
        }
      };
      if (plan.reduced() > 0) ForEachOffset<1>(plan.outer_reduced(), 0, plan.outer_reduced_count(), fold);
      for (int64_t c = 0; c < kept_inner; ++c) y[place * kept_inner + c] = finish(sums[c]);
    });
  });
}

}  // namespace slipway::kernels
