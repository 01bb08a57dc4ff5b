#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace slipway::kernels {

/// An axis that Count operands step along together, in elements; 0 repeats.
template <int Count>
struct Axis {
  int64_t size;
  std::array<int64_t, Count> stride;
};

/// Puts an axis outside those that `axes` holds, innermost first; it becomes one with the outermost of them where every
/// operand steps over that one's whole extent.
template <int Count>
void JoinAxis(std::vector<Axis<Count>>& axes, const Axis<Count>& axis) {
  bool joins = !axes.empty();
  for (int i = 0; i < Count && joins; ++i) joins = axis.stride[i] == axes.back().stride[i] * axes.back().size;
  if (joins) {
    axes.back().size *= axis.size;
  } else {
    axes.push_back(axis);
  }
}

/// Calls f(index, offsets) for places [begin, end) of the axes (outermost first) in row-major order.
template <int Count, class F>
void ForEachOffset(std::span<const Axis<Count>> axes, int64_t begin, int64_t end, const F& f) {
  if (begin >= end) return;
  std::vector<int64_t> index(axes.size());
  std::array<int64_t, Count> at = {};
  int64_t rest = begin;
  for (size_t i = axes.size(); i-- > 0; rest /= axes[i].size) {
    index[i] = rest % axes[i].size;
    for (int c = 0; c < Count; ++c) at[c] += index[i] * axes[i].stride[c];
  }
  for (int64_t place = begin;;) {
    f(place, at);
    if (++place == end) return;
    for (size_t i = axes.size(); i-- > 0;) {
      const Axis<Count>& axis = axes[i];
      for (int c = 0; c < Count; ++c) at[c] += axis.stride[c];
      if (++index[i] < axis.size) break;
      for (int c = 0; c < Count; ++c) at[c] -= axis.stride[c] * axis.size;
      index[i] = 0;
    }
  }
}

}  // namespace slipway::kernels
