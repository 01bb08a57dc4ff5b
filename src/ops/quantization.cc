#include "ops/quantization.h"

#include "ops/shape_math.h"

namespace slipway {

Granularity Granularity::Parse(const Attributes& a) {
  return {.axis = a.Int("axis", 1), .block_size = a.Int("block_size", 0)};
}

void Granularity::Check(const InferContext& c, int scale, int zero) const {
  if (block_size < 0) c.Fail("attribute 'block_size' is {}, but must not be negative.", block_size);
  if (c.Has(zero) && c.HasRank(zero) && c.HasRank(scale)) {
    const SymbolicShape &s = c.Shape(scale), &z = c.Shape(zero);
    const bool both_one =
        s.rank() <= 1 && z.rank() <= 1 && Product(s, 0, s.rank()) == Dim(1) && Product(z, 0, z.rank()) == Dim(1);
    bool same = both_one || s.rank() == z.rank();
    for (int i = 0; same && !both_one && i < s.rank(); ++i) same = !s[i].Differs(z[i]);
    if (!same)
      c.Fail("{} has shape {}, but {} has {}: they must be alike.", c.InputName(zero), z.ToString(), c.InputName(scale),
             s.ToString());
  }
  if (!c.HasRank(scale)) return;
  const SymbolicShape& s = c.Shape(scale);
  if (s.rank() == 0 || (block_size == 0 && s.rank() == 1 && s[0] == Dim(1))) return;
  if (!c.HasRank(0)) return;
  const SymbolicShape& x = c.Shape(0);
  if (block_size == 0) {
    if (s.rank() != 1)
      c.Fail("{} has shape {}: without 'block_size' it must be one number or a vector.", c.InputName(scale),
             s.ToString());
    if (x.rank() == 1 && !s[0].Differs(x[0])) return;
    const Dim& size = x[static_cast<int>(c.Axis(axis, x.rank()))];
    if (s[0].Differs(size) && !(x.rank() == 1 && !s[0].is_const()))
      c.Fail("{} has shape {}, but the axis it is for has size {}.", c.InputName(scale), s.ToString(), size.ToString());
    return;
  }
  if (s.rank() != x.rank())
    c.Fail("{} has rank {}, but blocks of {} want as many axes as the input's {}.", c.InputName(scale), s.rank(),
           c.InputName(0), x.rank());
  const auto at = static_cast<int>(c.Axis(axis, x.rank()));
  for (int i = 0; i < x.rank(); ++i) {
    const Dim wanted = i == at ? CeilDiv(x[i], Dim(block_size)) : x[i];
    if (s[i].Differs(wanted))
      c.Fail("{} has shape {}, but blocks of {} along axis {} of {} want {} there.", c.InputName(scale), s.ToString(),
             block_size, at, x.ToString(), wanted.ToString());
  }
}

ScaleLines::ScaleLines(const Granularity& g, const Shape& x, const Shape& scale) : size_(x.size()) {
  if (size_ == 0) return;
  constexpr int64_t kPiece = 4096;
  if (scale.rank() == 0 || (g.block_size == 0 && scale.size() == 1)) {
    length_ = kPiece;
    count_ = (size_ + kPiece - 1) / kPiece;
    return;
  }
  const int at = x.rank() == 1 ? 0 : ModAxis(g.axis, x.rank());
  const int64_t inner = x.SizeFrom(at + 1), outer = x.SizeTo(at);
  axis_ = x[at];
  if (g.block_size == 0) {
    each_ = inner == 1;
    kind_ = each_ ? Kind::kLastAxis : Kind::kAxis;
    count_ = each_ ? outer : outer * axis_;
    length_ = each_ ? axis_ : inner;
    return;
  }
  block_ = std::min(g.block_size, axis_);
  blocks_ = (axis_ + block_ - 1) / block_;
  each_ = inner != 1;
  kind_ = each_ ? Kind::kBlocks : Kind::kLastBlocks;
  count_ = each_ ? outer * axis_ : outer * blocks_;
  length_ = each_ ? inner : block_;
}

}  // namespace slipway
