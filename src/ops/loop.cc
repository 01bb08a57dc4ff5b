#include "kernels/copy/strided_copy.h"
#include "ops/control_flow.h"
#include "ops/one_number.h"

namespace slipway {

/// Runs its body up to M times while a condition holds; carries values on, and stacks what each turn gives besides.
/// ONNX Loop, since 25.
struct Loop {
  std::shared_ptr<Graph> body;
  static Loop Parse(const Attributes& a) {
    Loop op{.body = a.GetGraph("body")};
    if (!op.body) throw Error(Code::kBadGraph, "needs the attribute body.");
    return op;
  }

  void Infer(InferContext& c) const {
    const int carried = c.num_inputs() - 2, scans = static_cast<int>(body->outputs.size()) - 1 - carried;
    if (static_cast<int>(body->inputs.size()) != carried + 2) {
      c.Fail("the body takes {} values, but should take {}: turn, condition and {} carried.", body->inputs.size(),
             carried + 2, carried);
    }
    if (scans < 0 || c.num_outputs() > carried + scans) {
      c.Fail("the body gives {} values, but the node has {} inputs and {} outputs.", body->outputs.size(),
             c.num_inputs(), c.num_outputs());
    }
    if (c.Has(0)) c.ExpectElem(0, {DType::kInt64});
    if (c.Has(1)) c.ExpectElem(1, {DType::kBool});
    for (const int i : {0, 1}) ExpectOne(c, i);
    std::vector<Type> types = {Type::TensorOf(DType::kInt64, SymbolicShape(Shape{})),
                               Type::TensorOf(DType::kBool, SymbolicShape(Shape{}))};
    for (int i = 0; i < carried; ++i) types.push_back(WithoutSizes(c.In(i + 2)));
    const std::vector<Type> out = c.infer_subgraph(*body, types);
    for (int i = 0; i < carried; ++i) c.Out(i, Settled(c, c.In(i + 2), out[i + 1]));
    const Dim turns = Dim::Unknown();
    for (int i = 0; i < scans; ++i) {
      const Type& element = out[1 + carried + i];
      if (!element.known() || !element.shape.has_rank()) {
        c.Out(carried + i, element.elem);
        continue;
      }
      std::vector<Dim> dims = element.shape.dims();
      for (Dim& d : dims) d = d.is_const() ? d : Dim::Unknown();
      dims.insert(dims.begin(), turns);
      c.Out(carried + i, element.elem, std::move(dims));
    }
  }

  void Run(RunContext& c) const {
    const int carried = c.num_inputs() - 2, scans = static_cast<int>(body->outputs.size()) - 1 - carried;
    const int64_t most = c.Has(0) ? ToInts(c.In(0))[0] : INT64_MAX;
    bool go = !c.Has(1) || ConditionOf(c, c.InValue(1));
    std::vector<Value> values;
    for (int i = 0; i < carried; ++i)
      values.push_back(c.InValue(i + 2).is_tensor() ? Value(c.In(i + 2).Clone()) : c.InValue(i + 2));
    std::vector<Sequence> stacks(scans);
    for (int64_t turn = 0; turn < most && go; ++turn) {
      std::vector<Value> inputs = {Tensor::From<int64_t>({}, {turn}), Tensor::From<bool>({}, {go})};
      inputs.insert(inputs.end(), values.begin(), values.end());
      std::vector<Value> out = RunBody(c, "body", *body, std::move(inputs));
      go = ConditionOf(c, out[0]);
      for (int i = 0; i < carried; ++i) values[i] = std::move(out[i + 1]);
      for (int i = 0; i < scans; ++i) stacks[i].push_back(std::move(out[1 + carried + i]));
    }
    for (int i = 0; i < carried && i < c.num_outputs(); ++i) {
      if (c.HasOut(i)) c.SetOut(i, std::move(values[i]));
    }
    for (int i = 0; i < scans && carried + i < c.num_outputs(); ++i) {
      if (c.HasOut(carried + i)) Stack(c, carried + i, stacks[i], body->value(body->outputs[1 + carried + i]).type);
    }
  }

 private:
  /// What a turn carries on may have other sizes than what it was given.
  static Type WithoutSizes(const Type& t) {
    if (t.kind == Type::Kind::kTensor) return Type::TensorOf(t.elem);
    if (t.kind == Type::Kind::kSequence && t.element) return Type::SequenceOf(WithoutSizes(*t.element));
    return t;
  }
  static Type Settled(const InferContext& c, const Type& before, const Type& after) {
    if (before.kind == Type::Kind::kSequence && after.kind == Type::Kind::kSequence) {
      if (!before.element || !after.element) return after;
      return Type::SequenceOf(Either(c, *before.element, *after.element));
    }
    // What may be missing before the first turn is there after it.
    if (before.kind == Type::Kind::kOptional && after.known() && after.kind != before.kind) return after;
    return Either(c, before, after);
  }

  static void Stack(RunContext& c, int output, const Sequence& elements, const Type& type) {
    if (elements.empty()) {
      Shape shape = {0};
      if (type.shape.has_rank()) {
        for (const Dim& d : type.shape.dims()) shape.push_back(d.is_const() ? d.value() : 0);
      }
      c.Allocate(output, type.elem, shape);
      return;
    }
    const Tensor& first = elements[0].tensor();
    Shape shape = first.shape();
    shape.insert(0, static_cast<int64_t>(elements.size()));
    Tensor& y = c.Allocate(output, first.dtype(), shape);
    int64_t offset = 0;
    for (const Value& v : elements) {
      const Tensor& x = v.tensor();
      if (!(x.shape() == first.shape()))
        c.Fail("one turn gives a value of shape {}, another of {}.", first.shape().ToString(), x.shape().ToString());
      kernels::CopyElements(x.dtype(), x.raw(), kernels::At(y.raw(), y.dtype(), offset), x.size(), c.threads());
      offset += x.size();
    }
  }
};
extern const OpDef kLoop =
    Define<Loop>({.name = "Loop", .since = 25, .min_inputs = 2, .max_inputs = kVariadic, .max_outputs = kVariadic});

}  // namespace slipway
