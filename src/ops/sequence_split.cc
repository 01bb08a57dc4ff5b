#include "kernels/copy/strided_copy.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

/// Puts tensors side by side along axis `at` of y, whose other axes are theirs.
void JoinInto(const Sequence& parts, int at, Tensor& y, const Threads& threads) {
  const int64_t outer = y.shape().SizeTo(at), row = y.shape().SizeFrom(at);
  int64_t offset = 0;
  for (const Value& part : parts) {
    const Tensor& x = part.tensor();
    const int64_t run = outer > 0 ? x.size() / outer : 0;
    const int64_t shape[] = {outer, run}, from[] = {run, 1}, to[] = {row, 1};
    kernels::StridedCopy(x.dtype(), shape, x.raw(), from, kernels::At(y.raw(), y.dtype(), offset), to, threads);
    offset += run;
  }
}

}  // namespace

/// Joins a sequence's tensors along an axis, which new_axis makes first. ONNX ConcatFromSequence, since 11.
struct ConcatFromSequence {
  int64_t axis = 0;
  bool new_axis = false;
  static ConcatFromSequence Parse(const Attributes& a) {
    return {.axis = a.RequiredInt("axis"), .new_axis = a.Int("new_axis", 0) != 0};
  }
  void Infer(InferContext& c) const {
    const Type& t = c.In(0);
    if (!t.known()) return;
    if (t.kind != Type::Kind::kSequence) c.Fail("{} is {}, but must be a sequence.", c.InputName(0), t.ToString());
    if (!t.element || !t.element->known()) return;
    SymbolicShape shape = t.element->shape;
    if (!shape.has_rank()) return c.Out(0, t.element->elem);
    const auto at = c.Axis(axis, shape.rank() + (new_axis ? 1 : 0));
    std::vector<Dim> dims = shape.dims();
    // The sequence's type holds for every element only where sizes are numbers; what a symbol stands for may differ.
    for (Dim& d : dims) {
      if (!d.is_const()) d = Dim::Unknown();
    }
    if (new_axis)
      dims.insert(dims.begin() + at, Dim::Unknown());
    else
      dims[at] = Dim::Unknown();
    c.Out(0, t.element->elem, std::move(dims));
  }
  void Run(RunContext& c) const {
    const Sequence& parts = c.InValue(0).sequence();
    if (parts.empty()) c.Fail("the sequence is empty.");
    const Tensor& first = parts[0].tensor();
    const int64_t rank = first.shape().rank() + (new_axis ? 1 : 0);
    if (axis < -rank || axis >= rank) c.Fail("axis is {}, but must lie in [{}, {}].", axis, -rank, rank - 1);
    const int at = ModAxis(axis, rank);
    Shape shape = first.shape();
    if (new_axis) shape.insert(at, 1);
    int64_t total = 0;
    for (const Value& part : parts) {
      Shape s = part.tensor().shape();
      if (new_axis && s.rank() + 1 == rank) s.insert(at, 1);
      bool fits = s.rank() == shape.rank() && part.tensor().dtype() == first.dtype();
      for (int i = 0; fits && i < rank; ++i) fits = (i == at && !new_axis) || s[i] == shape[i];
      if (!fits)
        c.Fail("tensors of shapes {} and {} cannot be joined on axis {}.", first.shape().ToString(),
               part.tensor().shape().ToString(), at);
      total += s[at];
    }
    shape[at] = total;
    JoinInto(parts, at, c.Allocate(0, first.dtype(), shape), c.threads());
  }
};
extern const OpDef kConcatFromSequence = Define<ConcatFromSequence>({.name = "ConcatFromSequence", .since = 11});

/// Cuts a tensor along an axis into a sequence: pieces of the given lengths, of one length, or single slices. ONNX
/// SplitToSequence, since 24.
struct SplitToSequence {
  int64_t axis = 0;
  bool keep = true;
  static SplitToSequence Parse(const Attributes& a) {
    return {.axis = a.Int("axis", 0), .keep = a.Int("keepdims", 1) != 0};
  }

  void Infer(InferContext& c) const {
    if (c.Has(1)) c.ExpectElem(1, kIndexTypes);
    if (!c.HasRank(0)) return c.Out(0, Type::SequenceOf(Type::TensorOf(c.Elem(0))));
    std::vector<Dim> dims = c.Shape(0).dims();
    const auto at = c.Axis(axis, static_cast<int64_t>(dims.size()));
    if (c.Has(1))
      dims[at] = Dim::Unknown();
    else if (keep)
      dims[at] = 1;
    else
      dims.erase(dims.begin() + at);
    c.Out(0, Type::SequenceOf(Type::TensorOf(c.Elem(0), std::move(dims))));
  }

  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    const int at = ModAxis(axis, x.shape().rank());
    const int64_t size = x.shape()[at], outer = x.shape().SizeTo(at), row = x.shape().SizeFrom(at),
                  inner = x.shape().SizeFrom(at + 1);
    Sequence pieces;
    int64_t begin = 0;
    for (const int64_t length : Lengths(c, size)) {
      Shape shape = x.shape();
      shape[at] = length;
      Tensor piece(x.dtype(), shape);
      const int64_t part[] = {outer, length * inner}, from[] = {row, 1}, to[] = {length * inner, 1};
      kernels::StridedCopy(x.dtype(), part, kernels::At(x.raw(), x.dtype(), begin * inner), from, piece.raw(), to,
                           c.threads());
      if (!c.Has(1) && !keep) shape.erase(at);
      pieces.push_back(piece.Reshaped(shape));
      begin += length;
    }
    c.SetOut(0, Value(std::move(pieces)));
  }

 private:
  static std::vector<int64_t> Lengths(const RunContext& c, int64_t size) {
    if (!c.Has(1)) return std::vector<int64_t>(size, 1);
    std::vector<int64_t> lengths = ToInts(c.In(1));
    if (c.In(1).shape().rank() == 0) {
      const int64_t chunk = lengths[0];
      if (chunk <= 0) c.Fail("split is {}, but must be 1 or more.", chunk);
      lengths.assign(size / chunk, chunk);
      if (size % chunk) lengths.push_back(size % chunk);
      return lengths;
    }
    int64_t left = size;
    for (int64_t length : lengths) {
      if (length < 0 || length > left) c.Fail("the lengths in split do not sum to the axis's size {}.", size);
      left -= length;
    }
    if (left) c.Fail("the lengths in split do not sum to the axis's size {}.", size);
    return lengths;
  }
};
extern const OpDef kSplitToSequence =
    Define<SplitToSequence>({.name = "SplitToSequence", .since = 24, .max_inputs = 2});

}  // namespace slipway
