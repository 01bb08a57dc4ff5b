#include <algorithm>
#include <limits>

#include "pt2/aten/shared.h"

namespace slipway::pt2 {
namespace {

/// The number of spatial axes, which is the operator's last digit but one: "2".
int SpatialAxes(Call& c) { return c.detail().back() - '0'; }

/// An image without a batch gets one of 1.
struct Batched {
  TensorRef x;
  bool added = false;
};

Batched WithBatch(Call& c, int axes) {
  Batched b{First(c)};
  if (b.x.rank() != axes + 1) return b;
  b.added = true;
  b.x.id = c.Unsqueeze(b.x.id, {0});
  b.x.shape.insert(b.x.shape.begin(), Expr(1));
  return b;
}

ValueId WithoutBatch(Call& c, const Batched& b, ValueId v) { return b.added ? c.Squeeze(v, {0}) : v; }

std::vector<int64_t> Twice(const std::vector<int64_t>& pads) {
  std::vector<int64_t> both = pads;
  both.insert(both.end(), pads.begin(), pads.end());
  return both;
}

struct Windows {
  std::vector<int64_t> kernel, stride, padding, dilation;
  bool ceil = false;

  Attributes ToAttributes() const {
    Attributes a = {{"kernel_shape", kernel}, {"strides", stride}, {"pads", Twice(padding)}, {"dilations", dilation}};
    if (ceil) a.Set("ceil_mode", int64_t{1});
    return a;
  }
};

Windows ReadWindows(Call& c, int axes) {
  Windows w;
  w.kernel = c.Ints("kernel_size", axes, 1);
  w.stride = c.Ints("stride").empty() ? w.kernel : c.Ints("stride", axes, 1);
  w.padding = c.Ints("padding", axes, 0);
  w.dilation = c.Ints("dilation", axes, 1);
  w.ceil = c.Bool("ceil_mode", false);
  return w;
}

/// Types that MaxPool takes.
DType Poolable(DType type) {
  if (IsFloating(type) || type == DType::kInt8 || type == DType::kUint8) return type;
  return DType::kDouble;
}

/// ONNX counts places over the whole tensor, torch in each image.
ValueId PlacesInImage(Call& c, ValueId places, const TensorRef& x) {
  Expr size = 1;
  for (int i = 2; i < x.rank(); ++i) size = size * x.shape[i];
  return c.Add("Mod", {places, c.SizeScalar(size)});
}

void MaxPool(Call& c) {
  const int axes = SpatialAxes(c);
  const Batched b = WithBatch(c, axes);
  const bool places = c.num_outputs() > 1 && c.Wants(1);
  const auto out =
      c.AddMany("MaxPool", {c.Cast(b.x.id, Poolable(b.x.dtype))}, places ? 2 : 1, ReadWindows(c, axes).ToAttributes());
  c.Out(0, WithoutBatch(c, b, out[0]));
  if (places) c.Out(1, WithoutBatch(c, b, PlacesInImage(c, out[1], b.x)));
}

void AveragePool(Call& c) {
  const int axes = SpatialAxes(c);
  const Batched b = WithBatch(c, axes);
  const Windows w = ReadWindows(c, axes);
  Attributes a = w.ToAttributes();
  const bool divides = c.Has("divisor_override");
  if (divides && w.ceil) c.Fail("divisor_override with ceil_mode has no ONNX form.");
  if (divides || c.Bool("count_include_pad", true)) a.Set("count_include_pad", int64_t{1});
  const DType type = IsFloating(b.x.dtype) ? b.x.dtype : DType::kFloat;
  ValueId y = c.Add("AveragePool", {c.Cast(b.x.id, type)}, std::move(a));
  if (divides) {
    double count = 1;
    for (const int64_t k : w.kernel) count *= static_cast<double>(k);
    y = c.Add("Mul", {y, c.Scalar(count / static_cast<double>(c.Int("divisor_override")), type)});
  }
  c.Out(WithoutBatch(c, b, y));
}

// ---- Pools that are told their output's size
// -----------------------------------------------------------------------------

/// The window along an axis, where all are alike: 0 where they are not, or a size is not known.
int64_t EvenWindow(const Expr& in, const Expr& out) {
  if (!in.is_int() || !out.is_int() || out.int_value() < 1 || in.int_value() % out.int_value() != 0) return 0;
  return in.int_value() / out.int_value();
}

/// True where an input lies in an output's window: from floor(i in / out) up to ceil((i + 1) in / out), as [out, in].
ValueId InWindow(Call& c, const Expr& in, const Expr& out) {
  const auto numbers = [&](const Expr& n) {
    return c.Add("Range", {c.SizeScalar(0), c.SizeScalar(n), c.SizeScalar(1)});
  };
  const ValueId i = c.Unsqueeze(numbers(out), {1}), j = c.Unsqueeze(numbers(in), {0});
  const ValueId n = c.SizeScalar(in), m = c.SizeScalar(out);
  const ValueId begin = c.Add("Div", {c.Add("Mul", {i, n}), m});
  const ValueId top = c.Add("Mul", {c.Add("Add", {i, c.SizeScalar(1)}), n});
  const ValueId end = c.Add("Div", {c.Add("Add", {top, c.SizeScalar(out - Expr(1))}), m});
  return c.Add("And", {c.Add("GreaterOrEqual", {j, begin}), c.Add("Less", {j, end})});
}

/// x with `axis` and the last one exchanged.
ValueId SwapWithLast(Call& c, ValueId x, int rank, int axis) {
  if (axis == rank - 1) return x;
  std::vector<int64_t> perm = Identity(rank);
  std::swap(perm[axis], perm[rank - 1]);
  return c.Transpose(x, perm);
}

struct Adaptive {
  Batched b;
  Exprs out;
  std::vector<int64_t> window;  ///< empty where the windows are not alike
  bool global = true;
};

Adaptive ReadAdaptive(Call& c) {
  const int axes = SpatialAxes(c);
  Adaptive a{.b = WithBatch(c, axes)};
  const Exprs shape = c.OutShape();
  a.out.assign(shape.end() - axes, shape.end());
  bool even = true;
  for (int i = 0; i < axes; ++i) {
    const int64_t w = EvenWindow(a.b.x.shape[i + 2], a.out[i]);
    even = even && w > 0;
    a.window.push_back(w);
    a.global = a.global && a.out[i] == Expr(1);
  }
  if (!even) a.window.clear();
  return a;
}

void AdaptiveAverage(Call& c) {
  const Adaptive a = ReadAdaptive(c);
  const TensorRef& x = a.b.x;
  if (a.global) return c.Out(WithoutBatch(c, a.b, c.Add("GlobalAveragePool", {x.id})));
  if (!a.window.empty()) {
    return c.Out(
        WithoutBatch(c, a.b, c.Add("AveragePool", {x.id}, {{"kernel_shape", a.window}, {"strides", a.window}})));
  }
  // A mean over a box is one of means along its axes.
  ValueId y = x.id;
  for (size_t i = 0; i < a.out.size(); ++i) {
    const int axis = static_cast<int>(i) + 2;
    if (a.out[i] == x.shape[axis]) continue;
    const ValueId inside = c.Cast(InWindow(c, x.shape[axis], a.out[i]), x.dtype);
    const ValueId count = c.Add("ReduceSum", {inside, c.IntsConstant({1})});
    const ValueId weights = c.Transpose(c.Add("Div", {inside, count}), {1, 0});
    y = SwapWithLast(c, c.Add("MatMul", {SwapWithLast(c, y, x.rank(), axis), weights}), x.rank(), axis);
  }
  c.Out(WithoutBatch(c, a.b, y));
}

void AdaptiveMax(Call& c) {
  const Adaptive a = ReadAdaptive(c);
  const TensorRef& x = a.b.x;
  const bool places = c.num_outputs() > 1 && c.Wants(1);
  if (a.global) {
    // All of an image at once.
    Expr size = 1;
    for (int i = 2; i < x.rank(); ++i) size = size * x.shape[i];
    const Exprs flat = {x.shape[0], x.shape[1], size};
    Exprs small = {x.shape[0], x.shape[1]};
    small.insert(small.end(), a.out.begin(), a.out.end());
    c.Out(0, WithoutBatch(c, a.b, c.Add("GlobalMaxPool", {x.id})));
    if (!places) return;
    const ValueId at = c.Add("ArgMax", {c.Reshape(x.id, x.shape, flat)}, {{"axis", int64_t{2}}});
    return c.Out(1, WithoutBatch(c, a.b, c.Reshape(at, {flat[0], flat[1], Expr(1)}, small)));
  }
  if (!a.window.empty()) {
    const auto out = c.AddMany("MaxPool", {x.id}, places ? 2 : 1, {{"kernel_shape", a.window}, {"strides", a.window}});
    c.Out(0, WithoutBatch(c, a.b, out[0]));
    if (places) c.Out(1, WithoutBatch(c, a.b, PlacesInImage(c, out[1], x)));
    return;
  }
  // Axis by axis from the last: the greatest of each row, and its place in the image, the first of equals.
  ValueId y = x.id, place = kNone;
  Expr step = 1;
  for (int axis = x.rank() - 1; axis >= 2; --axis) {
    const ValueId row = c.Unsqueeze(SwapWithLast(c, y, x.rank(), axis), {-2});
    const ValueId shown = c.Add("Where", {InWindow(c, x.shape[axis], a.out[axis - 2]), row,
                                          c.Scalar(-std::numeric_limits<double>::infinity(), x.dtype)});
    const ValueId best = c.Add("ReduceMax", {shown, c.IntsConstant({-1})}, {{"keepdims", int64_t{0}}});
    y = SwapWithLast(c, best, x.rank(), axis);
    if (places) {
      const ValueId found = c.Add("ArgMax", {shown}, {{"axis", int64_t{-1}}, {"keepdims", int64_t{0}}});
      const ValueId at = SwapWithLast(c, found, x.rank(), axis);
      const ValueId before = c.Add("Mul", {at, c.SizeScalar(step)});
      place = place == kNone ? before
                             : c.Add("Add", {before, c.Add("GatherElements", {place, at}, {{"axis", int64_t{axis}}})});
    }
    step = step * x.shape[axis];
  }
  c.Out(0, WithoutBatch(c, a.b, y));
  if (places) c.Out(1, WithoutBatch(c, a.b, place));
}

/// Values back to where a MaxPool found them.
void MaxUnpool(Call& c) {
  const int axes = SpatialAxes(c);
  const Batched b = WithBatch(c, axes);
  TensorRef places = c.Tensor("indices");
  if (b.added) places.id = c.Unsqueeze(places.id, {0});
  Expr size = 1, have = 1;
  const Exprs shape = c.OutShape();
  for (int i = 0; i < axes; ++i) {
    size = size * shape[shape.size() - axes + i];
    have = have * b.x.shape[i + 2];
  }
  const Exprs from = {b.x.shape[0], b.x.shape[1], have}, to = {b.x.shape[0], b.x.shape[1], size};
  const ValueId zeros = c.Full(to, 0, b.x.dtype);
  const ValueId y =
      c.Add("ScatterElements", {zeros, c.Reshape(places.id, b.x.shape, from), c.Reshape(b.x.id, b.x.shape, from)},
            {{"axis", int64_t{2}}});
  c.Out(c.Reshape(y, to, shape));
}

// ---- Windows as columns
// -------------------------------------------------------------------------------------------------

void ImageToColumns(Call& c) {
  const Batched b = WithBatch(c, 2);
  const auto kernel = c.Ints("kernel_size", 2, 1), stride = c.Ints("stride", 2, 1), pad = c.Ints("padding", 2, 0),
             dilation = c.Ints("dilation", 2, 1);
  ValueId y = b.x.id;
  if (pad[0] != 0 || pad[1] != 0) y = c.Add("Pad", {y, c.IntsConstant({0, 0, pad[0], pad[1], 0, 0, pad[0], pad[1]})});
  Exprs counts;
  for (int i = 0; i < 2; ++i) {
    const Expr room = b.x.shape[i + 2] + Expr(2 * pad[i] - dilation[i] * (kernel[i] - 1) - 1);
    counts.push_back(FloorDiv(room, stride[i]) + Expr(1));
    // Places along the axis, [kernel, windows].
    std::vector<int64_t> taps;
    for (int64_t k = 0; k < kernel[i]; ++k) taps.push_back(k * dilation[i]);
    const ValueId numbers = c.Add("Range", {c.SizeScalar(0), c.SizeScalar(counts[i]), c.SizeScalar(1)});
    const ValueId starts = c.Unsqueeze(c.Add("Mul", {numbers, c.SizeScalar(stride[i])}), {0});
    const ValueId places = c.Add("Add", {c.Unsqueeze(c.IntsConstant(taps), {1}), starts});
    y = c.Add("Gather", {y, places}, {{"axis", int64_t{2 + 2 * i}}});
  }
  y = c.Transpose(y, {0, 1, 2, 4, 3, 5});
  const Exprs apart = {b.x.shape[0], b.x.shape[1], kernel[0], kernel[1], counts[0], counts[1]};
  const Exprs flat = {b.x.shape[0], b.x.shape[1] * Expr(kernel[0] * kernel[1]), counts[0] * counts[1]};
  c.Out(WithoutBatch(c, b, c.Reshape(y, apart, flat)));
}

void ColumnsToImage(Call& c) {
  const Batched b = WithBatch(c, 1);
  const auto kernel = c.Ints("kernel_size", 2, 1);
  c.Out(WithoutBatch(c, b,
                     c.Add("Col2Im", {b.x.id, c.SizeVector(c.Sizes("output_size")), c.IntsConstant(kernel)},
                           {{"strides", c.Ints("stride", 2, 1)},
                            {"pads", Twice(c.Ints("padding", 2, 0))},
                            {"dilations", c.Ints("dilation", 2, 1)}})));
}

constexpr Conversion kConversions[] = {
    {"aten._adaptive_avg_pool2d", AdaptiveAverage, "2"},
    {"aten._adaptive_avg_pool3d", AdaptiveAverage, "3"},
    {"aten.adaptive_avg_pool1d", AdaptiveAverage, "1"},
    {"aten.adaptive_avg_pool2d", AdaptiveAverage, "2"},
    {"aten.adaptive_avg_pool3d", AdaptiveAverage, "3"},
    {"aten.adaptive_max_pool1d", AdaptiveMax, "1"},
    {"aten.adaptive_max_pool2d", AdaptiveMax, "2"},
    {"aten.adaptive_max_pool3d", AdaptiveMax, "3"},
    {"aten.avg_pool1d", AveragePool, "1"},
    {"aten.avg_pool2d", AveragePool, "2"},
    {"aten.avg_pool3d", AveragePool, "3"},
    {"aten.col2im", ColumnsToImage},
    {"aten.im2col", ImageToColumns},
    {"aten.max_pool1d", MaxPool, "1"},
    {"aten.max_pool1d_with_indices", MaxPool, "1"},
    {"aten.max_pool2d", MaxPool, "2"},
    {"aten.max_pool2d_with_indices", MaxPool, "2"},
    {"aten.max_pool3d", MaxPool, "3"},
    {"aten.max_pool3d_with_indices", MaxPool, "3"},
    {"aten.max_unpool2d", MaxUnpool, "2"},
    {"aten.max_unpool3d", MaxUnpool, "3"},
};

}  // namespace

const ConversionTable kPoolingTable = {std::begin(kConversions), std::end(kConversions)};

}  // namespace slipway::pt2
