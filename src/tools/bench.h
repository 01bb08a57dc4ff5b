#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "kernels/peak.h"
#include "tools/random_inputs.h"

namespace slipway {

struct BenchOptions {
  SessionOptions session;  ///< its thread count is replaced by each of `threads`
  InputSizes sizes;
  RandomOptions random;
  Inputs inputs;                                     ///< given; the rest is generated
  std::map<std::string, std::vector<int64_t>> dims;  ///< sizes to go through: every combination is measured
  std::vector<int> threads = {0};                    ///< 0: one a core
  double seconds = 2;            ///< of measured runs for each combination; at least 5 runs are made
  double warm_up_seconds = 0.3;  ///< at least 2 runs
  bool profile = false;
  /// Told how much of the work is done, 0 to 1, now and then.
  std::function<void(double)> progress;
};

/// A node's or operator type's share of a run.
struct ProfileEntry {
  std::string name;  ///< "" for an operator type
  std::string op_type;
  int64_t calls = 0;        ///< in one run
  double milliseconds = 0;  ///< of one run, on average
  double share = 0;         ///< of all nodes' time, 0 to 1
  int64_t flops = 0;        ///< of products, in one run; 0 where there are none, or the run alone tells the shapes
  int64_t bytes = 0;        ///< of the tensors read and written, in one run
};

/// What a node computes and moves in one run.
struct Work {
  int64_t flops = 0;
  int64_t bytes = 0;
};
/// By the name and type of the node.
using NodeWork = std::map<std::pair<std::string, std::string>, Work>;

struct Profile {
  std::vector<ProfileEntry> nodes, operators;  ///< slowest first
};

/// One combination's numbers. Times are wall-clock milliseconds of Session::Run.
struct BenchResult {
  std::map<std::string, int64_t> dims;
  int threads = 0;  ///< as used
  int64_t runs = 0;
  double load_ms = 0;   ///< making the session
  double first_ms = 0;  ///< the first run at these shapes, planning included
  double min_ms = 0, mean_ms = 0, p50_ms = 0, p90_ms = 0, p99_ms = 0;
  double runs_per_second = 0;
  double items_per_second = 0;  ///< times the size of the first input's first axis
  int64_t arena_bytes = 0;
  int64_t peak_bytes =
      0;            ///< the process's largest resident size while it loaded and ran; 0 where the system does not tell
  Profile profile;  ///< where wanted
  kernels::Peaks peaks;  ///< with the profile: what the machine can do at most, on as many threads
};

/// Measures a model over every combination of `threads` and `dims`. Throws Error.
std::vector<BenchResult> Bench(const std::string& path, const BenchOptions& options);

/// Sums times by node and by operator type; they are of `runs` runs.
Profile Summarize(const std::vector<NodeTime>& times, int64_t runs, const NodeWork& work = {});

/// The value that a share `p` (0 to 1) of the sorted values does not pass (nearest rank); `sorted` is not empty.
double Percentile(const std::vector<double>& sorted, double p);

}  // namespace slipway
