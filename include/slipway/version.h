#pragma once

#include "slipway/export.h"

namespace slipway {

/// Slipway's version: "0.1.0".
SLIPWAY_EXPORT const char* Version();

}  // namespace slipway
