#include "kernels/elementwise/broadcast.h"

#include <string>

#include "slipway/error.h"

namespace slipway::kernels {
namespace {

std::string Text(std::span<const int64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

}  // namespace

BroadcastPlan::BroadcastPlan(std::span<const int64_t> a, std::span<const int64_t> b) {
  const size_t rank = std::max(a.size(), b.size());
  const auto dim = [rank](std::span<const int64_t> shape, size_t i) {
    const size_t missing = rank - shape.size();
    return i < missing ? int64_t{1} : shape[i - missing];
  };
  for (size_t i = 0; i < rank; ++i) {
    const int64_t x = dim(a, i);
    const int64_t y = dim(b, i);
    if (x != y && x != 1 && y != 1) {
      throw Error(Code::kInvalidArgument, "shapes " + Text(a) + " and " + Text(b) +
                                              " do not broadcast: " + std::to_string(x) + " meets " +
                                              std::to_string(y) + " in axis " + std::to_string(i));
    }
    shape_.push_back(x == 1 ? y : x);
  }
  // Innermost first. An axis joins the one inside it where each operand steps over that one's whole extent, or over
  // neither.
  std::vector<Axis<2>> joined;
  int64_t a_step = 1;
  int64_t b_step = 1;
  for (size_t i = rank; i-- > 0;) {
    const int64_t size = shape_[i];
    if (size == 1) continue;
    const Axis<2> axis = {size, {dim(a, i) == 1 ? 0 : a_step, dim(b, i) == 1 ? 0 : b_step}};
    a_step *= dim(a, i);
    b_step *= dim(b, i);
    JoinAxis(joined, axis);
  }
  if (joined.empty()) return;
  const Axis<2>& inner = joined.front();
  columns_ = inner.size;
  form_ = inner.stride[0] == 0   ? BroadcastForm::kScalarA
          : inner.stride[1] == 0 ? BroadcastForm::kScalarB
                                 : BroadcastForm::kEqual;
  outer_.assign(joined.rbegin(), joined.rend() - 1);
  for (const Axis<2>& axis : outer_) rows_ *= axis.size;
}

}  // namespace slipway::kernels
