#pragma once

#include <string_view>
#include <variant>

#include "graph/patch.h"

namespace slipway {

/// How a graph masks attention scores before their softmax.
struct ScoreMask {
  ValueId added = kNone;  ///< added to the scores
  ValueId keep = kNone;   ///< bool: where false (true, if `inverted`), `hidden` stands in the score's place
  bool inverted = false;
  double hidden = 0;
  bool guarded = false;  ///< a row without any score above -inf gives zeros afterwards; else it gives NaN
};

/// The mask as Attention wants it, which gives zeros for a row that is masked as a whole: kNone where there is none, or
/// why Attention would compute something else. `scores` is what is masked, of rank 3 or 4; a mask for rank 3 is made
/// one of [batch, 1, queries, keys].
std::variant<ValueId, Skip> AttentionMask(const Graph& graph, Patch& patch, const ScoreMask& mask,
                                          const SymbolicShape& scores);

}  // namespace slipway
