#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace slipway {

/// The cheapest way to part a directed graph in two: a source side and a sink side, the price being the sum of the
/// edges that lead from the first to the second.
class MinCut {
 public:
  static constexpr int kSource = 0;
  static constexpr int kSink = 1;
  static constexpr int64_t kNever = int64_t{1} << 50;  ///< for edges that may not be cut

  /// A new vertex.
  int AddVertex();
  /// Edges from a vertex to itself, or without a price, say nothing.
  void AddEdge(int from, int to, int64_t price);
  /// True for each vertex on the sink side, which is the smallest of those that cost least.
  std::vector<bool> SinkSide();

 private:
  struct Edge {
    int to;
    int64_t left;  // the edge back is its neighbour: index ^ 1
  };
  bool FindLevels();
  int64_t Push(int64_t limit);

  std::vector<Edge> edges_;
  std::vector<std::vector<int>> out_ = std::vector<std::vector<int>>(2);
  std::vector<int> level_;
  std::vector<size_t> next_;
};

}  // namespace slipway
