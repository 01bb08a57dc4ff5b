#include <cmath>

#include "pt2/converter.h"

namespace slipway::pt2 {
namespace {

void Embedding(Call& c) { c.Out(c.Add("Gather", {c.Tensor("weight").id, c.Tensor("indices").id})); }

void OneHot(Call& c) {
  const TensorRef x = c.Tensor("self");
  const Exprs shape = c.OutShape();
  if (shape.empty() || !shape.back().is_int()) c.Fail("the number of classes is not given: one_hot(x, num_classes).");
  const ValueId values = c.IntsConstant({0, 1});
  c.Out(c.Add("OneHot", {x.id, c.IntsConstant({shape.back().int_value()}), values}, {{"axis", int64_t{-1}}}));
}

/// Means, sums or maxima of rows of a table. The bags are the rows of `indices`, or ranges that `offsets` begins.
void EmbeddingBag(Call& c) {
  const TensorRef weight = c.Tensor("weight"), indices = c.Tensor("indices"), offsets = c.Tensor("offsets");
  const TensorRef scales = c.OptionalTensor("per_sample_weights");
  const int64_t mode = c.Int("mode", 0);  // sum, mean, max
  const int64_t padding = c.Int("padding_idx", -1);
  const DType type = weight.dtype;
  // Which bag each index belongs to: the number of offsets at or before it, less one.
  Expr bags = offsets.shape.at(0);
  ValueId starts = c.Cast(offsets.id, DType::kInt64);
  if (c.Bool("include_last_offset", false)) {
    bags = bags - Expr(1);
    starts = c.Slice(starts, 0, 0, -1);
  }
  const Expr count = indices.shape.at(0);
  const auto range = [&](const Expr& n) { return c.Add("Range", {c.SizeScalar(0), c.SizeScalar(n), c.SizeScalar(1)}); };
  const ValueId before = c.Add("LessOrEqual", {starts, c.Unsqueeze(range(count), {1})});
  const ValueId bag = c.Add(
      "Sub", {c.Add("ReduceSum", {c.Cast(before, DType::kInt64), c.IntsConstant({1})}, {{"keepdims", int64_t{0}}}),
              c.SizeScalar(1)});
  // members[b, i]: index i is in bag b, and is no padding.
  ValueId members = c.Add("Equal", {bag, c.Unsqueeze(range(bags), {1})});
  if (padding >= 0) {
    const ValueId is_padding = c.Add("Equal", {indices.id, c.Scalar(static_cast<double>(padding), indices.dtype)});
    members = c.Add("And", {members, c.Add("Not", {is_padding})});
  }
  ValueId rows = c.Add("Gather", {weight.id, indices.id});
  if (scales.defined()) rows = c.Add("Mul", {rows, c.Unsqueeze(scales.id, {1})});
  if (mode == 2) {
    const ValueId mask = c.Unsqueeze(members, {2});
    const ValueId all = c.Add("Where", {mask, rows, c.Scalar(-INFINITY, type)});
    const ValueId best = c.Add("ReduceMax", {all, c.IntsConstant({1})}, {{"keepdims", int64_t{0}}});
    const ValueId empty = c.Add("IsInf", {best}, {{"detect_positive", int64_t{0}}});
    return c.Out(0, c.Add("Where", {empty, c.Scalar(0, type), best}));
  }
  const ValueId picks = c.Cast(members, type);
  ValueId sum = c.Add("MatMul", {picks, rows});
  if (mode == 1) {
    const ValueId n = c.Add("ReduceSum", {picks, c.IntsConstant({1})}, {{"keepdims", int64_t{1}}});
    sum = c.Add("Div", {sum, c.Add("Max", {n, c.Scalar(1, type)})});
  }
  c.Out(0, sum);
}

constexpr Conversion kConversions[] = {
    {"aten._embedding_bag", EmbeddingBag},
    {"aten._embedding_bag_forward_only", EmbeddingBag},
    {"aten.embedding", Embedding},
    {"aten.embedding_bag", EmbeddingBag},
    {"aten.one_hot", OneHot},
};

}  // namespace

const ConversionTable kEmbeddingTable = {std::begin(kConversions), std::end(kConversions)};

}  // namespace slipway::pt2
