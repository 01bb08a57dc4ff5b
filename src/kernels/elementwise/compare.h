#pragma once

#include <cstdint>

namespace slipway::kernels {

enum class CompareOp : uint8_t { kEqual, kGreater, kGreaterOrEqual, kLess, kLessOrEqual };

/// y[i] = a[i * a_step] op b[i * b_step] for n elements, as 0 or 1; a step is 0 or 1. T is float, double, int32_t or
/// int64_t.
template <class T>
void CompareRow(CompareOp op, const T* a, int64_t a_step, const T* b, int64_t b_step, bool* y, int64_t n);

}  // namespace slipway::kernels
