#include <cmath>
#include <limits>

#include "pt2/aten/shared.h"

namespace slipway::pt2 {
namespace {

/// One operator of ONNX on one tensor; integers become floats first where torch's result is a float.
void Unary(Call& c) {
  const TensorRef x = First(c);
  c.Out(c.Add(c.detail(), {c.Cast(x.id, c.OutDtype())}));
}

/// Rounding operators leave integers as they are.
void Rounding(Call& c) {
  const TensorRef x = First(c);
  if (!IsFloating(x.dtype)) return c.Out(x.id);
  const int64_t decimals = c.detail() == "Round" ? c.Int("decimals", 0) : 0;
  if (decimals == 0) return c.Out(c.Add(c.detail(), {x.id}));
  const ValueId scale = c.Scalar(std::pow(10.0, std::abs(static_cast<double>(decimals))), x.dtype);
  const std::string_view up = decimals > 0 ? "Mul" : "Div", down = decimals > 0 ? "Div" : "Mul";
  c.Out(c.Add(down, {c.Add("Round", {c.Add(up, {x.id, scale})}), scale}));
}

ValueId Truncated(Call& c, ValueId v) {
  // Towards zero: the sign times the floor of the magnitude.
  return c.Add("Mul", {c.Add("Sign", {v}), c.Add("Floor", {c.Add("Abs", {v})})});
}

void Trunc(Call& c) {
  const TensorRef x = First(c);
  c.Out(IsFloating(x.dtype) ? Truncated(c, x.id) : x.id);
}
void Frac(Call& c) {
  const TensorRef x = First(c);
  c.Out(c.Add("Sub", {x.id, Truncated(c, x.id)}));
}

struct Pair {
  ValueId a, b;
  DType type;
};

/// Both operands as the type that torch computes in, or as `type`.
Pair Operands(Call& c, DType type = DType::kUndefined) {
  const auto& inputs = c.node().inputs;
  const Operand a = c.Operand(inputs.at(0).first), b = c.Operand(inputs.at(1).first);
  if (type == DType::kUndefined) type = Promote({a, b});
  return {c.Use(a, type), c.Use(b, type), type};
}

void Arithmetic(Call& c) {
  const Pair p = Operands(c, c.OutDtype());
  // + and * of conditions are "or" and "and".
  if (p.type == DType::kBool) return c.Out(c.Add(c.detail() == "Mul" ? "And" : "Or", {p.a, p.b}));
  c.Out(c.Add(c.detail(), {p.a, p.b}));
}

/// a + alpha*b, a - alpha*b, and the reverse.
void Sum(Call& c) {
  Pair p = Operands(c, c.OutDtype());
  if (c.Has("alpha")) {
    const Expr alpha = c.Size("alpha");
    if (!alpha.is_number() || alpha.value() != 1) {
      ValueId& scaled = c.detail() == "ReverseSub" ? p.a : p.b;
      scaled = c.Add("Mul", {scaled, c.Scalar(alpha, p.type)});
    }
  }
  if (p.type == DType::kBool) return c.Out(c.Add("Or", {p.a, p.b}));
  if (c.detail() == "ReverseSub") return c.Out(c.Add("Sub", {p.b, p.a}));
  c.Out(c.Add(c.detail(), {p.a, p.b}));
}

ValueId FloorDivide(Call& c, const Pair& p) {
  if (IsFloating(p.type)) return c.Add("Floor", {c.Add("Div", {p.a, p.b})});
  if (kUnsignedTypes.Has(p.type)) return c.Add("Div", {p.a, p.b});
  // ONNX divides towards zero. Mod has the divisor's sign, so that what remains divides exactly.
  return c.Add("Div", {c.Add("Sub", {p.a, c.Add("Mod", {p.a, p.b})}), p.b});
}

void Divide(Call& c) {
  const std::string mode = c.String("rounding_mode", "");
  if (mode.empty()) {
    const Pair p = Operands(c, c.OutDtype());
    return c.Out(c.Add("Div", {p.a, p.b}));
  }
  const Pair p = Operands(c);
  if (mode == "floor") return c.Out(FloorDivide(c, p));
  const ValueId quotient = c.Add("Div", {p.a, p.b});
  c.Out(IsFloating(p.type) ? Truncated(c, quotient) : quotient);
}

void FloorDivision(Call& c) { c.Out(FloorDivide(c, Operands(c))); }

/// With the divisor's sign.
void Remainder(Call& c) {
  const Pair p = Operands(c, c.OutDtype());
  if (!IsFloating(p.type)) return c.Out(c.Add("Mod", {p.a, p.b}));
  c.Out(c.Add("Sub", {p.a, c.Add("Mul", {c.Add("Floor", {c.Add("Div", {p.a, p.b})}), p.b})}));
}

/// With the dividend's sign.
void Fmod(Call& c) {
  const Pair p = Operands(c, c.OutDtype());
  c.Out(c.Add("Mod", {p.a, p.b}, {{"fmod", int64_t{1}}}));
}

void Compare(Call& c) {
  const Pair p = Operands(c);
  if (c.detail() == "NotEqual") return c.Out(c.Add("Not", {c.Add("Equal", {p.a, p.b})}));
  if (p.type == DType::kBool && c.detail() != "Equal") {
    return c.Out(c.Add(c.detail(), {c.Cast(p.a, DType::kInt32), c.Cast(p.b, DType::kInt32)}));
  }
  c.Out(c.Add(c.detail(), {p.a, p.b}));
}

void Logical(Call& c) {
  const Pair p = Operands(c, DType::kBool);
  c.Out(c.Add(c.detail(), {p.a, p.b}));
}
void LogicalNot(Call& c) { c.Out(c.Add("Not", {c.Cast(First(c).id, DType::kBool)})); }

/// `detail` has the operator for conditions; integers use the bitwise one.
void Bitwise(Call& c) {
  const Pair p = Operands(c, c.OutDtype());
  const std::string op = p.type == DType::kBool ? std::string(c.detail()) : "Bitwise" + std::string(c.detail());
  c.Out(c.Add(op, {p.a, p.b}));
}
void BitwiseNot(Call& c) {
  const TensorRef x = First(c);
  c.Out(c.Add(x.dtype == DType::kBool ? "Not" : "BitwiseNot", {x.id}));
}

/// ONNX shifts unsigned integers only: a left shift multiplies, a right shift divides and rounds down.
void Shift(Call& c) {
  const Pair p = Operands(c, c.OutDtype());
  if (kUnsignedTypes.Has(p.type)) return c.Out(c.Add("BitShift", {p.a, p.b}, {{"direction", std::string(c.detail())}}));
  const ValueId power = c.Add("Pow", {c.Scalar(2, p.type), p.b});
  c.Out(c.detail() == "LEFT" ? c.Add("Mul", {p.a, power}) : FloorDivide(c, {p.a, power, p.type}));
}

void Power(Call& c) {
  const auto& inputs = c.node().inputs;
  const Operand base = c.Operand(inputs.at(0).first), exponent = c.Operand(inputs.at(1).first);
  const DType type = c.OutDtype();
  const ValueId x = c.Use(base, type);
  if (exponent.number && exponent.number->is_number()) {
    const double e = exponent.number->value();
    if (e == 1) return c.Out(x);
    if (e == 2) return c.Out(c.Add("Mul", {x, x}));
    if (IsFloating(type) && e == 0.5) return c.Out(c.Add("Sqrt", {x}));
    if (IsFloating(type) && e == -1) return c.Out(c.Add("Reciprocal", {x}));
    if (IsFloating(type) && e == -0.5) return c.Out(c.Add("Reciprocal", {c.Add("Sqrt", {x})}));
  }
  c.Out(c.Add("Pow", {x, c.Use(exponent, type)}));
}

/// max(min) of two tensors, or of a tensor and bounds.
void MinMax(Call& c) {
  const Pair p = Operands(c, c.OutDtype());
  if (p.type == DType::kBool) return c.Out(c.Add(c.detail() == "Max" ? "Or" : "And", {p.a, p.b}));
  c.Out(c.Add(c.detail(), {p.a, p.b}));
}
void Clamp(Call& c) {
  const DType type = c.OutDtype();
  ValueId x = c.Cast(First(c).id, type);
  const bool low = c.Has("min"), high = c.Has("max");
  const auto scalar = [&](std::string_view name) {
    const Operand o = c.Operand(name);
    return !o.tensor.defined() || o.tensor.rank() == 0;
  };
  if ((!low || scalar("min")) && (!high || scalar("max"))) {
    const ValueId l = low ? c.Use(c.Operand("min"), type) : kNone;
    const ValueId h = high ? c.Use(c.Operand("max"), type) : kNone;
    return c.Out(c.Add("Clip", {x, l, h}));
  }
  if (low) x = c.Add("Max", {x, c.Use(c.Operand("min"), type)});
  if (high) x = c.Add("Min", {x, c.Use(c.Operand("max"), type)});
  c.Out(x);
}

void Where(Call& c) {
  const TensorRef condition = c.Tensor("condition");
  const DType type = c.OutDtype();
  const ValueId a = c.Use(c.Operand("self"), type), b = c.Use(c.Operand("other"), type);
  c.Out(c.Add("Where", {c.Cast(condition.id, DType::kBool), a, b}));
}

void MaskedFill(Call& c) {
  const TensorRef x = c.Tensor("self"), mask = c.Tensor("mask");
  c.Out(c.Add("Where", {c.Cast(mask.id, DType::kBool), c.Use(c.Operand("value"), x.dtype), x.id}));
}

void Rsqrt(Call& c) { c.Out(c.Add("Reciprocal", {c.Add("Sqrt", {c.Cast(First(c).id, c.OutDtype())})})); }
void Square(Call& c) {
  const ValueId x = First(c).id;
  c.Out(c.Add("Mul", {x, x}));
}
void Exp2(Call& c) { c.Out(c.Add("Pow", {c.Scalar(2, c.OutDtype()), c.Cast(First(c).id, c.OutDtype())})); }
void Expm1(Call& c) {
  const DType t = c.OutDtype();
  // exp(x) - 1 loses all digits near 0: 2 exp(x/2) sinh(x/2) is the same and does not.
  const ValueId half = c.Add("Mul", {c.Cast(First(c).id, t), c.Scalar(0.5, t)});
  const ValueId sinh = c.Add("Sinh", {half});
  c.Out(c.Add("Mul", {c.Add("Mul", {c.Add("Exp", {half}), sinh}), c.Scalar(2, t)}));
}
/// log(x + detail) / log(base)
void LogBase(Call& c) {
  const DType t = c.OutDtype();
  const ValueId x = c.Cast(First(c).id, t);
  if (c.detail() == "1p") return c.Out(c.Add("Log", {c.Add("Add", {x, c.Scalar(1, t)})}));
  const double base = c.detail() == "2" ? 2 : 10;
  c.Out(c.Add("Mul", {c.Add("Log", {x}), c.Scalar(1 / std::log(base), t)}));
}

void Erfc(Call& c) {
  const DType t = c.OutDtype();
  c.Out(c.Add("Sub", {c.Scalar(1, t), c.Add("Erf", {c.Cast(First(c).id, t)})}));
}

void Sign(Call& c) {
  const TensorRef x = First(c);
  c.Out(x.dtype == DType::kBool ? x.id : c.Add("Sign", {x.id}));
}

void IsFinite(Call& c) {
  const TensorRef x = First(c);
  if (!IsFloating(x.dtype)) return c.Out(c.Full(x.shape, Expr::Bool(true), DType::kBool));
  c.Out(c.Add("Not", {c.Add("Or", {c.Add("IsInf", {x.id}), c.Add("IsNaN", {x.id})})}));
}
void IsInf(Call& c) {
  const TensorRef x = First(c);
  if (!IsFloating(x.dtype)) return c.Out(c.Full(x.shape, Expr::Bool(false), DType::kBool));
  Attributes attributes;
  if (c.detail() == "+") attributes.Set("detect_negative", int64_t{0});
  if (c.detail() == "-") attributes.Set("detect_positive", int64_t{0});
  c.Out(c.Add("IsInf", {x.id}, std::move(attributes)));
}
void IsNan(Call& c) {
  const TensorRef x = First(c);
  if (!IsFloating(x.dtype)) return c.Out(c.Full(x.shape, Expr::Bool(false), DType::kBool));
  c.Out(c.Add("IsNaN", {x.id}));
}
void SignBit(Call& c) {
  const TensorRef x = First(c);
  c.Out(c.Add("Less", {x.id, c.Scalar(0, x.dtype)}));
}
void NanToNum(Call& c) {
  const TensorRef x = First(c);
  if (!IsFloating(x.dtype)) return c.Out(x.id);
  const double largest = x.dtype == DType::kFloat16    ? 65504.0
                         : x.dtype == DType::kBFloat16 ? 3.3895313892515355e38
                         : x.dtype == DType::kFloat    ? std::numeric_limits<float>::max()
                                                       : std::numeric_limits<double>::max();
  ValueId v = c.Add("Where", {c.Add("IsNaN", {x.id}), c.Scalar(c.Float("nan", 0), x.dtype), x.id});
  const ValueId high = c.Add("IsInf", {x.id}, {{"detect_negative", int64_t{0}}});
  const ValueId low = c.Add("IsInf", {x.id}, {{"detect_positive", int64_t{0}}});
  v = c.Add("Where", {high, c.Scalar(c.Float("posinf", largest), x.dtype), v});
  c.Out(c.Add("Where", {low, c.Scalar(c.Float("neginf", -largest), x.dtype), v}));
}

void Lerp(Call& c) {
  const TensorRef a = c.Tensor("self"), b = c.Tensor("end");
  const ValueId weight = c.Use(c.Operand("weight"), a.dtype);
  c.Out(c.Add("Add", {a.id, c.Add("Mul", {c.Add("Sub", {b.id, a.id}), weight})}));
}
/// self + value * a (* or /) b
void AddC(Call& c) {
  const DType t = c.OutDtype();
  ValueId v = c.Add(c.detail(), {c.Cast(c.Tensor("tensor1").id, t), c.Cast(c.Tensor("tensor2").id, t)});
  const Expr value = c.Size("value", 1);
  if (!value.is_number() || value.value() != 1) v = c.Add("Mul", {v, c.Scalar(value, t)});
  c.Out(c.Add("Add", {c.Cast(c.Tensor("self").id, t), v}));
}

void Atan2(Call& c) {
  const Pair p = Operands(c, c.OutDtype());
  c.Out(AngleOf(c, p.a, p.b, p.type));
}
/// Of a real number: 0, or pi where it is negative.
void Angle(Call& c) {
  const DType type = c.OutDtype();
  const ValueId x = c.Cast(First(c).id, type);
  const double pi = 3.14159265358979323846;
  const ValueId turn =
      c.Add("Where", {c.Add("Less", {x, c.Scalar(0.0, type)}), c.Scalar(pi, type), c.Scalar(0.0, type)});
  if (!IsFloating(First(c).dtype)) return c.Out(turn);
  c.Out(c.Add("Where", {c.Add("IsNaN", {x}), x, turn}));
}
void Hypot(Call& c) {
  const Pair p = Operands(c, c.OutDtype());
  c.Out(c.Add("Sqrt", {c.Add("Add", {c.Add("Mul", {p.a, p.a}), c.Add("Mul", {p.b, p.b})})}));
}
/// log(exp(a) + exp(b))
void LogAddExp(Call& c) {
  const Pair p = Operands(c, c.OutDtype());
  const ValueId high = c.Add("Max", {p.a, p.b});
  const ValueId apart = c.Add("Neg", {c.Add("Abs", {c.Add("Sub", {p.a, p.b})})});
  c.Out(c.Add("Add", {high, c.Add("Log", {c.Add("Add", {c.Scalar(1, p.type), c.Add("Exp", {apart})})})}));
}
void CopySign(Call& c) {
  const Pair p = Operands(c, c.OutDtype());
  const ValueId size = c.Add("Abs", {p.a});
  c.Out(c.Add("Where", {c.Add("Less", {p.b, c.Scalar(0, p.type)}), c.Add("Neg", {size}), size}));
}
void Heaviside(Call& c) {
  const Pair p = Operands(c, c.OutDtype());
  const ValueId step = c.Cast(c.Add("Greater", {p.a, c.Scalar(0, p.type)}), p.type);
  c.Out(c.Add("Where", {c.Add("Equal", {p.a, c.Scalar(0, p.type)}), p.b, step}));
}
/// x * log(y), and 0 where x is.
void XLogY(Call& c) {
  const Pair p = Operands(c, c.OutDtype());
  const ValueId v = c.Add("Mul", {p.a, c.Add("Log", {p.b})});
  c.Out(c.Add("Where", {c.Add("Equal", {p.a, c.Scalar(0, p.type)}), c.Scalar(0, p.type), v}));
}
void IsClose(Call& c) {
  const Pair p = Operands(c);
  const DType t = IsFloating(p.type) ? p.type : DType::kDouble;
  const ValueId a = c.Cast(p.a, t), b = c.Cast(p.b, t);
  const ValueId bound = c.Add("Add", {c.Scalar(c.Float("atol", 1e-8), t),
                                      c.Add("Mul", {c.Scalar(c.Float("rtol", 1e-5), t), c.Add("Abs", {b})})});
  const ValueId near = c.Add("LessOrEqual", {c.Add("Abs", {c.Add("Sub", {a, b})}), bound});
  c.Out(c.Add("Or", {near, c.Add("Equal", {a, b})}));
}
void Scaled(Call& c) {
  const double by = c.detail() == "deg" ? 180 / 3.14159265358979323846 : 3.14159265358979323846 / 180;
  c.Out(c.Add("Mul", {c.Cast(First(c).id, c.OutDtype()), c.Scalar(by, c.OutDtype())}));
}
void Logit(Call& c) {
  const DType t = c.OutDtype();
  ValueId x = c.Cast(First(c).id, t);
  if (c.Has("eps")) {
    const double eps = c.Float("eps", 0);
    x = c.Add("Clip", {x, c.Scalar(eps, t), c.Scalar(1 - eps, t)});
  }
  c.Out(c.Add("Log", {c.Add("Div", {x, c.Add("Sub", {c.Scalar(1, t), x})})}));
}
void Sinc(Call& c) {
  const DType t = c.OutDtype();
  const ValueId x = c.Add("Mul", {c.Cast(First(c).id, t), c.Scalar(3.14159265358979323846, t)});
  const ValueId zero = c.Add("Equal", {x, c.Scalar(0, t)});
  c.Out(c.Add("Where", {zero, c.Scalar(1, t), c.Add("Div", {c.Add("Sin", {x}), x})}));
}

constexpr Conversion kConversions[] = {
    {"aten.__and__", Bitwise, "And"},
    {"aten.__lshift__", Shift, "LEFT"},
    {"aten.__or__", Bitwise, "Or"},
    {"aten.__rshift__", Shift, "RIGHT"},
    {"aten.__xor__", Bitwise, "Xor"},
    {"aten.abs", Unary, "Abs"},
    {"aten.absolute", Unary, "Abs"},
    {"aten.acos", Unary, "Acos"},
    {"aten.acosh", Unary, "Acosh"},
    {"aten.add", Sum, "Add"},
    {"aten.addcdiv", AddC, "Div"},
    {"aten.addcmul", AddC, "Mul"},
    {"aten.angle", Angle},
    {"aten.arccos", Unary, "Acos"},
    {"aten.arcsin", Unary, "Asin"},
    {"aten.arctan", Unary, "Atan"},
    {"aten.arctan2", Atan2},
    {"aten.asin", Unary, "Asin"},
    {"aten.asinh", Unary, "Asinh"},
    {"aten.atan", Unary, "Atan"},
    {"aten.atan2", Atan2},
    {"aten.atanh", Unary, "Atanh"},
    {"aten.bitwise_and", Bitwise, "And"},
    {"aten.bitwise_left_shift", Shift, "LEFT"},
    {"aten.bitwise_not", BitwiseNot},
    {"aten.bitwise_or", Bitwise, "Or"},
    {"aten.bitwise_right_shift", Shift, "RIGHT"},
    {"aten.bitwise_xor", Bitwise, "Xor"},
    {"aten.ceil", Rounding, "Ceil"},
    {"aten.clamp", Clamp},
    {"aten.clamp_max", Clamp},
    {"aten.clamp_min", Clamp},
    {"aten.clip", Clamp},
    {"aten.copysign", CopySign},
    {"aten.cos", Unary, "Cos"},
    {"aten.cosh", Unary, "Cosh"},
    {"aten.deg2rad", Scaled, "rad"},
    {"aten.div", Divide},
    {"aten.divide", Divide},
    {"aten.eq", Compare, "Equal"},
    {"aten.erf", Unary, "Erf"},
    {"aten.erfc", Erfc},
    {"aten.exp", Unary, "Exp"},
    {"aten.exp2", Exp2},
    {"aten.expm1", Expm1},
    {"aten.fix", Trunc},
    {"aten.floor", Rounding, "Floor"},
    {"aten.floor_divide", FloorDivision},
    {"aten.fmax", MinMax, "Max"},
    {"aten.fmin", MinMax, "Min"},
    {"aten.fmod", Fmod},
    {"aten.frac", Frac},
    {"aten.ge", Compare, "GreaterOrEqual"},
    {"aten.greater", Compare, "Greater"},
    {"aten.greater_equal", Compare, "GreaterOrEqual"},
    {"aten.gt", Compare, "Greater"},
    {"aten.heaviside", Heaviside},
    {"aten.hypot", Hypot},
    {"aten.isclose", IsClose},
    {"aten.isfinite", IsFinite},
    {"aten.isinf", IsInf},
    {"aten.isnan", IsNan},
    {"aten.isneginf", IsInf, "-"},
    {"aten.isposinf", IsInf, "+"},
    {"aten.le", Compare, "LessOrEqual"},
    {"aten.lerp", Lerp},
    {"aten.less", Compare, "Less"},
    {"aten.less_equal", Compare, "LessOrEqual"},
    {"aten.log", Unary, "Log"},
    {"aten.log10", LogBase, "10"},
    {"aten.log1p", LogBase, "1p"},
    {"aten.log2", LogBase, "2"},
    {"aten.logaddexp", LogAddExp},
    {"aten.logical_and", Logical, "And"},
    {"aten.logical_not", LogicalNot},
    {"aten.logical_or", Logical, "Or"},
    {"aten.logical_xor", Logical, "Xor"},
    {"aten.logit", Logit},
    {"aten.lt", Compare, "Less"},
    {"aten.masked_fill", MaskedFill},
    {"aten.maximum", MinMax, "Max"},
    {"aten.minimum", MinMax, "Min"},
    {"aten.mul", Arithmetic, "Mul"},
    {"aten.multiply", Arithmetic, "Mul"},
    {"aten.nan_to_num", NanToNum},
    {"aten.ne", Compare, "NotEqual"},
    {"aten.neg", Unary, "Neg"},
    {"aten.negative", Unary, "Neg"},
    {"aten.not_equal", Compare, "NotEqual"},
    {"aten.pow", Power},
    {"aten.rad2deg", Scaled, "deg"},
    {"aten.reciprocal", Unary, "Reciprocal"},
    {"aten.remainder", Remainder},
    {"aten.round", Rounding, "Round"},
    {"aten.rsqrt", Rsqrt},
    {"aten.rsub", Sum, "ReverseSub"},
    {"aten.sgn", Sign},
    {"aten.sign", Sign},
    {"aten.signbit", SignBit},
    {"aten.sin", Unary, "Sin"},
    {"aten.sinc", Sinc},
    {"aten.sinh", Unary, "Sinh"},
    {"aten.special_erf", Unary, "Erf"},
    {"aten.special_erfc", Erfc},
    {"aten.special_exp2", Exp2},
    {"aten.special_expit", Unary, "Sigmoid"},
    {"aten.special_expm1", Expm1},
    {"aten.special_log1p", LogBase, "1p"},
    {"aten.special_logit", Logit},
    {"aten.special_xlogy", XLogY},
    {"aten.sqrt", Unary, "Sqrt"},
    {"aten.square", Square},
    {"aten.sub", Sum, "Sub"},
    {"aten.subtract", Sum, "Sub"},
    {"aten.tan", Unary, "Tan"},
    {"aten.true_divide", Divide},
    {"aten.trunc", Trunc},
    {"aten.where", Where},
    {"aten.xlogy", XLogY},
};

}  // namespace

ValueId AngleOf(Call& c, ValueId y, ValueId x, DType type) {
  // atan(y/x), moved into the quadrant of (x, y).
  const auto number = [&](double v) { return c.Scalar(v, type); };
  const double pi = 3.14159265358979323846;
  const ValueId below = c.Add("Less", {y, number(0)});
  const ValueId turn = c.Add("Where", {below, number(-pi), number(pi)});
  const ValueId left = c.Add("Less", {x, number(0)});
  const ValueId base = c.Add("Atan", {c.Add("Div", {y, x})});
  const ValueId v = c.Add("Where", {left, c.Add("Add", {base, turn}), base});
  // 0/0 is no number: on the origin the answer is 0.
  const ValueId origin = c.Add("And", {c.Add("Equal", {x, number(0)}), c.Add("Equal", {y, number(0)})});
  return c.Add("Where", {origin, number(0), v});
}

const ConversionTable kPointwiseTable = {std::begin(kConversions), std::end(kConversions)};

}  // namespace slipway::pt2
