#include <algorithm>
#include <cstring>

#include "kernels/copy/strided_copy.h"
#include "ops/indexing.h"
#include "ops/one_number.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

enum class PadMode { kConstant, kReflect, kEdge, kWrap };

PadMode ParsePadMode(const Attributes& a) {
  const std::string name = a.String("mode", "constant");
  const std::pair<const char*, PadMode> all[] = {{"constant", PadMode::kConstant},
                                                 {"reflect", PadMode::kReflect},
                                                 {"edge", PadMode::kEdge},
                                                 {"wrap", PadMode::kWrap}};
  for (const auto& [text, mode] : all) {
    if (name == text) return mode;
  }
  throw Error(Code::kBadGraph, fmt::format("mode is '{}', but must be constant, reflect, edge or wrap.", name));
}

/// Where place `i` of an axis of n elements lies once places outside [0, n) are brought inside.
int64_t Inside(PadMode mode, int64_t i, int64_t n) {
  if (mode == PadMode::kEdge) return std::clamp<int64_t>(i, 0, n - 1);
  const int64_t period = mode == PadMode::kWrap ? n : std::max<int64_t>(1, 2 * (n - 1));
  i %= period;
  if (i < 0) i += period;
  return mode == PadMode::kWrap || i < n ? i : period - i;
}

}  // namespace

/// Adds elements before and after on some axes; negative pads take away. ONNX Pad, since 25.
struct Pad {
  PadMode mode = PadMode::kConstant;
  static Pad Parse(const Attributes& a) { return {.mode = ParsePadMode(a)}; }

  void Infer(InferContext& c) const {
    c.ExpectElem(1, {DType::kInt64});
    if (c.Has(2)) c.ExpectSameElem(2, 0);
    if (c.Has(3)) c.ExpectElem(3, kIndexTypes);
    if (!c.HasRank(0)) return c.Out(0, c.Elem(0));
    const SymbolicShape& x = c.Shape(0);
    const auto pads = c.Ints(1);
    const auto axes = c.Has(3) ? c.ConstInts(3) : std::optional(AllAxes(x.rank()));
    if (!pads || !axes) return c.Out(0, c.Elem(0), ToldByData(x.rank()));
    if (pads->size() != 2 * axes->size())
      c.Fail("pads has {} elements, but {} axes want {}.", pads->size(), axes->size(), 2 * axes->size());
    const auto unique = UniqueAxes(c, *axes, x.rank());
    std::vector<Dim> dims = x.dims();
    for (size_t i = 0; i < unique.size(); ++i) {
      Dim& d = dims[unique[i]];
      const Dim &before = (*pads)[i], &after = (*pads)[i + unique.size()];
      CheckAxis(c, d, before, after, unique[i]);
      d = d + before + after;
      if (d.is_const() && d.value() < 0)
        c.Fail("the pads of axis {} take away more than the axis has: {} would be left.", unique[i], d.value());
    }
    c.Out(0, c.Elem(0), std::move(dims));
  }

  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    const int rank = x.shape().rank();
    const auto pads = ToInts(c.In(1));
    const auto axes = c.Has(3) ? ToInts(c.In(3)) : AllAxes(rank);
    std::vector<int64_t> before(rank, 0);
    for (size_t i = 0; i < axes.size(); ++i) before[ModAxis(axes[i], rank)] = pads[i];
    if (c.Out(0).size() == 0) return;
    if (mode == PadMode::kConstant) {
      RunConstant(c, before);
    } else {
      RunMapped(c, before);
    }
  }

 private:
  static std::vector<int64_t> AllAxes(int rank) {
    std::vector<int64_t> axes(rank);
    for (int i = 0; i < rank; ++i) axes[i] = i;
    return axes;
  }
  void CheckAxis(const InferContext& c, const Dim& size, const Dim& before, const Dim& after, int64_t axis) const {
    if (!size.is_const() || !before.is_const() || !after.is_const()) return;
    const int64_t n = size.value(), b = before.value(), a = after.value();
    if (b < -n || a < -n) c.Fail("the pads {} and {} of axis {} take away more than its {} elements.", b, a, axis, n);
    const int64_t kept = n + std::min<int64_t>(b, 0) + std::min<int64_t>(a, 0);
    if (mode != PadMode::kConstant && kept <= 0 && (b > 0 || a > 0))
      c.Fail("axis {} has nothing to repeat into its pads.", axis);
  }

  static void RunConstant(RunContext& c, const std::vector<int64_t>& before) {
    const Tensor& x = c.In(0);
    Tensor& y = c.Out(0);
    const int rank = x.shape().rank();
    const auto from = kernels::DenseStrides(x.shape()), to = kernels::DenseStrides(y.shape());
    Shape kept = y.shape();
    int64_t from_offset = 0, to_offset = 0;
    for (int i = 0; i < rank; ++i) {
      const int64_t first = std::max<int64_t>(before[i], 0), last = std::min(y.shape()[i], before[i] + x.shape()[i]);
      kept[i] = std::max<int64_t>(0, last - first);
      from_offset += std::max<int64_t>(-before[i], 0) * from[i];
      to_offset += first * to[i];
    }
    if (!(kept == y.shape())) {
      const Tensor zero = ZeroOf(x.dtype());
      const void* value = c.Has(2) ? c.In(2).raw() : zero.raw();
      if (c.Has(2) && c.In(2).size() != 1)
        c.Fail("constant_value must have one element, but has shape {}.", c.In(2).shape().ToString());
      kernels::FillElements(y.dtype(), value, y.raw(), y.size(), c.threads());
    }
    kernels::StridedCopy(x.dtype(), kept, kernels::At(x.raw(), x.dtype(), from_offset), from,
                         kernels::At(y.raw(), y.dtype(), to_offset), to, c.threads());
  }

  static Tensor ZeroOf(DType type) {
    Tensor zero(type, Shape{});
    if (type != DType::kString) std::memset(zero.raw(), 0, zero.bytes());
    return zero;
  }

  void RunMapped(RunContext& c, const std::vector<int64_t>& before) const {
    const Tensor& x = c.In(0);
    Tensor& y = c.Out(0);
    const int rank = x.shape().rank();
    if (rank == 0) return kernels::CopyElements(x.dtype(), x.raw(), y.raw(), 1, c.threads());
    const auto strides = kernels::DenseStrides(x.shape());
    std::vector<std::vector<int64_t>> offsets(rank);
    for (int i = 0; i < rank; ++i) {
      const int64_t n = x.shape()[i], after = y.shape()[i] - n - before[i];
      const int64_t first = std::max<int64_t>(-before[i], 0), last = n - std::max<int64_t>(-after, 0);
      for (int64_t j = 0; j < y.shape()[i]; ++j) {
        offsets[i].push_back((first + Inside(mode, j - before[i] - first, last - first)) * strides[i]);
      }
    }
    const int64_t columns = y.shape().Back(0);
    // Places [middle, middle_end) of a row are a run of the input.
    const std::vector<int64_t>& last = offsets[rank - 1];
    const int64_t middle = std::clamp<int64_t>(before[rank - 1], 0, columns);
    const int64_t middle_end = std::clamp<int64_t>(before[rank - 1] + x.shape().Back(0), middle, columns);
    VisitBySize(x.dtype(), [&]<class T>() {
      c.threads().ParallelFor(y.size() / columns, GrainFor(columns * sizeof(T)), [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
          const T* from = x.data<T>();
          for (int64_t i = rank - 2, rest = row; i >= 0; rest /= y.shape()[static_cast<int>(i--)]) {
            from += offsets[i][rest % y.shape()[static_cast<int>(i)]];
          }
          T* to = y.data<T>() + row * columns;
          for (int64_t j = 0; j < middle; ++j) to[j] = from[last[j]];
          if (middle < middle_end) std::copy_n(from + last[middle], middle_end - middle, to + middle);
          for (int64_t j = middle_end; j < columns; ++j) to[j] = from[last[j]];
        }
      });
    });
  }
};
extern const OpDef kPad = Define<Pad>({.name = "Pad", .since = 25, .min_inputs = 2, .max_inputs = 4});

}  // namespace slipway
