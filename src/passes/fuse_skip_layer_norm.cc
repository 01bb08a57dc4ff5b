#include "passes/passes.h"
#include "passes/queries.h"

namespace slipway {
namespace {

bool IsVector(const Graph& graph, ValueId v) { return HasRank(graph, v) && Rank(graph, v) == 1; }

}  // namespace

/// LayerNormalization of a sum of two values of one shape, where the last axis is normalized. The sum may have other
/// users.
Result FuseSkipLayerNorm(const Graph& graph, NodeId id) {
  const Node& norm = graph.node(id);
  if (!norm.Is("LayerNormalization") || norm.output(1) != kNone || norm.output(2) != kNone) return kNoMatch;
  const ValueId sum = norm.input(0);
  const Node* add = graph.Producer(sum);
  if (!add || !add->Is("Add")) return kNoMatch;
  if (!IsFloat(graph, sum)) return Skip{"the fused operator is for float"};
  const ValueId a = add->input(0), b = add->input(1);
  if (!SameShape(graph, a, b) || !SameShape(graph, a, sum))
    return Skip{"the summands are not known to be of one shape"};
  const int rank = Rank(graph, sum);
  if (rank < 2 || rank > 3) return Skip{"the rank is not 2 or 3"};
  const int64_t axis = norm.attributes.Int("axis", -1);
  if (axis != -1 && axis != rank - 1) return Skip{"more than the last axis is normalized"};
  const ValueId beta = norm.input(2);
  if (!IsVector(graph, norm.input(1)) || (beta != kNone && !IsVector(graph, beta)))
    return Skip{"scale or bias has more than one axis"};

  Patch patch(graph);
  std::vector<ValueId> inputs = {a, b, norm.input(1)};
  if (beta != kNone) inputs.push_back(beta);
  std::vector<bool> outputs = {true};
  const bool keep_sum = !graph.HasOneUse(sum);
  if (keep_sum) outputs = {true, false, false, true};
  const auto out = patch.AddMany("SkipLayerNormalization", std::move(inputs), outputs,
                                 {{"epsilon", norm.attributes.Float("epsilon", 1e-5f)}}, kMicrosoftDomain);
  patch.Replace(norm.output(0), out[0]);
  if (keep_sum) patch.Replace(sum, out[3]);
  return patch;
}

}  // namespace slipway
