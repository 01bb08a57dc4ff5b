#include "onnx/downgrade/rewrite.h"

#include <algorithm>
#include <limits>
#include <map>

#include "core/dtype_visit.h"

namespace slipway::onnx {

std::string Rewrite::LabelOf(const Graph& g, NodeId id) {
  for (ValueId v : g.node(id).outputs) {
    if (v != kNone) return g.value(v).name;
  }
  return g.node(id).name;
}

bool Rewrite::Gives(size_t i) const {
  const ValueId v = node().output(i);
  return v != kNone && (!g.value(v).users.empty() || g.IsOutput(v));
}

ValueId Rewrite::In(size_t i) const {
  if (!Has(i)) throw Error(Code::kBadGraph, fmt::format("{}: input {} is missing.", node().Describe(g), i));
  return node().input(i);
}

void Rewrite::RemoveInput(size_t i) {
  if (i >= node().inputs.size()) return;
  g.SetInput(id, i, kNone);
  std::vector<ValueId>& inputs = node().inputs;
  while (!inputs.empty() && inputs.back() == kNone) inputs.pop_back();
}

void Rewrite::Fail(const std::string& why) const {
  throw Error(Code::kUnsupported, fmt::format("{} cannot be written at opset {}: {}", node().Describe(g), target, why));
}

DType Rewrite::Elem(ValueId v) const {
  const DType type = g.value(v).type.elem;
  if (type == DType::kUndefined) Fail(fmt::format("the type of '{}' is not known.", g.value(v).name));
  return type;
}

int64_t Rewrite::Rank(ValueId v) const {
  if (!HasRank(v))
    Fail(fmt::format("it needs the rank of '{}', which is not known.\n  Give the model's inputs shapes.",
                     g.value(v).name));
  return g.value(v).type.shape.rank();
}

int64_t Rewrite::Axis(ValueId v, int64_t axis) const { return axis < 0 ? axis + Rank(v) : axis; }

std::optional<int64_t> Rewrite::Size(ValueId v, int64_t axis) const {
  if (!HasRank(v)) return std::nullopt;
  const Dim& dim = g.value(v).type.shape[static_cast<int>(Axis(v, axis))];
  return dim.is_const() ? std::optional(dim.value()) : std::nullopt;
}

std::vector<int64_t> Rewrite::Fixed(ValueId v, std::string_view what) const {
  if (const auto known = Known(v)) return *known;
  Fail(fmt::format("{} must be constant in it, but '{}' is computed.", what, g.value(v).name));
}

std::optional<double> Rewrite::Number(ValueId v) const {
  const Tensor* t = g.Constant(v);
  if (!t || t->size() != 1) return std::nullopt;
  std::optional<double> number;
  if (t->dtype() == DType::kBool) return *t->data<bool>() ? 1 : 0;
  VisitNumeric(t->dtype(), [&]<class T>() {
    if constexpr (std::is_arithmetic_v<T>) number = static_cast<double>(*t->data<T>());
    else number = static_cast<double>(static_cast<float>(*t->data<T>()));
  });
  return number;
}

ValueId Rewrite::Constant(Tensor t) { return g.AddConstant(label_ + "/constant", std::move(t)); }

ValueId Rewrite::Ints(const std::vector<int64_t>& values) {
  return Constant(Tensor::From<int64_t>({static_cast<int64_t>(values.size())}, values));
}

ValueId Rewrite::Int(int64_t value) { return Constant(Tensor::From<int64_t>({}, {value})); }

ValueId Rewrite::Num(double value, DType type) {
  Tensor t(type, {});
  if (type == DType::kBool) {
    *t.data<bool>() = value != 0;
  } else {
    VisitNumeric(type, [&]<class T>() {
      if constexpr (std::is_integral_v<T>) {
        *t.data<T>() = value >= 9.2e18 ? static_cast<T>(std::numeric_limits<uint64_t>::max() >> 1)
                                       : static_cast<T>(static_cast<int64_t>(value));
      } else {
        *t.data<T>() = T(static_cast<float>(value));
        if constexpr (std::is_same_v<T, double>) *t.data<T>() = value;
      }
    });
  }
  return Constant(std::move(t));
}

ValueId Rewrite::Floats(const Shape& shape, const std::vector<float>& values, DType type) {
  Tensor t(type, shape);
  VisitFloat(type, [&]<class T>() {
    std::transform(values.begin(), values.end(), t.data<T>(), [](float x) { return T(x); });
  });
  return Constant(std::move(t));
}

std::vector<ValueId> Rewrite::Ops(std::string_view op, std::vector<ValueId> inputs, size_t outputs, Attributes a) {
  const std::string name = fmt::format("{}/{}", label_, op);
  std::vector<ValueId> out;
  for (size_t i = 0; i < outputs; ++i) out.push_back(g.AddValue(name));
  while (!inputs.empty() && inputs.back() == kNone) inputs.pop_back();
  const NodeId added = g.AddNode({.name = name,
                                  .op_type = std::string(op),
                                  .inputs = std::move(inputs),
                                  .outputs = out,
                                  .attributes = std::move(a)},
                                 id);
  added_.push_back(added);
  inference_.infer(g, added);
  return out;
}

void Rewrite::Place(Node copy) { g.AddNode(std::move(copy), id); }

std::vector<ValueId> Rewrite::AddNode(Node node, const std::vector<Type>& types) {
  for (const Type& type : types) node.outputs.push_back(g.AddValue(label_ + "/" + node.op_type, type));
  const std::vector<ValueId> out = node.outputs;
  added_.push_back(g.AddNode(std::move(node), id));
  return out;
}

ValueId Rewrite::Op(std::string_view op, std::vector<ValueId> inputs, Attributes attributes) {
  return Ops(op, std::move(inputs), 1, std::move(attributes))[0];
}

ValueId Rewrite::Cast(ValueId v, DType to) {
  return Elem(v) == to ? v : Op("Cast", {v}, {{"to", static_cast<int64_t>(to)}});
}

ValueId Rewrite::Slice(ValueId v, int64_t axis, int64_t begin, int64_t end, int64_t step) {
  return Op("Slice", {v, Ints({begin}), Ints({end}), Ints({axis}), step == 1 ? kNone : Ints({step})});
}

ValueId Rewrite::Cut(ValueId v, int64_t axis, ValueId begin, ValueId end) {
  return Op("Slice", {v, begin, end, Ints({axis})});
}

ValueId Rewrite::Reduce(std::string_view op, ValueId v, const std::vector<int64_t>& axes, bool keep) {
  return Op(op, {v, Ints(axes)}, {{"keepdims", int64_t{keep}}});
}

ValueId Rewrite::ShapeOf(ValueId v) {
  if (HasRank(v)) {
    if (const auto shape = g.value(v).type.shape.Concrete()) return Ints({shape->begin(), shape->end()});
  }
  return Op("Shape", {v});
}

ValueId Rewrite::SizeOf(ValueId v, int64_t axis) {
  if (const auto size = Size(v, axis)) return Ints({*size});
  return Op("Gather", {Op("Shape", {v}), Ints({Axis(v, axis)})}, {{"axis", int64_t{0}}});
}

ValueId Rewrite::Count(ValueId count) {
  if (const auto n = Known(count); n && n->size() == 1 && (*n)[0] >= 0 && (*n)[0] <= 65536) {
    std::vector<int64_t> numbers(static_cast<size_t>((*n)[0]));
    for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<int64_t>(i);
    return Ints(numbers);
  }
  return Op("Range", {Int(0), Squeeze(count, {0}), Int(1)});
}

ValueId Rewrite::Full(ValueId shape, double value, DType type) {
  const Tensor* scalar = g.Constant(Num(value, type));
  return Op("ConstantOfShape", {shape}, {{"value", scalar->Reshaped({1})}});
}

void Rewrite::Become(const std::vector<ValueId>& values) {
  const std::vector<ValueId> outputs = node().outputs;
  std::map<ValueId, ValueId> taken;  // new values whose place an output took
  std::vector<std::pair<ValueId, Tensor>> constants;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const ValueId out = outputs[i];
    if (out == kNone) continue;
    ValueId value = i < values.size() ? values[i] : kNone;
    if (value == kNone) {
      if (Gives(i)) Fail(fmt::format("output {} is not one that this opset can give.", i));
      continue;
    }
    if (value == out) continue;
    if (const Tensor* constant = g.Constant(value)) {
      constants.emplace_back(out, *constant);
      continue;
    }
    if (const auto found = taken.find(value); found != taken.end()) value = found->second;
    const NodeId producer = g.value(value).producer;
    if (producer != kNone && !taken.contains(value) && std::count(added_.begin(), added_.end(), producer) > 0 &&
        std::count(outputs.begin(), outputs.end(), value) == 0) {
      // The new node gives the old value, so that names and the graph's outputs stay.
      g.ReplaceUses(value, out);
      auto& given = g.node(producer).outputs;
      std::replace(given.begin(), given.end(), value, out);
      g.value(out).producer = producer;
      g.value(value).producer = kNone;
      taken.emplace(value, out);
    } else if (!g.IsOutput(out)) {
      g.ReplaceUses(out, value);
    } else {
      added_.push_back(g.AddNode(
          {.name = label_ + "/Identity", .op_type = "Identity", .inputs = {value}, .outputs = {out}}, id));
    }
  }
  g.RemoveNode(id);
  for (auto& [out, constant] : constants) g.MakeConstant(out, std::move(constant));
}

bool IsFloat(DType type) {
  return type == DType::kFloat || type == DType::kDouble || type == DType::kFloat16 || type == DType::kBFloat16;
}

bool IsSigned(DType type) {
  return type == DType::kInt8 || type == DType::kInt16 || type == DType::kInt32 || type == DType::kInt64;
}

}  // namespace slipway::onnx
