#include "kernels/reduce/reduce.h"

namespace slipway::kernels {

ReducePlan::ReducePlan(std::span<const int64_t> shape, std::span<const int64_t> axes) {
  std::vector<bool> is_reduced(shape.size());
  for (const int64_t axis : axes) is_reduced[static_cast<size_t>(axis)] = true;
  // Innermost first. `inner` grows while axes are alike; size-1 axes are alike with anything.
  std::vector<Axis<1>> kept;
  std::vector<Axis<1>> reduced;
  int64_t step = 1;
  bool in_inner = true;
  bool inner_known = false;
  for (size_t i = shape.size(); i-- > 0;) {
    const int64_t size = shape[i];
    (is_reduced[i] ? reduced_ : outputs_) *= size;
    if (size == 1) continue;
    if (!inner_known) inner_is_reduced_ = is_reduced[i];
    inner_known = true;
    in_inner = in_inner && is_reduced[i] == inner_is_reduced_;
    if (in_inner) {
      inner_ *= size;
    } else {
      JoinAxis(is_reduced[i] ? reduced : kept, Axis<1>{size, {step}});
    }
    step *= size;
  }
  outer_kept_.assign(kept.rbegin(), kept.rend());
  outer_reduced_.assign(reduced.rbegin(), reduced.rend());
}

}  // namespace slipway::kernels
