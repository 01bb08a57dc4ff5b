#pragma once

#include <string_view>

#include "graph/patch.h"

namespace slipway {

/// Makes the change that a rule wrote down for node `root`. New nodes go right before `root`, or before the first user
/// of what they replace where that comes earlier. A value that a new node replaces keeps its id, name and declared
/// type; graph outputs keep their names. Nodes that nothing uses afterwards are removed. Returns a reason, and changes
/// nothing, where some new node would read a value before it is given.
std::string_view ApplyPatch(Graph& graph, NodeId root, Patch patch);

/// Removes the node if nothing uses what it gives, and then what that leaves unused. Returns how many went.
int RemoveUnused(Graph& graph, NodeId id);

}  // namespace slipway
