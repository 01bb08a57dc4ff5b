#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "graph/graph.h"
#include "ops/op.h"

namespace slipway {

/// Where a value's bytes lie during a run.
enum class Place : uint8_t {
  kNowhere,   ///< nothing needs the value
  kConstant,  ///< the graph's, or computed when the plan was made
  kInput,     ///< the caller's
  kArena,     ///< at an offset that the plan fixed
  kOutput,    ///< memory of its own that the caller gets
  kLate,      ///< its shape is known only in the run; made by its step
};

/// A run of bytes that values share: an operator's output, what aliases it, and what was computed in its place.
struct Storage {
  Place place = Place::kNowhere;
  size_t bytes = 0;
  size_t offset = 0;  ///< in the arena
  int first = 0;      ///< the steps in which it must hold
  int last = 0;
};

/// One operator to run.
struct Step {
  NodeId node = kNone;
  const Op* op = nullptr;
  bool late = false;                ///< outputs' shapes are inferred in the run, from the actual inputs
  std::vector<ValueId> free_after;  ///< late values that nothing reads later
};

/// How to run a graph on inputs of given types and shapes. Immutable once made; shared by any number of runs.
struct Plan {
  struct Slot {
    int storage = kNone;
    Type type;       ///< shape in numbers, but for late values
    Shape shape;     ///< the same
    Value constant;  ///< for Place::kConstant
  };
  std::vector<Slot> slots;  ///< by value id
  std::vector<Storage> storages;
  std::vector<Step> steps;
  /// The values of each storage of Place::kOutput; the first is the one that is computed, the others are views of it.
  std::vector<std::vector<ValueId>> fresh;
  /// Values that are an input (the second) under another shape.
  std::vector<std::pair<ValueId, ValueId>> input_views;
  size_t arena_bytes = 0;
};

/// What a plan is made from: a graph with an operator a node.
struct PlanSource {
  const Graph& graph;
  std::span<const std::shared_ptr<Op>> ops;  ///< by node id
  const Threads& threads;
};

/// Makes the plan for inputs and captures of these types (graph.inputs, then graph.captures). Evaluates what depends on
/// shapes alone, so that it costs nothing in a run. Throws Error naming the node where shapes do not fit.
std::shared_ptr<const Plan> MakePlan(const PlanSource& source, std::span<const Type> inputs);

/// Gives every storage of Place::kArena an offset such that no two that hold in the same step overlap; returns the
/// bytes needed.
size_t AssignOffsets(std::vector<Storage>& storages);

}  // namespace slipway
