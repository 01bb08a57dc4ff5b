#pragma once
#include "ops/op.h"
namespace slipway {
#define OP(Name) extern const OpDef k##Name;
#include "ops/quant_ops.inc"
#undef OP
}  // namespace slipway
