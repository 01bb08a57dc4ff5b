#include "kernels/elementwise/compare.h"

#include <functional>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise/compare.cc"
#include "kernels/targets.h"
// After targets.h.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {
namespace {

// Plain loops: the compiler makes vectors of them, for each instruction set.
template <class F, class T>
void Compare(const T* a, int64_t a_step, const T* b, int64_t b_step, uint8_t* y, int64_t n) {
  const F f;
  if (a_step && b_step) {
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], b[i]);
  } else if (a_step) {
    const T value = *b;
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], value);
  } else {
    const T value = *a;
    for (int64_t i = 0; i < n; ++i) y[i] = f(value, b[b_step * i]);
  }
}

template <class T>
void CompareBy(CompareOp op, const T* a, int64_t a_step, const T* b, int64_t b_step, uint8_t* y, int64_t n) {
  switch (op) {
    case CompareOp::kEqual:
      return Compare<std::equal_to<>>(a, a_step, b, b_step, y, n);
    case CompareOp::kGreater:
      return Compare<std::greater<>>(a, a_step, b, b_step, y, n);
    case CompareOp::kGreaterOrEqual:
      return Compare<std::greater_equal<>>(a, a_step, b, b_step, y, n);
    case CompareOp::kLess:
      return Compare<std::less<>>(a, a_step, b, b_step, y, n);
    case CompareOp::kLessOrEqual:
      return Compare<std::less_equal<>>(a, a_step, b, b_step, y, n);
  }
}

void CompareFloat(CompareOp op, const float* a, int64_t as, const float* b, int64_t bs, uint8_t* y, int64_t n) {
  CompareBy(op, a, as, b, bs, y, n);
}
void CompareDouble(CompareOp op, const double* a, int64_t as, const double* b, int64_t bs, uint8_t* y, int64_t n) {
  CompareBy(op, a, as, b, bs, y, n);
}
void CompareInt32(CompareOp op, const int32_t* a, int64_t as, const int32_t* b, int64_t bs, uint8_t* y, int64_t n) {
  CompareBy(op, a, as, b, bs, y, n);
}
void CompareInt64(CompareOp op, const int64_t* a, int64_t as, const int64_t* b, int64_t bs, uint8_t* y, int64_t n) {
  CompareBy(op, a, as, b, bs, y, n);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace slipway::kernels {

HWY_EXPORT(CompareFloat);
HWY_EXPORT(CompareDouble);
HWY_EXPORT(CompareInt32);
HWY_EXPORT(CompareInt64);

template <>
void CompareRow(CompareOp op, const float* a, int64_t as, const float* b, int64_t bs, bool* y, int64_t n) {
  ChooseTarget();
  HWY_DYNAMIC_DISPATCH(CompareFloat)(op, a, as, b, bs, reinterpret_cast<uint8_t*>(y), n);
}
template <>
void CompareRow(CompareOp op, const double* a, int64_t as, const double* b, int64_t bs, bool* y, int64_t n) {
  ChooseTarget();
  HWY_DYNAMIC_DISPATCH(CompareDouble)(op, a, as, b, bs, reinterpret_cast<uint8_t*>(y), n);
}
template <>
void CompareRow(CompareOp op, const int32_t* a, int64_t as, const int32_t* b, int64_t bs, bool* y, int64_t n) {
  ChooseTarget();
  HWY_DYNAMIC_DISPATCH(CompareInt32)(op, a, as, b, bs, reinterpret_cast<uint8_t*>(y), n);
}
template <>
void CompareRow(CompareOp op, const int64_t* a, int64_t as, const int64_t* b, int64_t bs, bool* y, int64_t n) {
  ChooseTarget();
  HWY_DYNAMIC_DISPATCH(CompareInt64)(op, a, as, b, bs, reinterpret_cast<uint8_t*>(y), n);
}

}  // namespace slipway::kernels
#endif  // HWY_ONCE
