#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ops/op.h"

namespace slipway {

/// The contents of an int32 or int64 input of at most 64 elements and one axis, as numbers or symbols: more than that
/// is data, not a shape.
std::optional<SymbolicInts> ShapeInts(const InferContext& c, int i);

/// The same of a boolean input, as 0 and 1.
std::optional<SymbolicInts> ShapeBools(const InferContext& c, int i);

/// Where every element is known, as op gives it (null: not known), the output's contents are known too.
std::optional<SymbolicInts> AllKnown(const std::vector<std::optional<Dim>>& ints);

/// True where the number or symbol stands for something that is surely not below 0.
bool NeverNegative(const Dim& d);

/// The contents of an int32 or int64 tensor.
std::vector<int64_t> ToInts(const Tensor& t);

/// The one element of an int32 or int64 tensor, as a rule reads it: Fail()s where the input has another count.
std::optional<int64_t> ConstInt(const InferContext& c, int i);

/// Each axis in [0, rank); Fail()s where one is outside or given twice.
std::vector<int64_t> UniqueAxes(const InferContext& c, const std::vector<int64_t>& axes, int64_t rank);

/// A DType from an attribute's number; Fail()s where there is none such.
DType ToDType(const InferContext& c, int64_t number, std::string_view attribute);

/// `axis` in [-rank, rank) as [0, rank), for what a shape rule has checked.
inline int ModAxis(int64_t axis, int64_t rank) { return static_cast<int>(axis < 0 ? axis + rank : axis); }

/// The product of sizes from `begin` up to `end`.
Dim Product(const SymbolicShape& shape, int begin, int end);

/// The element type is what input 0 has, and the shape is, too.
inline void InferSameAsFirst(InferContext& c) { c.Out(0, c.In(0)); }

}  // namespace slipway
