#pragma once

#include "pt2/converter.h"

namespace slipway::pt2 {

/// The angle of (x, y), both of this type, in (-pi, pi].
ValueId AngleOf(Call& c, ValueId y, ValueId x, DType type);

}  // namespace slipway::pt2
