#include <algorithm>
#include <string>

#include "pt2/converter.h"

namespace slipway::pt2 {
namespace {

/// pad(self, pad, mode, value) and its forms of one mode each (`detail`). Pairs of sizes, from the last axis on; one
/// below 0 crops.
void Pad(Call& c) {
  const TensorRef x = c.Tensor("self");
  const Exprs pads = c.Sizes(c.Has("pad") ? "pad" : "padding");
  std::string mode = c.detail().empty() ? c.String("mode", "constant") : std::string(c.detail());
  if (pads.size() % 2 != 0 || pads.size() / 2 > x.shape.size()) {
    c.Fail("it pads {} sides of {} axes.", pads.size(), x.rank());
  }
  Exprs sides(2 * x.shape.size(), Expr(0));
  Exprs shape = x.shape;
  ValueId v = x.id;
  for (size_t i = 0; i < pads.size() / 2; ++i) {
    const size_t axis = x.shape.size() - 1 - i;
    Expr before = pads[2 * i], after = pads[2 * i + 1];
    const auto crops = [](const Expr& e) { return e.is_int() && e.int_value() < 0; };
    if (crops(before) || crops(after)) {
      const Expr from = crops(before) ? Expr(0) - before : Expr(0);
      const Expr to = crops(after) ? shape[axis] + after : shape[axis];
      v = c.Slice(v, static_cast<int>(axis), from, to);
      shape[axis] = to - from;
      if (crops(before)) before = 0;
      if (crops(after)) after = 0;
    }
    sides[axis] = before;
    sides[axis + x.shape.size()] = after;
  }
  if (std::all_of(sides.begin(), sides.end(), [](const Expr& e) { return e == Expr(0); })) {
    return c.Out(v == x.id ? c.Add("Identity", {v}) : v);
  }
  if (mode == "replicate") mode = "edge";
  if (mode == "circular") mode = "wrap";
  ValueId value = kNone;
  if (mode == "constant" && c.Has("value")) {
    const Expr number = c.Size("value");
    if (!(number.is_number() && number.value() == 0)) value = c.Scalar(number, x.dtype);
  }
  c.Out(c.Add("Pad", {v, c.SizeVector(sides), value}, {{"mode", mode}}));
}

/// How many windows fit along an axis.
Expr Windows(const Expr& size, int64_t kernel, int64_t dilation, int64_t padding, int64_t stride) {
  return FloorDiv(size + Expr(2 * padding - dilation * (kernel - 1) - 1), Expr(stride)) + Expr(1);
}

/// [kernel, windows]: where in the padded axis each element of each window lies.
ValueId Positions(Call& c, int64_t kernel, const Expr& windows, int64_t dilation, int64_t stride) {
  if (windows.is_int()) {
    slipway::Tensor t(DType::kInt64, {kernel, windows.int_value()});
    auto* out = t.data<int64_t>();
    for (int64_t k = 0; k < kernel; ++k) {
      for (int64_t w = 0; w < windows.int_value(); ++w) *out++ = k * dilation + w * stride;
    }
    return c.Constant(std::move(t));
  }
  const ValueId starts = c.Add("Range", {c.SizeScalar(0), c.SizeScalar(windows * Expr(stride)), c.SizeScalar(stride)});
  slipway::Tensor offsets(DType::kInt64, {kernel, 1});
  for (int64_t k = 0; k < kernel; ++k) offsets.data<int64_t>()[k] = k * dilation;
  return c.Add("Add", {c.Constant(std::move(offsets)), starts});
}

/// im2col: windows of an image as columns.
void Im2Col(Call& c) {
  TensorRef x = c.Tensor("self");
  const auto kernel = c.Ints("kernel_size", 2, 1), dilation = c.Ints("dilation", 2, 1);
  const auto padding = c.Ints("padding", 2, 0), stride = c.Ints("stride", 2, 1);
  const bool single = x.rank() == 3;
  ValueId v = x.id;
  Exprs shape = x.shape;
  if (single) {
    v = c.Unsqueeze(v, {0});
    shape.insert(shape.begin(), Expr(1));
  }
  if (shape.size() != 4) c.Fail("it takes images of 3 or 4 axes, not {}.", x.rank());
  if (padding[0] != 0 || padding[1] != 0) {
    v = c.Add("Pad", {v, c.IntsConstant({0, 0, padding[0], padding[1], 0, 0, padding[0], padding[1]})});
  }
  Exprs windows;
  for (int i = 0; i < 2; ++i) windows.push_back(Windows(shape[2 + i], kernel[i], dilation[i], padding[i], stride[i]));
  // [n, c, h, w] -> [n, c, kh, oh, w] -> [n, c, kh, oh, kw, ow] -> [n, c, kh, kw, oh, ow]
  v = c.Add("Gather", {v, Positions(c, kernel[0], windows[0], dilation[0], stride[0])}, {{"axis", int64_t{2}}});
  v = c.Add("Gather", {v, Positions(c, kernel[1], windows[1], dilation[1], stride[1])}, {{"axis", int64_t{4}}});
  v = c.Transpose(v, {0, 1, 2, 4, 3, 5});
  const Exprs wide = {shape[0], shape[1], Expr(kernel[0]), Expr(kernel[1]), windows[0], windows[1]};
  const Exprs flat = {shape[0], shape[1] * Expr(kernel[0] * kernel[1]), windows[0] * windows[1]};
  v = c.Reshape(v, wide, flat);
  c.Out(single ? c.Squeeze(v, {0}) : v);
}

/// col2im: the columns added up where they lie in the image.
void Col2Im(Call& c) {
  const TensorRef x = c.Tensor("self");
  const auto kernel = c.Ints("kernel_size", 2, 1), dilation = c.Ints("dilation", 2, 1);
  const auto padding = c.Ints("padding", 2, 0), stride = c.Ints("stride", 2, 1);
  const bool single = x.rank() == 2;
  const ValueId v = single ? c.Unsqueeze(x.id, {0}) : x.id;
  const ValueId y = c.Add("Col2Im", {v, c.SizeVector(c.Sizes("output_size")), c.IntsConstant(kernel)},
                          {{"dilations", dilation},
                           {"pads", std::vector<int64_t>{padding[0], padding[1], padding[0], padding[1]}},
                           {"strides", stride}});
  c.Out(single ? c.Squeeze(y, {0}) : y);
}

/// Differences of neighbours along an axis, n times over.
void Diff(Call& c) {
  const TensorRef x = c.Tensor("self");
  const int axis = x.Axis(c.Int("dim", -1));
  std::vector<ValueId> parts;
  Expr size = 0;
  for (const char* name : {"prepend", "self", "append"}) {
    const TensorRef t = c.OptionalTensor(name);
    if (!t.defined()) continue;
    parts.push_back(c.Cast(t.id, x.dtype));
    size = size + t.shape.at(axis);
  }
  ValueId v = c.Concat(parts, axis);
  for (int64_t n = c.Int("n", 1); n > 0; --n) {
    const ValueId high = c.Slice(v, axis, 1, size), low = c.Slice(v, axis, 0, size - Expr(1));
    v = c.Add(x.dtype == DType::kBool ? "Xor" : "Sub", {high, low});
    size = size - Expr(1);
  }
  c.Out(v == x.id ? c.Add("Identity", {v}) : v);
}

constexpr Conversion kConversions[] = {
    {"aten._pad_circular", Pad, "wrap"},
    {"aten.col2im", Col2Im},
    {"aten.constant_pad_nd", Pad, "constant"},
    {"aten.diff", Diff},
    {"aten.im2col", Im2Col},
    {"aten.pad", Pad},
    {"aten.reflection_pad1d", Pad, "reflect"},
    {"aten.reflection_pad2d", Pad, "reflect"},
    {"aten.reflection_pad3d", Pad, "reflect"},
    {"aten.replication_pad1d", Pad, "edge"},
    {"aten.replication_pad2d", Pad, "edge"},
    {"aten.replication_pad3d", Pad, "edge"},
};

}  // namespace

extern const ConversionTable kPadTable = {std::begin(kConversions), std::end(kConversions)};

}  // namespace slipway::pt2
