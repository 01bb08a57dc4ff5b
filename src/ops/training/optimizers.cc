#include <cmath>

#include "core/dtype_visit.h"
#include "ops/indexing.h"
#include "ops/one_number.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

constexpr std::string_view kTrainingDomain = "ai.onnx.preview.training";
constexpr TypeSet kTypes = {DType::kFloat, DType::kDouble};

/// A float attribute without a default.
float Required(const Attributes& a, std::string_view name) {
  if (!a.Has(name)) throw Error(Code::kBadGraph, fmt::format("needs the attribute {}.", name));
  return a.Float(name, 0);
}

/// One step of training on any number of tensors: inputs are the rate R, the count T of steps so far, then all tensors
/// X, all gradients G, and the states of each, kind by kind; outputs are the new X and states. `Rule` has kStates and
/// Step(r, t, x, g, states), which changes x and the states of one element.
template <class Rule>
struct Optimizer {
  static constexpr int kKinds = 2 + Rule::kStates;
  Rule rule;
  static Optimizer Parse(const Attributes& a) { return {Rule::Parse(a)}; }

  void Infer(InferContext& c) const {
    c.ExpectElem(0, kTypes);
    c.ExpectElem(1, {DType::kInt64});
    for (const int i : {0, 1}) ExpectOne(c, i);
    const int tensors = (c.num_inputs() - 2) / kKinds;
    if (tensors < 1 || tensors * kKinds != c.num_inputs() - 2 || c.num_outputs() != tensors * (kKinds - 1)) {
      c.Fail("has {} inputs and {} outputs, but for each tensor {} and {} are wanted, after the rate and count.",
             c.num_inputs(), c.num_outputs(), kKinds, kKinds - 1);
    }
    for (int i = 2; i < c.num_inputs(); ++i) {
      const int x = 2 + (i - 2) % tensors;
      c.ExpectElem(i, kTypes);
      c.ExpectSameElem(i, x);
      if (!c.HasRank(i) || !c.HasRank(x)) continue;
      bool differ = c.Shape(i).rank() != c.Shape(x).rank();
      for (int k = 0; !differ && k < c.Shape(i).rank(); ++k) differ = c.Shape(i)[k].Differs(c.Shape(x)[k]);
      if (differ)
        c.Fail("{} has shape {}, its tensor {}.", c.InputName(i), c.Shape(i).ToString(), c.Shape(x).ToString());
    }
    for (int i = 0; i < c.num_outputs(); ++i) c.Out(i, c.In(2 + i % tensors));
  }

  void Run(RunContext& c) const {
    const int tensors = (c.num_inputs() - 2) / kKinds;
    const double rate = c.In(0).dtype() == DType::kFloat ? *c.In(0).data<float>() : *c.In(0).data<double>();
    const auto steps = static_cast<double>(*c.In(1).data<int64_t>());
    for (int i = 0; i < tensors; ++i) {
      Visit(Types<float, double>{}, c.In(2 + i).dtype(), "float or double", [&]<class T>() {
        const T *x = c.In(2 + i).data<T>(), *gradient = c.In(2 + tensors + i).data<T>();
        const T* states[Rule::kStates];
        T* out[1 + Rule::kStates];
        for (int k = 0; k < Rule::kStates; ++k) states[k] = c.In(2 + (2 + k) * tensors + i).data<T>();
        for (int k = 0; k <= Rule::kStates; ++k)
          out[k] = c.HasOut(k * tensors + i) ? c.Out(k * tensors + i).data<T>() : nullptr;
        c.threads().ParallelFor(c.In(2 + i).size(), 4096, [&](int64_t begin, int64_t end) {
          for (int64_t e = begin; e < end; ++e) {
            double value = x[e], state[Rule::kStates];
            for (int k = 0; k < Rule::kStates; ++k) state[k] = states[k][e];
            rule.Step(rate, steps, value, gradient[e], state);
            if (out[0]) out[0][e] = static_cast<T>(value);
            for (int k = 0; k < Rule::kStates; ++k) {
              if (out[k + 1]) out[k + 1][e] = static_cast<T>(state[k]);
            }
          }
        });
      });
    }
  }
};

struct AdagradRule {
  static constexpr int kStates = 1;
  float decay = 0, epsilon = 0, norm = 0;
  static AdagradRule Parse(const Attributes& a) {
    return {a.Float("decay_factor", 0), a.Float("epsilon", 1e-6f), a.Float("norm_coefficient", 0)};
  }
  void Step(double r, double t, double& x, double gradient, double* state) const {
    const double g = norm * x + gradient;
    state[0] += g * g;
    x -= r / (1 + t * decay) * g / (std::sqrt(state[0]) + epsilon);
  }
};

struct AdamRule {
  static constexpr int kStates = 2;
  float alpha = 0, beta = 0, epsilon = 0, norm = 0, norm_post = 0;
  static AdamRule Parse(const Attributes& a) {
    return {a.Float("alpha", 0.9f), a.Float("beta", 0.999f), a.Float("epsilon", 1e-6f), a.Float("norm_coefficient", 0),
            a.Float("norm_coefficient_post", 0)};
  }
  void Step(double r, double t, double& x, double gradient, double* state) const {
    const double g = norm * x + gradient;
    state[0] = alpha * state[0] + (1.0 - alpha) * g;
    state[1] = beta * state[1] + (1.0 - beta) * g * g;
    // The averages start at 0: the first steps make up for that.
    const double rate = t > 0 ? r * std::sqrt(1 - std::pow(beta, t)) / (1 - std::pow(alpha, t)) : r;
    x = (1.0 - norm_post) * (x - rate * state[0] / (std::sqrt(state[1]) + epsilon));
  }
};

struct MomentumRule {
  static constexpr int kStates = 1;
  float alpha = 0, beta = 0, norm = 0;
  bool nesterov = false;
  static MomentumRule Parse(const Attributes& a) {
    const std::string mode = a.RequiredString("mode");
    if (mode != "standard" && mode != "nesterov")
      throw Error(Code::kBadGraph, fmt::format("attribute 'mode' is '{}', but must be standard or nesterov.", mode));
    return {Required(a, "alpha"), Required(a, "beta"), Required(a, "norm_coefficient"), mode == "nesterov"};
  }
  void Step(double r, double t, double& x, double gradient, double* state) const {
    const double g = norm * x + gradient;
    state[0] = alpha * state[0] + (t > 0 ? beta : 1.0) * g;
    x -= r * (nesterov ? g + alpha * state[0] : state[0]);
  }
};

template <class Rule>
constexpr OpDef DefineOptimizer(std::string_view name) {
  return Define<Optimizer<Rule>>({.name = name,
                                  .domain = kTrainingDomain,
                                  .min_inputs = 3,
                                  .max_inputs = kVariadic,
                                  .max_outputs = kVariadic,
                                  .types = kTypes});
}

}  // namespace

/// ONNX ai.onnx.preview.training Adagrad, Adam and Momentum, since 1.
extern const OpDef kAdagrad = DefineOptimizer<AdagradRule>("Adagrad");
extern const OpDef kAdam = DefineOptimizer<AdamRule>("Adam");
extern const OpDef kMomentum = DefineOptimizer<MomentumRule>("Momentum");

}  // namespace slipway
