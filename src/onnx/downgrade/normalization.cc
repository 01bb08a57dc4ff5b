#include <algorithm>
#include <numeric>

#include "onnx/downgrade/rules.h"

namespace slipway::onnx {
namespace {

std::vector<int64_t> From(int64_t first, int64_t end) {
  std::vector<int64_t> axes(static_cast<size_t>(std::max<int64_t>(end - first, 0)));
  std::iota(axes.begin(), axes.end(), first);
  return axes;
}

/// The type that statistics are taken in.
DType StashType(Rewrite& r) {
  return static_cast<DType>(r.attributes().Int("stash_type", static_cast<int64_t>(DType::kFloat)));
}

/// A vector over axis 1 of something of the rank.
ValueId OverChannels(Rewrite& r, ValueId v, int64_t rank) { return rank <= 2 ? v : r.Unsqueeze(v, From(1, rank - 1)); }

ValueId Inverse(Rewrite& r, ValueId square, float epsilon) {
  return r.Op("Sqrt", {r.Add(square, r.Like(epsilon, square))});
}

}  // namespace

void LayerNormByReduce(Rewrite& r) {
  const DType type = r.Elem(r.In(0)), stash = type == DType::kDouble ? type : StashType(r);
  const ValueId x = r.Cast(r.In(0), stash);
  const int64_t rank = r.Rank(x), first = r.Axis(x, r.attributes().Int("axis", -1));
  const auto axes = From(first, rank);
  const ValueId mean = r.Reduce("ReduceMean", x, axes), centered = r.Sub(x, mean);
  const ValueId variance = r.Reduce("ReduceMean", r.Mul(centered, centered), axes);
  const ValueId deviation = Inverse(r, variance, r.attributes().Float("epsilon", 1e-5f));
  ValueId y = r.Mul(r.Cast(r.Div(centered, deviation), type), r.In(1));
  if (r.Has(2)) y = r.Add(y, r.In(2));
  const bool gives_inverse = r.node().output(2) != kNone;
  r.Become({y, mean, gives_inverse ? r.Op("Reciprocal", {deviation}) : kNone});
}

void RmsNormByReduce(Rewrite& r) {
  const DType type = r.Elem(r.In(0)), stash = type == DType::kDouble ? type : StashType(r);
  const ValueId x = r.Cast(r.In(0), stash);
  const auto axes = From(r.Axis(x, r.attributes().Int("axis", -1)), r.Rank(x));
  const ValueId mean = r.Reduce("ReduceMean", r.Mul(x, x), axes);
  const ValueId root = Inverse(r, mean, r.attributes().Float("epsilon", 1e-5f));
  const ValueId scale = r.In(1);
  r.Become({r.Mul(r.Cast(r.Div(x, root), r.Elem(scale)), scale)});
}

/// Groups are the channels of an InstanceNormalization.
void GroupNormByInstances(Rewrite& r) {
  const DType type = r.Elem(r.In(0));
  const DType stash = type == DType::kDouble ? type : StashType(r);
  const ValueId x = r.Cast(r.In(0), stash);
  const int64_t groups = r.attributes().RequiredInt("num_groups"), rank = r.Rank(x);
  const ValueId flat = r.Reshape(x, {0, groups, -1});
  const ValueId ones = r.Floats({groups}, std::vector<float>(static_cast<size_t>(groups), 1), stash);
  const ValueId zeros = r.Floats({groups}, std::vector<float>(static_cast<size_t>(groups), 0), stash);
  const ValueId normal =
      r.Op("InstanceNormalization", {flat, ones, zeros}, {{"epsilon", r.attributes().Float("epsilon", 1e-5f)}});
  const ValueId back = r.Cast(r.ReshapeBy(normal, r.ShapeOf(x)), type);
  r.Become({r.Add(r.Mul(back, OverChannels(r, r.In(1), rank)), OverChannels(r, r.In(2), rank))});
}

void MeanVarianceByReduce(Rewrite& r) {
  const ValueId x = r.In(0);
  const auto axes = r.attributes().Ints("axes", {0, 2, 3});
  const ValueId mean = r.Reduce("ReduceMean", x, axes), square = r.Reduce("ReduceMean", r.Mul(x, x), axes);
  const ValueId deviation = r.Op("Sqrt", {r.Sub(square, r.Mul(mean, mean))});
  r.Become({r.Div(r.Sub(x, mean), r.Add(deviation, r.Like(1e-9, x)))});
}

/// Training: statistics of the batch, and the running ones drawn towards them.
void TrainedBatchNorm(Rewrite& r) {
  const ValueId x = r.In(0), old_mean = r.In(3), old_variance = r.In(4);
  const int64_t rank = r.Rank(x);
  std::vector<int64_t> axes = {0};
  for (int64_t i = 2; i < rank; ++i) axes.push_back(i);
  const DType type = r.Elem(old_mean);
  const ValueId wide = r.Cast(x, type);
  const ValueId mean = r.Reduce("ReduceMean", wide, axes);
  const ValueId centered = r.Sub(wide, mean);
  const ValueId variance = r.Reduce("ReduceMean", r.Mul(centered, centered), axes, false);
  const ValueId flat_mean = r.Reduce("ReduceMean", wide, axes, false);
  const float momentum = r.attributes().Float("momentum", 0.9f);
  const auto drawn = [&](ValueId old, ValueId now) {
    return r.Add(r.Mul(old, r.Like(momentum, old)), r.Mul(now, r.Like(1 - momentum, now)));
  };
  const ValueId y = r.Op("BatchNormalization", {x, r.In(1), r.In(2), flat_mean, variance},
                         {{"epsilon", r.attributes().Float("epsilon", 1e-5f)}});
  r.Become({y, drawn(old_mean, flat_mean), drawn(old_variance, variance)});
}

/// Scales and statistics had the type of the input.
void BatchNormOneType(Rewrite& r) {
  const DType type = r.Elem(r.In(0));
  bool differs = false;
  for (size_t i = 1; i < 5; ++i) differs = differs || r.Elem(r.In(i)) != type;
  if (!differs) return;
  std::vector<ValueId> inputs;
  for (size_t i = 0; i < 5; ++i) inputs.push_back(r.Cast(r.In(i), DType::kFloat));
  r.Become({r.Cast(r.Op("BatchNormalization", inputs, r.attributes()), type)});
}

/// Softmax and its kin worked on a matrix, whose rows are the axes from `axis` on: right for the last axis alone.
void SoftmaxOfMatrix(Rewrite& r) {
  const ValueId x = r.In(0);
  const int64_t axis = r.attributes().Int("axis", -1);
  if (!r.HasRank(x) && axis == -1 && r.target >= 11) return r.attributes().Set("axis", axis);
  const int64_t rank = r.Rank(x), place = axis < 0 ? axis + rank : axis;
  if (rank == 0) return r.Become({r.ReshapeBy(r.Op(r.node().op_type, {r.Reshape(x, {1, 1})}), r.Ints({}))});
  if (place == rank - 1) return r.attributes().Set("axis", place);
  std::vector<int64_t> perm = From(0, rank);
  std::swap(perm[place], perm[rank - 1]);
  r.Become({r.Transpose(r.Op(r.node().op_type, {r.Transpose(x, perm)}), perm)});
}

}  // namespace slipway::onnx
