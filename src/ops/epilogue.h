#pragma once

#include "kernels/epilogue.h"
#include "ops/op.h"

namespace slipway {

/// Scale and activation from a fused operator's attributes scale, activation, activation_alpha, activation_beta.
kernels::Epilogue ParseEpilogue(const Attributes& a);

/// Fail()s where input `residual`, which may be left out, is not of the result's shape and of type `elem`.
void CheckResidual(const InferContext& c, int residual, const SymbolicShape& result, DType elem = DType::kFloat);

/// The activation of one number.
double Activate(const kernels::Epilogue& e, double x);

}  // namespace slipway
