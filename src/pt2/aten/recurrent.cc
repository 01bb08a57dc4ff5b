#include "pt2/converter.h"

namespace slipway::pt2 {
namespace {

/// What tells the three kinds of recurrent layers apart. Gates stand in torch's order; ONNX wants them in `order`.
struct Kind {
  const char* op;
  std::vector<int> order;
  int gates() const { return static_cast<int>(order.size()); }
};

Kind KindOf(Call& c) {
  if (c.detail().starts_with("LSTM")) return {"LSTM", {0, 3, 1, 2}};
  if (c.detail().starts_with("GRU")) return {"GRU", {1, 0, 2}};
  return {"RNN", {0}};
}

/// The gates of a weight or bias, which lie along its first axis, in ONNX's order and with an axis for the direction.
ValueId InOrder(Call& c, ValueId v, const Kind& kind) {
  if (kind.gates() > 1) {
    const auto parts = c.AddMany("Split", {v}, kind.gates(),
                                 {{"axis", int64_t{0}}, {"num_outputs", int64_t{kind.gates()}}});
    std::vector<ValueId> ordered;
    for (const int i : kind.order) ordered.push_back(parts[i]);
    v = c.Concat(ordered, 0);
  }
  return c.Unsqueeze(v, {0});
}

/// A program's recurrent layers: weights by layer and direction.
struct Layers {
  Kind kind;
  std::vector<TensorRef> params;
  bool biases = true, both_ways = false, projects = false;
  int64_t count = 1;
  Expr hidden;

  int directions() const { return both_ways ? 2 : 1; }
  size_t per_direction() const { return 2 + (biases ? 2 : 0) + (projects ? 1 : 0); }
  const TensorRef& Param(int64_t layer, int direction, size_t which) const {
    return params.at((static_cast<size_t>(layer) * directions() + direction) * per_direction() + which);
  }
};

Layers ReadLayers(Call& c) {
  Layers l{.kind = KindOf(c), .params = c.Tensors("params")};
  l.biases = c.Bool("has_biases", true);
  l.both_ways = c.Bool("bidirectional", false);
  l.count = c.Int("num_layers");
  if (c.Bool("train", false) && c.Float("dropout", 0) > 0) c.Fail("dropout between layers is for training: call eval().");
  const size_t plain = static_cast<size_t>(l.count) * l.directions() * (l.biases ? 4 : 2);
  l.projects = l.params.size() > plain;
  l.hidden = FloorDiv(l.params.at(0).shape.at(0), l.kind.gates());
  return l;
}

ValueId Joined(Call& c, const std::vector<ValueId>& parts, int axis) {
  return parts.size() == 1 ? parts[0] : c.Concat(parts, axis);
}

struct State {
  ValueId h = kNone, c = kNone;
};

/// One layer that ONNX has: x [steps, batch, features] -> [steps, batch, directions * hidden].
ValueId RunLayer(Call& c, const Layers& l, int64_t layer, ValueId x, const TensorRef& like, const State& start,
                 ValueId lengths, State& end) {
  std::vector<ValueId> w, r, b;
  for (int d = 0; d < l.directions(); ++d) {
    w.push_back(InOrder(c, l.Param(layer, d, 0).id, l.kind));
    r.push_back(InOrder(c, l.Param(layer, d, 1).id, l.kind));
    if (!l.biases) continue;
    const ValueId bw = InOrder(c, l.Param(layer, d, 2).id, l.kind), br = InOrder(c, l.Param(layer, d, 3).id, l.kind);
    b.push_back(c.Concat({bw, br}, 1));
  }
  Attributes a = {{"hidden_size", l.hidden.int_value()}};
  if (l.both_ways) a.Set("direction", std::string("bidirectional"));
  const std::string op = l.kind.op;
  if (op == "GRU") a.Set("linear_before_reset", int64_t{1});
  if (c.detail() == "RNN Relu") {
    a.Set("activations", std::vector<std::string>(static_cast<size_t>(l.directions()), "Relu"));
  }
  std::vector<ValueId> inputs = {x, Joined(c, w, 0), Joined(c, r, 0), b.empty() ? kNone : Joined(c, b, 0), lengths, start.h};
  if (op == "LSTM") inputs.push_back(start.c);
  const auto out = c.AddMany(op, inputs, op == "LSTM" ? 3 : 2, std::move(a));
  end.h = out[1];
  if (op == "LSTM") end.c = out[2];
  // [steps, directions, batch, hidden]
  if (!l.both_ways) return c.Squeeze(out[0], {1});
  const Exprs apart = {like.shape[0], like.shape[1], Expr(2), l.hidden};
  return c.Reshape(c.Transpose(out[0], {0, 2, 1, 3}), apart, {like.shape[0], like.shape[1], Expr(2) * l.hidden});
}

/// A layer whose hidden state is projected, which ONNX's LSTM lacks: step by step.
ValueId RunProjected(Call& c, const Layers& l, int64_t layer, ValueId x, const State& start, State& end) {
  std::vector<ValueId> ys, hs, cs;
  for (int d = 0; d < l.directions(); ++d) {
    const TensorRef &w = l.Param(layer, d, 0), &r = l.Param(layer, d, 1), &p = l.Param(layer, d, l.biases ? 4 : 2);
    // What the inputs give to the gates, all steps at once.
    ValueId gates = c.Add("MatMul", {x, c.Transposed(w)});
    if (l.biases) gates = c.Add("Add", {gates, c.Add("Add", {l.Param(layer, d, 2).id, l.Param(layer, d, 3).id})});
    const auto first = [&](ValueId v) { return l.both_ways ? c.Select(v, 0, d) : c.Squeeze(v, {0}); };
    const ValueId h0 = first(start.h), c0 = first(start.c);
    const ValueId r_turned = c.Transposed(r), p_turned = c.Transposed(p);
    const DType type = w.dtype;
    const Subgraph body = c.converter().Build("step", [&](Graph& g) {
      const auto input = [&](const char* name) {
        g.inputs.push_back(g.AddValue(name, Type::TensorOf(type, SymbolicShape::OfRank(2))));
        return g.inputs.back();
      };
      const ValueId h = input("h"), cell = input("c"), row = input("gates");
      const ValueId all = c.Add("Add", {row, c.Add("MatMul", {h, c.converter().Capture(r_turned)})});
      const auto parts = c.AddMany("Split", {all}, 4, {{"axis", int64_t{-1}}, {"num_outputs", int64_t{4}}});
      const auto sigmoid = [&](ValueId v) { return c.Add("Sigmoid", {v}); };
      const ValueId fresh = c.Add("Mul", {sigmoid(parts[0]), c.Add("Tanh", {parts[2]})});
      const ValueId next_c = c.Add("Add", {c.Add("Mul", {sigmoid(parts[1]), cell}), fresh});
      const ValueId full = c.Add("Mul", {sigmoid(parts[3]), c.Add("Tanh", {next_c})});
      const ValueId next_h = c.Add("MatMul", {full, c.converter().Capture(p_turned)});
      return std::vector<ValueId>{next_h, next_c, c.Add("Identity", {next_h})};
    });
    const std::vector<int64_t> direction = {d};
    Node scan{.op_type = "Scan",
              .inputs = {h0, c0, gates},
              .attributes = {{"body", body.graph},
                             {"num_scan_inputs", int64_t{1}},
                             {"scan_input_directions", direction},
                             {"scan_output_directions", direction}},
              .captures = body.outer};
    const auto out = c.converter().AddNode(std::move(scan), 3, "lstm");
    hs.push_back(c.Unsqueeze(out[0], {0}));
    cs.push_back(c.Unsqueeze(out[1], {0}));
    ys.push_back(out[2]);
  }
  end = {Joined(c, hs, 0), Joined(c, cs, 0)};
  return Joined(c, ys, 2);
}

/// All layers over x [steps, batch, features], and their last states.
ValueId RunLayers(Call& c, const Layers& l, TensorRef x, const State& start, ValueId lengths, State& end) {
  std::vector<ValueId> hs, cs;
  for (int64_t i = 0; i < l.count; ++i) {
    const auto part = [&](ValueId v) {
      if (v == kNone || l.count == 1) return v;
      return c.Slice(v, 0, i * l.directions(), (i + 1) * l.directions());
    };
    State now;
    if (l.projects) {
      if (lengths != kNone) c.Fail("a packed sequence and proj_size together have no ONNX form.");
      x.id = RunProjected(c, l, i, x.id, {part(start.h), part(start.c)}, now);
    } else {
      x.id = RunLayer(c, l, i, x.id, x, {part(start.h), part(start.c)}, lengths, now);
    }
    hs.push_back(now.h);
    if (now.c != kNone) cs.push_back(now.c);
  }
  end.h = Joined(c, hs, 0);
  if (!cs.empty()) end.c = Joined(c, cs, 0);
  return x.id;
}

/// hx is a list for LSTMs, a tensor for others.
std::vector<TensorRef> StatesOf(Call& c) {
  return c.detail().starts_with("LSTM") ? c.Tensors("hx") : std::vector<TensorRef>{c.Tensor("hx")};
}

State StartOf(Call& c) {
  const std::vector<TensorRef> given = StatesOf(c);
  return {given.at(0).id, given.size() > 1 ? given[1].id : kNone};
}

void Recurrent(Call& c) {
  const Layers l = ReadLayers(c);
  TensorRef x = c.Tensor("input");
  const bool batch_first = c.Bool("batch_first", false);
  if (batch_first) {
    x.id = c.Transpose(x.id, {1, 0, 2});
    std::swap(x.shape[0], x.shape[1]);
  }
  State end;
  const ValueId y = RunLayers(c, l, x, StartOf(c), kNone, end);
  c.Out(0, batch_first ? c.Transpose(y, {1, 0, 2}) : y);
  if (c.Wants(1)) c.Out(1, end.h);
  if (end.c != kNone && c.Wants(2)) c.Out(2, end.c);
}

// ---- Packed sequences ---------------------------------------------------------------------------------------------------
// Rows of all sequences step by step: batch_sizes[t] of them are still going at step t; the longest come first.

ValueId Number(Call& c, int64_t n) { return c.Scalar(n, DType::kInt64); }
ValueId Numbers(Call& c, ValueId count) { return c.Add("Range", {Number(c, 0), count, Number(c, 1)}); }

struct Packing {
  ValueId going;    ///< [steps, batch]: whether the sequence is still going
  ValueId rows;     ///< [steps, batch]: where its row lies in the packed ones, something valid where there is none
  ValueId lengths;  ///< [batch]
};

Packing ReadPacking(Call& c, ValueId batch_sizes) {
  const ValueId sizes = c.Cast(batch_sizes, DType::kInt64);
  const ValueId batch = c.Add("ReduceMax", {sizes}, {{"keepdims", int64_t{0}}});
  const ValueId column = c.Unsqueeze(sizes, {1}), places = c.Unsqueeze(Numbers(c, batch), {0});
  Packing p;
  p.going = c.Add("Less", {places, column});
  const ValueId begins = c.Add("CumSum", {sizes, Number(c, 0)}, {{"exclusive", int64_t{1}}});
  const ValueId rows = c.Add("Add", {c.Unsqueeze(begins, {1}), places});
  p.rows = c.Add("Where", {p.going, rows, Number(c, 0)});
  p.lengths = c.Add("ReduceSum", {c.Cast(p.going, DType::kInt64), c.IntsConstant({0})}, {{"keepdims", int64_t{0}}});
  return p;
}

/// [rows, features] -> [steps, batch, features].
ValueId Unpacked(Call& c, ValueId data, const Packing& p) {
  return c.Add("Gather", {data, p.rows}, {{"axis", int64_t{0}}});
}
/// And back.
ValueId Packed(Call& c, ValueId padded, ValueId going) {
  return c.Add("GatherND", {padded, c.Transpose(c.Add("NonZero", {going}), {1, 0})});
}

void PackedRecurrent(Call& c) {
  const Layers l = ReadLayers(c);
  const TensorRef data = c.Tensor("data"), sizes = c.Tensor("batch_sizes");
  const Packing p = ReadPacking(c, sizes.id);
  TensorRef x = data;
  x.id = Unpacked(c, data.id, p);
  const std::vector<TensorRef> given = StatesOf(c);
  x.shape = {sizes.shape.at(0), given.at(0).shape.at(1), data.shape.at(1)};
  State end;
  const ValueId y = RunLayers(c, l, x, StartOf(c), c.Cast(p.lengths, DType::kInt32), end);
  c.Out(0, Packed(c, y, p.going));
  if (c.Wants(1)) c.Out(1, end.h);
  if (end.c != kNone && c.Wants(2)) c.Out(2, end.c);
}

void PackSequence(Call& c) {
  TensorRef x = c.Tensor("input");
  const TensorRef lengths = c.Tensor("lengths");
  if (c.Bool("batch_first", false)) {
    std::vector<int64_t> perm = {1, 0};
    for (int i = 2; i < x.rank(); ++i) perm.push_back(i);
    x.id = c.Transpose(x.id, perm);
    std::swap(x.shape[0], x.shape[1]);
  }
  const ValueId given = c.Cast(lengths.id, DType::kInt64);
  const ValueId steps = c.Add("ReduceMax", {given}, {{"keepdims", int64_t{0}}});
  const ValueId going = c.Add("Less", {c.Unsqueeze(Numbers(c, steps), {1}), c.Unsqueeze(given, {0})});
  c.Out(0, Packed(c, x.id, going));
  if (!c.Wants(1)) return;
  c.Out(1, c.Add("ReduceSum", {c.Cast(going, DType::kInt64), c.IntsConstant({1})}, {{"keepdims", int64_t{0}}}));
}

void PadSequence(Call& c) {
  const TensorRef data = c.Tensor("data");
  const Packing p = ReadPacking(c, c.Tensor("batch_sizes").id);
  const bool batch_first = c.Bool("batch_first", false);
  std::vector<int64_t> behind;
  for (int i = 1; i < data.rank(); ++i) behind.push_back(i + 1);
  const ValueId going = behind.empty() ? p.going : c.Unsqueeze(p.going, behind);
  ValueId y = c.Add("Where", {going, Unpacked(c, data.id, p), c.Use(c.Operand("padding_value"), data.dtype)});
  if (c.Int("total_length", -1) > 0) {
    const ValueId steps = c.Add("Shape", {y}, {{"start", int64_t{0}}, {"end", int64_t{1}}});
    const ValueId more = c.Add("Sub", {c.IntsConstant({c.Int("total_length")}), steps});
    const ValueId none = c.IntsConstant(std::vector<int64_t>(static_cast<size_t>(data.rank()), 0));
    const ValueId pads = c.Concat({c.IntsConstant(std::vector<int64_t>(static_cast<size_t>(data.rank()) + 1, 0)), more, none}, 0);
    y = c.Add("Pad", {y, pads, c.Use(c.Operand("padding_value"), data.dtype)});
  }
  if (batch_first) {
    std::vector<int64_t> perm = {1, 0};
    perm.insert(perm.end(), behind.begin(), behind.end());
    y = c.Transpose(y, perm);
  }
  c.Out(0, y);
  if (c.Wants(1)) c.Out(1, p.lengths);
}

// ---- One step -----------------------------------------------------------------------------------------------------------

ValueId Linear(Call& c, ValueId x, const char* weight, const char* bias) {
  const ValueId y = c.Add("MatMul", {x, c.Transposed(c.Tensor(weight))});
  const TensorRef b = c.OptionalTensor(bias);
  return b.defined() ? c.Add("Add", {y, b.id}) : y;
}

void Cell(Call& c) {
  const TensorRef x = c.Tensor("input");
  const std::vector<TensorRef> hx = StatesOf(c);
  const ValueId h = hx[0].id, a = Linear(c, x.id, "w_ih", "b_ih"), b = Linear(c, h, "w_hh", "b_hh");
  const auto sigmoid = [&](ValueId v) { return c.Add("Sigmoid", {v}); };
  const auto parts = [&](ValueId v, int n) {
    return c.AddMany("Split", {v}, n, {{"axis", int64_t{-1}}, {"num_outputs", int64_t{n}}});
  };
  if (c.detail() == "LSTM") {
    const auto gates = parts(c.Add("Add", {a, b}), 4);
    const ValueId kept = c.Add("Mul", {sigmoid(gates[1]), hx[1].id});
    const ValueId cell = c.Add("Add", {kept, c.Add("Mul", {sigmoid(gates[0]), c.Add("Tanh", {gates[2]})})});
    c.Out(0, c.Add("Mul", {sigmoid(gates[3]), c.Add("Tanh", {cell})}));
    if (c.Wants(1)) c.Out(1, cell);
  } else if (c.detail() == "GRU") {
    const auto from_x = parts(a, 3), from_h = parts(b, 3);
    const ValueId reset = sigmoid(c.Add("Add", {from_x[0], from_h[0]}));
    const ValueId update = sigmoid(c.Add("Add", {from_x[1], from_h[1]}));
    const ValueId fresh = c.Add("Tanh", {c.Add("Add", {from_x[2], c.Add("Mul", {reset, from_h[2]})})});
    c.Out(c.Add("Add", {fresh, c.Add("Mul", {update, c.Add("Sub", {h, fresh})})}));
  } else {
    c.Out(c.Add(c.detail(), {c.Add("Add", {a, b})}));
  }
}

constexpr Conversion kConversions[] = {
    {"aten._pack_padded_sequence", PackSequence},
    {"aten._pad_packed_sequence", PadSequence},
    {"aten.gru.data", PackedRecurrent, "GRU"},
    {"aten.gru.input", Recurrent, "GRU"},
    {"aten.gru_cell", Cell, "GRU"},
    {"aten.lstm.data", PackedRecurrent, "LSTM"},
    {"aten.lstm.input", Recurrent, "LSTM"},
    {"aten.lstm_cell", Cell, "LSTM"},
    {"aten.rnn_relu.data", PackedRecurrent, "RNN Relu"},
    {"aten.rnn_relu.input", Recurrent, "RNN Relu"},
    {"aten.rnn_relu_cell", Cell, "Relu"},
    {"aten.rnn_tanh.data", PackedRecurrent, "RNN Tanh"},
    {"aten.rnn_tanh.input", Recurrent, "RNN Tanh"},
    {"aten.rnn_tanh_cell", Cell, "Tanh"},
};

}  // namespace

const ConversionTable kRecurrentTable = {std::begin(kConversions), std::end(kConversions)};

}  // namespace slipway::pt2
