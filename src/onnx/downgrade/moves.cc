#include <algorithm>
#include <limits>
#include <numeric>

#include "onnx/downgrade/rules.h"

namespace slipway::onnx {
namespace {

/// Makes input `index` an attribute by `read`; an input that is left out stays so.
template <class Read>
Lower Move(std::string name, size_t index, Read read) {
  return [name = std::move(name), index, read](Rewrite& r) {
    if (!r.Has(index)) return;
    r.attributes().Set(name, read(r, r.In(index), fmt::format("input {} ('{}')", index, name)));
    r.RemoveInput(index);
  };
}

std::vector<int64_t> Numbers(int64_t count) {
  std::vector<int64_t> numbers(static_cast<size_t>(count));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

}  // namespace

Lower InputToInts(std::string name, size_t index) {
  return Move(std::move(name), index,
              [](Rewrite& r, ValueId v, const std::string& what) { return r.Fixed(v, what); });
}

Lower InputToInt(std::string name, size_t index) {
  return Move(std::move(name), index, [](Rewrite& r, ValueId v, const std::string& what) {
    const auto values = r.Fixed(v, what);
    if (values.size() != 1) r.Fail(fmt::format("{} has {} numbers instead of one.", what, values.size()));
    return values[0];
  });
}

Lower InputToFloats(std::string name, size_t index) {
  return Move(std::move(name), index, [](Rewrite& r, ValueId v, const std::string& what) {
    const Tensor* t = r.g.Constant(v);
    if (!t || t->dtype() != DType::kFloat) r.Fail(what + " must be constant in it.");
    return std::vector<float>(t->data<float>(), t->data<float>() + t->size());
  });
}

Lower InputToFloat(std::string name, size_t index) {
  return Move(std::move(name), index, [](Rewrite& r, ValueId v, const std::string& what) {
    const auto value = r.Number(v);
    if (!value) r.Fail(what + " must be constant in it.");
    return static_cast<float>(*value);
  });
}

Lower DropInt(std::string name, int64_t meaningless, Lower otherwise) {
  return [=](Rewrite& r) {
    const int64_t value = r.attributes().Int(name, meaningless);
    if (value == meaningless) return r.attributes().Remove(name);
    if (!otherwise) r.Fail(fmt::format("attribute '{}' is {}, which it does not have yet.", name, value));
    otherwise(r);
  };
}

Lower DropString(std::string name, std::string meaningless, Lower otherwise) {
  return [=](Rewrite& r) {
    const std::string value = r.attributes().String(name, meaningless);
    if (value == meaningless) return r.attributes().Remove(name);
    if (!otherwise) r.Fail(fmt::format("attribute '{}' is '{}', which it does not have yet.", name, value));
    otherwise(r);
  };
}

Lower RenameString(std::string attribute, std::string from, std::string to) {
  return [=](Rewrite& r) {
    if (r.attributes().String(attribute, from) == from) r.attributes().Set(attribute, to);
  };
}

Lower RenameOperator(std::string to) {
  return [to = std::move(to)](Rewrite& r) { r.node().op_type = to; };
}

Lower Refuse(std::string why) {
  return [why = std::move(why)](Rewrite& r) { r.Fail(why); };
}

Lower InTurn(std::vector<Lower> rules) {
  return [rules = std::move(rules)](Rewrite& r) {
    for (const Lower& rule : rules) {
      if (!r.done()) rule(r);
    }
  };
}

void CountAxisFromFront(Rewrite& r) {
  Attributes& a = r.attributes();
  if (const Attribute* axis = a.Find("axis"); axis && std::holds_alternative<int64_t>(*axis)) {
    const int64_t value = std::get<int64_t>(*axis);
    if (value >= 0) return;
    int64_t rank = 0;
    // Indices of OneHot gain an axis.
    if (r.node().op_type == "OneHot") rank = r.Rank(r.In(0)) + 1;
    else if (r.node().op_type == "ConcatFromSequence") return;
    else rank = r.Rank(r.In(0));
    a.Set("axis", value + rank);
  } else if (const auto axes = a.Ints("axes");
             std::any_of(axes.begin(), axes.end(), [](int64_t axis) { return axis < 0; })) {
    std::vector<int64_t> front;
    const int64_t added = r.node().op_type == "Unsqueeze" ? static_cast<int64_t>(axes.size()) : 0;
    for (int64_t axis : axes) front.push_back(axis < 0 ? axis + r.Rank(r.In(0)) + added : axis);
    std::sort(front.begin(), front.end());
    a.Set("axes", front);
  }
}

void OneType(Rewrite& r) {
  const DType type = r.Elem(r.In(0));
  for (size_t i = 1; i < r.node().inputs.size(); ++i) {
    if (r.Has(i)) r.g.SetInput(r.id, i, r.Cast(r.In(i), type));
  }
}

void CastLikeToCast(Rewrite& r) {
  Attributes a = r.attributes();
  a.Set("to", static_cast<int64_t>(r.Elem(r.In(1))));
  r.Become("Cast", {r.In(0)}, a);
}

void SliceShape(Rewrite& r) {
  Attributes& a = r.attributes();
  const int64_t start = a.Int("start", 0), end = a.Int("end", std::numeric_limits<int64_t>::max());
  a.Remove("start");
  a.Remove("end");
  if (start == 0 && end == std::numeric_limits<int64_t>::max()) return;
  r.Become({r.Slice(r.Op("Shape", {r.In(0)}), 0, start, end)});
}

/// With the attribute a 0 is a size, without it the size of the same axis of the input.
void AllowZero(Rewrite& r) {
  const auto shape = r.Known(r.In(1));
  const ValueId x = r.In(0);
  const auto means_size = [&](size_t i) {
    return (*shape)[i] == 0 && (!r.HasRank(x) || static_cast<int64_t>(i) >= r.Rank(x) ||
                                r.Size(x, static_cast<int64_t>(i)) != 0);
  };
  if (shape) {
    bool empty = false;
    for (size_t i = 0; i < shape->size(); ++i) empty = empty || means_size(i);
    r.attributes().Remove("allowzero");
    // A size of 0 leaves nothing to be moved.
    if (empty) r.Become({r.Full(r.In(1), 0, r.Elem(x))});
    return;
  }
  // Sizes that are not 0, whatever their names stand for, need no care; a run finds those that are.
  const Type out_type = r.g.value(r.node().output(0)).type;
  const ValueId product = r.Op("ReduceProd", {r.In(1), r.Ints({0})}, {{"keepdims", int64_t{0}}});
  const ValueId is_empty = r.Op("Equal", {product, r.Int(0)});
  Node branch{.name = r.node().name, .op_type = "If", .inputs = {is_empty}};
  branch.captures = {x, r.In(1)};
  const auto make = [&](std::string_view op) {
    auto sub = std::make_shared<Graph>();
    sub->name = std::string(op);
    const ValueId data = sub->AddValue("x", r.g.value(x).type), sizes = sub->AddValue("sizes", r.g.value(r.In(1)).type);
    sub->captures = {data, sizes};
    const ValueId out = sub->AddValue("y", out_type);
    if (op == "ConstantOfShape") {
      const Tensor* zero = r.g.Constant(r.Num(0, r.Elem(x)));
      sub->AddNode({.op_type = std::string(op),
                    .inputs = {sizes},
                    .outputs = {out},
                    .attributes = {{"value", zero->Reshaped({1})}}});
    } else {
      sub->AddNode({.op_type = std::string(op), .inputs = {data, sizes}, .outputs = {out}});
    }
    sub->outputs = {out};
    return sub;
  };
  branch.attributes = {{"then_branch", make("ConstantOfShape")}, {"else_branch", make("Reshape")}};
  r.Become(r.AddNode(std::move(branch), {out_type}));
}

/// Split told the number of parts, the last of which may be smaller.
void DropNumOutputs(Rewrite& r) {
  const int64_t parts = r.attributes().Int("num_outputs", static_cast<int64_t>(r.node().outputs.size()));
  r.attributes().Remove("num_outputs");
  if (r.Has(1) || parts < 1) return;
  const int64_t axis = r.attributes().Int("axis", 0);
  const ValueId x = r.In(0);
  const auto size = r.Size(x, axis);
  if (size && *size % parts == 0) {
    return r.g.SetInput(r.id, 1, r.Ints(std::vector<int64_t>(static_cast<size_t>(parts), *size / parts)));
  }
  if (size) {
    const int64_t chunk = (*size + parts - 1) / parts;
    std::vector<int64_t> sizes;
    for (int64_t i = 0; i < parts; ++i) sizes.push_back(std::clamp<int64_t>(*size - i * chunk, 0, chunk));
    return r.g.SetInput(r.id, 1, r.Ints(sizes));
  }
  // Each part but the last few is as long as the first.
  const ValueId whole = r.SizeOf(x, axis);
  const ValueId chunk = r.Div(r.Add(whole, r.Ints({parts - 1})), r.Ints({parts}));
  std::vector<int64_t> before;
  for (int64_t i = 0; i < parts; ++i) before.push_back(i);
  const ValueId left = r.Sub(whole, r.Mul(chunk, r.Ints(before)));
  r.g.SetInput(r.id, 1, r.Op("Min", {r.Op("Max", {left, r.Ints({0})}), chunk}));
}

/// Split by an attribute; sizes that a run computes become slices.
void SplitBySlices(Rewrite& r) {
  if (!r.Has(1)) return;
  if (const auto sizes = r.Known(r.In(1))) {
    r.attributes().Set("split", *sizes);
    return r.RemoveInput(1);
  }
  const int64_t axis = r.Axis(r.In(0), r.attributes().Int("axis", 0));
  std::vector<ValueId> parts;
  ValueId begin = r.Ints({0});
  for (size_t i = 0; i < r.node().outputs.size(); ++i) {
    const auto n = static_cast<int64_t>(i);
    const ValueId end = r.Add(begin, r.Slice(r.In(1), 0, n, n + 1));
    parts.push_back(r.node().outputs[i] == kNone ? kNone : r.Cut(r.In(0), axis, begin, end));
    begin = end;
  }
  r.Become(parts);
}

void PadAllAxes(Rewrite& r) {
  if (!r.Has(3)) return;
  const int64_t rank = r.Rank(r.In(0));
  std::vector<int64_t> axes = r.Fixed(r.In(3), "input 3 ('axes')");
  const auto count = static_cast<int64_t>(axes.size());
  for (int64_t& axis : axes) axis = axis < 0 ? axis + rank : axis;
  if (const auto pads = r.Known(r.In(1))) {
    if (static_cast<int64_t>(pads->size()) != 2 * count) r.Fail("there are not two pads an axis.");
    std::vector<int64_t> all(static_cast<size_t>(2 * rank), 0);
    for (int64_t i = 0; i < count; ++i) {
      all[axes[i]] = (*pads)[i];
      all[rank + axes[i]] = (*pads)[count + i];
    }
    r.g.SetInput(r.id, 1, r.Ints(all));
  } else {
    std::vector<int64_t> places;
    for (int64_t axis : axes) places.push_back(axis);
    for (int64_t axis : axes) places.push_back(rank + axis);
    const ValueId given = r.Cast(r.In(1), DType::kInt64);
    const ValueId zeros = r.Ints(std::vector<int64_t>(static_cast<size_t>(2 * rank), 0));
    r.g.SetInput(r.id, 1, r.Op("ScatterElements", {zeros, r.Ints(places), given}, {{"axis", int64_t{0}}}));
  }
  r.RemoveInput(3);
}

/// Mode "wrap": positions are taken modulo the size.
void WrapByGather(Rewrite& r) {
  if (r.attributes().String("mode", "constant") != "wrap") return;
  ValueId x = r.In(0);
  const int64_t rank = r.Rank(x);
  const auto pads = r.Known(r.In(1));
  for (int64_t axis = 0; axis < rank; ++axis) {
    if (pads && (*pads)[axis] == 0 && (*pads)[rank + axis] == 0) continue;
    const ValueId begin = r.Slice(r.In(1), 0, axis, axis + 1), end = r.Slice(r.In(1), 0, rank + axis, rank + axis + 1);
    const ValueId size = r.SizeOf(x, axis);
    const ValueId positions = r.Sub(r.Count(r.Add(size, r.Add(begin, end))), begin);
    x = r.Op("Gather", {x, r.Op("Mod", {positions, size})}, {{"axis", axis}});
  }
  r.Become({x});
}

void PadAttributes(Rewrite& r) {
  InputToInts("pads", 1)(r);
  InputToFloat("value", 2)(r);
}

void SliceAttributes(Rewrite& r) {
  const auto starts = r.Fixed(r.In(1), "input 1 ('starts')"), ends = r.Fixed(r.In(2), "input 2 ('ends')");
  std::vector<int64_t> axes = Numbers(static_cast<int64_t>(starts.size()));
  if (r.Has(3)) axes = r.Fixed(r.In(3), "input 3 ('axes')");
  const auto steps = r.Has(4) ? r.Fixed(r.In(4), "input 4 ('steps')") : std::vector<int64_t>(starts.size(), 1);
  for (int64_t& axis : axes) axis = r.Axis(r.In(0), axis);
  if (std::all_of(steps.begin(), steps.end(), [](int64_t step) { return step == 1; })) {
    for (size_t i = 4; i >= 1; --i) r.RemoveInput(i);
    r.attributes() = {{"starts", starts}, {"ends", ends}, {"axes", axes}};
    return;
  }
  // Steps: the positions are gathered.
  ValueId x = r.In(0);
  for (size_t i = 0; i < starts.size(); ++i) {
    const auto size = r.Size(x, axes[i]);
    if (!size) r.Fail("steps need sizes that are known.");
    const int64_t n = *size, step = steps[i];
    const auto clamp = [&](int64_t at, int64_t low, int64_t high) {
      return std::clamp(at < 0 ? std::max(at, -n - 1) + n : at, low, high);
    };
    std::vector<int64_t> at;
    if (step > 0) {
      for (int64_t k = clamp(starts[i], 0, n), end = clamp(ends[i], 0, n); k < end; k += step) at.push_back(k);
    } else {
      for (int64_t k = clamp(starts[i], -1, n - 1), end = clamp(ends[i], -1, n - 1); k > end; k += step) at.push_back(k);
    }
    x = r.Op("Gather", {x, r.Ints(at)}, {{"axis", axes[i]}});
  }
  r.Become({x});
}

void ConstantToInitializer(Rewrite& r) {
  const Attributes& a = r.attributes();
  if (const Tensor* value = a.GetTensor("value")) return r.Become({r.Constant(*value)});
  if (a.Has("value_float")) return r.Become({r.Constant(Tensor::From<float>({}, {a.Float("value_float", 0)}))});
  if (a.Has("value_int")) return r.Become({r.Int(a.Int("value_int", 0))});
  if (a.Has("value_ints")) return r.Become({r.Ints(a.Ints("value_ints"))});
  if (a.Has("value_floats")) {
    const auto values = a.Floats("value_floats");
    return r.Become({r.Constant(Tensor::From<float>({static_cast<int64_t>(values.size())}, values))});
  }
  r.Fail("its attribute came later.");
}

/// A reduction whose axes were an attribute, and which reduced everything where it had none.
void ReduceNothing(Rewrite& r) {
  const bool keeps = r.attributes().Int("noop_with_empty_axes", 0) != 0;
  r.attributes().Remove("noop_with_empty_axes");
  const auto axes = r.Has(1) ? std::optional(r.Fixed(r.In(1), "input 1 ('axes')")) : std::nullopt;
  if (axes && !axes->empty()) {
    r.attributes().Set("axes", *axes);
    return r.RemoveInput(1);
  }
  r.RemoveInput(1);
  if (!keeps) return;
  // Nothing is summed, but what is done to each element stays.
  const ValueId x = r.In(0);
  const std::string& op = r.node().op_type;
  if (op == "ReduceL1" || op == "ReduceL2") return r.Become({r.Op("Abs", {x})});
  if (op == "ReduceSumSquare") return r.Become({r.Mul(x, x)});
  if (op == "ReduceLogSum") return r.Become({r.Op("Log", {x})});
  r.Become({x});
}

/// The greatest and least of bools: whether any is true, whether none is false.
void ReduceBools(Rewrite& r) {
  if (r.Elem(r.In(0)) != DType::kBool) return;
  const bool any = r.node().op_type == "ReduceMax";
  const ValueId x = any ? r.In(0) : r.Not(r.In(0));
  const ValueId count = r.Op("ReduceSum", {r.Cast(x, DType::kInt32), r.Has(1) ? r.In(1) : kNone}, r.attributes());
  const ValueId found = r.Op("Greater", {count, r.Num(0, DType::kInt32)});
  r.Become({any ? found : r.Not(found)});
}

void PlainDropout(Rewrite& r) {
  const ValueId x = r.In(0);
  const bool trains = r.Has(2) && r.Number(r.In(2)) != 0;
  if (!trains) {
    ValueId mask = kNone;
    if (r.Gives(1)) mask = r.Full(r.ShapeOf(x), 1, DType::kBool);
    return r.Become({x, mask});
  }
  if (!r.Number(r.In(2))) r.Fail("input 2 ('training_mode') must be constant in it.");
  Attributes random;
  if (r.attributes().Has("seed")) random.Set("seed", static_cast<float>(r.attributes().Int("seed", 0)));
  random.Set("dtype", static_cast<int64_t>(DType::kFloat));
  const ValueId ratio = r.Has(1) ? r.Cast(r.In(1), DType::kFloat) : r.Num(0.5, DType::kFloat);
  const ValueId kept = r.Not(r.Op("Less", {r.Op("RandomUniformLike", {x}, random), ratio}));
  const ValueId scale = r.Cast(r.Div(r.Num(1, DType::kFloat), r.Sub(r.Num(1, DType::kFloat), ratio)), r.Elem(x));
  r.Become({r.Mul(r.Mul(x, r.Cast(kept, r.Elem(x))), scale), kept});
}

void ConstantOfShapeTypes(Rewrite& r) {
  const Tensor* value = r.attributes().GetTensor("value");
  if (!value || value->dtype() != DType::kBFloat16) return;
  const double number = static_cast<float>(*value->data<BFloat16>());
  r.Become({r.Cast(r.Full(r.In(0), number, DType::kFloat), DType::kBFloat16)});
}

void ConstantOfShapeByExpand(Rewrite& r) {
  const Tensor* value = r.attributes().GetTensor("value");
  const ValueId scalar = value ? r.Constant(value->Reshaped({})) : r.Num(0, DType::kFloat);
  if (const auto shape = r.Known(r.In(0))) {
    Shape sizes(*shape);
    if (sizes.size() <= 65536 && scalar != kNone) {
      const Tensor* one = r.g.Constant(scalar);
      Tensor full(one->dtype(), sizes);
      const auto* from = static_cast<const std::byte*>(one->raw());
      for (int64_t i = 0; i < full.size(); ++i)
        std::copy_n(from, SizeOf(one->dtype()), static_cast<std::byte*>(full.raw()) + i * SizeOf(one->dtype()));
      return r.Become({r.Constant(full)});
    }
  }
  r.Become("Expand", {scalar, r.In(0)});
}

void ExpandByTile(Rewrite& r) {
  ValueId x = r.In(0), shape = r.In(1);
  const int64_t rank = r.Rank(r.node().output(0)), missing = rank - r.Rank(x);
  if (missing > 0) {
    std::vector<int64_t> axes = Numbers(missing);
    x = r.Unsqueeze(x, axes);
  }
  if (const auto length = r.Size(shape, 0); length && *length < rank)
    shape = r.Concat({r.Ints(std::vector<int64_t>(static_cast<size_t>(rank - *length), 1)), shape}, 0);
  // Axes of size 1 are repeated as often as the shape says, others once.
  const ValueId single = r.Cast(r.Op("Equal", {r.ShapeOf(x), r.Ints({1})}), DType::kInt64);
  r.Become("Tile", {x, r.Add(r.Mul(single, shape), r.Sub(r.Ints({1}), single))});
}

void FlattenByReshape(Rewrite& r) {
  const ValueId x = r.In(0);
  if (Takes("Flatten", r.target, r.Elem(x))) return;
  const int64_t axis = r.Axis(x, r.attributes().Int("axis", 1));
  if (axis == 0) return r.Become({r.Reshape(x, {1, -1})});
  const ValueId rows = r.Reduce("ReduceProd", r.Cast(r.Slice(r.ShapeOf(x), 0, 0, axis), DType::kInt32), {0});
  r.Become({r.ReshapeBy(x, r.Concat({r.Cast(rows, DType::kInt64), r.Ints({-1})}, 0))});
}

/// Max, Min, Sum and Mean wanted inputs of one shape.
void BroadcastInputs(Rewrite& r) {
  const auto& inputs = r.node().inputs;
  const auto shape = [&](ValueId v) -> const SymbolicShape& { return r.g.value(v).type.shape; };
  if (std::all_of(inputs.begin(), inputs.end(), [&](ValueId v) {
        return shape(v).has_rank() && shape(v) == shape(inputs[0]);
      })) {
    return;
  }
  ValueId all = r.In(0);
  for (size_t i = 1; i < inputs.size(); ++i) all = r.Add(all, inputs[i]);
  const ValueId sizes = r.ShapeOf(all);
  std::vector<ValueId> wide;
  for (ValueId v : inputs) wide.push_back(shape(v) == shape(all) && shape(v).has_rank() ? v : r.Op("Expand", {v, sizes}));
  for (size_t i = 0; i < wide.size(); ++i) r.g.SetInput(r.id, i, wide[i]);
}

/// Values that are no tensors.
void TensorsAlone(Rewrite& r) {
  const auto check = [&](ValueId v) {
    if (v == kNone) return;
    const Type::Kind kind = r.g.value(v).type.kind;
    const bool loops = r.node().op_type != "Identity";
    const int64_t since = kind == Type::Kind::kOptional ? 16 : kind == Type::Kind::kSequence ? (loops ? 13 : 14) : 0;
    if (r.target < since) r.Fail(fmt::format("it carries {} since opset {}.", r.g.value(v).type.ToString(), since));
  };
  for (ValueId v : r.node().inputs) check(v);
  for (ValueId v : r.node().outputs) check(v);
}

void OptionalElement(Rewrite& r) {
  if (r.g.value(r.In(0)).type.kind != Type::Kind::kOptional) r.Become({r.In(0)});
}

void OptionalHas(Rewrite& r) {
  if (r.Has(0) && r.g.value(r.In(0)).type.kind == Type::Kind::kOptional) return;
  r.Become({r.Num(r.Has(0) ? 1 : 0, DType::kBool)});
}

/// Mode "CRD" of DepthToSpace.
void DepthByTranspose(Rewrite& r) {
  const ValueId x = r.In(0), sizes = r.ShapeOf(x);
  const int64_t block = r.attributes().RequiredInt("blocksize");
  const auto part = [&](int64_t axis) { return r.Slice(sizes, 0, axis, axis + 1); };
  const ValueId b = r.Ints({block});
  const ValueId channels = r.Div(part(1), r.Ints({block * block}));
  const ValueId cut = r.ReshapeBy(x, r.Concat({part(0), channels, b, b, part(2), part(3)}, 0));
  const ValueId moved = r.Transpose(cut, {0, 1, 4, 2, 5, 3});
  r.Become({r.ReshapeBy(moved, r.Concat({part(0), channels, r.Mul(part(2), b), r.Mul(part(3), b)}, 0))});
}

/// Mode "CRD" of SpaceToDepth.
void SpaceByTranspose(Rewrite& r) {
  const ValueId x = r.In(0), sizes = r.ShapeOf(x);
  const int64_t block = r.attributes().RequiredInt("blocksize");
  const auto part = [&](int64_t axis) { return r.Slice(sizes, 0, axis, axis + 1); };
  const ValueId b = r.Ints({block});
  const ValueId rows = r.Div(part(2), b), columns = r.Div(part(3), b);
  const ValueId cut = r.ReshapeBy(x, r.Concat({part(0), part(1), rows, b, columns, b}, 0));
  const ValueId moved = r.Transpose(cut, {0, 1, 3, 5, 2, 4});
  r.Become({r.ReshapeBy(moved, r.Concat({part(0), r.Mul(part(1), r.Ints({block * block})), rows, columns}, 0))});
}

/// Each axis is cut or padded in the middle.
void CenterCrop(Rewrite& r) {
  ValueId x = r.In(0);
  const int64_t rank = r.Rank(x);
  std::vector<int64_t> axes = r.attributes().Ints("axes", Numbers(rank));
  for (int64_t& axis : axes) axis = r.Axis(x, axis);
  const ValueId want = r.Cast(r.In(1), DType::kInt64);
  const ValueId zero = r.Ints({0}), two = r.Ints({2});
  std::vector<ValueId> before(static_cast<size_t>(rank), zero), after = before;
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto n = static_cast<int64_t>(i);
    const ValueId size = r.SizeOf(x, axes[i]), target = r.Slice(want, 0, n, n + 1);
    const ValueId more = r.Op("Max", {r.Sub(target, size), zero}), less = r.Op("Max", {r.Sub(size, target), zero});
    const ValueId begin = r.Div(less, two);
    before[axes[i]] = r.Div(more, two);
    after[axes[i]] = r.Sub(more, before[axes[i]]);
    x = r.Cut(x, axes[i], begin, r.Add(begin, r.Op("Min", {size, target})));
  }
  before.insert(before.end(), after.begin(), after.end());
  r.Become("Pad", {x, r.Concat(before, 0)});
}

/// Recurrent layers that had the batch in the second place only.
void BothLayouts(Rewrite& r) {
  Node copy = r.node();
  copy.attributes.Remove("layout");
  const auto swap = [&](ValueId v) { return r.Transpose(v, {1, 0, 2}); };
  std::vector<ValueId> inputs = copy.inputs;
  inputs[0] = swap(r.In(0));
  for (size_t i : {5, 6}) {
    if (r.Has(i)) inputs[i] = swap(r.In(i));
  }
  const std::vector<ValueId> out = r.Ops(copy.op_type, inputs, copy.outputs.size(), copy.attributes);
  std::vector<ValueId> results(out.size(), kNone);
  for (size_t i = 0; i < out.size(); ++i) {
    if (copy.outputs[i] == kNone) continue;
    // Y: [sequence, directions, batch, hidden] as [batch, sequence, directions, hidden].
    results[i] = i == 0 ? r.Transpose(out[i], {2, 0, 1, 3}) : swap(out[i]);
  }
  r.Become(results);
}

/// Trilu: where the column and the row are far enough apart.
void TriluByMask(Rewrite& r) {
  const ValueId x = r.In(0);
  const ValueId rows = r.Unsqueeze(r.Count(r.SizeOf(x, -2)), {1}), columns = r.Unsqueeze(r.Count(r.SizeOf(x, -1)), {0});
  const bool upper = r.attributes().Int("upper", 1) != 0;
  ValueId edge = r.Sub(columns, rows);
  const ValueId k = r.Has(1) ? r.In(1) : r.Int(0);
  const ValueId inside = r.Not(upper ? r.Op("Less", {edge, k}) : r.Op("Greater", {edge, k}));
  const DType type = r.Elem(x);
  const ValueId zero = r.Num(0, type);
  r.Become({r.Select(inside, x, zero)});
}

void RangeByNonZero(Rewrite& r) {
  const DType type = r.Elem(r.In(0));
  const DType wide = IsFloat(type) ? DType::kDouble : DType::kInt64;
  const ValueId start = r.Cast(r.In(0), wide), limit = r.Cast(r.In(1), wide), step = r.Cast(r.In(2), wide);
  ValueId count = r.Op("Ceil", {r.Div(r.Cast(r.Sub(limit, start), DType::kDouble), r.Cast(step, DType::kDouble))});
  count = r.Cast(r.Op("Relu", {r.Cast(count, DType::kFloat)}), DType::kInt64);
  const ValueId ones = r.Full(r.Reshape(count, {1}), 1, DType::kFloat);
  const ValueId numbers = r.Squeeze(r.Op("NonZero", {ones}), {0});
  r.Become({r.Cast(r.Add(start, r.Mul(r.Cast(numbers, wide), step)), type)});
}

}  // namespace slipway::onnx
