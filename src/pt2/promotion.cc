#include <algorithm>

#include "pt2/converter.h"

namespace slipway::pt2 {

bool IsFloating(DType t) {
  return t == DType::kFloat || t == DType::kDouble || t == DType::kFloat16 || t == DType::kBFloat16 ||
         (t >= DType::kFloat8E4M3FN && t <= DType::kFloat8E5M2FNUZ) || t == DType::kFloat8E8M0;
}
bool IsComplex(DType t) { return t == DType::kComplex64 || t == DType::kComplex128; }
bool IsInteger(DType t) { return kIntTypes.Has(t); }

namespace {

/// bool < int < float < complex.
int Category(DType t) { return t == DType::kBool ? 0 : IsInteger(t) ? 1 : IsComplex(t) ? 3 : 2; }

/// torch.promote_types.
DType PromoteTypes(DType a, DType b) {
  if (a == b || b == DType::kUndefined) return a;
  if (a == DType::kUndefined) return b;
  const int ca = Category(a), cb = Category(b);
  if (ca != cb) {
    if (ca == 3 || cb == 3) {
      const DType other = ca == 3 ? b : a, complex = ca == 3 ? a : b;
      return other == DType::kDouble ? DType::kComplex128 : complex;
    }
    return ca > cb ? a : b;
  }
  if (ca == 3) return DType::kComplex128;
  if (ca == 2) {
    if (SizeOf(a) == SizeOf(b)) return DType::kFloat;  // float16 and bfloat16
    return SizeOf(a) > SizeOf(b) ? a : b;
  }
  const bool ua = kUnsignedTypes.Has(a), ub = kUnsignedTypes.Has(b);
  if (ua == ub) return SizeOf(a) > SizeOf(b) ? a : b;
  const DType is_signed = ua ? b : a, is_unsigned = ua ? a : b;
  if (SizeOf(is_signed) > SizeOf(is_unsigned)) return is_signed;
  switch (SizeOf(is_unsigned)) {
    case 1:
      return DType::kInt16;
    case 2:
      return DType::kInt32;
    default:
      return DType::kInt64;
  }
}

}  // namespace

DType Promote(const std::vector<Operand>& operands) {
  // Tensors with axes come first, then those without, then numbers; a later group counts by its category alone.
  DType groups[3] = {DType::kUndefined, DType::kUndefined, DType::kUndefined};
  for (const Operand& o : operands) {
    if (o.tensor.defined()) {
      DType& g = groups[o.tensor.rank() > 0 ? 0 : 1];
      g = PromoteTypes(g, o.tensor.dtype);
    } else if (o.number) {
      const DType t = o.number->kind() == Expr::Kind::kBool ? DType::kBool
                      : IsFloatExpr(*o.number)              ? DType::kFloat
                                                            : DType::kInt64;
      groups[2] = PromoteTypes(groups[2], t);
    }
  }
  DType result = groups[0];
  for (int g = 1; g < 3; ++g) {
    if (groups[g] == DType::kUndefined) continue;
    if (result == DType::kUndefined || Category(groups[g]) > Category(result)) result = groups[g];
  }
  return result;
}

}  // namespace slipway::pt2
