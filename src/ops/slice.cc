#include <algorithm>

#include "kernels/copy/strided_copy.h"
#include "ops/one_number.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

struct Cut {
  Dim start = 0;
  Dim size = 0;
  int64_t step = 1;
};

/// The part of an axis of `size` elements, all in numbers. Start and end may be anything an int64 holds.
Cut CutOf(int64_t size, int64_t start, int64_t end, int64_t step) {
  if (start < 0) start += size;
  if (end < 0) end += size;
  int64_t count = 0;
  if (size > 0 && step > 0) {
    start = std::clamp<int64_t>(start, 0, size);
    end = std::clamp<int64_t>(end, 0, size);
    if (end > start) count = (end - start - 1) / step + 1;
  } else if (size > 0) {
    step = std::max(step, -INT64_MAX);
    start = std::clamp<int64_t>(start, 0, size - 1);
    end = std::clamp<int64_t>(end, -1, size - 1);
    if (start > end) count = (start - end - 1) / -step + 1;
  }
  // A step of one element is never taken, and might be too far for a stride.
  return {.start = count > 0 ? start : 0, .size = count, .step = count > 1 ? step : 1};
}

/// A start or end on an axis of symbolic size, brought into [0, size]; nothing where its sign is not known.
std::optional<Dim> Clamped(const Dim& at, const Dim& size) {
  if (at == size) return size;
  if (!at.is_const()) return NeverNegative(at) ? std::optional(Min(at, size)) : std::nullopt;
  const int64_t v = at.value();
  if (v == 0 || v <= -INT32_MAX) return Dim(0);
  if (v >= INT32_MAX) return size;
  return v > 0 ? Min(at, size) : Max(size + at, 0);
}

std::optional<Dim> SymbolicSize(const Dim& size, const Dim& start, const Dim& end, int64_t step) {
  if (step < 0) return std::nullopt;
  const auto first = Clamped(start, size), last = Clamped(end, size);
  if (!first || !last) return std::nullopt;
  const Dim length = *first == Dim(0)  ? *last
                     : *last == *first ? Dim(0)
                     : *last == size   ? size - *first
                                       : Max(*last - *first, 0);
  return step == 1 ? length : CeilDiv(length, step);
}

}  // namespace

/// From start up to end in steps, along some axes. ONNX Slice, since 13.
struct Slice {
  void Infer(InferContext& c) const {
    for (int i = 1; i < 5; ++i) {
      if (c.Has(i)) c.ExpectElem(i, kIndexTypes);
    }
    if (!c.HasRank(0)) return c.Out(0, c.Elem(0));
    const SymbolicShape& x = c.Shape(0);
    const auto starts = c.Ints(1), ends = c.Ints(2);
    const auto steps = c.Has(4) ? c.ConstInts(4) : std::nullopt;
    const auto axes = AxesOf(c, starts ? starts->size() : ends ? ends->size() : 0, starts || ends);
    if (!axes) return c.Out(0, c.Elem(0), ToldByData(x.rank()));
    if ((starts && starts->size() != axes->size()) || (ends && ends->size() != axes->size()) ||
        (steps && steps->size() != axes->size())) {
      c.Fail("starts, ends, axes and steps must be equally long.");
    }
    std::vector<Dim> dims = x.dims();
    std::optional<Cut> cut;  // of a vector, for its contents
    for (size_t i = 0; i < axes->size(); ++i) {
      const int axis = static_cast<int>((*axes)[i]);
      if (steps && (*steps)[i] == 0) c.Fail("the step of axis {} is 0.", axis);
      dims[axis] = Dim::Unknown();
      if (!starts || !ends || (c.Has(4) && !steps)) continue;
      const int64_t step = steps ? (*steps)[i] : 1;
      const Dim &start = (*starts)[i], &end = (*ends)[i];
      if (x[axis].is_const() && start.is_const() && end.is_const()) {
        cut = CutOf(x[axis].value(), start.value(), end.value(), step);
        dims[axis] = cut->size;
      } else if (auto size = SymbolicSize(x[axis], start, end, step)) {
        dims[axis] = *size;
      }
    }
    if (x.rank() == 1 && cut) PropagateInts(c, *cut);
    c.Out(0, c.Elem(0), std::move(dims));
  }

  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    Tensor& y = c.Out(0);
    const auto starts = ToInts(c.In(1)), ends = ToInts(c.In(2));
    const auto axes = c.Has(3) ? ToInts(c.In(3)) : std::vector<int64_t>();
    const auto steps = c.Has(4) ? ToInts(c.In(4)) : std::vector<int64_t>(starts.size(), 1);
    if (ends.size() != starts.size() || steps.size() != starts.size() || (c.Has(3) && axes.size() != starts.size()))
      c.Fail("starts, ends, axes and steps must be equally long.");
    auto strides = kernels::DenseStrides(x.shape());
    int64_t offset = 0;
    for (size_t i = 0; i < starts.size(); ++i) {
      const int axis = c.Has(3) ? ModAxis(axes[i], x.shape().rank()) : static_cast<int>(i);
      const Cut cut = CutOf(x.shape()[axis], starts[i], ends[i], steps[i]);
      offset += cut.start.value() * strides[axis];
      strides[axis] *= cut.step;
    }
    kernels::StridedCopy(x.dtype(), y.shape(), kernels::At(x.raw(), x.dtype(), offset), strides, y.raw(),
                         kernels::DenseStrides(y.shape()), c.threads());
  }

 private:
  static std::optional<std::vector<int64_t>> AxesOf(const InferContext& c, size_t count, bool known) {
    const int rank = c.Shape(0).rank();
    if (c.Has(3)) {
      const auto axes = c.ConstInts(3);
      return axes ? std::optional(UniqueAxes(c, *axes, rank)) : std::nullopt;
    }
    if (!known) return std::nullopt;
    if (count > static_cast<size_t>(rank)) c.Fail("{} starts for {} of rank {}.", count, c.InputName(0), rank);
    std::vector<int64_t> axes;
    for (size_t i = 0; i < count; ++i) axes.push_back(static_cast<int64_t>(i));
    return axes;
  }
  static void PropagateInts(InferContext& c, const Cut& cut) {
    const auto ints = ShapeInts(c, 0);
    if (!ints) return;
    SymbolicInts out;
    for (int64_t i = 0; i < cut.size.value(); ++i) out.push_back((*ints)[cut.start.value() + i * cut.step]);
    c.OutInts(0, std::move(out));
  }
};
extern const OpDef kSlice = Define<Slice>({.name = "Slice", .since = 13, .min_inputs = 3, .max_inputs = 5});

}  // namespace slipway
