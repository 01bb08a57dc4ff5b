#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "plan/plan.h"
#include "slipway/session.h"

namespace slipway {

/// A plan made outside a session, with the operators that it points at.
struct Planned {
  std::vector<std::shared_ptr<Op>> ops;
  std::shared_ptr<const Plan> plan;
};

/// Plans a graph for tensor inputs of these shapes, by name (an input not named has the shape in its type). Throws
/// Error naming the node that has no operator, or whose shapes do not fit.
Planned PlanFor(const Graph& graph, const std::map<std::string, Shape>& shapes, const Threads& threads);

/// What a compiled model was compiled by and for.
struct Compiled {
  std::string version, isa;
  int64_t packed_bytes = 0;
};

/// ReadModel with the file's name at the start of errors, as a session has it. Reads compiled models too, and sets
/// `compiled` where it is one: its graph is optimized already.
Model ReadNamed(const std::string& path, std::optional<Compiled>* compiled = nullptr);

/// The graph's inputs as a session shows them.
std::vector<ValueInfo> InputInfos(const Graph& graph);

}  // namespace slipway
