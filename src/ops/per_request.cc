#include <algorithm>
#include <cstring>
#include <numeric>

#include "ops/evaluate.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

/// A value in the list of all requests' values, instead of in rows of a class.
constexpr int64_t kListed = -1;

/// Where a request's rows of one class lie.
struct Span {
  Shape lead;  // the sizes of its leading axes
  int64_t first = 0, rows = 0;
};

/// Puts a request's value where its rows belong. The value may have fewer axes than the rows, and 1 for a leading size:
/// it is repeated then. False where it does not fit.
bool PutRows(const Tensor& value, const Span& span, Tensor& rows) {
  const int rank = rows.shape().rank(), lead = span.lead.rank(), missing = rank - value.shape().rank();
  if (missing < 0 || value.dtype() != rows.dtype()) return false;
  const auto size = [&](int axis) { return axis < missing ? 1 : value.shape()[axis - missing]; };
  for (int axis = lead; axis < rank; ++axis) {
    if (size(axis) != rows.shape()[axis]) return false;
  }
  bool repeated = false;
  for (int axis = 0; axis < lead; ++axis) {
    if (size(axis) != 1 && size(axis) != span.lead[axis]) return false;
    repeated |= size(axis) != span.lead[axis];
  }
  const size_t row = static_cast<size_t>(rows.shape().SizeFrom(lead)) * SizeOf(rows.dtype());
  if (row == 0 || span.rows == 0) return true;
  auto* to = static_cast<std::byte*>(rows.raw()) + span.first * row;
  const auto* from = static_cast<const std::byte*>(value.raw());
  if (!repeated) {
    std::memcpy(to, from, span.rows * row);
    return true;
  }
  for (int64_t r = 0; r < span.rows; ++r) {
    int64_t at = 0, rest = r, step = 1;
    for (int axis = lead; axis-- > 0; rest /= span.lead[axis]) {
      if (size(axis) == 1) continue;
      at += rest % span.lead[axis] * step;
      step *= size(axis);
    }
    std::memcpy(to + r * row, from + at * row, row);
  }
  return true;
}

}  // namespace

/// Runs a subgraph on each of several requests, whose values lie one after the other in rows or in lists. ai.slipway.
///
/// Inputs: layout, int64 [requests, ...], the sizes of the leading axes that each class of rows has in each request;
/// totals, an empty tensor [rows of class 0, rows of class 1, ..., 0], by which plans are made; then what the subgraph
/// reads: rows, [1, ..., rows, rest...] with as many leading axes as the class has, or sequences, an element a request.
/// The subgraph sees a request's value as if there were no other. Its values go out in the same two ways.
struct PerRequest {
  std::shared_ptr<Graph> body;
  std::vector<int64_t> classes;  ///< how many leading axes each has
  std::vector<int64_t> in;       ///< by input of the subgraph: a class, or kListed
  std::vector<int64_t> out;      ///< by output: the same
  std::vector<int64_t> source;   ///< by output: which output of the subgraph it is
  std::vector<int64_t> ranks;    ///< by output: the axes of its rows
  /// The operator of a subgraph of one node without constants, as attention is; null for others. It writes its rows
  /// where they belong.
  std::shared_ptr<const Op> only;

  static PerRequest Parse(const Attributes& a) {
    PerRequest op{.body = a.GetGraph("body"),
                  .classes = a.RequiredInts("classes"),
                  .in = a.Ints("in"),
                  .out = a.RequiredInts("out"),
                  .source = a.RequiredInts("source"),
                  .ranks = a.RequiredInts("ranks")};
    if (!op.body) throw Error(Code::kBadGraph, "needs the attribute body.");
    op.Check();
    op.only = op.OnlyNode();
    return op;
  }

  void Infer(InferContext& c) const {
    if (c.num_inputs() != static_cast<int>(in.size()) + 2 || c.num_outputs() != static_cast<int>(out.size()))
      c.Fail("has {} inputs and {} outputs, but its attributes are for {} and {}.", c.num_inputs(), c.num_outputs(),
             in.size() + 2, out.size());
    c.ExpectElem(0, {DType::kInt64});
    c.ExpectRank(0, 2, 2);
    const int n = static_cast<int>(classes.size());
    c.ExpectRank(1, n + 1, n + 1);
    for (size_t i = 0; i < in.size(); ++i) {
      const bool listed = c.In(static_cast<int>(i) + 2).kind == Type::Kind::kSequence;
      if (listed != (in[i] == kListed))
        c.Fail("{} is not what its attributes say.", c.InputName(static_cast<int>(i) + 2));
      if (!listed) c.ExpectRank(static_cast<int>(i) + 2, static_cast<int>(classes[in[i]]), 1 << 20);
    }
    for (int i = 0; i < c.num_outputs(); ++i) {
      const Type& each = body->value(body->outputs[source[i]]).type;
      if (out[i] == kListed) {
        c.Out(i, Type::SequenceOf(each.kind == Type::Kind::kTensor ? Type::TensorOf(each.elem) : each));
      } else {
        c.Out(i, each.elem, RowsShape(c, i, each.shape));
      }
    }
  }

  void Run(RunContext& c) const {
    const Tensor& layout = c.In(0);
    const int64_t requests = layout.shape()[0];
    const auto spans = Spans(c);
    for (size_t i = 0; i < in.size(); ++i) {
      const Value& value = c.InValue(static_cast<int>(i) + 2);
      if (in[i] == kListed ? static_cast<int64_t>(value.sequence().size()) != requests
                           : value.tensor().shape()[static_cast<int>(classes[in[i]]) - 1] != Total(c, in[i]))
        c.Fail("{} requests do not fit input {}.", requests, i + 2);
    }
    std::vector<Sequence> lists(out.size());
    for (size_t i = 0; i < out.size(); ++i) {
      if (out[i] != kListed && c.HasOut(static_cast<int>(i)) && !c.out[i]->is_tensor())
        c.Fail("the size of a row of output {} is not known.", i);
      if (out[i] == kListed) lists[i].resize(requests);
    }
    c.threads().ParallelFor(requests, 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) RunOne(c, r, spans, lists);
    });
    for (size_t i = 0; i < out.size(); ++i) {
      if (out[i] == kListed && c.HasOut(static_cast<int>(i))) c.SetOut(static_cast<int>(i), std::move(lists[i]));
    }
  }

 private:
  using ClassSpans = std::vector<std::vector<Span>>;  // by class, then request

  void Check() const {
    const auto among = [](const std::vector<int64_t>& given, int64_t low, size_t size) {
      return std::all_of(given.begin(), given.end(),
                         [&](int64_t x) { return x >= low && x < static_cast<int64_t>(size); });
    };
    if (in.size() != body->inputs.size() || source.size() != out.size() || ranks.size() != out.size() ||
        !among(in, kListed, classes.size()) || !among(out, kListed, classes.size()) ||
        !among(source, 0, body->outputs.size()) || !among(classes, 1, 1 << 10) || !among(ranks, 0, 1 << 10))
      throw Error(Code::kBadGraph, "its attributes do not fit its subgraph.");
    for (size_t i = 0; i < out.size(); ++i) {
      if (out[i] != kListed && ranks[i] < classes[out[i]])
        throw Error(Code::kBadGraph, "rows have fewer axes than their class.");
    }
  }

  /// [1, ..., rows, rest...], the rest being the last axes of what the subgraph gives.
  SymbolicShape RowsShape(const InferContext& c, int i, const SymbolicShape& each) const {
    const auto lead = static_cast<int>(classes[out[i]]), rank = static_cast<int>(ranks[i]);
    std::vector<Dim> dims(rank, Dim(1));
    dims[lead - 1] = c.Shape(1).has_rank() ? c.Shape(1)[static_cast<int>(out[i])] : Dim::Unknown();
    if (!each.has_rank()) c.Fail("output {} of the subgraph has no known rank.", source[i]);
    for (int axis = lead; axis < rank; ++axis) {
      const int from = axis - (rank - each.rank());
      if (from >= 0) dims[axis] = each[from];
    }
    return dims;
  }

  static int64_t Total(const RunContext& c, int64_t of) { return c.In(1).shape()[static_cast<int>(of)]; }

  ClassSpans Spans(const RunContext& c) const {
    const Tensor& layout = c.In(0);
    const int64_t requests = layout.shape()[0], width = layout.shape()[1];
    if (width != std::accumulate(classes.begin(), classes.end(), int64_t{0}))
      c.Fail("the layout has {} columns.", width);
    ClassSpans spans(classes.size(), std::vector<Span>(requests));
    int64_t column = 0;
    for (size_t k = 0; k < classes.size(); column += classes[k++]) {
      int64_t first = 0;
      for (int64_t r = 0; r < requests; ++r) {
        const int64_t* sizes = layout.data<int64_t>() + r * width + column;
        Span& span = spans[k][r];
        span.lead = Shape(std::span<const int64_t>(sizes, classes[k]));
        span.first = first;
        span.rows = 1;
        for (const int64_t size : span.lead) {
          if (size < 0 || __builtin_mul_overflow(span.rows, size, &span.rows)) c.Fail("the layout has size {}.", size);
        }
        if (span.rows > Total(c, k) - first) c.Fail("the layout has more rows than there are.");
        first += span.rows;
      }
      if (first != Total(c, k)) c.Fail("the layout has {} rows, but there are {}.", first, Total(c, k));
    }
    return spans;
  }

  void RunOne(const RunContext& c, int64_t request, const ClassSpans& spans, std::vector<Sequence>& lists) const {
    std::vector<Value> inputs;
    inputs.reserve(in.size());
    for (size_t i = 0; i < in.size(); ++i) {
      const Value& value = c.InValue(static_cast<int>(i) + 2);
      inputs.push_back(in[i] == kListed ? value.sequence()[request]
                                        : Value(View(value.tensor(), spans[in[i]][request])));
    }
    for (size_t i = 0; i < in.size(); ++i) {
      const Type& wanted = body->value(body->inputs[i]).type;
      if (wanted.kind != Type::Kind::kTensor) continue;
      if (!inputs[i].is_tensor() || (wanted.known() && inputs[i].tensor().dtype() != wanted.elem))
        c.Fail("request {} has another type for input {} than the subgraph.", request, i + 2);
    }
    if (only && RunInPlace(c, inputs, request, spans)) return;
    std::vector<Value> outputs = c.run_subgraph("body", std::move(inputs));
    for (size_t i = 0; i < out.size(); ++i) {
      if (!c.HasOut(static_cast<int>(i))) continue;
      const Value& value = outputs[source[i]];
      if (out[i] == kListed) {
        lists[i][request] = value;
      } else if (!value.is_tensor()) {
        c.Fail("request {} gives no tensor for rows.", request);
      } else if (!PutRows(value.tensor(), spans[out[i]][request], c.Out(static_cast<int>(i)))) {
        c.Fail("request {} gives {} {} for rows {} of {}.", request, Name(value.tensor().dtype()),
               value.tensor().shape().ToString(), spans[out[i]][request].lead.ToString(),
               c.Out(static_cast<int>(i)).shape().ToString());
      }
    }
  }

  std::shared_ptr<const Op> OnlyNode() const {
    if (body->order().size() != 1 || body->outputs.size() != out.size()) return nullptr;
    const Node& node = body->node(body->order()[0]);
    const auto given = [&](ValueId v) { return v == kNone || (!body->Producer(v) && !body->Constant(v)); };
    if (node.outputs != body->outputs || HasSubgraph(node) || FindOp(node.domain, node.op_type)->alias) return nullptr;
    if (!std::all_of(node.inputs.begin(), node.inputs.end(), given)) return nullptr;
    for (size_t i = 0; i < out.size(); ++i) {
      if (out[i] == kListed || source[i] != static_cast<int64_t>(i)) return nullptr;
    }
    return MakeOp(*body, node);
  }

  /// False where the node's results are not a request's rows as they are.
  bool RunInPlace(const RunContext& c, std::vector<Value>& inputs, int64_t request, const ClassSpans& spans) const {
    const Node& node = body->node(body->order()[0]);
    RunContext::ScratchBuffer scratch;
    RunContext inner;
    inner.graph = body.get();
    inner.node = &node;
    inner.pool = c.pool;
    inner.scratch = &scratch;
    InferContext infer(*body, node);
    std::vector<Type> types(node.inputs.size());
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const auto at = std::find(body->inputs.begin(), body->inputs.end(), node.inputs[i]) - body->inputs.begin();
      inner.in.push_back(node.inputs[i] == kNone ? nullptr : &inputs[at]);
      if (!inner.in[i]) continue;
      types[i] = TypeOf(*inner.in[i]);
      infer.in_types[i] = &types[i];
      if (inner.in[i]->is_tensor()) infer.in_constants[i] = &inner.in[i]->tensor();
    }
    only->Infer(infer);
    std::vector<Value> outputs;
    for (size_t i = 0; i < out.size(); ++i) {
      if (!c.HasOut(static_cast<int>(i))) return false;
      outputs.emplace_back(View(c.Out(static_cast<int>(i)), spans[out[i]][request]));
      const Tensor& rows = outputs[i].tensor();
      const Type& found = infer.out_types[i];
      if (found.elem != rows.dtype() || !(found.shape == SymbolicShape(rows.shape()))) return false;
    }
    for (Value& v : outputs) inner.out.push_back(&v);
    only->Run(inner);
    return true;
  }

  /// A request's rows, as the value that they are.
  static Tensor View(const Tensor& rows, const Span& span) {
    Shape shape = span.lead;
    for (int axis = span.lead.rank(); axis < rows.shape().rank(); ++axis) shape.push_back(rows.shape()[axis]);
    const size_t row = static_cast<size_t>(rows.shape().SizeFrom(span.lead.rank())) * SizeOf(rows.dtype());
    auto* data = static_cast<std::byte*>(const_cast<void*>(rows.raw()));
    return Tensor(rows.dtype(), std::move(shape), data ? data + span.first * row : nullptr, rows.keep());
  }
};
extern const OpDef kSlipwayPerRequest = Define<PerRequest>({.name = "PerRequest",
                                                            .domain = kSlipwayDomain,
                                                            .min_inputs = 2,
                                                            .max_inputs = kVariadic,
                                                            .max_outputs = kVariadic,
                                                            .types = {DType::kInt64}});

}  // namespace slipway
