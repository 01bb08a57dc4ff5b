#include <algorithm>

#include "ops/shape_math.h"

namespace slipway {
namespace {

void PassShapeInts(InferContext& c, const SymbolicShape& shape) {
  if (!shape.has_rank() || shape.rank() > 1) return;
  if (auto ints = ShapeInts(c, 0)) c.OutInts(0, *std::move(ints));
}

}  // namespace

/// Takes out axes of size 1: those given, or all. ONNX Squeeze, since 25.
struct Squeeze {
  void Infer(InferContext& c) const {
    const auto axes = c.Has(1) ? c.ConstInts(1) : std::nullopt;
    if (c.Has(1)) c.ExpectElem(1, {DType::kInt64});
    if (!c.HasRank(0)) return c.Out(0, c.Elem(0));
    const SymbolicShape& x = c.Shape(0);
    if (c.Has(1) && !axes) return c.Out(0, c.Elem(0), UnknownAxes(c));
    std::vector<Dim> dims;
    if (!c.Has(1)) {
      for (const Dim& d : x.dims()) {
        if (!d.is_const()) return c.Out(0, c.Elem(0));  // whether it is 1 decides the rank
        if (d != Dim(1)) dims.push_back(d);
      }
    } else {
      const auto out = UniqueAxes(c, *axes, x.rank());
      for (int i = 0; i < x.rank(); ++i) {
        const bool goes = std::find(out.begin(), out.end(), i) != out.end();
        if (goes && x[i].Differs(1))
          c.Fail("axis {} of {} has size {}, and only 1 can go.", i, c.InputName(0), x[i].ToString());
        if (!goes) dims.push_back(x[i]);
      }
    }
    SymbolicShape shape(std::move(dims));
    PassShapeInts(c, shape);
    c.Out(0, c.Elem(0), std::move(shape));
  }

 private:
  static SymbolicShape UnknownAxes(const InferContext& c) {
    if (!c.HasRank(1) || c.Shape(1).rank() != 1 || !c.Shape(1)[0].is_const()) return {};
    const int64_t rank = c.Shape(0).rank() - c.Shape(1)[0].value();
    return rank > 0 ? SymbolicShape::OfRank(static_cast<int>(rank)) : SymbolicShape();
  }
};
extern const OpDef kSqueeze = Define<Squeeze>({.name = "Squeeze", .since = 25, .max_inputs = 2, .alias = true});

/// Puts in axes of size 1, numbered as in the output. ONNX Unsqueeze, since 25.
struct Unsqueeze {
  void Infer(InferContext& c) const {
    c.ExpectElem(1, {DType::kInt64});
    const auto axes = c.ConstInts(1);
    if (!c.HasRank(0)) return c.Out(0, c.Elem(0));
    const SymbolicShape& x = c.Shape(0);
    if (!axes) return c.Out(0, c.Elem(0), UnknownAxes(c));
    const int rank = x.rank() + static_cast<int>(axes->size());
    const auto in = UniqueAxes(c, *axes, rank);
    std::vector<Dim> dims;
    for (int i = 0, next = 0; i < rank; ++i) {
      dims.push_back(std::find(in.begin(), in.end(), i) != in.end() ? Dim(1) : x[next++]);
    }
    SymbolicShape shape(std::move(dims));
    PassShapeInts(c, shape);
    c.Out(0, c.Elem(0), std::move(shape));
  }

 private:
  static SymbolicShape UnknownAxes(const InferContext& c) {
    if (!c.HasRank(1) || c.Shape(1).rank() > 1) return {};
    const Dim more = c.Shape(1).rank() == 0 ? Dim(1) : c.Shape(1)[0];
    if (!more.is_const() || more.value() > 64) return {};
    return SymbolicShape::OfRank(c.Shape(0).rank() + static_cast<int>(more.value()));
  }
};
extern const OpDef kUnsqueeze =
    Define<Unsqueeze>({.name = "Unsqueeze", .since = 25, .min_inputs = 2, .max_inputs = 2, .alias = true});

}  // namespace slipway
