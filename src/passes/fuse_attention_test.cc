#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <random>

#include "graph/graph_builder.h"
#include "ops/evaluate.h"
#include "passes/pipeline.h"

namespace slipway {
namespace {

constexpr int64_t kBatch = 2, kRows = 5, kHeads = 3, kSize = 4;
constexpr float kInf = std::numeric_limits<float>::infinity();

struct Parts {
  ValueId q, k, v;  // [batch, heads, rows, size]
};

ValueId Heads(GraphBuilder& b, ValueId x) {
  return b.Add("Transpose", {b.Add("Reshape", {x, b.Ints({0, 0, kHeads, kSize})})},
               {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
}
ValueId Exchanged(GraphBuilder& b, ValueId k) {
  return b.Add("Transpose", {k}, {{"perm", std::vector<int64_t>{0, 1, 3, 2}}});
}
ValueId Softmax(GraphBuilder& b, ValueId x) { return b.Add("Softmax", {x}, {{"axis", int64_t{-1}}}); }
ValueId Guarded(GraphBuilder& b, ValueId x) {
  const ValueId y = Softmax(b, x);
  return b.Add("Where", {b.Add("IsNaN", {y}), b.Scalar(0), y});
}
ValueId Scores(GraphBuilder& b, const Parts& p) {
  return b.Add("Div", {b.Add("MatMul", {p.q, Exchanged(b, p.k)}), b.Scalar(2)});
}
ValueId Keep(GraphBuilder& b) { return b.Input("keep", {Dim::Symbol("b"), 1, 1, Dim::Symbol("s")}, DType::kBool); }
ValueId Floats(GraphBuilder& b) { return b.Input("mask", {Dim::Symbol("b"), 1, Dim::Symbol("s"), Dim::Symbol("s")}); }

struct Case {
  const char* name;
  std::function<ValueId(GraphBuilder&, const Parts&)> weights;  ///< what the values are multiplied by
  bool fused;
  bool compared = true;  ///< off where a row is masked as a whole and gives NaN
};

const Case kCases[] = {
    {"no mask", [](auto& b, const Parts& p) { return Softmax(b, Scores(b, p)); }, true},
    {"both sides scaled, keys exchanged by Reshapes",
     [](auto& b, const Parts& p) {
       const ValueId shape = b.Add("Shape", {p.k});
       const auto dims = [&](int64_t from, int64_t to) {
         return b.Add("Slice", {shape, b.Ints({from}), b.Ints({to})});
       };
       const auto to = [&](ValueId x, std::vector<ValueId> parts) {
         return b.Add("Reshape", {x, b.Add("Concat", std::move(parts), {{"axis", int64_t{0}}})});
       };
       const ValueId flat = to(p.k, {b.Ints({-1}), dims(2, 3), dims(3, 4)});
       const ValueId turned = b.Add("Transpose", {flat}, {{"perm", std::vector<int64_t>{0, 2, 1}}});
       const ValueId k = to(turned, {dims(0, 2), dims(3, 4), dims(2, 3)});
       return Softmax(b, b.Add("MatMul", {b.Add("Mul", {p.q, b.Scalar(0.7f)}), b.Add("Mul", {b.Scalar(0.7f), k})}));
     },
     true},
    {"keys with axes exchanged where they are rows",
     [](auto& b, const Parts& p) {
       const ValueId k =
           b.Add("Transpose", {b.graph.Producer(p.k)->input(0)}, {{"perm", std::vector<int64_t>{0, 2, 3, 1}}});
       return Softmax(b, b.Add("MatMul", {p.q, b.Add("Mul", {k, b.Scalar(0.5f)})}));
     },
     true},
    {"a scaled product that exchanges the keys' axes",
     [](auto& b, const Parts& p) {
       const Attributes scaled = {{"transB", int64_t{1}}, {"scale", 0.5f}};
       return Softmax(b, b.Add("FusedMatMul", {p.q, p.k}, scaled, kSlipwayDomain));
     },
     true},
    {"guarded, bool mask added as -inf",
     [](auto& b, const Parts& p) {
       return Guarded(b, b.Add("Add", {Scores(b, p), b.Add("Where", {Keep(b), b.Scalar(0), b.Scalar(-kInf)})}));
     },
     true},
    {"guarded, inverted mask in the scores' place",
     [](auto& b, const Parts& p) {
       return Guarded(b, b.Add("Where", {Keep(b), b.Scalar(-kInf), Scores(b, p)}));
     },
     true},
    {"the smallest float in the scores' place",
     [](auto& b, const Parts& p) {
       return Softmax(b, b.Add("Where", {Keep(b), Scores(b, p), b.Scalar(-3.4028235e38f)}));
     },
     true},
    {"the smallest float added",
     [](auto& b, const Parts& p) {
       return Softmax(b,
                      b.Add("Add", {b.Add("Where", {Keep(b), b.Scalar(0), b.Scalar(-3.4028235e38f)}), Scores(b, p)}));
     },
     true},
    {"guarded, any mask",
     [](auto& b, const Parts& p) {
       return Guarded(b, b.Add("Add", {Scores(b, p), Floats(b)}));
     },
     true},
    {"not guarded, any mask",
     [](auto& b, const Parts& p) {
       return Softmax(b, b.Add("Add", {Scores(b, p), Floats(b)}));
     },
     false},
    {"not guarded, -inf",
     [](auto& b, const Parts& p) {
       return Softmax(b, b.Add("Where", {Keep(b), Scores(b, p), b.Scalar(-kInf)}));
     },
     false, false},
    {"a small number in the scores' place",
     [](auto& b, const Parts& p) {
       return Softmax(b, b.Add("Where", {Keep(b), Scores(b, p), b.Scalar(-100)}));
     },
     false},
    {"the weights are an output",
     [](auto& b, const Parts& p) {
       const ValueId y = Softmax(b, Scores(b, p));
       b.Output(y, "weights");
       return y;
     },
     false},
    {"another axis",
     [](auto& b, const Parts& p) {
       return b.Add("Softmax", {Scores(b, p)}, {{"axis", int64_t{2}}});
     },
     false},
};

/// Softly random inputs; the second item's rows are masked as a whole.
Value Feed(const Graph& graph, ValueId v, std::mt19937& random) {
  const Type& type = graph.value(v).type;
  std::vector<int64_t> dims;
  for (const Dim& d : type.shape.dims()) {
    dims.push_back(d.is_const() ? d.value() : d == Dim::Symbol("b") ? kBatch : kRows);
  }
  Tensor t(type.elem, Shape(dims));
  std::normal_distribution<float> normal;
  for (int64_t i = 0; i < t.size(); ++i) {
    if (type.elem == DType::kBool)
      t.data<bool>()[i] = i < t.size() / 2 && i % 2 == 0;
    else
      t.data<float>()[i] = normal(random);
  }
  return t;
}

Tensor Compute(const Graph& graph) {
  std::mt19937 random(1);
  std::map<ValueId, Value> values;
  for (const ValueId v : graph.inputs) values[v] = Feed(graph, v, random);
  for (const NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    std::vector<Value*> inputs;
    for (const ValueId v : node.inputs) {
      if (v != kNone && graph.Constant(v)) values[v] = *graph.Constant(v);
      inputs.push_back(v == kNone ? nullptr : &values.at(v));
    }
    std::vector<Value> results = Evaluate(graph, node, *MakeOp(graph, node), inputs, Threads(1));
    for (size_t i = 0; i < results.size(); ++i) values[node.outputs[i]] = std::move(results[i]);
  }
  return values.at(graph.outputs.back()).tensor();
}

int Count(const Graph& graph, std::string_view op) {
  int n = 0;
  for (const NodeId id : graph.order()) n += graph.node(id).op_type == op;
  return n;
}

TEST(FuseAttention, FormsThatExportersWrite) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    GraphBuilder b;
    ValueId x[3];
    for (int i = 0; i < 3; ++i)
      x[i] = b.Input(std::string(1, "qkv"[i]), {Dim::Symbol("b"), Dim::Symbol("s"), kHeads * kSize});
    const Parts p = {Heads(b, x[0]), Heads(b, x[1]), Heads(b, x[2])};
    const ValueId y = b.Add("MatMul", {c.weights(b, p), p.v});
    const ValueId rows_first = b.Add("Transpose", {y}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
    b.Output(b.Add("Reshape", {rows_first, b.Ints({0, 0, kHeads * kSize})}), "y");
    InferTypes(b.graph);
    const Tensor want = Compute(b.graph);
    Optimize(b.graph, {.level = 2}, Threads(1));
    Verify(b.graph);
    EXPECT_EQ(Count(b.graph, "Attention"), c.fused);
    EXPECT_EQ(Count(b.graph, "Softmax"), !c.fused);
    if (c.fused) {
      EXPECT_EQ(Count(b.graph, "Transpose") + Count(b.graph, "Reshape"), 0);
    }
    const Tensor have = Compute(b.graph);
    ASSERT_EQ(have.shape(), want.shape());
    for (int64_t i = 0; c.compared && i < want.size(); ++i) {
      ASSERT_NEAR(have.data<float>()[i], want.data<float>()[i], 2e-5) << i;
    }
  }
}

TEST(FuseAttention, WithoutHeads) {
  GraphBuilder b;
  ValueId x[3];
  for (int i = 0; i < 3; ++i) x[i] = b.Input(std::string(1, "qkv"[i]), {Dim::Symbol("b"), Dim::Symbol("s"), kSize});
  const ValueId k = b.Add("Transpose", {x[1]}, {{"perm", std::vector<int64_t>{0, 2, 1}}});
  const ValueId mask = b.Input("mask", {Dim::Symbol("b"), 1, Dim::Symbol("s")});
  const ValueId weights = Guarded(b, b.Add("Add", {b.Add("MatMul", {x[0], k}), mask}));
  b.Output(b.Add("MatMul", {weights, x[2]}), "y");
  InferTypes(b.graph);
  const Tensor want = Compute(b.graph);
  Optimize(b.graph, {.level = 2}, Threads(1));
  EXPECT_EQ(Count(b.graph, "Attention"), 1);
  EXPECT_EQ(Count(b.graph, "Transpose"), 0);
  const Tensor have = Compute(b.graph);
  for (int64_t i = 0; i < want.size(); ++i) ASSERT_NEAR(have.data<float>()[i], want.data<float>()[i], 2e-5) << i;
}

}  // namespace
}  // namespace slipway
