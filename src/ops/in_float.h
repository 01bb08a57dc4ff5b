#pragma once

#include "ops/op.h"

namespace slipway {

/// The tensor's numbers as float; the tensor itself where it is float.
Tensor ToFloat(const Tensor& t, const Threads& threads);
/// Rounds the float tensor's elements into `to`, which has as many of a float type.
void FromFloat(const Tensor& from, Tensor& to, const Threads& threads);

/// Where an input or output is float16 or bfloat16: calls run(c') with float in the place of each of those, rounds the
/// outputs and gives true. For operators whose float kernel is all that half precision needs.
bool RunHalvesInFloat(RunContext& c, FunctionRef<void(RunContext&)> run);

/// The elements of a tensor of any float type, as Acc.
template <class Acc>
std::vector<Acc> ToVectorOf(const Tensor& t);

}  // namespace slipway
