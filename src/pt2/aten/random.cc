#include "pt2/converter.h"

namespace slipway::pt2 {
namespace {

/// Random operators of ONNX make floating types only, and take fixed shapes: what has a symbolic shape is made like a
/// tensor of that shape.
ValueId Draw(Call& c, bool normal, const Exprs& shape, double a, double b, DType type) {
  const DType of = IsFloating(type) ? type : DType::kFloat;
  const ValueId like = c.Add("ConstantOfShape", {c.SizeVector(shape)}, {{"value", Filled(of, Shape{1}, 0)}});
  Attributes attributes = {{"dtype", static_cast<int64_t>(of)}};
  attributes.Set(normal ? "mean" : "low", static_cast<float>(a));
  attributes.Set(normal ? "scale" : "high", static_cast<float>(b));
  return c.Add(normal ? "RandomNormalLike" : "RandomUniformLike", {like}, std::move(attributes));
}

/// rand, randn and their forms like another tensor.
void Random(Call& c) { c.Out(Draw(c, c.detail() == "normal", c.OutShape(), 0, 1, c.OutDtype())); }

/// randint(low, high, size)
void RandomInt(Call& c) {
  const Expr low = c.Size("low", 0), high = c.Size("high");
  const ValueId unit = Draw(c, false, c.OutShape(), 0, 1, DType::kFloat);
  const ValueId scaled = c.Add("Mul", {unit, c.Scalar(high - low, DType::kFloat)});
  const ValueId down = c.Add("Add", {c.Add("Floor", {scaled}), c.Scalar(low, DType::kFloat)});
  c.Out(c.Cast(down, c.OutDtype()));
}

/// uniform(self, from, to), normal_functional(self, mean, std)
void Fill(Call& c) {
  const bool normal = c.detail() == "normal";
  c.Out(Draw(c, normal, c.OutShape(), c.Float(normal ? "mean" : "from", 0), c.Float(normal ? "std" : "to", 1),
             c.OutDtype()));
}

/// normal(mean, std), of which either may be a tensor.
void Normal(Call& c) {
  const DType type = c.OutDtype();
  const ValueId unit = Draw(c, true, c.OutShape(), 0, 1, type);
  const auto use = [&](const char* name, double otherwise) {
    return c.Has(name) ? c.Use(c.Operand(name), type) : c.Scalar(otherwise, type);
  };
  c.Out(c.Add("Add", {c.Add("Mul", {unit, use("std", 1)}), use("mean", 0)}));
}

/// 1 with the probability that self has, or p.
void Bernoulli(Call& c) {
  const TensorRef x = c.Tensor("self");
  if (!c.Has("p")) return c.Out(c.Add("Bernoulli", {x.id}));
  const Operand p = c.Operand("p");
  const ValueId unit = Draw(c, false, x.shape, 0, 1, DType::kFloat);
  c.Out(c.Cast(c.Add("Less", {unit, c.Use(p, DType::kFloat)}), c.OutDtype()));
}

/// -log(1 - u) / lambd
void Exponential(Call& c) {
  const DType type = c.OutDtype();
  const ValueId unit = Draw(c, false, c.OutShape(), 0, 1, type);
  const ValueId log = c.Add("Log", {c.Add("Sub", {c.Scalar(1, type), unit})});
  c.Out(c.Add("Div", {log, c.Scalar(-c.Float("lambd", 1), type)}));
}

/// The order of random numbers is a random order.
void Permutation(Call& c) {
  const Exprs shape = c.OutShape();
  const auto sorted = c.AddMany("TopK", {Draw(c, false, shape, 0, 1, DType::kFloat), c.SizeVector(shape)}, 2);
  c.Out(sorted[1]);
}

/// Draws by probabilities that need not sum to 1: the largest of p / e, with e exponential, one at a time or, with
/// replacement, anew for each.
void Multinomial(Call& c) {
  const TensorRef x = c.Tensor("self");
  const Expr count = c.Size("num_samples");
  const bool again = c.Bool("replacement", false);
  Exprs shape = x.shape;
  ValueId p = c.Cast(x.id, DType::kFloat);
  if (again) {
    p = c.Unsqueeze(p, {x.rank() - 1});
    shape.insert(shape.end() - 1, count);
  }
  const ValueId unit = Draw(c, false, shape, 0, 1, DType::kFloat);
  const ValueId e = c.Add("Neg", {c.Add("Log", {c.Add("Sub", {c.Scalar(1, DType::kFloat), unit})})});
  const ValueId keys = c.Add("Div", {p, c.Add("Max", {e, c.Scalar(1e-30, DType::kFloat)})});
  if (again) return c.Out(c.Add("ArgMax", {keys}, {{"axis", int64_t{-1}}, {"keepdims", int64_t{0}}}));
  c.Out(c.AddMany("TopK", {keys, c.SizeVector({count})}, 2)[1]);
}

constexpr Conversion kConversions[] = {
    {"aten.bernoulli", Bernoulli},
    {"aten.exponential", Exponential},
    {"aten.multinomial", Multinomial},
    {"aten.normal", Normal},
    {"aten.normal_functional", Fill, "normal"},
    {"aten.rand", Random},
    {"aten.rand_like", Random},
    {"aten.randint", RandomInt},
    {"aten.randint_like", RandomInt},
    {"aten.randn", Random, "normal"},
    {"aten.randn_like", Random, "normal"},
    {"aten.randperm", Permutation},
    {"aten.uniform", Fill},
};

}  // namespace

extern const ConversionTable kRandomTable = {std::begin(kConversions), std::end(kConversions)};

}  // namespace slipway::pt2
