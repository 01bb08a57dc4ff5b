#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "graph/pattern.h"

namespace slipway {

/// True where both shapes are known to be the same, symbols included.
bool SameShape(const Graph& graph, ValueId a, ValueId b);
bool HasRank(const Graph& graph, ValueId v);
/// The caller has checked HasRank.
int Rank(const Graph& graph, ValueId v);
const SymbolicShape& ShapeOf(const Graph& graph, ValueId v);
/// The element type is float (of 32 bits), as the fused operators want it.
bool IsFloat(const Graph& graph, ValueId v);
DType ElemOf(const Graph& graph, ValueId v);

/// The contents of an int32 or int64 constant.
std::optional<std::vector<int64_t>> IntsConstant(const Graph& graph, ValueId v);
/// The float constant's tensor, or null where the value is something else, or its data is not at hand.
const Tensor* FloatConstant(const Graph& graph, ValueId v);

/// A float constant that is a row along the last axis of `like`, or one number, as a vector of that length.
std::optional<Tensor> ConstantRow(const Graph& graph, ValueId v, ValueId like);

/// The only element that a constant has anywhere, as ScalarConstant but for any number of elements of any type but
/// strings.
std::optional<double> UniformConstant(const Graph& graph, ValueId v);

/// A node that reduces over its last axis alone and keeps it: ReduceMean with axes in input 1.
bool ReducesLastAxis(const Graph& graph, const Node& node);

}  // namespace slipway
