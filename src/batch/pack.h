#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "batch/rows.h"
#include "graph/graph.h"

namespace slipway {

/// A size of a request: a number times sizes of its inputs' axes.
struct RequestSize {
  int64_t factor = 1;
  std::vector<int> symbols;  ///< indices into PackedGraph::symbols
};

/// A graph that runs several requests to another graph at once, without padding: where a node gives the same for a row
/// whatever other rows there are, all requests' rows go through it together; the rest runs request by request, inside
/// of nodes PerRequest.
struct PackedGraph {
  /// Why there is none; empty where there is. The rest is to be read only then, but for `apart`.
  std::string why_not;
  /// Products and convolutions with constant weights that run on all requests' rows, and those that do not.
  int together = 0, in_turn = 0;
  /// Nodes that read rows and yet run request by request: a description of each, and why.
  std::vector<std::pair<std::string, std::string>> apart;

  /// Its inputs: layout and totals, as PerRequest has them, then those of the other graph, each as rows or as a
  /// sequence with an element a request. Its outputs are those of the other graph in the same two ways.
  std::shared_ptr<Graph> graph;
  /// Names of axes that a request chooses. `axes[input]` has by axis the symbol that it is, or -1.
  std::vector<std::string> symbols;
  std::vector<std::vector<int>> axes;
  std::vector<std::vector<RequestSize>> classes;  ///< by class, by leading axis
  std::vector<int> inputs, outputs;               ///< the class of each; RowState::kEach, kConstant
  /// Nodes that are as they were in the other graph, those in subgraphs too: their operators can be shared.
  std::unordered_map<const Node*, NodeId> same;
};

/// The graph's first `fed` inputs are what requests differ in; those after them are in no rows.
PackedGraph PackRequests(const Graph& graph, size_t fed);

}  // namespace slipway
