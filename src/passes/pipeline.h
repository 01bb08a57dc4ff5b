#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "thread/pool.h"

namespace slipway {

struct PassOptions {
  int level = 3;                      ///< 0 nothing, 1 folding and removal, 2 fusions too, 3 layouts too
  std::vector<std::string> disabled;  ///< names of passes to leave out
};

/// What one pass did, over all rounds and subgraphs.
struct PassReport {
  std::string_view name;
  int applied = 0;                     ///< how often it changed something
  std::map<std::string, int> skipped;  ///< why it did not where it nearly could have, and how often
};

/// Simplifies the graph and its subgraphs by the passes up to the level, until nothing changes or a fixed number of
/// rounds is done. Types must have been inferred. The verifier runs after each pass in debug builds, and with
/// SLIPWAY_VERIFY=1 in the environment. Throws Error(kInvalidArgument), listing the passes, for an unknown name in
/// `disabled`.
std::vector<PassReport> Optimize(Graph& graph, const PassOptions& options, const Threads& threads);

/// The names of all passes, in order.
std::vector<std::string_view> PassNames();

}  // namespace slipway
