#include "kernels/elementwise/cells.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise/cells.cc"
#include "kernels/targets.h"
// After targets.h.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/row-inl.h"
#include "kernels/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {
namespace {

/// Calls f(load, store) for each vector of n elements: load(x) reads it from x, store(v, y) writes it to y.
template <class F>
HWY_INLINE void ForEachVector(int64_t n, const F& f) {
  const F32 d;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    f([&](const float* x) HWY_ATTR { return hn::LoadU(d, x + i); },
      [&](Vec v, float* y) HWY_ATTR { hn::StoreU(v, d, y + i); });
  }
  if (i < n) {
    f([&](const float* x) HWY_ATTR { return LoadPart(d, x + i, n - i, 0); },
      [&](Vec v, float* y) HWY_ATTR { StorePart(d, v, y + i, n - i); });
  }
}

void LstmRange(const float* gates, int64_t apart, float* cell, float* hidden, int64_t n) {
  const F32 d;
  ForEachVector(n, [&](const auto& load, const auto& store) HWY_ATTR {
    const Vec in = Sigmoid(d, load(gates)), forget = Sigmoid(d, load(gates + 2 * apart)),
              fresh = load(gates + 3 * apart);
    const Vec c = hn::MulAdd(forget, load(cell), hn::Mul(in, Tanh(d, fresh)));
    store(c, cell);
    store(hn::Mul(Sigmoid(d, load(gates + apart)), Tanh(d, c)), hidden);
  });
}

void GruGatesRange(float* update, float* reset, const float* hidden, float* reset_hidden, int64_t n) {
  const F32 d;
  ForEachVector(n, [&](const auto& load, const auto& store) HWY_ATTR {
    store(Sigmoid(d, load(update)), update);
    const Vec r = Sigmoid(d, load(reset));
    store(r, reset);
    store(hn::Mul(r, load(hidden)), reset_hidden);
  });
}

void GruCellsRange(const float* update, const float* fresh, float* hidden, int64_t n) {
  const F32 d;
  ForEachVector(n, [&](const auto& load, const auto& store) HWY_ATTR {
    const Vec z = load(update);
    const Vec old = hn::Mul(z, load(hidden));
    store(hn::MulAdd(hn::Sub(hn::Set(d, 1.0f), z), Tanh(d, load(fresh)), old), hidden);
  });
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace slipway::kernels {

HWY_EXPORT(LstmRange);
HWY_EXPORT(GruGatesRange);
HWY_EXPORT(GruCellsRange);

void LstmCells(const float* gates, int64_t apart, float* cell, float* hidden, int64_t n) {
  ChooseTarget();
  HWY_DYNAMIC_DISPATCH(LstmRange)(gates, apart, cell, hidden, n);
}

void GruGates(float* update, float* reset, const float* hidden, float* reset_hidden, int64_t n) {
  ChooseTarget();
  HWY_DYNAMIC_DISPATCH(GruGatesRange)(update, reset, hidden, reset_hidden, n);
}

void GruCells(const float* update, const float* fresh, float* hidden, int64_t n) {
  ChooseTarget();
  HWY_DYNAMIC_DISPATCH(GruCellsRange)(update, fresh, hidden, n);
}

}  // namespace slipway::kernels
#endif  // HWY_ONCE
