#include "passes/min_cut.h"

#include <algorithm>

namespace slipway {

int MinCut::AddVertex() {
  out_.emplace_back();
  return static_cast<int>(out_.size()) - 1;
}

void MinCut::AddEdge(int from, int to, int64_t price) {
  if (from == to || price <= 0) return;
  out_[from].push_back(static_cast<int>(edges_.size()));
  edges_.push_back({to, price});
  out_[to].push_back(static_cast<int>(edges_.size()));
  edges_.push_back({from, 0});
}

bool MinCut::FindLevels() {
  level_.assign(out_.size(), -1);
  level_[kSource] = 0;
  std::vector<int> queue = {kSource};
  for (size_t i = 0; i < queue.size(); ++i) {
    for (const int e : out_[queue[i]]) {
      const int to = edges_[e].to;
      if (edges_[e].left == 0 || level_[to] >= 0) continue;
      level_[to] = level_[queue[i]] + 1;
      queue.push_back(to);
    }
  }
  return level_[kSink] >= 0;
}

/// One path of the blocking flow; without recursion, as a path may be as long as the model is deep.
int64_t MinCut::Push(int64_t limit) {
  std::vector<int> path;
  int at = kSource;
  while (at != kSink) {
    bool stepped = false;
    for (; next_[at] < out_[at].size() && !stepped; next_[at] += !stepped) {
      const int e = out_[at][next_[at]];
      stepped = edges_[e].left > 0 && level_[edges_[e].to] == level_[at] + 1;
      if (stepped) path.push_back(e);
    }
    if (stepped) {
      at = edges_[path.back()].to;
    } else if (path.empty()) {
      return 0;
    } else {
      at = edges_[path.back() ^ 1].to;
      path.pop_back();
      ++next_[at];
    }
  }
  for (const int e : path) limit = std::min(limit, edges_[e].left);
  for (const int e : path) {
    edges_[e].left -= limit;
    edges_[e ^ 1].left += limit;
  }
  return limit;
}

std::vector<bool> MinCut::SinkSide() {
  while (FindLevels()) {
    next_.assign(out_.size(), 0);
    while (Push(kNever) > 0) {
    }
  }
  // What can still reach the sink, found against the edges.
  std::vector<bool> side(out_.size());
  side[kSink] = true;
  std::vector<int> queue = {kSink};
  for (size_t i = 0; i < queue.size(); ++i) {
    for (const int e : out_[queue[i]]) {
      const int from = edges_[e].to;
      if (side[from] || edges_[e ^ 1].left == 0) continue;
      side[from] = true;
      queue.push_back(from);
    }
  }
  return side;
}

}  // namespace slipway
