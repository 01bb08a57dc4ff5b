#include <algorithm>

#include "kernels/copy/strided_copy.h"
#include "ops/shape_math.h"

namespace slipway {

/// Cuts a tensor along an axis: into the given lengths, or num_outputs even ones of which the last may be shorter.
/// ONNX Split, since 18.
struct Split {
  int64_t axis = 0;
  std::optional<int64_t> count;
  static Split Parse(const Attributes& a) {
    Split op{.axis = a.Int("axis", 0)};
    if (a.Has("num_outputs")) op.count = a.RequiredInt("num_outputs");
    return op;
  }

  void Infer(InferContext& c) const {
    const int n = c.num_outputs();
    if (c.Has(1)) c.ExpectElem(1, {DType::kInt64});
    if (c.Has(1) && count) c.Fail("has both num_outputs and the lengths {}.", c.InputName(1));
    if (count && *count != n) c.Fail("num_outputs is {}, but the node has {} outputs.", *count, n);
    if (!c.HasRank(0)) {
      for (int i = 0; i < n; ++i) c.Out(i, c.Elem(0));
      return;
    }
    const SymbolicShape& x = c.Shape(0);
    const int at = static_cast<int>(c.Axis(axis, x.rank()));
    const std::vector<Dim> lengths = c.Has(1) ? Given(c, x[at]) : Even(c, x[at]);
    const auto ints = x.rank() == 1 ? ShapeInts(c, 0) : std::nullopt;
    Dim begin = 0;
    for (int i = 0; i < n; ++i) {
      SymbolicShape out = x;
      out[at] = lengths[i];
      if (ints && lengths[i].is_const() && begin.is_const()) {
        c.OutInts(i, SymbolicInts(ints->begin() + begin.value(), ints->begin() + begin.value() + lengths[i].value()));
      }
      begin = begin + lengths[i];
      c.Out(i, c.Elem(0), std::move(out));
    }
  }

  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    const int at = ModAxis(axis, x.shape().rank());
    const int64_t outer = x.shape().SizeTo(at), row = x.shape().SizeFrom(at), inner = x.shape().SizeFrom(at + 1);
    const int64_t size = x.shape()[at], n = c.num_outputs();
    const std::vector<int64_t> given = c.Has(1) ? ToInts(c.In(1)) : std::vector<int64_t>();
    const int64_t chunk = (size + n - 1) / n;
    int64_t begin = 0;
    for (int i = 0; i < n; ++i) {
      const int64_t length = c.Has(1) ? given[i] : std::clamp<int64_t>(size - begin, 0, chunk);
      if (c.HasOut(i)) {
        const int64_t shape[] = {outer, length * inner}, from[] = {row, 1}, to[] = {length * inner, 1};
        kernels::StridedCopy(x.dtype(), shape, kernels::At(x.raw(), x.dtype(), begin * inner), from, c.Out(i).raw(), to,
                             c.threads());
      }
      begin += length;
    }
  }

 private:
  static std::vector<Dim> Given(const InferContext& c, const Dim& size) {
    const int n = c.num_outputs();
    const auto lengths = c.Ints(1);
    if (!lengths) return std::vector<Dim>(n, Dim::Unknown());
    if (static_cast<int>(lengths->size()) != n)
      c.Fail("split has {} lengths, but there are {} outputs.", lengths->size(), n);
    Dim sum = 0;
    for (const Dim& d : *lengths) {
      if (d.is_const() && d.value() < 0) c.Fail("split has the negative length {}.", d.value());
      sum = sum + d;
    }
    if (sum.Differs(size))
      c.Fail("the lengths in split sum to {}, but the axis has size {}.", sum.ToString(), size.ToString());
    return *lengths;
  }
  static std::vector<Dim> Even(const InferContext& c, const Dim& size) {
    const int n = c.num_outputs();
    const Dim chunk = CeilDiv(size, n);
    std::vector<Dim> lengths(n, chunk);
    if (size.is_const()) {
      for (int i = 0; i < n; ++i) {
        lengths[i] = std::clamp<int64_t>(size.value() - i * chunk.value(), 0, chunk.value());
      }
    } else {
      lengths[n - 1] = size - chunk * Dim(n - 1);
    }
    return lengths;
  }
};
extern const OpDef kSplit = Define<Split>({.name = "Split", .since = 18, .max_inputs = 2, .max_outputs = kVariadic});

}  // namespace slipway
