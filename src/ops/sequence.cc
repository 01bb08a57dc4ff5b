#include "ops/shape_math.h"

namespace slipway {
namespace {

/// What a sequence holds, as far as it is known.
Type ElementOf(const InferContext& c, int i) {
  const Type& t = c.In(i);
  if (!t.known()) return {};
  if (t.kind != Type::Kind::kSequence) c.Fail("{} is {}, but must be a sequence.", c.InputName(i), t.ToString());
  return t.element ? *t.element : Type();
}

/// A type that both fit: sizes in which they differ are not known.
Type Joined(const InferContext& c, const Type& a, const Type& b) {
  if (!a.known()) return b;
  if (!b.known()) return a;
  if (a.kind != b.kind || a.elem != b.elem) c.Fail("a sequence of {} cannot hold {}.", a.ToString(), b.ToString());
  if (a.kind != Type::Kind::kTensor) return a;
  if (!a.shape.has_rank() || !b.shape.has_rank() || a.shape.rank() != b.shape.rank()) return Type::TensorOf(a.elem);
  SymbolicShape shape = a.shape;
  for (int i = 0; i < shape.rank(); ++i) {
    if (!(shape[i] == b.shape[i])) shape[i] = Dim::Unknown();
  }
  return Type::TensorOf(a.elem, std::move(shape));
}

/// A value that shares nothing with the operator's inputs, whose memory is reused once nobody reads them.
Value Owned(const Value& v) { return v.is_tensor() ? Value(v.tensor().Clone()) : v; }

/// The position that input i gives, in [0, size], or in [0, size) without `end`.
int64_t PositionOf(const RunContext& c, int i, int64_t size, bool end) {
  if (c.In(i).size() != 1) c.Fail("the position must have one element, but has shape {}.", c.In(i).shape().ToString());
  const int64_t position = ToInts(c.In(i))[0];
  if (position < -size || position >= size + (end ? 1 : 0))
    c.Fail("position {} is out of range for a sequence of {}.", position, size);
  return position < 0 ? position + size : position;
}

}  // namespace

/// A sequence of the inputs. ONNX SequenceConstruct, since 11.
struct SequenceConstruct {
  void Infer(InferContext& c) const {
    Type element = c.In(0);
    for (int i = 1; i < c.num_inputs(); ++i) element = Joined(c, element, c.In(i));
    c.Out(0, Type::SequenceOf(element));
  }
  void Run(RunContext& c) const {
    Sequence sequence;
    for (int i = 0; i < c.num_inputs(); ++i) sequence.push_back(Owned(c.InValue(i)));
    c.SetOut(0, Value(std::move(sequence)));
  }
};
extern const OpDef kSequenceConstruct =
    Define<SequenceConstruct>({.name = "SequenceConstruct", .since = 11, .max_inputs = kVariadic});

/// A sequence of nothing. ONNX SequenceEmpty, since 11.
struct SequenceEmpty {
  int64_t dtype = 1;
  static SequenceEmpty Parse(const Attributes& a) { return {.dtype = a.Int("dtype", 1)}; }
  void Infer(InferContext& c) const { c.Out(0, Type::SequenceOf(Type::TensorOf(ToDType(c, dtype, "dtype")))); }
  void Run(RunContext& c) const { c.SetOut(0, Value(Sequence())); }
};
extern const OpDef kSequenceEmpty =
    Define<SequenceEmpty>({.name = "SequenceEmpty", .since = 11, .min_inputs = 0, .max_inputs = 0});

/// The value at a position, counted from the end where negative. ONNX SequenceAt, since 11.
struct SequenceAt {
  void Infer(InferContext& c) const {
    c.ExpectElem(1, kIndexTypes);
    c.Out(0, ElementOf(c, 0));
  }
  void Run(RunContext& c) const {
    const Sequence& sequence = c.InValue(0).sequence();
    c.SetOut(0, Owned(sequence[PositionOf(c, 1, static_cast<int64_t>(sequence.size()), false)]));
  }
};
extern const OpDef kSequenceAt =
    Define<SequenceAt>({.name = "SequenceAt", .since = 11, .min_inputs = 2, .max_inputs = 2});

/// ONNX SequenceLength, since 11.
struct SequenceLength {
  void Infer(InferContext& c) const {
    ElementOf(c, 0);
    c.Out(0, DType::kInt64, SymbolicShape(Shape{}));
  }
  void Run(RunContext& c) const { *c.Out(0).data<int64_t>() = static_cast<int64_t>(c.InValue(0).sequence().size()); }
};
extern const OpDef kSequenceLength = Define<SequenceLength>({.name = "SequenceLength", .since = 11});

/// A sequence with one more value, before a position or at the end. ONNX SequenceInsert, since 11.
struct SequenceInsert {
  void Infer(InferContext& c) const {
    if (c.Has(2)) c.ExpectElem(2, kIndexTypes);
    c.Out(0, Type::SequenceOf(Joined(c, ElementOf(c, 0), c.In(1))));
  }
  void Run(RunContext& c) const {
    Sequence sequence = c.InValue(0).sequence();
    const auto size = static_cast<int64_t>(sequence.size());
    const int64_t at = c.Has(2) ? PositionOf(c, 2, size, true) : size;
    sequence.insert(sequence.begin() + at, Owned(c.InValue(1)));
    c.SetOut(0, Value(std::move(sequence)));
  }
};
extern const OpDef kSequenceInsert =
    Define<SequenceInsert>({.name = "SequenceInsert", .since = 11, .min_inputs = 2, .max_inputs = 3});

/// A sequence without the value at a position, or without the last. ONNX SequenceErase, since 11.
struct SequenceErase {
  void Infer(InferContext& c) const {
    if (c.Has(1)) c.ExpectElem(1, kIndexTypes);
    c.Out(0, Type::SequenceOf(ElementOf(c, 0)));
  }
  void Run(RunContext& c) const {
    Sequence sequence = c.InValue(0).sequence();
    const auto size = static_cast<int64_t>(sequence.size());
    if (size == 0) c.Fail("the sequence is empty.");
    sequence.erase(sequence.begin() + (c.Has(1) ? PositionOf(c, 1, size, false) : size - 1));
    c.SetOut(0, Value(std::move(sequence)));
  }
};
extern const OpDef kSequenceErase = Define<SequenceErase>({.name = "SequenceErase", .since = 11, .max_inputs = 2});

/// An optional that holds the input, or nothing of the given type. ONNX Optional, since 28.
struct Optional {
  std::optional<Type> type;
  static Optional Parse(const Attributes& a) {
    const Attribute* found = a.Find("type");
    if (!found) return {};
    const Type* type = std::get_if<Type>(found);
    if (!type) throw Error(Code::kBadGraph, "attribute 'type' should be a type, but is of another kind");
    return {.type = *type};
  }
  void Infer(InferContext& c) const {
    if (!c.Has(0) && !type) c.Fail("has neither an input nor a type.");
    c.Out(0, Type::OptionalOf(c.Has(0) ? c.In(0) : *type));
  }
  void Run(RunContext& c) const { c.SetOut(0, c.Has(0) ? Owned(c.InValue(0)) : Value()); }
};
extern const OpDef kOptional = Define<Optional>({.name = "Optional", .since = 28, .min_inputs = 0});

/// Whether there is a value. What is no optional is there. ONNX OptionalHasElement, since 28.
struct OptionalHasElement {
  void Infer(InferContext& c) const { c.Out(0, DType::kBool, SymbolicShape(Shape{})); }
  void Run(RunContext& c) const { *c.Out(0).data<bool>() = c.Has(0) && !c.InValue(0).empty(); }
};
extern const OpDef kOptionalHasElement =
    Define<OptionalHasElement>({.name = "OptionalHasElement", .since = 28, .min_inputs = 0});

/// What an optional holds; anything else as it is. ONNX OptionalGetElement, since 28.
struct OptionalGetElement {
  void Infer(InferContext& c) const {
    const Type& t = c.In(0);
    c.Out(0, t.kind != Type::Kind::kOptional ? t : t.element ? *t.element : Type());
  }
  void Run(RunContext& c) const {
    if (c.InValue(0).empty()) c.Fail("the optional holds nothing; ask OptionalHasElement first.");
    c.SetOut(0, Owned(c.InValue(0)));
  }
};
extern const OpDef kOptionalGetElement = Define<OptionalGetElement>({.name = "OptionalGetElement", .since = 28});

}  // namespace slipway
