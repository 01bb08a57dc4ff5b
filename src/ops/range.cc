#include <cmath>

#include "core/dtype_visit.h"
#include "ops/one_number.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

constexpr TypeSet kRangeTypes = kFloatTypes | TypeSet{DType::kInt16, DType::kInt32, DType::kInt64};

/// ceil((limit - start) / delta), at least 0. Integers by unsigned arithmetic: limit - start may not fit an int64.
template <class T>
double CountOf(T start, T limit, T delta) {
  if constexpr (std::is_integral_v<T>) {
    if (delta > 0 ? start >= limit : start <= limit) return 0;
    const auto distance = delta > 0 ? static_cast<uint64_t>(limit) - static_cast<uint64_t>(start)
                                    : static_cast<uint64_t>(start) - static_cast<uint64_t>(limit);
    const auto step = delta > 0 ? static_cast<uint64_t>(delta) : uint64_t{0} - static_cast<uint64_t>(delta);
    const uint64_t count = (distance - 1) / step + 1;
    return static_cast<double>(count);
  } else {
    const auto a = static_cast<double>(start), b = static_cast<double>(limit), d = static_cast<double>(delta);
    const double count = std::ceil((b - a) / d);
    return count > 0 ? count : 0;
  }
}

template <class T>
using Accumulator = std::conditional_t<std::is_arithmetic_v<T>, T, float>;

}  // namespace

/// start, start + delta, ... below limit (above it for a negative delta). ONNX Range, since 27.
struct Range {
  int64_t stash_type = 1;
  static Range Parse(const Attributes& a) { return {.stash_type = a.Int("stash_type", 1)}; }

  void Infer(InferContext& c) const {
    if (const DType type = ToDType(c, stash_type, "stash_type"); !kFloatTypes.Has(type))
      c.Fail("attribute 'stash_type' is {}, but must be {}.", Name(type), kFloatTypes.ToString());
    for (int i = 0; i < 3; ++i) {
      c.ExpectElem(i, kRangeTypes);
      c.ExpectSameElem(i, 0);
      ExpectOne(c, i);
    }
    const Tensor* in[3] = {c.Constant(0), c.Constant(1), c.Constant(2)};
    if (in[0] && in[1] && in[2]) {
      VisitNumeric(c.Elem(0), [&]<class T>() {
        const T start = *in[0]->data<T>(), limit = *in[1]->data<T>(), delta = *in[2]->data<T>();
        InferCount(c, static_cast<Accumulator<T>>(start), static_cast<Accumulator<T>>(limit),
                   static_cast<Accumulator<T>>(delta));
      });
      return;
    }
    InferSymbols(c);
  }

  void Run(RunContext& c) const {
    Tensor& y = c.Out(0);
    VisitNumeric(y.dtype(), [&]<class T>() {
      const auto start = static_cast<Accumulator<T>>(*c.In(0).data<T>()),
                 delta = static_cast<Accumulator<T>>(*c.In(2).data<T>());
      T* to = y.data<T>();
      for (int64_t i = 0; i < y.size(); ++i) {
        if constexpr (std::is_integral_v<T>) {
          to[i] =
              static_cast<T>(static_cast<uint64_t>(start) + static_cast<uint64_t>(i) * static_cast<uint64_t>(delta));
        } else {
          to[i] = T(start + static_cast<Accumulator<T>>(i) * delta);
        }
      }
    });
  }

 private:
  template <class T>
  static void InferCount(InferContext& c, T start, T limit, T delta) {
    if (delta == T(0) || delta != delta) c.Fail("delta is {}, with which no range ends.", static_cast<double>(delta));
    const double count = CountOf(start, limit, delta);
    if (!(count < 9e18))
      c.Fail("the range from {} to {} has too many elements.", static_cast<double>(start), static_cast<double>(limit));
    const auto n = static_cast<int64_t>(count);
    if constexpr (std::is_integral_v<T>) {
      if (n <= 64 && (c.Elem(0) == DType::kInt64 || c.Elem(0) == DType::kInt32)) {
        SymbolicInts ints;
        for (int64_t i = 0; i < n; ++i) ints.push_back(static_cast<int64_t>(start) + i * static_cast<int64_t>(delta));
        c.OutInts(0, std::move(ints));
      }
    }
    c.Out(0, c.Elem(0), {Dim(n)});
  }

  static void InferSymbols(InferContext& c) {
    const auto start = ShapeInts(c, 0), limit = ShapeInts(c, 1), delta = ShapeInts(c, 2);
    Dim size = Dim::Unknown();
    if (start && limit && delta && start->size() == 1 && limit->size() == 1 && delta->size() == 1) {
      const Dim &a = (*start)[0], &b = (*limit)[0], &d = (*delta)[0];
      if (a.is_const() && b.is_const() && d.is_const()) return InferCount(c, a.value(), b.value(), d.value());
      // From a to a + n there are n, where n is a size.
      if (d == Dim(1)) size = NeverNegative(b - a) ? b - a : Max(b - a, 0);
      if (!NeverNegative(a) || !NeverNegative(b)) size = Dim::Unknown();
    }
    c.Out(0, c.Elem(0), {size});
  }
};
extern const OpDef kRange =
    Define<Range>({.name = "Range", .since = 27, .min_inputs = 3, .max_inputs = 3, .types = kRangeTypes});

}  // namespace slipway
