#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/elementwise/axes.h"
#include "thread/pool.h"

namespace slipway::kernels {

/// How two operands meet in the output's innermost two axes; what lies outside them is a loop over rows.
enum class BroadcastForm : uint8_t {
  kEqual,    ///< y[c] = a[c] op b[c]
  kScalarA,  ///< y[c] = a[0] op b[c]
  kScalarB,  ///< y[c] = a[c] op b[0]
};

/// A broadcast of two shapes with runs of axes that behave alike made one: equal shapes become one row, bias rows and
/// columns become two axes. Offsets and strides count elements.
class BroadcastPlan {
 public:
  /// The shapes align at their ends; each pair of dimensions is equal or has a 1. Throws Error(kInvalidArgument)
  /// otherwise.
  BroadcastPlan(std::span<const int64_t> a, std::span<const int64_t> b);

  const std::vector<int64_t>& shape() const { return shape_; }  ///< of the output, before axes were joined
  int64_t count() const { return rows_ * columns_; }            ///< of output elements
  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  BroadcastForm form() const { return form_; }

  /// Calls f(a offset, b offset, y offset) for rows [begin, end), each of columns() outputs.
  template <class F>
  void ForEachRow(int64_t begin, int64_t end, const F& f) const;

 private:
  std::vector<int64_t> shape_;
  std::vector<Axis<2>> outer_;  ///< outermost first; strides of a and b
  int64_t rows_ = 1;
  int64_t columns_ = 1;
  BroadcastForm form_ = BroadcastForm::kEqual;
};

template <class F>
void BroadcastPlan::ForEachRow(int64_t begin, int64_t end, const F& f) const {
  ForEachOffset<2>(outer_, begin, end,
                   [&](int64_t row, const std::array<int64_t, 2>& at) { f(at[0], at[1], row * columns_); });
}

/// Runs row(a offset, b offset, y offset, columns) over the whole output, split over threads by rows, or within the one
/// row.
template <class Row>
void ForEachBroadcastRow(const BroadcastPlan& plan, const Threads& threads, const Row& row) {
  constexpr int64_t kGrain = 16384;  // Elements: microseconds of work, well above the cost of handing them over.
  if (plan.count() == 0) return;
  if (plan.rows() == 1) {
    const int64_t a_step = plan.form() != BroadcastForm::kScalarA;
    const int64_t b_step = plan.form() != BroadcastForm::kScalarB;
    threads.ParallelFor(plan.columns(), kGrain,
                        [&](int64_t begin, int64_t end) { row(begin * a_step, begin * b_step, begin, end - begin); });
    return;
  }
  threads.ParallelFor(plan.rows(), std::max<int64_t>(1, kGrain / plan.columns()), [&](int64_t begin, int64_t end) {
    plan.ForEachRow(begin, end, [&](int64_t a, int64_t b, int64_t y) { row(a, b, y, plan.columns()); });
  });
}

/// y = f(a, b) elementwise over the plan. y may be an operand of the output's shape.
template <class A, class B, class Y, class F>
void BroadcastBinary(const BroadcastPlan& plan, const A* a, const B* b, Y* y, const F& f, const Threads& threads) {
  ForEachBroadcastRow(plan, threads, [&](int64_t a_at, int64_t b_at, int64_t y_at, int64_t n) {
    const A* left = a + a_at;
    const B* right = b + b_at;
    Y* out = y + y_at;
    switch (plan.form()) {
      case BroadcastForm::kEqual:
        for (int64_t i = 0; i < n; ++i) out[i] = f(left[i], right[i]);
        break;
      case BroadcastForm::kScalarA: {
        const A value = left[0];
        for (int64_t i = 0; i < n; ++i) out[i] = f(value, right[i]);
        break;
      }
      case BroadcastForm::kScalarB: {
        const B value = right[0];
        for (int64_t i = 0; i < n; ++i) out[i] = f(left[i], value);
        break;
      }
    }
  });
}

}  // namespace slipway::kernels
