#include <algorithm>
#include <limits>
#include <vector>

#include "plan/plan.h"

namespace slipway {

// Largest first, each at the lowest offset where it fits between those already placed that hold at the same time. Large
// buffers decide the peak, so placing them first wastes least.
size_t AssignOffsets(std::vector<Storage>& storages) {
  constexpr size_t kAlignment = 64;
  std::vector<Storage*> todo;
  for (Storage& s : storages) {
    if (s.place == Place::kArena) todo.push_back(&s);
  }
  std::stable_sort(todo.begin(), todo.end(), [](const Storage* a, const Storage* b) { return a->bytes > b->bytes; });
  std::vector<const Storage*> placed;  // by offset
  size_t peak = 0;
  for (Storage* s : todo) {
    size_t at = 0;
    for (const Storage* other : placed) {
      if (other->last < s->first || s->last < other->first) continue;
      if (at + s->bytes <= other->offset) break;
      at = std::max(at, (other->offset + other->bytes + kAlignment - 1) / kAlignment * kAlignment);
    }
    s->offset = at;
    peak = std::max(peak, at + s->bytes);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), s,
                                   [](const Storage* a, const Storage* b) { return a->offset < b->offset; }),
                  s);
  }
  return peak;
}

}  // namespace slipway
