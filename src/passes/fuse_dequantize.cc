#include "passes/epilogue.h"
#include "passes/passes.h"
#include "passes/queries.h"

namespace slipway {
namespace {

/// A value of bytes that DequantizeLinear makes float: with one scale, or one along `axis`.
struct Dequantized {
  ValueId bytes;
  ValueId scale;
  ValueId zero;
  bool one;
  int64_t axis;
};

std::optional<Dequantized> FindDequantized(const Graph& graph, ValueId v) {
  const Node* n = v == kNone ? nullptr : graph.Producer(v);
  if (!n || !(n->Is("DequantizeLinear") || n->Is("DequantizeLinear", kMicrosoftDomain))) return std::nullopt;
  const DType type = ElemOf(graph, n->input(0));
  if (type != DType::kInt8 && type != DType::kUint8) return std::nullopt;
  if (!IsFloat(graph, v) || !IsFloat(graph, n->input(1)) || n->attributes.Int("block_size", 0) != 0)
    return std::nullopt;
  if (!HasRank(graph, n->input(1)) || !HasRank(graph, n->input(0))) return std::nullopt;
  const SymbolicShape& scale = ShapeOf(graph, n->input(1));
  int64_t axis = n->attributes.Int("axis", 1);
  if (axis < 0) axis += Rank(graph, n->input(0));
  return Dequantized{n->input(0), n->input(1), n->input(2), scale.size() == Dim(1), axis};
}

/// `v` is a vector of `size`, as a bias is.
bool IsVector(const Graph& graph, ValueId v, const Dim& size) {
  return HasRank(graph, v) && Rank(graph, v) == 1 && ShapeOf(graph, v)[0] == size && IsFloat(graph, v);
}

Result FromProduct(const Graph& graph, const Node& node) {
  const bool gemm = node.Is("Gemm");
  const Attributes& a = node.attributes;
  const auto left = FindDequantized(graph, node.input(0)), right = FindDequantized(graph, node.input(1));
  if (!left || !right) return kNoMatch;
  const bool trans_b = gemm && a.Int("transB", 0) != 0;
  if (gemm && (a.Int("transA", 0) != 0 || a.Float("alpha", 1) != 1 || a.Float("beta", 1) != 1))
    return Skip{"the product is scaled or its first matrix transposed"};
  const int rank = Rank(graph, right->bytes);
  if (rank < 2 || Rank(graph, left->bytes) < 2) return Skip{"an operand is a vector"};
  if (!left->one) return Skip{"the first matrix has more than one scale"};
  const int column_axis = rank - (trans_b ? 2 : 1);
  if (!right->one && right->axis != column_axis) return Skip{"the second matrix has a scale for each row"};
  const ValueId bias = gemm ? node.input(2) : kNone;
  if (bias != kNone && !IsVector(graph, bias, ShapeOf(graph, right->bytes)[column_axis])) return Skip{"C is no row"};
  Patch patch(graph);
  Attributes attributes;
  if (trans_b) attributes.Set("transB", int64_t{1});
  patch.Replace(
      node.output(0),
      patch.Add(kFusedMatMulInteger,
                Trimmed({left->bytes, right->bytes, left->scale, right->scale, left->zero, right->zero, bias}),
                std::move(attributes), kSlipwayDomain));
  return patch;
}

Result FromConv(const Graph& graph, const Node& node) {
  const auto x = FindDequantized(graph, node.input(0)), w = FindDequantized(graph, node.input(1));
  if (!x || !w) return kNoMatch;
  if (!x->one) return Skip{"the image has more than one scale"};
  if (!w->one && w->axis != 0) return Skip{"the weights' scales are not those of output channels"};
  const ValueId bias = node.input(2);
  if (bias != kNone && !IsFloat(graph, bias)) return kNoMatch;
  Patch patch(graph);
  patch.Replace(node.output(0),
                patch.Add(kFusedConvInteger, Trimmed({x->bytes, w->bytes, x->scale, w->scale, x->zero, w->zero, bias}),
                          node.attributes, kSlipwayDomain));
  return patch;
}

}  // namespace

/// A product or convolution of two dequantized operands works on their bytes. The sums are then exact, where floats
/// round each of them; the result is what the graph as written gives but for that rounding.
Result FuseDequantize(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (node.Is("MatMul") || node.Is("Gemm")) return FromProduct(graph, node);
  if (node.Is("Conv")) return FromConv(graph, node);
  return kNoMatch;
}

}  // namespace slipway
