#pragma once

#include <vector>

#include "ops/op.h"

namespace slipway {

/// Runs one node on its own: infers its outputs from the inputs' actual types, shapes and contents, allocates and
/// computes. `inputs` are as the node's (null: left out). What folding, plan-time evaluation, steps with shapes known
/// late, and tests call.
std::vector<Value> Evaluate(const Graph& graph, const Node& node, const Op& op, std::vector<Value*> inputs,
                            const Threads& threads, RunContext::ScratchBuffer* scratch = nullptr);

/// The same with everything in a context: infers, allocates the outputs that are wanted, and computes.
void RunLate(RunContext& c, const Op& op);

/// The type of a value that is at hand.
Type TypeOf(const Value& value);

/// Allocates an output tensor of the type, where its shape is all numbers; an empty value otherwise (the operator will
/// make it).
Value AllocateFor(const Type& type);

}  // namespace slipway
