#include "ops/shape_math.h"

#include <algorithm>

#include "core/dtype_visit.h"
#include "ops/one_number.h"

namespace slipway {

namespace {
constexpr int64_t kMaxShapeInts = 64;

bool IsSmall(const InferContext& c, int i) {
  if (!c.Has(i)) return false;
  const Tensor* t = c.Constant(i);
  return (!c.HasRank(i) || c.Shape(i).rank() <= 1) && (!t || t->size() <= kMaxShapeInts);
}
}  // namespace

std::optional<SymbolicInts> ShapeInts(const InferContext& c, int i) {
  if (!IsSmall(c, i) || !(c.Elem(i) == DType::kInt64 || c.Elem(i) == DType::kInt32)) return std::nullopt;
  return c.Ints(i);
}

std::optional<SymbolicInts> ShapeBools(const InferContext& c, int i) {
  if (!IsSmall(c, i) || c.Elem(i) != DType::kBool) return std::nullopt;
  const Tensor* t = c.Constant(i);
  if (!t) return c.Ints(i);
  return SymbolicInts(t->data<uint8_t>(), t->data<uint8_t>() + t->size());
}

std::optional<SymbolicInts> AllKnown(const std::vector<std::optional<Dim>>& ints) {
  SymbolicInts out;
  for (const auto& d : ints) {
    if (!d) return std::nullopt;
    out.push_back(*d);
  }
  return out;
}

bool NeverNegative(const Dim& d) {
  if (d.is_const()) return d.value() >= 0;
  // Symbols are sizes of axes; only a difference, or what is not known at all, can fall below zero.
  return d.ToString().find_first_of("-?") == std::string::npos;
}

std::vector<int64_t> ToInts(const Tensor& t) {
  return VisitIndex(t.dtype(), [&]<class T>() { return std::vector<int64_t>(t.data<T>(), t.data<T>() + t.size()); });
}

void ExpectOne(const InferContext& c, int i) {
  if (c.Has(i) && c.HasRank(i) && Product(c.Shape(i), 0, c.Shape(i).rank()).Differs(Dim(1)))
    c.Fail("{} must have one element, but has shape {}.", c.InputName(i), c.Shape(i).ToString());
}

std::optional<int64_t> ConstInt(const InferContext& c, int i) {
  if (!c.Has(i)) return std::nullopt;
  c.ExpectElem(i, kIndexTypes);
  ExpectOne(c, i);
  if (const Tensor* t = c.Constant(i)) return ToInts(*t).at(0);
  const auto ints = c.HasRank(i) && c.Shape(i).rank() > 1 ? std::nullopt : c.ConstInts(i);
  if (!ints) return std::nullopt;
  if (ints->size() != 1) c.Fail("{} must have one element, but has {}.", c.InputName(i), ints->size());
  return (*ints)[0];
}

std::vector<int64_t> UniqueAxes(const InferContext& c, const std::vector<int64_t>& axes, int64_t rank) {
  std::vector<int64_t> out;
  for (int64_t a : axes) {
    const int64_t axis = c.Axis(a, rank, "an axis");
    if (std::find(out.begin(), out.end(), axis) != out.end()) c.Fail("axis {} is given twice.", a);
    out.push_back(axis);
  }
  return out;
}

DType ToDType(const InferContext& c, int64_t number, std::string_view attribute) {
  if (number <= 0 || number >= kNumDTypes) c.Fail("attribute '{}' is {}, which is no element type.", attribute, number);
  return static_cast<DType>(number);
}

Dim Product(const SymbolicShape& shape, int begin, int end) {
  Dim n = 1;
  for (int i = begin; i < end; ++i) n = n * shape[i];
  return n;
}

}  // namespace slipway
