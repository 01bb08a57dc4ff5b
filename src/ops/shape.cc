#include <algorithm>

#include "ops/shape_math.h"

namespace slipway {

/// The sizes of the axes from start up to end. ONNX Shape, since 25.
struct ShapeOp {
  int64_t start = 0;
  std::optional<int64_t> end;
  static ShapeOp Parse(const Attributes& a) {
    ShapeOp op{.start = a.Int("start", 0)};
    if (a.Has("end")) op.end = a.Int("end", 0);
    return op;
  }
  std::pair<int64_t, int64_t> Range(int64_t rank) const {
    auto clamp = [&](int64_t axis) { return std::clamp<int64_t>(axis < 0 ? axis + rank : axis, 0, rank); };
    const int64_t first = clamp(start);
    return {first, std::max(first, end ? clamp(*end) : rank)};
  }
  void Infer(InferContext& c) const {
    if (!c.HasRank(0)) return c.Out(0, DType::kInt64, SymbolicShape::OfRank(1));
    const auto [first, last] = Range(c.Shape(0).rank());
    const auto& dims = c.Shape(0).dims();
    c.OutInts(0, SymbolicInts(dims.begin() + first, dims.begin() + last));
    c.Out(0, DType::kInt64, {Dim(last - first)});
  }
  void Run(RunContext& c) const {
    const Shape& shape = c.In(0).shape();
    const auto [first, last] = Range(shape.rank());
    std::copy(shape.begin() + first, shape.begin() + last, c.Out(0).data<int64_t>());
  }
};
extern const OpDef kShape = Define<ShapeOp>({.name = "Shape", .since = 25, .shape_only = true});

/// The number of elements. ONNX Size, since 25.
struct SizeOp {
  void Infer(InferContext& c) const {
    c.Out(0, DType::kInt64, SymbolicShape(Shape{}));
    if (c.HasRank(0)) c.OutInts(0, {c.Shape(0).size()});
  }
  void Run(RunContext& c) const { *c.Out(0).data<int64_t>() = c.In(0).size(); }
};
extern const OpDef kSize = Define<SizeOp>({.name = "Size", .since = 25, .shape_only = true});

}  // namespace slipway
