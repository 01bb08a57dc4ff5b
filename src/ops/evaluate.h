#pragma once

#include <new>
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

/// True where an attribute of the node is a graph.
bool HasSubgraph(const Node& node);

/// Throws `e`, with the node in front where the message does not name it yet.
[[noreturn]] void ThrowNaming(const Graph& graph, const Node& node, const Error& e);

/// Calls f; what goes wrong in it is an Error that names the node.
template <class F>
void Naming(const Graph& graph, const Node& node, F&& f) {
  try {
    f();
  } catch (const Error& e) {
    ThrowNaming(graph, node, e);
  } catch (const std::bad_alloc&) {
    ThrowNaming(graph, node, Error(Code::kOutOfMemory, "there is not enough memory."));
  }
}

/// The type of a value that is at hand.
Type TypeOf(const Value& value);

/// Allocates an output tensor of the type, where its shape is all numbers; an empty value otherwise (the operator will
/// make it).
Value AllocateFor(const Type& type);

}  // namespace slipway
