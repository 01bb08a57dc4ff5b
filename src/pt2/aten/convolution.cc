#include "pt2/converter.h"

namespace slipway::pt2 {
namespace {

/// Strides and the like, one a spatial axis.
struct Window {
  std::vector<int64_t> stride, padding, dilation, output_padding;
  int64_t groups = 1;
};

Window ReadWindow(Call& c, size_t axes) {
  Window w;
  w.stride = c.Ints("stride", axes, 1);
  w.dilation = c.Ints("dilation", axes, 1);
  w.output_padding = c.Ints("output_padding", axes, 0);
  w.groups = c.Int("groups", 1);
  const Argument* padding = c.Find("padding");
  if (padding && !padding->is(Argument::Kind::kString)) w.padding = c.Ints("padding", axes, 0);
  if (w.padding.empty()) w.padding.assign(axes, 0);
  return w;
}

Attributes ToAttributes(const Window& w, const TensorRef& weight) {
  std::vector<int64_t> pads = w.padding;
  pads.insert(pads.end(), w.padding.begin(), w.padding.end());
  Attributes attributes = {{"strides", w.stride}, {"pads", pads}, {"dilations", w.dilation}, {"group", w.groups}};
  std::vector<int64_t> kernel;
  for (int i = 2; i < weight.rank(); ++i) {
    if (weight.shape[i].is_int()) kernel.push_back(weight.shape[i].int_value());
  }
  if (static_cast<int>(kernel.size()) == weight.rank() - 2) attributes.Set("kernel_shape", kernel);
  return attributes;
}

void Convolve(Call& c, bool transposed) {
  TensorRef x = c.Tensor(c.node().inputs.at(0).first);
  const TensorRef weight = c.Tensor("weight"), bias = c.OptionalTensor("bias");
  if (weight.rank() < 3 || x.rank() < 2) c.Fail("its input has rank {}, its weight {}.", x.rank(), weight.rank());
  const size_t axes = static_cast<size_t>(weight.rank()) - 2;
  Window w = ReadWindow(c, axes);
  const bool single = x.rank() == weight.rank() - 1;  // a sample without a batch
  if (single) x.id = c.Unsqueeze(x.id, {0});
  Attributes attributes = ToAttributes(w, weight);
  if (transposed) {
    attributes.Set("output_padding", w.output_padding);
  } else if (c.String("padding", "") == "same") {
    // torch puts the odd one at the end.
    std::vector<int64_t> begin, end;
    for (size_t i = 0; i < axes; ++i) {
      const Expr size = weight.shape[2 + i];
      if (!size.is_int()) c.Fail("padding='same' with a kernel of a size that varies.");
      const int64_t total = w.dilation[i] * (size.int_value() - 1);
      begin.push_back(total / 2);
      end.push_back(total - total / 2);
    }
    begin.insert(begin.end(), end.begin(), end.end());
    attributes.Set("pads", begin);
  }
  ValueId y = c.Add(transposed ? "ConvTranspose" : "Conv", {x.id, weight.id, bias.id}, std::move(attributes));
  c.Out(single ? c.Squeeze(y, {0}) : y);
}

void Conv(Call& c) { Convolve(c, false); }
void ConvTranspose(Call& c) { Convolve(c, true); }
void Convolution(Call& c) { Convolve(c, c.Bool("transposed", false)); }

/// conv_tbc: time, batch, channels.
void ConvTbc(Call& c) {
  const TensorRef x = c.Tensor("self"), weight = c.Tensor("weight"), bias = c.Tensor("bias");
  const int64_t pad = c.Int("pad", 0);
  const ValueId y = c.Add("Conv", {c.Transpose(x.id, {1, 2, 0}), c.Transpose(weight.id, {2, 1, 0}), bias.id},
                          {{"pads", std::vector<int64_t>{pad, pad}}});
  c.Out(c.Transpose(y, {2, 0, 1}));
}

constexpr Conversion kConversions[] = {
    {"aten._convolution", Convolution},
    {"aten.conv1d", Conv},
    {"aten.conv2d", Conv},
    {"aten.conv3d", Conv},
    {"aten.conv_tbc", ConvTbc},
    {"aten.conv_transpose1d", ConvTranspose},
    {"aten.conv_transpose2d", ConvTranspose},
    {"aten.conv_transpose3d", ConvTranspose},
    {"aten.convolution", Convolution},
};

}  // namespace

const ConversionTable kConvolutionTable = {std::begin(kConversions), std::end(kConversions)};

}  // namespace slipway::pt2
