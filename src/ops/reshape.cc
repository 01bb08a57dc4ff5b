#include <algorithm>

#include "ops/shape_math.h"

namespace slipway {

/// The same elements under another shape: 0 keeps an axis, -1 takes what is left. ONNX Reshape, since 25.
struct Reshape {
  bool allow_zero = false;
  static Reshape Parse(const Attributes& a) { return {.allow_zero = a.Int("allowzero", 0) != 0}; }

  void Infer(InferContext& c) const {
    if (c.Elem(1) != DType::kUndefined) c.ExpectElem(1, {DType::kInt64});
    c.ExpectRank(1, 1, 1);
    const auto wanted = c.Ints(1);
    if (!wanted) return c.Out(0, c.Elem(0), UnknownShape(c));
    if (wanted->size() > 64) c.Fail("a shape of {} axes is not supported; 64 is the most.", wanted->size());
    std::vector<Dim> dims = *wanted;
    int inferred = -1;
    for (size_t i = 0; i < dims.size(); ++i) {
      if (dims[i] == Dim(-1)) {
        if (inferred >= 0) c.Fail("the shape has more than one -1.");
        inferred = static_cast<int>(i);
        dims[i] = 1;
      } else if (dims[i].is_const() && dims[i].value() < 0) {
        c.Fail("the shape has {} at place {}; only -1 may be negative.", dims[i].value(), i);
      } else if (dims[i] == Dim(0) && !allow_zero) {
        dims[i] = KeptAxis(c, i);
      } else if (!NeverNegative(dims[i])) {
        dims[i] = Dim::Unknown();  // might be -1 once it is known
      }
    }
    if (inferred >= 0) dims[inferred] = WhatIsLeft(c, SymbolicShape(dims), *wanted);
    SymbolicShape shape(std::move(dims));
    if (c.HasRank(0) && c.Shape(0).size().Differs(shape.size())) {
      c.Fail("{} of shape {} has {} elements and cannot become {}.", c.InputName(0), c.Shape(0).ToString(),
             c.Shape(0).size().ToString(), shape.ToString());
    }
    if (auto ints = ShapeInts(c, 0); ints && shape.rank() <= 1) c.OutInts(0, *std::move(ints));
    c.Out(0, c.Elem(0), std::move(shape));
  }

 private:
  static SymbolicShape UnknownShape(const InferContext& c) {
    if (!c.HasRank(1) || !c.Shape(1)[0].is_const()) return {};
    const int64_t rank = c.Shape(1)[0].value();
    return rank <= 64 ? SymbolicShape::OfRank(static_cast<int>(rank)) : SymbolicShape();
  }
  static Dim KeptAxis(const InferContext& c, size_t i) {
    if (!c.HasRank(0)) return Dim::Unknown();
    if (i >= static_cast<size_t>(c.Shape(0).rank())) {
      c.Fail("the shape has a 0 (keep the axis) at place {}, but {} has rank {}.", i, c.InputName(0),
             c.Shape(0).rank());
    }
    return c.Shape(0)[static_cast<int>(i)];
  }
  Dim WhatIsLeft(const InferContext& c, const SymbolicShape& others, const SymbolicInts& wanted) const {
    if (allow_zero && std::find(wanted.begin(), wanted.end(), Dim(0)) != wanted.end()) {
      c.Fail("the shape has both a 0 and a -1, which allowzero forbids.");
    }
    if (!c.HasRank(0)) return Dim::Unknown();
    const Dim total = c.Shape(0).size(), known = others.size();
    if (!known.is_const()) return known == total ? Dim(1) : QuotientOfSymbols(c, others);
    if (known.value() == 0) {
      if (total.is_const() && total.value() != 0) {
        c.Fail("{} elements cannot fill the shape {}.", total.value(), others.ToString());
      }
      return 0;
    }
    if (total.is_const() && total.value() % known.value() != 0) {
      c.Fail("{} of shape {} has {} elements, which the other axes' product {} does not divide.", c.InputName(0),
             c.Shape(0).ToString(), total.value(), known.value());
    }
    return FloorDiv(total, known);
  }
  /// Factors that both sides have go first, since a size that is not known divides nothing but itself.
  static Dim QuotientOfSymbols(const InferContext& c, const SymbolicShape& others) {
    std::vector<Dim> have = c.Shape(0).dims();
    Dim divisor = 1;
    for (const Dim& d : others.dims()) {
      const auto same = std::find(have.begin(), have.end(), d);
      if (same != have.end())
        have.erase(same);
      else
        divisor = divisor * d;
    }
    const Dim rest = SymbolicShape(have).size();
    return divisor == Dim(1) ? rest : FloorDiv(rest, divisor);
  }
};
extern const OpDef kReshape =
    Define<Reshape>({.name = "Reshape", .since = 25, .min_inputs = 2, .max_inputs = 2, .alias = true});

/// Two axes: the product of those before `axis`, and of those from it on. ONNX Flatten, since 25.
struct Flatten {
  int64_t axis = 1;
  static Flatten Parse(const Attributes& a) { return {.axis = a.Int("axis", 1)}; }
  void Infer(InferContext& c) const {
    if (!c.HasRank(0)) return c.Out(0, c.Elem(0), SymbolicShape::OfRank(2));
    const int rank = c.Shape(0).rank();
    if (axis < -rank || axis > rank) c.Fail("axis is {}, but must lie in [{}, {}].", axis, -rank, rank);
    const int at = ModAxis(axis, rank);
    c.Out(0, c.Elem(0), {Product(c.Shape(0), 0, at), Product(c.Shape(0), at, rank)});
  }
};
extern const OpDef kFlatten = Define<Flatten>({.name = "Flatten", .since = 25, .alias = true});

}  // namespace slipway
