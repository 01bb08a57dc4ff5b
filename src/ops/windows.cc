#include "ops/windows.h"

#include <algorithm>

namespace slipway {

WindowAttributes::AutoPad WindowAttributes::ParseAutoPad(const Attributes& a) {
  const std::string pad = a.String("auto_pad", "NOTSET");
  if (pad == "SAME_UPPER") return AutoPad::kSameUpper;
  if (pad == "SAME_LOWER") return AutoPad::kSameLower;
  if (pad == "VALID") return AutoPad::kValid;
  if (pad == "NOTSET" || pad.empty()) return AutoPad::kNotSet;
  throw Error(Code::kBadGraph,
              fmt::format("attribute 'auto_pad' is '{}', but must be NOTSET, SAME_UPPER, SAME_LOWER or VALID", pad));
}

WindowAttributes WindowAttributes::Parse(const Attributes& a) {
  return {.auto_pad = ParseAutoPad(a),
          .kernel = a.Ints("kernel_shape"),
          .strides = a.Ints("strides"),
          .pads = a.Ints("pads"),
          .dilations = a.Ints("dilations")};
}

WindowAttributes WindowAttributes::ParsePool(const Attributes& a) {
  WindowAttributes w = Parse(a);
  w.ceil_mode = a.Int("ceil_mode", 0) != 0;
  return w;
}

void WindowAttributes::Complete(const InferContext& c, int rank) {
  if (rank < 1) c.Fail("{} has no spatial axes.", c.InputName(0));
  const auto fill = [&](std::vector<int64_t>& list, const char* name, size_t count, int64_t otherwise, int64_t least) {
    if (list.empty()) list.assign(count, otherwise);
    if (list.size() != count)
      c.Fail("attribute '{}' has {} values, but {} spatial axes want {}.", name, list.size(), rank, count);
    // Far beyond any image, and small enough that no sum below overflows.
    constexpr int64_t kMost = int64_t{1} << 31;
    for (int64_t v : list) {
      if (v < least || v > kMost) c.Fail("attribute '{}' holds {}, but must hold {} to {}.", name, v, least, kMost);
    }
  };
  const auto n = static_cast<size_t>(rank);
  if (kernel.empty()) c.Fail("attribute 'kernel_shape' is missing.");
  fill(kernel, "kernel_shape", n, 1, 1);
  fill(strides, "strides", n, 1, 1);
  fill(dilations, "dilations", n, 1, 1);
  fill(pads, "pads", 2 * n, 0, 0);
  const bool padded = std::any_of(pads.begin(), pads.end(), [](int64_t pad) { return pad != 0; });
  if (padded && auto_pad != AutoPad::kNotSet) c.Fail("has both attribute 'pads' and attribute 'auto_pad'.");
}

Dim WindowAttributes::OutputSize(const InferContext& c, int axis, const Dim& size) const {
  const int rank = static_cast<int>(kernel.size());
  const Dim stride = strides[axis];
  if (auto_pad == AutoPad::kSameUpper || auto_pad == AutoPad::kSameLower) return CeilDiv(size, stride);
  const int64_t begin = auto_pad == AutoPad::kValid ? 0 : pads[axis],
                end = auto_pad == AutoPad::kValid ? 0 : pads[axis + rank];
  const Dim room = size + (begin + end - Extent(axis));
  if (room.is_const() && room.value() < 0) {
    if (size == Dim(0)) return 0;
    // In ceil mode a window that is cut off by the end still counts, if it begins inside.
    if (!ceil_mode)
      c.Fail("a window of {} does not fit axis {} of {}, which is {} with its padding.", Extent(axis), axis + 2,
             c.InputName(0), (size + (begin + end)).ToString());
  }
  if (!ceil_mode) return FloorDiv(room, stride) + 1;
  const Dim positions = CeilDiv(room, stride) + 1;
  if (!positions.is_const() || !size.is_const()) return positions;
  // The last window has to begin inside of the image or the padding before it.
  const int64_t last = (positions.value() - 1) * stride.value();
  return last >= size.value() + begin ? positions - 1 : positions;
}

int64_t WindowAttributes::PadBegin(int axis, int64_t size, int64_t positions) const {
  if (auto_pad == AutoPad::kNotSet) return pads[axis];
  if (auto_pad == AutoPad::kValid) return 0;
  const int64_t total = std::max<int64_t>(0, (positions - 1) * strides[axis] + Extent(axis) - size);
  return auto_pad == AutoPad::kSameUpper ? total / 2 : total - total / 2;
}

int64_t WindowAttributes::PadEnd(int axis, int64_t size, int64_t positions) const {
  if (auto_pad == AutoPad::kNotSet) return pads[axis + kernel.size()];
  if (auto_pad == AutoPad::kValid) return 0;
  const int64_t total = std::max<int64_t>(0, (positions - 1) * strides[axis] + Extent(axis) - size);
  return total - PadBegin(axis, size, positions);
}

SymbolicShape WindowOutput(const InferContext& c, const WindowAttributes& window, const SymbolicShape& x,
                           const Dim& channels, bool channels_last) {
  const int rank = x.rank() - 2;
  std::vector<Dim> out = {x[0]};
  if (!channels_last) out.push_back(channels);
  for (int i = 0; i < rank; ++i) out.push_back(window.OutputSize(c, i, x[i + (channels_last ? 1 : 2)]));
  if (channels_last) out.push_back(channels);
  return out;
}

}  // namespace slipway
