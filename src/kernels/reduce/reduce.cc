#include "kernels/reduce/reduce.h"

#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/reduce/reduce.cc"
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

// What is done to an element first; `base` is the output's greatest element, for the last alone.
struct Identity {
  static HWY_INLINE Vec Of(Vec v, Vec) { return v; }
};
struct Magnitude {
  static HWY_INLINE Vec Of(Vec v, Vec) { return hn::Abs(v); }
};
struct Square {
  static HWY_INLINE Vec Of(Vec v, Vec) { return hn::Mul(v, v); }
};
struct ExpOver {
  static HWY_INLINE Vec Of(Vec v, Vec base) { return ExpFlush(F32(), hn::Sub(v, base)); }
};

/// One value from rows of `inner` elements.
template <class Op, class Map>
float ReduceRows(const ReducePlan& plan, const float* x, float base) {
  const Vec shift = hn::Set(F32(), base);
  const auto map = [&](Vec v) HWY_ATTR { return Map::Of(v, shift); };
  constexpr bool kIsSum = std::is_same_v<Op, SumOp>;
  double sum = 0;
  float all = Op::kIdentity;
  ForEachOffset<1>(plan.outer_reduced(), 0, plan.outer_reduced_count(), [&](int64_t, const std::array<int64_t, 1>& at) {
    if constexpr (kIsSum) {
      sum += SumRow(x + at[0], plan.inner(), map);
    } else {
      all = ReduceRow<Op>(x + at[0], plan.inner(), map, all);
    }
  });
  return kIsSum ? static_cast<float>(sum) : all;
}

/// The most neighbouring outputs that are computed together: their sums stay in the L1 cache.
constexpr int64_t kColumns = 1024;

/// `count` <= kColumns neighbouring outputs from rows [first, last), which lie apart, in the order of memory. Sums are
/// added up in blocks of rows. base_of: null where Map wants none.
template <class Op, class Map>
void ReduceColumns(const ReducePlan& plan, const float* x, int64_t first, int64_t last, const float* base_of, float* y,
                   int64_t count) {
  const F32 d;
  constexpr int64_t kBlock = 256, kAtOnce = 8;
  HWY_ALIGN float total[kColumns];
  HWY_ALIGN float part[kColumns];
  const auto each = [&](const auto& f) HWY_ATTR {
    for (int64_t c = 0; c < count; c += kLanes) f(c, std::min(kLanes, count - c));
  };
  const Vec identity = hn::Set(d, Op::kIdentity);
  each([&](int64_t c, int64_t) HWY_ATTR {
    hn::Store(identity, d, total + c);
    hn::Store(identity, d, part + c);
  });
  const auto add = [&](const auto&... rows) HWY_ATTR {
    each([&](int64_t c, int64_t left) HWY_ATTR {
      const Vec base = base_of != nullptr ? LoadPart(d, base_of + c, left, 0) : hn::Zero(d);
      Vec sum = hn::Load(d, part + c);
      ((sum =
            Op::Combine(sum, Map::Of(left == kLanes ? hn::LoadU(d, rows + c) : LoadPart(d, rows + c, left, 0), base))),
       ...);
      hn::Store(sum, d, part + c);
    });
  };
  const float* rows[kAtOnce];
  int64_t waiting = 0;
  ForEachOffset<1>(plan.outer_reduced(), first, last, [&](int64_t row, const std::array<int64_t, 1>& at) HWY_ATTR {
    rows[waiting++] = x + at[0];
    if (waiting < kAtOnce) return;
    waiting = 0;
    add(rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6], rows[7]);
    if (row % kBlock < kBlock - 1) return;
    each([&](int64_t c, int64_t) HWY_ATTR {
      hn::Store(Op::Combine(hn::Load(d, total + c), hn::Load(d, part + c)), d, total + c);
      hn::Store(identity, d, part + c);
    });
  });
  for (int64_t i = 0; i < waiting; ++i) add(rows[i]);
  each([&](int64_t c, int64_t left)
           HWY_ATTR { StorePart(d, Op::Combine(hn::Load(d, total + c), hn::Load(d, part + c)), y + c, left); });
}

/// How many parts the rows of so few outputs come in, by their shape alone: the sums do not depend on the threads.
int64_t RowParts(const ReducePlan& plan) {
  constexpr int64_t kFewOutputs = 256, kPartRows = 1024;
  return plan.outputs() > kFewOutputs ? 1 : std::max<int64_t>(1, plan.outer_reduced_count() / kPartRows);
}

/// The parts side by side, then their results.
template <class Op, class Map>
void ReduceInParts(const ReducePlan& plan, int64_t parts, const float* x, float* y, bool has_base,
                   const Threads& threads) {
  const F32 d;
  const int64_t rows = plan.outer_reduced_count(), inner = plan.inner();
  std::vector<float> results(static_cast<size_t>(plan.outputs() * parts));
  threads.ParallelFor(parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      ForEachOffset<1>(plan.outer_kept(), 0, plan.outer_kept_count(), [&](int64_t i, const std::array<int64_t, 1>& at) {
        ReduceColumns<Op, Map>(plan, x + at[0], p * rows / parts, (p + 1) * rows / parts,
                               has_base ? y + i * inner : nullptr, results.data() + p * plan.outputs() + i * inner,
                               inner);
      });
    }
  });
  for (int64_t i = 0; i < plan.outputs(); i += kLanes) {
    const int64_t left = std::min(kLanes, plan.outputs() - i);
    Vec all = LoadPart(d, results.data() + i, left, 0);
    for (int64_t p = 1; p < parts; ++p) {
      all = Op::Combine(all, LoadPart(d, results.data() + p * plan.outputs() + i, left, 0));
    }
    StorePart(d, all, y + i, left);
  }
}

/// Where has_base, y holds each output's base on entry.
template <class Op, class Map>
void Reduce(const ReducePlan& plan, const float* x, float* y, bool has_base, const Threads& threads) {
  constexpr int64_t kGrain = 16384;  // Elements: microseconds of work.
  if (plan.inner_is_reduced()) {
    threads.ParallelFor(plan.outputs(), std::max<int64_t>(1, kGrain / std::max<int64_t>(1, plan.reduced())),
                        [&](int64_t begin, int64_t end) {
                          ForEachOffset<1>(plan.outer_kept(), begin, end,
                                           [&](int64_t i, const std::array<int64_t, 1>& at) {
                                             y[i] = ReduceRows<Op, Map>(plan, x + at[0], has_base ? y[i] : 0.0f);
                                           });
                        });
    return;
  }
  if (const int64_t parts = RowParts(plan); parts > 1) {
    return ReduceInParts<Op, Map>(plan, parts, x, y, has_base, threads);
  }
  // Narrower where there would be too few for all threads, down to what a few cache lines hold.
  int64_t columns = kColumns;
  while (columns > 64 && plan.outer_kept_count() * ((plan.inner() + columns - 1) / columns) < 2 * threads.count() - 1) {
    columns /= 2;
  }
  const int64_t blocks = (plan.inner() + columns - 1) / columns;
  std::vector<Axis<1>> axes(plan.outer_kept().begin(), plan.outer_kept().end());
  axes.push_back({blocks, {columns}});
  threads.ParallelFor(plan.outer_kept_count() * blocks, std::max<int64_t>(1, kGrain / (plan.reduced() * columns + 1)),
                      [&](int64_t begin, int64_t end) {
                        ForEachOffset<1>(axes, begin, end, [&](int64_t i, const std::array<int64_t, 1>& at) {
                          const int64_t first = i % blocks * columns;
                          float* to = y + i / blocks * plan.inner() + first;
                          ReduceColumns<Op, Map>(plan, x + at[0], 0, plan.outer_reduced_count(),
                                                 has_base ? to : nullptr, to, std::min(columns, plan.inner() - first));
                        });
                      });
}

void RunReduce(ReduceOp op, const ReducePlan& plan, const float* x, float* y, const Threads& threads) {
  const auto finish = [&](const auto& f) {
    for (int64_t i = 0; i < plan.outputs(); ++i) y[i] = f(y[i]);
  };
  switch (op) {
    case ReduceOp::kSum:
      return Reduce<SumOp, Identity>(plan, x, y, false, threads);
    case ReduceOp::kMax:
      return Reduce<MaxOp, Identity>(plan, x, y, false, threads);
    case ReduceOp::kMin:
      return Reduce<MinOp, Identity>(plan, x, y, false, threads);
    case ReduceOp::kProd:
      return Reduce<ProductOp, Identity>(plan, x, y, false, threads);
    case ReduceOp::kSumSquare:
      return Reduce<SumOp, Square>(plan, x, y, false, threads);
    case ReduceOp::kL1:
      return Reduce<SumOp, Magnitude>(plan, x, y, false, threads);
    case ReduceOp::kMean: {
      Reduce<SumOp, Identity>(plan, x, y, false, threads);
      const auto count = static_cast<float>(plan.reduced());
      return finish([count](float v) { return v / count; });
    }
    case ReduceOp::kL2:
      Reduce<SumOp, Square>(plan, x, y, false, threads);
      return finish([](float v) { return std::sqrt(v); });
    case ReduceOp::kLogSum:
      Reduce<SumOp, Identity>(plan, x, y, false, threads);
      return finish([](float v) { return std::log(v); });
    case ReduceOp::kLogSumExp: {
      // Only a finite greatest is taken out: inf - inf would be NaN where the result is infinite.
      Reduce<MaxOp, Identity>(plan, x, y, false, threads);
      finish([](float v) { return std::isinf(v) ? 0.0f : v; });
      const std::vector<float> base(y, y + plan.outputs());
      Reduce<SumOp, ExpOver>(plan, x, y, true, threads);
      for (int64_t i = 0; i < plan.outputs(); ++i) y[i] = std::log(y[i]) + base[i];
      return;
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

HWY_EXPORT(RunReduce);

void ReduceFloat(ReduceOp op, const ReducePlan& plan, const float* x, float* y, const Threads& threads) {
  if (plan.outputs() == 0) return;
  ChooseTarget();
  HWY_DYNAMIC_DISPATCH(RunReduce)(op, plan, x, y, threads);
}

}  // namespace slipway::kernels
#endif  // HWY_ONCE
