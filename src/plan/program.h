#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "graph/graph.h"
#include "ops/op.h"
#include "plan/plan.h"
#include "slipway/options.h"

namespace slipway {

/// A graph with its operators made and its weights packed, ready to run on any shapes; plans are made as shapes come
/// and kept. Safe to run from many threads at once.
class Program {
 public:
  /// `release` is told of each constant that an operator has packed into `store`, from several threads; it may drop
  /// pages that are read again. Nodes are packed side by side, but for a store that has an order.
  /// Constants without data are those that were packed when the model was compiled; Error(kBadFile) where an operator
  /// wants such a one's data.
  Program(std::shared_ptr<Graph> graph, const Threads& threads, size_t max_plans, std::shared_ptr<WeightStore> store,
          const std::function<void(const Tensor&)>& release = {});
  /// A program for another graph some of whose nodes, those in subgraphs too, are nodes of `donor`'s as they were:
  /// `same` says which. It shares their operators and packed weights. Subgraphs keep plans for `max_sub_plans` shapes.
  using SameNodes = std::unordered_map<const Node*, NodeId>;
  Program(std::shared_ptr<Graph> graph, const Program& donor, const SameNodes& same, size_t max_plans,
          size_t max_sub_plans);
  ~Program();

  /// Runs on values for graph().inputs, then graph().captures; gives the values of graph().outputs. The caller has
  /// checked kinds and element types.
  std::vector<Value> Run(std::vector<Value> inputs, const RunOptions& options) const;

  /// The plan for inputs of these types; made where there is none yet.
  std::shared_ptr<const Plan> PlanFor(std::span<const Value> inputs) const;

  const Graph& graph() const { return *graph_; }

 private:
  struct Entry;
  struct Instance;
  struct Workspace;
  struct Lease;
  using Key = std::vector<int64_t>;
  struct KeyHash {
    size_t operator()(const Key& key) const;
  };

  void MakeOps(const std::function<void(const Tensor&)>& release);
  /// Offers the operators their constants; gives, by value, how many readers want its data all the same.
  std::vector<int> PackConstants(const std::function<void(const Tensor&)>& release);
  std::shared_ptr<Entry> Find(std::span<const Value> inputs) const;
  std::unique_ptr<Instance> MakeInstance(const Plan& plan) const;
  /// Throws that there are no `bytes` for the arena.
  [[noreturn]] void FailArena(const Plan& plan, size_t bytes) const;
  void Bind(Instance& instance, const Plan& plan, std::vector<Value>& inputs, Workspace& workspace) const;
  void RunStep(const Step& step, Instance& instance, size_t index) const;
  std::vector<Value> Collect(Instance& instance, const Plan& plan) const;

  std::shared_ptr<Graph> graph_;
  Threads threads_;
  std::shared_ptr<WeightStore> store_;
  size_t max_plans_;
  std::vector<std::shared_ptr<Op>> ops_;  // by node id
  std::unordered_map<const Graph*, std::unique_ptr<Program>> subprograms_;
  mutable std::mutex mutex_;                           // guards what follows
  mutable std::list<std::shared_ptr<Entry>> entries_;  // most recently used first
  mutable std::unordered_map<Key, std::list<std::shared_ptr<Entry>>::iterator, KeyHash> by_key_;
  mutable std::vector<std::unique_ptr<Workspace>> workspaces_;
};

}  // namespace slipway
