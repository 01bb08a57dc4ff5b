#include "kernels/copy/strided_copy.h"
#include "ops/control_flow.h"

namespace slipway {

/// Runs its body once for each slice of the scan inputs; carries states on, and stacks what each turn gives besides.
/// ONNX Scan, since 25.
struct Scan {
  std::shared_ptr<Graph> body;
  int64_t inputs = 0;
  std::vector<int64_t> input_axes, input_directions, output_axes, output_directions;
  static Scan Parse(const Attributes& a) {
    Scan op{.body = a.GetGraph("body"),
            .inputs = a.RequiredInt("num_scan_inputs"),
            .input_axes = a.Ints("scan_input_axes"),
            .input_directions = a.Ints("scan_input_directions"),
            .output_axes = a.Ints("scan_output_axes"),
            .output_directions = a.Ints("scan_output_directions")};
    if (!op.body) throw Error(Code::kBadGraph, "needs the attribute body.");
    return op;
  }

  void Infer(InferContext& c) const {
    CheckCounts(c);
    const int states = States(c.num_inputs());
    std::vector<Type> types;
    for (int i = 0; i < states; ++i) types.push_back(c.In(i));
    Dim turns = Dim::Unknown();
    for (int i = states; i < c.num_inputs(); ++i) {
      if (!c.HasRank(i)) {
        types.push_back(Type::TensorOf(c.Elem(i)));
        continue;
      }
      std::vector<Dim> dims = c.Shape(i).dims();
      const auto at =
          c.Axis(Pick(input_axes, i - states), static_cast<int64_t>(dims.size()), "an axis in scan_input_axes");
      if (dims[at].Differs(turns)) c.Fail("scan inputs have {} and {} slices.", turns.ToString(), dims[at].ToString());
      if (!turns.is_const()) turns = dims[at];
      dims.erase(dims.begin() + at);
      types.push_back(Type::TensorOf(c.Elem(i), std::move(dims)));
    }
    const std::vector<Type> out = c.infer_subgraph(*body, types);
    for (int i = 0; i < states; ++i) c.Out(i, Either(c, types[i], out[i]));
    for (int i = states; i < c.num_outputs(); ++i) {
      if (!out[i].known() || !out[i].shape.has_rank()) {
        c.Out(i, out[i].elem);
        continue;
      }
      std::vector<Dim> dims = out[i].shape.dims();
      const auto at =
          c.Axis(Pick(output_axes, i - states), static_cast<int64_t>(dims.size()) + 1, "an axis in scan_output_axes");
      dims.insert(dims.begin() + at, turns);
      c.Out(i, out[i].elem, std::move(dims));
    }
  }

  void Run(RunContext& c) const {
    const int states = States(c.num_inputs()), scans = static_cast<int>(body->outputs.size()) - states;
    std::vector<Value> values;
    for (int i = 0; i < states; ++i) values.push_back(c.In(i).Clone());
    const Tensor& x0 = c.In(states);
    const int64_t turns = x0.shape()[ModAxis(Pick(input_axes, 0), x0.shape().rank())];
    std::vector<Tensor> stacks(scans);
    for (int64_t turn = 0; turn < turns; ++turn) {
      std::vector<Value> in = values;
      for (int i = 0; i < inputs; ++i) in.push_back(Slice(c, i, states, turn, turns));
      std::vector<Value> out = RunBody(c, "body", *body, std::move(in));
      for (int i = 0; i < states; ++i) values[i] = std::move(out[i]);
      for (int i = 0; i < scans; ++i) Put(c, i, states, out[states + i].tensor(), turn, turns, stacks[i]);
    }
    for (int i = 0; i < states; ++i) {
      if (c.HasOut(i)) c.SetOut(i, std::move(values[i]));
    }
    for (int i = 0; i < scans; ++i) {
      if (!c.HasOut(states + i)) continue;
      if (turns > 0) {
        c.SetOut(states + i, std::move(stacks[i]));
      } else {
        Empty(c, i, states);
      }
    }
  }

 private:
  int States(int all) const { return all - static_cast<int>(inputs); }
  static int64_t Pick(const std::vector<int64_t>& list, int i) { return list.empty() ? 0 : list[i]; }

  void CheckCounts(const InferContext& c) const {
    if (inputs < 1 || inputs > c.num_inputs())
      c.Fail("num_scan_inputs is {}, but the node has {} inputs.", inputs, c.num_inputs());
    if (static_cast<int>(body->inputs.size()) != c.num_inputs() ||
        static_cast<int>(body->outputs.size()) != c.num_outputs()) {
      c.Fail("the body takes {} and gives {} values, but the node {} and {}.", body->inputs.size(),
             body->outputs.size(), c.num_inputs(), c.num_outputs());
    }
    for (const auto* list : {&input_directions, &output_directions}) {
      for (int64_t direction : *list) {
        if (direction != 0 && direction != 1) c.Fail("a direction is {}, but must be 0 or 1.", direction);
      }
    }
    const int states = States(c.num_inputs());
    if (states > c.num_outputs()) c.Fail("{} states want as many outputs.", states);
    const auto outputs = static_cast<size_t>(c.num_outputs() - states);
    for (const auto* list : {&input_axes, &input_directions}) {
      if (!list->empty() && list->size() != static_cast<size_t>(inputs))
        c.Fail("{} axes or directions for {} scan inputs.", list->size(), inputs);
    }
    for (const auto* list : {&output_axes, &output_directions}) {
      if (!list->empty() && list->size() != outputs)
        c.Fail("{} axes or directions for {} scan outputs.", list->size(), outputs);
    }
  }

  Value Slice(RunContext& c, int i, int states, int64_t turn, int64_t turns) const {
    const Tensor& x = c.In(states + i);
    const int at = ModAxis(Pick(input_axes, i), x.shape().rank());
    if (x.shape()[at] != turns) c.Fail("scan inputs have {} and {} slices.", turns, x.shape()[at]);
    const int64_t place = Pick(input_directions, i) ? turns - 1 - turn : turn;
    const int64_t outer = x.shape().SizeTo(at), inner = x.shape().SizeFrom(at + 1);
    Shape shape = x.shape();
    shape.erase(at);
    Tensor slice(x.dtype(), shape);
    const int64_t part[] = {outer, inner}, from[] = {turns * inner, 1}, to[] = {inner, 1};
    kernels::StridedCopy(x.dtype(), part, kernels::At(x.raw(), x.dtype(), place * inner), from, slice.raw(), to,
                         c.threads());
    return slice;
  }

  void Put(RunContext& c, int i, int states, const Tensor& x, int64_t turn, int64_t turns, Tensor& stack) const {
    if (!c.HasOut(states + i)) return;
    const int at = ModAxis(Pick(output_axes, i), x.shape().rank() + 1);
    Shape shape = x.shape();
    shape.insert(at, turns);
    if (turn == 0) stack = Tensor(x.dtype(), shape);
    if (!(stack.shape() == shape))
      c.Fail("scan output {} changes its shape: {} after {}.", i, shape.ToString(), stack.shape().ToString());
    const int64_t place = Pick(output_directions, i) ? turns - 1 - turn : turn;
    const int64_t outer = shape.SizeTo(at), inner = shape.SizeFrom(at + 1);
    const int64_t part[] = {outer, inner}, from[] = {inner, 1}, to[] = {turns * inner, 1};
    kernels::StridedCopy(x.dtype(), part, x.raw(), from, kernels::At(stack.raw(), x.dtype(), place * inner), to,
                         c.threads());
  }

  void Empty(RunContext& c, int i, int states) const {
    const Type& type = body->value(body->outputs[states + i]).type;
    Shape shape;
    if (type.shape.has_rank()) {
      for (const Dim& d : type.shape.dims()) shape.push_back(d.is_const() ? d.value() : 0);
    }
    shape.insert(ModAxis(Pick(output_axes, i), shape.rank() + 1), 0);
    c.Allocate(states + i, type.elem, shape);
  }
};
extern const OpDef kScan =
    Define<Scan>({.name = "Scan", .since = 25, .max_inputs = kVariadic, .max_outputs = kVariadic});

}  // namespace slipway
