#include "passes/queries.h"

#include <algorithm>
#include <type_traits>

#include "core/dtype_visit.h"

namespace slipway {

bool HasRank(const Graph& graph, ValueId v) {
  const Type& type = graph.value(v).type;
  return type.kind == Type::Kind::kTensor && type.shape.has_rank();
}
int Rank(const Graph& graph, ValueId v) { return ShapeOf(graph, v).rank(); }
const SymbolicShape& ShapeOf(const Graph& graph, ValueId v) { return graph.value(v).type.shape; }
bool SameShape(const Graph& graph, ValueId a, ValueId b) {
  return HasRank(graph, a) && HasRank(graph, b) && ShapeOf(graph, a) == ShapeOf(graph, b);
}
DType ElemOf(const Graph& graph, ValueId v) {
  const Type& type = graph.value(v).type;
  return type.kind == Type::Kind::kTensor ? type.elem : DType::kUndefined;
}
bool IsFloat(const Graph& graph, ValueId v) { return ElemOf(graph, v) == DType::kFloat; }

std::optional<std::vector<int64_t>> IntsConstant(const Graph& graph, ValueId v) {
  const Tensor* t = graph.Constant(v);
  if (!t || !t->raw()) return std::nullopt;
  if (t->dtype() == DType::kInt64) return std::vector<int64_t>(t->span<int64_t>().begin(), t->span<int64_t>().end());
  if (t->dtype() == DType::kInt32) return std::vector<int64_t>(t->span<int32_t>().begin(), t->span<int32_t>().end());
  return std::nullopt;
}

const Tensor* FloatConstant(const Graph& graph, ValueId v) {
  const Tensor* t = graph.Constant(v);
  return t && t->dtype() == DType::kFloat && t->raw() ? t : nullptr;
}

std::optional<Tensor> ConstantRow(const Graph& graph, ValueId v, ValueId like) {
  const Tensor* t = FloatConstant(graph, v);
  if (t == nullptr || !HasRank(graph, like) || Rank(graph, like) == 0) return std::nullopt;
  if (t->shape().rank() > Rank(graph, like)) return std::nullopt;
  const Dim& last = ShapeOf(graph, like).dims().back();
  if (!last.is_const()) return std::nullopt;
  const int64_t n = last.value();
  const bool one = t->size() == 1;
  if (!one && (t->size() != n || t->shape().Back(0) != n)) return std::nullopt;
  Tensor out(DType::kFloat, {n});
  for (int64_t i = 0; i < n; ++i) out.data<float>()[i] = t->data<float>()[one ? 0 : i];
  return out;
}

std::optional<double> UniformConstant(const Graph& graph, ValueId v) {
  const Tensor* t = graph.Constant(v);
  if (!t || !t->raw() || t->size() == 0) return std::nullopt;
  constexpr auto kTypes = lists::kFloatTypes + lists::kIntegerTypes + Types<bool>{};
  const auto uniform = [&]<class T>() -> std::optional<double> {
    const T* p = t->data<T>();
    const auto number = [](const T& x) {
      return static_cast<double>(static_cast<std::conditional_t<std::is_class_v<T>, float, T>>(x));
    };
    const double first = number(p[0]);
    for (int64_t i = 1; i < t->size(); ++i) {
      if (number(p[i]) != first) return std::nullopt;
    }
    return first;
  };
  switch (t->dtype()) {
    case DType::kFloat:
    case DType::kDouble:
    case DType::kFloat16:
    case DType::kBFloat16:
    case DType::kBool:
    case DType::kInt8:
    case DType::kInt16:
    case DType::kInt32:
    case DType::kInt64:
    case DType::kUint8:
    case DType::kUint16:
    case DType::kUint32:
    case DType::kUint64:
      return Visit(kTypes, t->dtype(), "a number", uniform);
    default:
      return std::nullopt;
  }
}

bool ReducesLastAxis(const Graph& graph, const Node& node) {
  if (node.attributes.Int("keepdims", 1) == 0 || !HasRank(graph, node.input(0))) return false;
  const auto axes = IntsConstant(graph, node.input(1));
  return axes && axes->size() == 1 && ((*axes)[0] == -1 || (*axes)[0] == Rank(graph, node.input(0)) - 1);
}

}  // namespace slipway
