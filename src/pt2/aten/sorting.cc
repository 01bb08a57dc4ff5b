#include <cmath>
#include <limits>

#include "pt2/aten/shared.h"

namespace slipway::pt2 {
namespace {

/// Types that TopK takes.
DType Sortable(DType type) { return type == DType::kBool ? DType::kUint8 : type; }

/// The `count` first of the sorted axis, and where they were.
std::vector<ValueId> Ranked(Call& c, const TensorRef& x, int axis, const Expr& count, bool largest) {
  return c.AddMany("TopK", {c.Cast(x.id, Sortable(x.dtype)), c.SizeVector({count})}, 2,
                   {{"axis", int64_t{axis}}, {"largest", int64_t{largest}}, {"sorted", int64_t{1}}});
}

void Pair(Call& c, ValueId value, ValueId place) {
  c.Out(0, value);
  if (c.Wants(1)) c.Out(1, place);
}

/// sort and msort; `detail` "places": argsort.
void Sort(Call& c) {
  const TensorRef x = First(c);
  const bool places = c.detail() == "places";
  if (x.rank() == 0) {
    if (places) return c.Out(c.Scalar(0, DType::kInt64));
    return Pair(c, x.id, c.Scalar(0, DType::kInt64));
  }
  const int axis = c.detail() == "first" ? 0 : x.Axis(c.Int("dim", -1));
  const auto sorted = Ranked(c, x, axis, x.shape[axis], c.Bool("descending", false));
  if (places) return c.Out(sorted[1]);
  if (c.num_outputs() == 1) return c.Out(sorted[0]);
  Pair(c, sorted[0], sorted[1]);
}

void TopK(Call& c) {
  const TensorRef x = First(c);
  if (x.rank() == 0) return Pair(c, x.id, c.Scalar(0, DType::kInt64));
  const auto best = Ranked(c, x, x.Axis(c.Int("dim", -1)), c.Size("k"), c.Bool("largest", true));
  Pair(c, best[0], best[1]);
}

/// The k-th smallest; of an even count the median is the lower of the middle two.
void KthValue(Call& c) {
  TensorRef x = First(c);
  const bool median = c.detail() == "median", whole = median && !c.Has("dim");
  if (x.rank() == 0) return whole ? c.Out(x.id) : Pair(c, x.id, c.Scalar(0, DType::kInt64));
  if (whole) {
    Expr count = 1;
    for (const Expr& e : x.shape) count = count * e;
    x.id = c.Reshape(x.id, x.shape, {count});
    x.shape = {count};
  }
  const int axis = whole ? 0 : x.Axis(c.Int("dim", -1));
  const Expr k = median ? FloorDiv(x.shape[axis] + Expr(1), 2) : c.Size("k");
  const auto sorted = Ranked(c, x, axis, k, false);
  const bool keep = !whole && c.Bool("keepdim", false);
  const auto last = [&](ValueId v) { return keep ? c.Slice(v, axis, -1, kEnd) : c.Select(v, axis, -1); };
  if (whole) return c.Out(last(sorted[0]));
  Pair(c, last(sorted[0]), last(sorted[1]));
}

void Cumulate(Call& c) {
  const TensorRef x = First(c);
  const DType type = c.OutDtype();
  if (x.rank() == 0) return c.Out(c.Cast(x.id, type));
  c.Out(c.Add(c.detail(), {c.Cast(x.id, type), c.Scalar(x.Axis(c.Int("dim")), DType::kInt64)}));
}

// ---- Running extremes
// ---------------------------------------------------------------------------------------------------

/// A scan's body under construction.
struct Body {
  Graph& g;
  int count = 0;
  ValueId Input(std::string name, Type type) {
    g.inputs.push_back(g.AddValue(std::move(name), std::move(type)));
    return g.inputs.back();
  }
  ValueId Op(std::string op, std::vector<ValueId> inputs) {
    const ValueId out = g.AddValue("step_" + std::to_string(count++));
    g.AddNode({.op_type = std::move(op), .inputs = std::move(inputs), .outputs = {out}});
    return out;
  }
};

/// A scan of x along an axis: states, then rows; gives the scanned outputs alone.
std::vector<ValueId> Scan(Call& c, const std::vector<ValueId>& states, const TensorRef& x, int axis,
                          std::shared_ptr<Graph> body, int scanned) {
  std::vector<ValueId> inputs = states;
  inputs.push_back(x.id);
  const std::vector<int64_t> in_axes = {axis}, out_axes(static_cast<size_t>(scanned), axis);
  const int carried = static_cast<int>(states.size());
  auto out = c.AddMany("Scan", inputs, carried + scanned,
                       {{"body", std::move(body)},
                        {"num_scan_inputs", int64_t{1}},
                        {"scan_input_axes", in_axes},
                        {"scan_output_axes", out_axes}});
  return {out.begin() + carried, out.end()};
}

/// The shape of what a scan sees in each step.
Exprs RowShape(const TensorRef& x, int axis) {
  Exprs shape = x.shape;
  shape.erase(shape.begin() + axis);
  return shape;
}

/// Greatest or least so far, and the last place that had it.
void CumulateBest(Call& c) {
  const TensorRef given = First(c);
  if (given.rank() == 0) return Pair(c, given.id, c.Scalar(0, DType::kInt64));
  const TensorRef x = c.Cast(given, given.dtype == DType::kBool ? DType::kInt32 : given.dtype);
  const int axis = x.Axis(c.Int("dim"));
  const bool largest = c.detail() == "Max";
  const Exprs row_shape = RowShape(x, axis);
  // The first row is as good as itself.
  const ValueId first = c.Select(x.id, axis, 0);
  const ValueId place = c.Full(row_shape, 0, DType::kInt64), number = c.Scalar(0, DType::kInt64);
  auto graph = std::make_shared<Graph>();
  graph->name = "step";
  Body b{*graph};
  const Type row_type = c.graph().value(first).type, place_type = c.graph().value(place).type;
  const Type scalar = c.graph().value(number).type;
  const ValueId best = b.Input("best", row_type), at = b.Input("at", place_type), i = b.Input("i", scalar);
  const ValueId row = b.Input("row", row_type);
  ValueId takes = b.Op(largest ? "GreaterOrEqual" : "LessOrEqual", {row, best});
  if (IsFloating(x.dtype)) takes = b.Op("Or", {takes, b.Op("IsNaN", {row})});
  const ValueId new_best = b.Op("Where", {takes, row, best}), new_at = b.Op("Where", {takes, i, at});
  const ValueId one = graph->AddConstant("one", slipway::Tensor::From<int64_t>({}, {1}));
  const ValueId next = b.Op("Add", {i, one});
  graph->outputs = {new_best, new_at, next, b.Op("Identity", {new_best}), b.Op("Identity", {new_at})};
  const auto out = Scan(c, {first, place, number}, x, axis, graph, 2);
  Pair(c, out[0], out[1]);
}

/// log(exp(x0) + exp(x1) + ...), so far.
void CumulateLogSum(Call& c) {
  const TensorRef x = First(c);
  if (x.rank() == 0) return c.Out(x.id);
  const int axis = x.Axis(c.Int("dim"));
  const ValueId start = c.Full(RowShape(x, axis), Expr::Float(-std::numeric_limits<double>::infinity()), x.dtype);
  auto graph = std::make_shared<Graph>();
  graph->name = "step";
  Body b{*graph};
  const Type row_type = c.graph().value(start).type;
  const ValueId sum = b.Input("sum", row_type), row = b.Input("row", row_type);
  const ValueId low = graph->AddConstant("low", Filled(x.dtype, Shape{}, x.dtype == DType::kFloat16 ? -6e4 : -1e38));
  const ValueId top = b.Op("Max", {b.Op("Max", {sum, row}), low});
  const auto part = [&](ValueId v) { return b.Op("Exp", {b.Op("Sub", {v, top})}); };
  const ValueId next = b.Op("Add", {b.Op("Log", {b.Op("Add", {part(sum), part(row)})}), top});
  graph->outputs = {next, b.Op("Identity", {next})};
  c.Out(Scan(c, {start}, x, axis, graph, 1)[0]);
}

// ---- Places in what is sorted
// -------------------------------------------------------------------------------------------

/// How many numbers of the sorted sequence lie before each value. `detail` "buckets": bucketize, whose arguments stand
/// the other way round.
void SearchSorted(Call& c) {
  const bool buckets = c.detail() == "buckets";
  const Operand sequence = c.Operand(buckets ? "boundaries" : "sorted_sequence"), values = c.Operand("self");
  const DType type = Promote({sequence, values});
  TensorRef row = c.Cast(sequence.tensor, type);
  const TensorRef sorter = c.OptionalTensor("sorter");
  if (sorter.defined()) {
    row.id = c.Add("GatherElements", {row.id, sorter.id}, {{"axis", int64_t{-1}}});
  }
  const bool right = c.Bool("right", false) || c.String("side", "left") == "right";
  const ValueId v = c.Use(values, type);
  const ValueId wide = row.rank() > 1 ? c.Unsqueeze(row.id, {row.rank() - 1}) : row.id;
  const ValueId each = c.Unsqueeze(v, {-1});
  const ValueId before = c.Add(right ? "LessOrEqual" : "Less", {wide, each});
  const ValueId counts =
      c.Add("ReduceSum", {c.Cast(before, DType::kInt64), c.IntsConstant({-1})}, {{"keepdims", int64_t{0}}});
  c.Out(counts);
}

constexpr Conversion kConversions[] = {
    {"aten._logcumsumexp", CumulateLogSum},
    {"aten.argsort", Sort, "places"},
    {"aten.bucketize", SearchSorted, "buckets"},
    {"aten.cummax", CumulateBest, "Max"},
    {"aten.cummin", CumulateBest, "Min"},
    {"aten.cumprod", Cumulate, "CumProd"},
    {"aten.cumsum", Cumulate, "CumSum"},
    {"aten.kthvalue", KthValue},
    {"aten.logcumsumexp", CumulateLogSum},
    {"aten.median", KthValue, "median"},
    {"aten.msort", Sort, "first"},
    {"aten.searchsorted", SearchSorted},
    {"aten.sort", Sort},
    {"aten.topk", TopK},
};

}  // namespace

const ConversionTable kSortingTable = {std::begin(kConversions), std::end(kConversions)};

}  // namespace slipway::pt2
