#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "ops/op.h"
#include "pt2/converter.h"

// Numbers and sizes: expressions over symbols as nodes that compute them.

namespace slipway::pt2 {

bool IsFloatExpr(const Expr& e) {
  if (e.kind() == Expr::Kind::kFloat) return true;
  if (e.kind() != Expr::Kind::kCall) return false;
  static const std::set<std::string_view> kReal = {"IntTrueDiv", "FloatTrueDiv", "ToFloat",
                                                   "FloatPow",   "TruncToFloat", "RoundDecimal"};
  static const std::set<std::string_view> kWhole = {"TruncToInt", "CeilToInt",         "FloorToInt", "RoundToInt",
                                                    "FloorDiv",   "Equality",          "Unequality", "StrictLessThan",
                                                    "LessThan",   "StrictGreaterThan", "GreaterThan"};
  if (kReal.contains(e.name()) || e.name().starts_with("OpaqueUnaryFn")) return true;
  if (kWhole.contains(e.name())) return false;
  return std::any_of(e.args().begin(), e.args().end(), IsFloatExpr);
}

namespace {

struct Simple {
  std::string_view sympy, onnx;
};
constexpr Simple kBinary[] = {{"Add", "Add"},
                              {"Mul", "Mul"},
                              {"Max", "Max"},
                              {"Min", "Min"},
                              {"Mod", "Mod"},
                              {"PythonMod", "Mod"},
                              {"Equality", "Equal"},
                              {"StrictLessThan", "Less"},
                              {"LessThan", "LessOrEqual"},
                              {"StrictGreaterThan", "Greater"},
                              {"GreaterThan", "GreaterOrEqual"},
                              {"And", "And"},
                              {"Or", "Or"}};
constexpr Simple kUnaryFloat[] = {{"OpaqueUnaryFn_sqrt", "Sqrt"}, {"OpaqueUnaryFn_exp", "Exp"},
                                  {"OpaqueUnaryFn_log", "Log"},   {"OpaqueUnaryFn_sin", "Sin"},
                                  {"OpaqueUnaryFn_cos", "Cos"},   {"OpaqueUnaryFn_tan", "Tan"},
                                  {"OpaqueUnaryFn_tanh", "Tanh"}, {"OpaqueUnaryFn_atan", "Atan"}};

slipway::Tensor NumberTensor(const Expr& e, const Shape& shape) {
  if (e.kind() == Expr::Kind::kFloat) return slipway::Tensor::From<double>(shape, {e.value()});
  if (e.kind() == Expr::Kind::kBool) return slipway::Tensor::From<bool>(shape, {e.int_value() != 0});
  return slipway::Tensor::From<int64_t>(shape, {e.int_value()});
}

}  // namespace

/// The number as int64, double or bool: of rank 0, or with the shape [1].
ValueId Converter::Compute(const Expr& e, bool scalar) {
  if (e.is_number()) return Constant(NumberTensor(e, scalar ? Shape{} : Shape{1}));
  auto& memo = scalar ? frame_->scalars : frame_->sizes;
  if (auto it = memo.find(e.text()); it != memo.end()) return it->second;
  const auto add = [&](std::string_view op, std::vector<ValueId> inputs, Attributes attributes = {}) {
    return AddNode({.op_type = std::string(op), .inputs = std::move(inputs), .attributes = std::move(attributes)}, 1,
                   fmt::format("size_{}", graph().num_values()))[0];
  };
  const auto part = [&](size_t i) { return Compute(e.args().at(i), scalar); };
  const auto cast = [&](ValueId v, DType to) {
    return graph().value(v).type.elem == to ? v : add("Cast", {v}, {{"to", static_cast<int64_t>(to)}});
  };
  const auto number = [&](int64_t n) { return Constant(NumberTensor(n, scalar ? Shape{} : Shape{1})); };
  const auto compute = [&]() -> ValueId {
    if (auto at = frame_->axes.find(e.text()); at != frame_->axes.end()) {
      const auto [v, axis] = at->second;
      const ValueId size = add("Shape", {v}, {{"start", int64_t{axis}}, {"end", int64_t{axis} + 1}});
      return scalar ? add("Squeeze", {size, Constant(slipway::Tensor::From<int64_t>({1}, {0}))}) : size;
    }
    if (e.kind() == Expr::Kind::kSymbol) {
      if (auto at = frame_->symbol_values.find(e.name()); at != frame_->symbol_values.end()) {
        if (scalar) return at->second;
        return add("Unsqueeze", {at->second, Constant(slipway::Tensor::From<int64_t>({1}, {0}))});
      }
      if (frame_->parent) {
        Frame* inner = frame_;
        frame_ = inner->parent;
        const ValueId v = Compute(e, scalar);
        frame_ = inner;
        return Capture(v);
      }
      return SolveFor(e, scalar);
    }
    const auto& name = e.name();
    const size_t n = e.args().size();
    const bool real = std::any_of(e.args().begin(), e.args().end(), IsFloatExpr);
    for (const auto& [sympy, onnx] : kBinary) {
      if (name != sympy || n == 0) continue;
      ValueId v = part(0);
      if (real && name != "And" && name != "Or") v = cast(v, DType::kDouble);
      for (size_t i = 1; i < n; ++i) {
        ValueId w = part(i);
        if (real && name != "And" && name != "Or") w = cast(w, DType::kDouble);
        v = add(onnx, {v, w});
      }
      return v;
    }
    if (name == "Unequality" && n == 2) return add("Not", {add("Equal", {part(0), part(1)})});
    if (name == "Not" && n == 1) return add("Not", {part(0)});
    if (name == "FloorDiv" && n == 2 && !real) {
      const auto low = e.args()[0].LowerBound([&](const std::string& s) { return Low(s); });
      const ValueId a = part(0), b = part(1);
      if (low && *low >= 0) return add("Div", {a, b});
      return add("Div", {add("Sub", {a, add("Mod", {a, b})}), b});
    }
    if (name == "CeilDiv" && n == 2 && !real) {
      // -(-a // b)
      return Compute(Expr(0) - FloorDiv(Expr(0) - e.args()[0], e.args()[1]), scalar);
    }
    if (name == "ModularIndexing" && n == 3) {
      return Compute(Expr::Call("Mod", {FloorDiv(e.args()[0], e.args()[1]), e.args()[2]}), scalar);
    }
    if ((name == "IntTrueDiv" || name == "FloatTrueDiv") && n == 2) {
      return add("Div", {cast(part(0), DType::kDouble), cast(part(1), DType::kDouble)});
    }
    if (name == "Pow" && n == 2) {
      return real || (e.args()[1].is_number() && e.args()[1].value() < 0)
                 ? add("Pow", {cast(part(0), DType::kDouble), cast(part(1), DType::kDouble)})
                 : add("Pow", {part(0), part(1)});
    }
    if (name == "FloatPow" && n == 2) return add("Pow", {cast(part(0), DType::kDouble), cast(part(1), DType::kDouble)});
    if (name == "ToFloat" && n == 1) return cast(part(0), DType::kDouble);
    if (name == "TruncToInt" && n == 1) return cast(part(0), DType::kInt64);
    if (name == "CeilToInt" && n == 1) return cast(add("Ceil", {cast(part(0), DType::kDouble)}), DType::kInt64);
    if (name == "FloorToInt" && n == 1) return cast(add("Floor", {cast(part(0), DType::kDouble)}), DType::kInt64);
    if (name == "RoundToInt" && n == 1) return cast(add("Round", {cast(part(0), DType::kDouble)}), DType::kInt64);
    if (name == "FloorDiv" && n == 2) {
      return add("Floor", {add("Div", {cast(part(0), DType::kDouble), cast(part(1), DType::kDouble)})});
    }
    if (name == "LShift" && n == 2) return add("Mul", {part(0), add("Pow", {number(2), part(1)})});
    if (name == "RShift" && n == 2) {
      return Compute(FloorDiv(e.args()[0], Expr::Call("Pow", {Expr(2), e.args()[1]})), scalar);
    }
    if (name == "Where" && n == 3) return add("Where", {part(0), part(1), part(2)});
    if (name == "Abs" && n == 1) return add("Abs", {part(0)});
    for (const auto& [sympy, onnx] : kUnaryFloat) {
      if (name == sympy && n == 1) return add(onnx, {cast(part(0), DType::kDouble)});
    }
    throw Error(Code::kUnsupported,
                fmt::format("the size '{}' needs '{}', which Slipway cannot write as ONNX.", e.text(), name));
  };
  const ValueId v = compute();
  (scalar ? frame_->scalars : frame_->sizes).try_emplace(e.text(), v);
  return v;
}

/// For a symbol that no axis is equal to: from an input's axis that is a multiple of it, or a sum with it.
ValueId Converter::SolveFor(const Expr& symbol, bool scalar) {
  constexpr int64_t kMostFactors = 4096;
  for (const InputSpec& spec : torch_.inputs) {
    const auto meta = torch_.graph.tensors.find(spec.argument.text);
    if (!spec.argument.is(Argument::Kind::kTensor) || meta == torch_.graph.tensors.end()) continue;
    for (const Expr& size : meta->second.sizes) {
      bool holds = false;
      size.ForEachSymbol([&](const std::string& s) { holds |= s == symbol.name(); });
      for (int64_t k = 1; holds && k <= kMostFactors; ++k) {
        const Expr rest = size - Expr(k) * symbol;
        bool free = true;
        rest.ForEachSymbol([&](const std::string& s) { free &= s != symbol.name(); });
        if (!free) continue;
        const auto add = [&](std::string_view op, ValueId a, const Expr& b) {
          return AddNode({.op_type = std::string(op), .inputs = {a, Compute(b, scalar)}}, 1,
                         fmt::format("size_{}", graph().num_values()))[0];
        };
        ValueId v = Compute(size, scalar);
        if (!(rest == Expr(0))) v = add("Sub", v, rest);
        return k == 1 ? v : add("Div", v, k);
      }
    }
  }
  throw Error(Code::kUnsupported,
              fmt::format("the size '{}' is not one of any tensor that the model is given or makes.", symbol.text()));
}

ValueId Converter::Size(const Expr& e) {
  const ValueId v = Compute(e, false);
  if (graph().value(v).type.elem == DType::kInt64) return v;
  return AddNode({.op_type = "Cast", .inputs = {v}, .attributes = {{"to", static_cast<int64_t>(DType::kInt64)}}}, 1,
                 fmt::format("size_{}", graph().num_values()))[0];
}

ValueId Converter::Number(const Expr& e, DType dtype) {
  if (e.is_number()) {
    if (e.is_int() && dtype == DType::kInt64) return Constant(NumberTensor(e, Shape{}));
    return Constant(Filled(dtype, Shape{}, e.value()));
  }
  ValueId v = Compute(e, true);
  if (graph().value(v).type.shape.has_rank() && graph().value(v).type.shape.rank() == 1) {
    v = AddNode({.op_type = "Squeeze", .inputs = {v, Constant(slipway::Tensor::From<int64_t>({1}, {0}))}}, 1,
                fmt::format("size_{}", graph().num_values()))[0];
  }
  if (graph().value(v).type.elem == dtype) return v;
  const std::string key = fmt::format("{}:{}", Name(dtype), e.text());
  if (auto it = frame_->scalars.find(key); it != frame_->scalars.end()) return it->second;
  v = AddNode({.op_type = "Cast", .inputs = {v}, .attributes = {{"to", static_cast<int64_t>(dtype)}}}, 1,
              fmt::format("size_{}", graph().num_values()))[0];
  frame_->scalars.emplace(key, v);
  return v;
}

}  // namespace slipway::pt2
