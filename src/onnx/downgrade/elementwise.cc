#include <algorithm>
#include <cmath>
#include <numbers>

#include "onnx/downgrade/rules.h"

namespace slipway::onnx {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// True where a number is none. Every number is below 0 or above -1.
ValueId IsNan(Rewrite& r, ValueId x) {
  if (r.target >= 9) return r.Op("IsNaN", {x});
  return r.Not(r.Op("Or", {r.Op("Less", {x, r.Like(0, x)}), r.Op("Greater", {x, r.Like(-1, x)})}));
}

/// Whether the type has what neither `a < b` nor `a > b` nor `a == b` holds for.
bool MayBeNan(Rewrite& r, ValueId x) { return IsFloat(r.Elem(x)); }

/// x * x * ... for small whole exponents would do as well; Pow takes them all.
ValueId PowersOfTwo(Rewrite& r, int bits) {
  std::vector<int64_t> powers;
  for (int i = 0; i < bits; ++i) powers.push_back(static_cast<int64_t>(uint64_t{1} << i));
  return r.Ints(powers);
}

}  // namespace

void GeluByErf(Rewrite& r) {
  const ValueId x = r.In(0), half = r.Like(0.5, x), one = r.Like(1, x);
  ValueId bell;
  if (r.attributes().String("approximate", "none") == "tanh") {
    const ValueId cube = r.Mul(r.Mul(x, x), x);
    const ValueId inner = r.Mul(r.Add(x, r.Mul(cube, r.Like(0.044715, x))), r.Like(std::sqrt(2 / std::numbers::pi), x));
    bell = r.Op("Tanh", {inner});
  } else {
    bell = r.Op("Erf", {r.Div(x, r.Like(std::numbers::sqrt2, x))});
  }
  r.Become({r.Mul(r.Mul(x, r.Add(bell, one)), half)});
}

void SwishBySigmoid(Rewrite& r) {
  const ValueId x = r.In(0);
  const float alpha = r.attributes().Float("alpha", 1);
  r.Become({r.Mul(x, r.Op("Sigmoid", {alpha == 1 ? x : r.Mul(x, r.Like(alpha, x))}))});
}

void SwiGluBySwish(Rewrite& r) {
  r.Become({r.Mul(r.Op("Swish", {r.In(0)}, {{"alpha", r.attributes().Float("alpha", 1)}}), r.In(1))});
}

void MishBySoftplus(Rewrite& r) { r.Become({r.Mul(r.In(0), r.Op("Tanh", {r.Op("Softplus", {r.In(0)})}))}); }

void HardSwishBySigmoid(Rewrite& r) {
  const ValueId x = r.In(0);
  r.Become({r.Mul(x, r.Op("HardSigmoid", {x}, {{"alpha", 1.0f / 6}, {"beta", 0.5f}}))});
}

void CeluByElu(Rewrite& r) {
  const ValueId x = r.In(0);
  const float alpha = r.attributes().Float("alpha", 1);
  if (alpha == 1) return r.Become("Elu", {x});
  const ValueId a = r.Like(alpha, x);
  r.Become({r.Mul(r.Op("Elu", {r.Div(x, a)}), a)});
}

void ThresholdByWhere(Rewrite& r) {
  const ValueId x = r.In(0);
  const ValueId passes = r.Op("Greater", {x, r.Like(r.attributes().Float("alpha", 1), x)});
  r.Become({r.target >= 9 ? r.Select(passes, x, r.Like(0, x)) : r.Mul(x, r.Cast(passes, r.Elem(x)))});
}

void ShrinkByWhere(Rewrite& r) {
  const ValueId x = r.In(0);
  const double edge = r.attributes().Float("lambd", 0.5f), bias = r.attributes().Float("bias", 0);
  const auto part = [&](std::string_view op, double at, double shift) {
    return r.Mul(r.Cast(r.Op(op, {x, r.Like(at, x)}), r.Elem(x)), r.Add(x, r.Like(shift, x)));
  };
  r.Become({r.Add(part("Less", -edge, bias), part("Greater", edge, -bias))});
}

/// Clip with its bounds as attributes, which are floats.
void ClipAttributes(Rewrite& r) {
  if (!IsFloat(r.Elem(r.In(0))) || (r.Has(1) && !r.Number(r.In(1))) || (r.Has(2) && !r.Number(r.In(2)))) {
    return ClipByMinMax(r);
  }
  if (r.Has(2)) r.attributes().Set("max", static_cast<float>(*r.Number(r.In(2))));
  if (r.Has(1)) r.attributes().Set("min", static_cast<float>(*r.Number(r.In(1))));
  r.RemoveInput(2);
  r.RemoveInput(1);
}

void ClipByMinMax(Rewrite& r) {
  if (Takes("Clip", r.target, r.Elem(r.In(0))) && r.target >= 11) return;
  ValueId x = r.In(0);
  if (r.Has(1)) x = r.Op("Max", {x, r.In(1)});
  if (r.Has(2)) x = r.Op("Min", {x, r.In(2)});
  r.Become({x});
}

/// Max and Min of types that they do not take yet.
void MinMaxByWhere(Rewrite& r) {
  const std::string op = r.node().op_type;
  if (Takes(op, r.target, r.Elem(r.In(0)))) return;
  if (IsFloat(r.Elem(r.In(0))) || r.target < 9) return;  // casts do
  ValueId best = r.In(0);
  for (size_t i = 1; i < r.node().inputs.size(); ++i) {
    best = r.Select(r.Op(op == "Max" ? "Greater" : "Less", {best, r.In(i)}), best, r.In(i));
  }
  r.Become({best});
}

void ReluByMax(Rewrite& r) {
  const ValueId x = r.In(0);
  if (!Takes("Relu", r.target, r.Elem(x))) r.Become("Max", {x, r.Like(0, x)});
}

void OrEqual(Rewrite& r) {
  const std::string strict = r.node().op_type == "GreaterOrEqual" ? "Greater" : "Less";
  const ValueId a = r.In(0), b = r.In(1);
  if (!MayBeNan(r, a)) return r.Become({r.Not(r.Op(strict == "Greater" ? "Less" : "Greater", {a, b}))});
  r.Become({r.Op("Or", {r.Op(strict, {a, b}), r.Op("Equal", {a, b})})});
}

/// Equal took integers and bools alone.
void EqualByOrder(Rewrite& r) {
  const ValueId a = r.In(0), b = r.In(1);
  if (Takes("Equal", r.target, r.Elem(a)) || !IsFloat(r.Elem(a))) return;
  const ValueId differs = r.Op("Or", {r.Op("Greater", {a, b}), r.Op("Less", {a, b})});
  const ValueId none = r.Op("Or", {IsNan(r, a), IsNan(r, b)});
  r.Become({r.Not(r.Op("Or", {differs, none}))});
}

void NanByOrder(Rewrite& r) { r.Become({IsNan(r, r.In(0))}); }

void InfByOrder(Rewrite& r) {
  const ValueId x = r.In(0);
  const bool positive = r.attributes().Int("detect_positive", 1) != 0;
  const bool negative = r.attributes().Int("detect_negative", 1) != 0;
  if (!positive && !negative) {
    const ValueId below = r.Op("Less", {x, r.Like(0, x)});
    return r.Become({r.Op("And", {below, r.Not(below)})});
  }
  const ValueId y = positive && negative ? r.Op("Abs", {x}) : x;
  r.Become({r.Op("Equal", {y, r.Like(positive ? kInfinity : -kInfinity, x)})});
}

void SignByOrder(Rewrite& r) {
  const ValueId x = r.In(0), zero = r.Like(0, x);
  const auto as_number = [&](std::string_view op) { return r.Cast(r.Op(op, {x, zero}), r.Elem(x)); };
  r.Become({r.Sub(as_number("Greater"), as_number("Less"))});
}

/// Halves go to the even number.
void RoundByFloor(Rewrite& r) {
  const ValueId x = r.In(0), half = r.Like(0.5, x);
  const ValueId low = r.Op("Floor", {x}), rest = r.Sub(x, low);
  const ValueId odd = r.Sub(low, r.Mul(r.Op("Floor", {r.Mul(low, half)}), r.Like(2, x)));
  const ValueId up = r.Cast(r.Op("Greater", {rest, half}), r.Elem(x));
  const ValueId tie = r.Cast(r.Op("Equal", {rest, half}), r.Elem(x));
  r.Become({r.Add(low, r.Add(up, r.Mul(tie, odd)))});
}

/// Erf by a polynomial in 1 / (1 + p |x|), right to 1.5e-7: Abramowitz and Stegun, 7.1.26.
void ErfByPolynomial(Rewrite& r) {
  const ValueId x = r.In(0), size = r.Op("Abs", {x});
  const ValueId t = r.Op("Reciprocal", {r.Add(r.Mul(size, r.Like(0.3275911, x)), r.Like(1, x))});
  ValueId sum = r.Like(1.061405429, x);
  for (double c : {-1.453152027, 1.421413741, -0.284496736, 0.254829592}) sum = r.Add(r.Mul(sum, t), r.Like(c, x));
  const ValueId bell = r.Op("Exp", {r.Op("Neg", {r.Mul(x, x)})});
  const ValueId positive = r.Sub(r.Like(1, x), r.Mul(r.Mul(sum, t), bell));
  r.Become({r.Mul(positive, r.Op("Sign", {x}))});
}

void HyperbolicByExp(Rewrite& r) {
  const std::string& op = r.node().op_type;
  const ValueId x = r.In(0), one = r.Like(1, x), half = r.Like(0.5, x);
  const auto log = [&](ValueId v) { return r.Op("Log", {v}); };
  const auto root = [&](double add) { return r.Op("Sqrt", {r.Add(r.Mul(x, x), r.Like(add, x))}); };
  if (op == "Sinh" || op == "Cosh") {
    const ValueId up = r.Op("Exp", {x}), down = r.Op("Exp", {r.Op("Neg", {x})});
    return r.Become({r.Mul(op == "Sinh" ? r.Sub(up, down) : r.Add(up, down), half)});
  }
  if (op == "Acosh") return r.Become({log(r.Add(x, root(-1)))});
  if (op == "Atanh") return r.Become({r.Mul(log(r.Div(r.Add(one, x), r.Sub(one, x))), half)});
  // Of the size of x, lest large negative numbers cancel.
  const ValueId size = r.Op("Abs", {x});
  r.Become({r.Mul(log(r.Add(size, root(1))), r.Op("Sign", {x}))});
}

/// Exponents had the type of what is raised.
void PowOneType(Rewrite& r) {
  const ValueId x = r.In(0), y = r.In(1);
  if (IsFloat(r.Elem(x))) {
    if (r.Elem(x) != r.Elem(y)) r.g.SetInput(r.id, 1, r.Cast(y, r.Elem(x)));
    return;
  }
  const ValueId power = r.Op("Pow", {r.Cast(x, DType::kDouble), r.Cast(y, DType::kDouble)});
  r.Become({r.Cast(power, r.Elem(x))});
}

/// Remainders of floats by a floored division, which Mod has not had from the start.
void ModOfFloats(Rewrite& r) {
  const ValueId a = r.In(0), b = r.In(1);
  const bool truncates = r.attributes().Int("fmod", 0) != 0;
  if (truncates || !IsFloat(r.Elem(a))) return;
  // The remainder that has the sign of a is brought to the sign of b.
  const ValueId rest = r.Op("Mod", {a, b}, {{"fmod", int64_t{1}}}), zero = r.Like(0, a);
  const auto below = [&](ValueId v) { return r.Op("Less", {v, zero}); };
  const ValueId other_side = r.Op("And", {r.Not(r.Op("Equal", {rest, zero})), r.Op("Xor", {below(rest), below(b)})});
  r.Become({r.Select(other_side, r.Add(rest, b), rest)});
}

void ModByDiv(Rewrite& r) {
  const ValueId a = r.In(0), b = r.In(1);
  const bool truncates = r.attributes().Int("fmod", 0) != 0;
  const DType type = r.Elem(a);
  ValueId quotient = r.Div(a, b);  // of integers: truncated
  if (IsFloat(type)) {
    const ValueId size = r.Op("Floor", {r.Op("Abs", {quotient})});
    quotient = truncates ? r.Mul(size, r.Op("Sign", {quotient})) : r.Op("Floor", {quotient});
  }
  const ValueId rest = r.Sub(a, r.Mul(quotient, b));
  if (truncates || IsFloat(type)) return r.Become({rest});
  const ValueId zero = r.Like(0, a);
  const auto below = [&](ValueId v) { return r.Op("Less", {v, zero}); };
  const ValueId other_side = r.Op("And", {r.Not(r.Op("Equal", {rest, zero})), r.Op("Xor", {below(rest), below(b)})});
  r.Become({r.Add(rest, r.Mul(r.Cast(other_side, type), b))});
}

/// BitShift of signed integers by that of unsigned ones: to the right the sign comes in.
void ShiftSigned(Rewrite& r) {
  const ValueId x = r.In(0);
  const DType type = r.Elem(x);
  if (!IsSigned(type)) return;
  const DType plain = type == DType::kInt8    ? DType::kUint8
                      : type == DType::kInt16 ? DType::kUint16
                      : type == DType::kInt32 ? DType::kUint32
                                              : DType::kUint64;
  const Attributes a = r.attributes();
  const ValueId count = r.Cast(r.In(1), plain);
  const auto shift = [&](ValueId v) { return r.Cast(r.Op("BitShift", {r.Cast(v, plain), count}, a), type); };
  if (a.RequiredString("direction") == "LEFT") return r.Become({shift(x)});
  const ValueId minus_one = r.Like(-1, x), negative = r.Op("Less", {x, r.Like(0, x)});
  const auto invert = [&](ValueId v) { return r.Sub(minus_one, v); };
  r.Become(
      {r.Select(negative, invert(shift(r.Select(negative, invert(x), x))), shift(r.Select(negative, invert(x), x)))});
}

/// And, or, xor bit by bit: each bit as a bool in a new last axis.
void BitwiseByBits(Rewrite& r) {
  const std::string op = r.node().op_type.substr(std::string_view("Bitwise").size());
  const ValueId x = r.In(0);
  const DType type = r.Elem(x);
  if (op == "Not") {
    if (IsSigned(type)) return r.Become({r.Sub(r.Like(-1, x), x)});
    return r.Become({r.Cast(r.Sub(r.Int(-1), r.Cast(x, DType::kInt64)), type)});
  }
  const int bits = static_cast<int>(SizeOf(type)) * 8;
  std::vector<uint64_t> places;
  for (int i = 0; i < bits; ++i) places.push_back(static_cast<uint64_t>(i));
  const ValueId shifts = r.Constant(Tensor::From<uint64_t>({bits}, places));
  const ValueId two = r.Num(2, DType::kUint64);
  const auto spread = [&](ValueId v) {
    const ValueId wide = r.Unsqueeze(r.Cast(r.Cast(v, DType::kInt64), DType::kUint64), {r.Rank(v)});
    const ValueId shifted = r.Op("BitShift", {wide, shifts}, {{"direction", std::string("RIGHT")}});
    return r.Cast(r.Op("Mod", {shifted, two}), DType::kBool);
  };
  const ValueId a = spread(x), b = spread(r.In(1));
  const ValueId set = r.Cast(r.Op(op, {a, b}), DType::kInt64);
  const int64_t rank = r.Rank(set);
  const ValueId sum = r.Reduce("ReduceSum", r.Mul(set, PowersOfTwo(r, bits)), {rank - 1}, false);
  r.Become({r.Cast(sum, type)});
}

void BernoulliByRandom(Rewrite& r) {
  const ValueId x = r.In(0);
  Attributes random = {{"dtype", static_cast<int64_t>(DType::kFloat)}};
  if (r.attributes().Has("seed")) random.Set("seed", r.attributes().Float("seed", 0));
  const ValueId drawn = r.Op("RandomUniformLike", {x}, random);
  const auto type = static_cast<DType>(r.attributes().Int("dtype", static_cast<int64_t>(r.Elem(x))));
  r.Become({r.Cast(r.Op("Less", {drawn, r.Cast(x, DType::kFloat)}), type)});
}

/// The last of equal elements: the first of the axis turned around.
void ArgOfLast(Rewrite& r) {
  const ValueId x = r.In(0);
  const int64_t axis = r.attributes().Int("axis", 0);
  Attributes a = r.attributes();
  a.Remove("select_last_index");
  const ValueId turned = r.Slice(x, axis, -1, std::numeric_limits<int64_t>::min() + 1, -1);
  const ValueId found = r.Op(r.node().op_type, {turned}, a);
  r.Become({r.Sub(r.Sub(r.SizeOf(x, axis), r.Ints({1})), found)});
}

/// TopK that knew the largest alone.
void TopKSmallest(Rewrite& r) {
  Attributes a = r.attributes();
  a.Remove("largest");
  a.Remove("sorted");
  if (!IsFloat(r.Elem(r.In(0))) || r.attributes().Int("largest", 1) == 0) {
    const DType type = r.Elem(r.In(0));
    if (type == DType::kInt64 || type == DType::kUint64) r.Fail("64-bit integers are not taken before opset 11.");
    const DType wide = IsFloat(type) ? type : DType::kDouble;
    ValueId x = r.Cast(r.In(0), wide);
    const bool smallest = r.attributes().Int("largest", 1) == 0;
    if (smallest) x = r.Op("Neg", {x});
    const auto found = r.Ops("TopK", {x, r.In(1)}, 2, a);
    return r.Become({r.Cast(smallest ? r.Op("Neg", {found[0]}) : found[0], type), found[1]});
  }
  r.attributes() = a;
}

/// Less and Greater took floats alone.
void OrderOfIntegers(Rewrite& r) {
  const DType type = r.Elem(r.In(0));
  if (type == DType::kInt64 || type == DType::kUint64) {
    // Exact as long as the difference is one of 64 bits.
    if (type == DType::kUint64) r.Fail("uint64 is not taken before opset 9.");
    const ValueId difference = r.Cast(r.Sub(r.In(0), r.In(1)), DType::kDouble);
    r.Become(r.node().op_type, {difference, r.Num(0, DType::kDouble)});
  }
}

}  // namespace slipway::onnx
