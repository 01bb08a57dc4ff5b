#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "batch/pack.h"
#include "plan/program.h"

namespace slipway {

/// Runs several requests to a program in one go where its graph allows, else one after another. Safe to use from many
/// threads at once.
class PackedRuns {
 public:
  /// The program's first `fed` inputs are those that callers give.
  PackedRuns(const Program& program, const Threads& threads, size_t fed, size_t max_plans);

  /// Why requests run one after another, and what runs request by request where they do not.
  const PackedGraph& graph() const { return packed_; }

  /// A request is what Program::Run takes, and its answer what that gives. An Error says which request it is about.
  std::vector<std::vector<Value>> Run(std::vector<std::vector<Value>> requests, const RunOptions& options) const;

 private:
  using Sizes = std::vector<int64_t>;  // by symbol of the packed graph
  struct Group {
    std::vector<size_t> members;
    std::vector<Sizes> sizes;  // by member
  };

  std::optional<Sizes> SizesOf(const std::vector<Value>& request) const;
  Shape LeadOf(const Sizes& sizes, int of_class) const;
  int64_t MostRows(const Sizes& sizes) const;
  std::vector<Value> RunAlone(size_t index, const std::vector<Value>& request, const RunOptions& options) const;
  void RunEachAlone(std::span<const size_t> members, const std::vector<std::vector<Value>>& requests,
                    const RunOptions& options, std::vector<std::vector<Value>>& answers) const;
  void RunGroup(const Group& group, const std::vector<std::vector<Value>>& requests, const RunOptions& options,
                std::vector<std::vector<Value>>& answers) const;
  std::vector<Value> Join(const Group& group, const std::vector<std::vector<Value>>& requests) const;
  void Part(const Group& group, size_t output, const Value& all, std::vector<std::vector<Value>>& answers) const;

  const Program& program_;
  Threads threads_;
  PackedGraph packed_;
  std::unique_ptr<Program> runner_;  // null: there is no packed graph
};

}  // namespace slipway
