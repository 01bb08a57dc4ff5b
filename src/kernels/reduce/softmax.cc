#include "kernels/reduce/softmax.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/reduce/softmax.cc"
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

void SoftmaxRow(const float* x, float* y, int64_t n, bool log) {
  const F32 d;
  const float greatest = ReduceRow<FastMaxOp>(x, n, [](Vec v) HWY_ATTR { return v; });
  const Vec shift = hn::Set(d, greatest);
  if (log) {
    const float sum = ReduceRow<SumOp>(x, n, [&](Vec v) HWY_ATTR { return ExpFlush(d, hn::Sub(v, shift)); });
    const Vec log_sum = hn::Set(d, std::log(sum));
    MapRow(x, y, n, [&](Vec v, int64_t) HWY_ATTR { return hn::Sub(hn::Sub(v, shift), log_sum); });
    return;
  }
  Vec sum = hn::Zero(d);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vec e = ExpFlush(d, hn::Sub(hn::LoadU(d, x + i), shift));
    hn::StoreU(e, d, y + i);
    sum = hn::Add(sum, e);
  }
  if (i < n) {
    const Vec e = ExpFlush(d, hn::Sub(LoadPart(d, x + i, n - i, 0), shift));
    StorePart(d, e, y + i, n - i);
    sum = hn::Add(sum, hn::IfThenElseZero(hn::FirstN(d, static_cast<size_t>(n - i)), e));
  }
  const Vec factor = hn::Set(d, 1 / SumOp::Across(sum));
  MapRow(y, y, n, [&](Vec v, int64_t) HWY_ATTR { return hn::Mul(v, factor); });
}

void SoftmaxRows(const float* x, float* y, int64_t rows, int64_t n, bool log) {
  for (int64_t r = 0; r < rows; ++r) SoftmaxRow(x + r * n, y + r * n, n, log);
}

/// Columns [begin, end) of x[n, inner], a vector of them at a time.
void SoftmaxColumns(const float* x, float* y, int64_t n, int64_t inner, int64_t begin, int64_t end, bool log) {
  const F32 d;
  for (int64_t c = begin; c < end; c += kLanes) {
    const int64_t count = std::min(kLanes, end - c);
    const auto load = [&](const float* from)
                          HWY_ATTR { return count == kLanes ? hn::LoadU(d, from) : LoadPart(d, from, count, 0); };
    const auto store = [&](Vec v, float* to) HWY_ATTR {
      if (count == kLanes) {
        hn::StoreU(v, d, to);
      } else {
        StorePart(d, v, to, count);
      }
    };
    Vec greatest = hn::Set(d, -kInf);
    for (int64_t i = 0; i < n; ++i) greatest = FastMaxOp::Combine(greatest, load(x + i * inner + c));
    Vec sum = hn::Zero(d);
    for (int64_t i = 0; i < n; ++i) {
      const Vec e = ExpFlush(d, hn::Sub(load(x + i * inner + c), greatest));
      sum = hn::Add(sum, e);
      if (!log) store(e, y + i * inner + c);
    }
    const Vec last = log ? Log(d, sum) : hn::Div(hn::Set(d, 1.0f), sum);
    for (int64_t i = 0; i < n; ++i) {
      const int64_t at = i * inner + c;
      store(log ? hn::Sub(hn::Sub(load(x + at), greatest), last) : hn::Mul(load(y + at), last), y + at);
    }
  }
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace slipway::kernels {

HWY_EXPORT(SoftmaxRows);
HWY_EXPORT(SoftmaxColumns);

void SoftmaxFloat(const float* x, float* y, int64_t outer, int64_t size, int64_t inner, bool log,
                  const Threads& threads) {
  if (outer <= 0 || size <= 0 || inner <= 0) return;
  ChooseTarget();
  constexpr int64_t kGrain = 8192;  // Elements: microseconds of work.
  if (inner == 1) {
    const auto rows = HWY_DYNAMIC_DISPATCH(SoftmaxRows);
    threads.ParallelFor(outer, std::max<int64_t>(1, kGrain / size), [&](int64_t begin, int64_t end) {
      rows(x + begin * size, y + begin * size, end - begin, size, log);
    });
    return;
  }
  const auto columns = HWY_DYNAMIC_DISPATCH(SoftmaxColumns);
  constexpr int64_t kColumns = 64;  // A few vectors, so that neighbours share cache lines.
  const int64_t blocks = (inner + kColumns - 1) / kColumns;
  threads.ParallelFor(outer * blocks, std::max<int64_t>(1, kGrain / (size * kColumns)),
                      [&](int64_t begin, int64_t end) {
                        for (int64_t i = begin; i < end; ++i) {
                          const int64_t at = i / blocks * size * inner;
                          const int64_t first = i % blocks * kColumns;
                          columns(x + at, y + at, size, inner, first, std::min(inner, first + kColumns), log);
                        }
                      });
}

}  // namespace slipway::kernels
#endif  // HWY_ONCE
