#pragma once

#include "kernels/epilogue.h"
#include "ops/op.h"

namespace slipway {

/// Scale and activation from a fused operator's attributes scale, activation, activation_alpha, activation_beta, whose
/// names may have a prefix.
kernels::Epilogue ParseEpilogue(const Attributes& a, const std::string& prefix = "");

/// Fail()s where input `residual`, which may be left out, is not of the result's shape and of type `elem`.
void CheckResidual(const InferContext& c, int residual, const SymbolicShape& result, DType elem = DType::kFloat);

}  // namespace slipway
