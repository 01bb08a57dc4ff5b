#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace slipway {

/// How a session is made.
struct SessionOptions {
  /// Threads that one run may use, the calling one included; 0: one a core that the process may use.
  int intra_op_threads = 0;
  /// False: workers sleep as soon as they have nothing to do. Costs microseconds an operator, saves CPU.
  bool spin = true;
  /// 0 nothing, 1 folding and removal, 2 fusions too, 3 layouts too. Results agree within rounding.
  int optimization_level = 3;
  /// Names of passes to leave out; an unknown name is an error that lists the known ones.
  std::vector<std::string> disabled_passes;
  /// False: large matrices that lie in a mapped file are packed when they are used for the second time, so that a
  /// session is there at once, and one that runs once takes no memory for them. True: they are packed at load.
  bool pack_at_load = false;
  /// How many input shapes keep a ready plan; the least recently used goes first.
  size_t max_plans = 32;
};

/// Time spent in one node of one run.
struct NodeTime {
  std::string name;
  std::string op_type;
  int64_t nanoseconds = 0;
};

/// How one run is done.
struct RunOptions {
  /// Set from any thread to stop the run between two nodes; Run then throws Error(kCancelled). Null: cannot be stopped.
  const std::atomic<bool>* terminate = nullptr;
  /// Where wanted, gains an entry for every node that ran, in order.
  std::vector<NodeTime>* profile = nullptr;
};

}  // namespace slipway
