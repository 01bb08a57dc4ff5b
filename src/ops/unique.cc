#include <algorithm>
#include <numeric>

#include "core/dtype_visit.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

template <class T>
constexpr bool kIsComplex = std::is_same_v<T, std::complex<float>> || std::is_same_v<T, std::complex<double>>;

/// -1, 0 or 1; NaN stands behind all numbers and equals itself. Complex numbers go by their real parts first.
template <class T>
int Order(const T& a, const T& b) {
  if constexpr (std::is_same_v<T, Float16> || std::is_same_v<T, BFloat16>) {
    return Order(static_cast<float>(a), static_cast<float>(b));
  } else if constexpr (kIsComplex<T>) {
    const int real = Order(a.real(), b.real());
    return real ? real : Order(a.imag(), b.imag());
  } else {
    if constexpr (std::is_floating_point_v<T>) {
      if (a != a || b != b) return (a != a) - (b != b);
    }
    return a < b ? -1 : b < a ? 1 : 0;
  }
}

}  // namespace

/// The distinct elements (subtensors along an axis), sorted or by first occurrence, with where they first are, which
/// one each place holds, and how many there are. ONNX Unique, since 28.
struct Unique {
  std::optional<int64_t> axis;
  bool sorted = true;
  static Unique Parse(const Attributes& a) {
    Unique op{.sorted = a.Int("sorted", 1) != 0};
    if (a.Has("axis")) op.axis = a.Int("axis", 0);
    return op;
  }

  void Infer(InferContext& c) const {
    const Dim count = Dim::Unknown();
    Dim places = Dim::Unknown();
    if (!axis) {
      if (c.HasRank(0)) places = c.Shape(0).size();
      c.Out(0, c.Elem(0), {count});
    } else if (c.HasRank(0)) {
      SymbolicShape out = c.Shape(0);
      const int at = static_cast<int>(c.Axis(*axis, out.rank()));
      places = out[at];
      out[at] = count;
      c.Out(0, c.Elem(0), std::move(out));
    } else {
      c.Out(0, c.Elem(0));
    }
    c.Out(1, DType::kInt64, {count});
    c.Out(2, DType::kInt64, {places});
    c.Out(3, DType::kInt64, {count});
  }

  void Run(RunContext& c) const {
    VisitAll(c.In(0).dtype(), [&]<class T>() {
      if constexpr (std::is_arithmetic_v<T> || std::is_same_v<T, std::string> || std::is_same_v<T, Float16> ||
                    std::is_same_v<T, BFloat16> || kIsComplex<T>) {
        RunTyped<T>(c);
      }
    });
  }

 private:
  template <class T>
  void RunTyped(RunContext& c) const {
    const Tensor& x = c.In(0);
    const int at = axis ? ModAxis(*axis, x.shape().rank()) : 0;
    const int64_t places = axis ? x.shape()[at] : x.size();
    const int64_t outer = axis ? x.shape().SizeTo(at) : 1, inner = axis ? x.shape().SizeFrom(at + 1) : 1;
    const T* in = x.data<T>();
    auto order = [&](int64_t a, int64_t b) {
      for (int64_t o = 0; o < outer; ++o) {
        const T *left = in + (o * places + a) * inner, *right = in + (o * places + b) * inner;
        for (int64_t i = 0; i < inner; ++i) {
          if (const int found = Order(left[i], right[i])) return found;
        }
      }
      return 0;
    };
    std::vector<int64_t> by_value(places);
    std::iota(by_value.begin(), by_value.end(), 0);
    std::sort(by_value.begin(), by_value.end(), [&](int64_t a, int64_t b) {
      const int found = order(a, b);
      return found ? found < 0 : a < b;
    });
    std::vector<int64_t> first, counts, group(places);
    for (int64_t i = 0; i < places; ++i) {
      if (i == 0 || order(by_value[i - 1], by_value[i]) != 0) {
        first.push_back(by_value[i]);
        counts.push_back(0);
      }
      ++counts.back();
      group[by_value[i]] = static_cast<int64_t>(first.size()) - 1;
    }
    Give<T>(c, first, counts, group, at, places, outer, inner);
  }

  template <class T>
  void Give(RunContext& c, const std::vector<int64_t>& first, const std::vector<int64_t>& counts,
            const std::vector<int64_t>& group, int at, int64_t places, int64_t outer, int64_t inner) const {
    const auto n = static_cast<int64_t>(first.size());
    std::vector<int64_t> ordered(n), rank(n);
    std::iota(ordered.begin(), ordered.end(), 0);
    if (!sorted) std::sort(ordered.begin(), ordered.end(), [&](int64_t a, int64_t b) { return first[a] < first[b]; });
    for (int64_t i = 0; i < n; ++i) rank[ordered[i]] = i;
    const Tensor& x = c.In(0);
    if (c.HasOut(0)) {
      Shape shape = axis ? x.shape() : Shape{0};
      shape[at] = n;
      T* y = c.Allocate(0, x.dtype(), shape).template data<T>();
      for (int64_t o = 0; o < outer; ++o) {
        for (int64_t i : ordered) y = std::copy_n(x.data<T>() + (o * places + first[i]) * inner, inner, y);
      }
    }
    auto vector = [&](int output, int64_t size, const auto& at_place) {
      if (!c.HasOut(output)) return;
      int64_t* to = c.Allocate(output, DType::kInt64, {size}).template data<int64_t>();
      for (int64_t i = 0; i < size; ++i) to[i] = at_place(i);
    };
    vector(1, n, [&](int64_t i) { return first[ordered[i]]; });
    vector(2, places, [&](int64_t i) { return rank[group[i]]; });
    vector(3, n, [&](int64_t i) { return counts[ordered[i]]; });
  }
};
extern const OpDef kUnique = Define<Unique>(
    {.name = "Unique",
     .since = 28,
     .max_outputs = 4,
     .types = kNumericTypes | TypeSet{DType::kBool, DType::kString, DType::kComplex64, DType::kComplex128}});

}  // namespace slipway
