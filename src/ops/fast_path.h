#pragma once

#include <string_view>

#include "ops/op.h"

namespace slipway {

/// What of an operator is written in vectors.
struct FastPath {
  std::string_view types;  ///< "float, halves"; empty: plain loops throughout
  std::string_view isas;   ///< the instruction sets that have a form of their own
};
FastPath FastPathOf(const OpDef& def);

/// The names that the table of fast paths holds, for a test that each is an operator's.
std::span<const std::string_view> FastPathNames();

}  // namespace slipway
