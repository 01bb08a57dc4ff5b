#pragma once

#include "kernels/epilogue.h"
#include "ops/op.h"

namespace slipway {

/// Scale and activation from a fused operator's attributes scale, activation, activation_alpha, activation_beta.
kernels::Epilogue ParseEpilogue(const Attributes& a);

/// The activation of one number.
double Activate(const kernels::Epilogue& e, double x);

}  // namespace slipway
