#include "ops/conv_shape.h"

namespace slipway {
namespace {

void CheckChannels(const InferContext& c, const Dim& channels, int64_t group, int weights) {
  const SymbolicShape& w = c.Shape(weights);
  if (group < 1) c.Fail("attribute 'group' is {}, but must be 1 or more.", group);
  const Dim wanted = w[1] * Dim(group);
  if (channels.Differs(wanted)) {
    c.Fail("{} has {} channels, but weight {} with group {} wants {}.", c.InputName(0), channels.ToString(),
           c.InputName(weights), group, wanted.ToString());
  }
  if (w[0].is_const() && w[0].value() % group != 0)
    c.Fail("weight {} has {} output channels, which group {} does not divide.", c.InputName(weights), w[0].ToString(),
           group);
}

}  // namespace

void CheckConvBias(const InferContext& c, int bias, int w) {
  if (!c.HasRank(bias) || !c.HasRank(w) || c.Shape(w).rank() < 1) return;
  if (c.Shape(bias).rank() != 1 || c.Shape(bias)[0].Differs(c.Shape(w)[0])) {
    c.Fail("bias {} has shape {}, but must be [{}].", c.InputName(bias), c.Shape(bias).ToString(),
           c.Shape(w)[0].ToString());
  }
}

SymbolicShape ConvOutput(const InferContext& c, const WindowAttributes& window, int64_t group, bool channels_last,
                         int weights) {
  const SymbolicShape &x = c.Shape(0), &w = c.Shape(weights);
  if (!x.has_rank() || !w.has_rank()) return x.has_rank() ? SymbolicShape::OfRank(x.rank()) : SymbolicShape();
  if (x.rank() < 3) c.Fail("{} has shape {}, but an image wants [N, C, spatial...].", c.InputName(0), x.ToString());
  if (w.rank() != x.rank())
    c.Fail("{} has rank {}, but weight {} has rank {}.", c.InputName(0), x.rank(), c.InputName(weights), w.rank());
  const int channel_axis = channels_last ? x.rank() - 1 : 1;
  CheckChannels(c, x[channel_axis], group, weights);
  const WindowAttributes shaped = ConvWindow(c, window, weights);
  if (!shaped.kernel.empty()) return WindowOutput(c, shaped, x, w[0], channels_last);
  std::vector<Dim> out(SymbolicShape::OfRank(x.rank()).dims());
  out[0] = x[0];
  out[channel_axis] = w[0];
  return out;
}

WindowAttributes ConvWindow(const InferContext& c, const WindowAttributes& window, int weights) {
  WindowAttributes out = window;
  const SymbolicShape& w = c.Shape(weights);
  const int rank = w.rank() - 2;
  std::vector<int64_t> kernel;
  for (int i = 0; i < rank && w[i + 2].is_const(); ++i) kernel.push_back(w[i + 2].value());
  const bool known = static_cast<int>(kernel.size()) == rank;
  if (!out.kernel.empty() && known && out.kernel != kernel)
    c.Fail("attribute 'kernel_shape' does not agree with weight {} {}.", c.InputName(weights), w.ToString());
  if (out.kernel.empty() && !known) return out;
  if (out.kernel.empty()) out.kernel = kernel;
  out.Complete(c, rank);
  return out;
}

void FillConvWindow(WindowAttributes& window, const Shape& w) {
  const int rank = w.rank() - 2;
  if (window.kernel.empty()) window.kernel.assign(w.begin() + 2, w.end());
  if (window.strides.empty()) window.strides.assign(rank, 1);
  if (window.dilations.empty()) window.dilations.assign(rank, 1);
  if (window.pads.empty()) window.pads.assign(2 * rank, 0);
}

}  // namespace slipway
