#pragma once

#include <optional>
#include <vector>

#include "graph/graph.h"

namespace slipway {

/// What a node would be with the channels last: [N, spatial..., C] for [N, C, spatial...].
struct LayoutRule {
  std::vector<bool> inputs;   ///< true: taken with the channels last; otherwise as it is
  std::vector<bool> outputs;  ///< true: given with the channels last; otherwise as it was
  bool wanted = false;        ///< only this form is fast: convolutions and global pools
};

/// The permutation from channels first to channels last, and back.
std::vector<int64_t> ToLast(int rank);
std::vector<int64_t> ToFirst(int rank);

/// True where the two layouts hold the same bytes: one channel, or one place.
bool LayoutsAgree(const SymbolicShape& shape);

/// Whether and how the node can work with the channels last; nullopt where it cannot, or where what it works on has no
/// channels.
std::optional<LayoutRule> FindLayoutRule(const Graph& graph, const Node& node);

/// The node in that form, reading `inputs` (those that the rule takes so are permuted already), its outputs yet to be
/// set. Nodes that it needs before it are added before `id`.
Node ToChannelsLast(Graph& graph, NodeId id, std::vector<ValueId> inputs);

/// The value under the other layout's shape, by a Transpose, or by a Reshape where the layouts agree; added before
/// `before`. Gives `out` where that is a value yet without a producer.
ValueId AddRelayout(Graph& graph, ValueId v, const std::vector<int64_t>& perm, NodeId before, ValueId out = kNone);

}  // namespace slipway
