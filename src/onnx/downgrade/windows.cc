#include <algorithm>
#include <numeric>

#include "onnx/downgrade/rules.h"

namespace slipway::onnx {
namespace {

/// A pool's windows, with pads in numbers. `over`: what rounding up adds at the end of each axis.
struct Windows {
  std::vector<int64_t> kernel, strides, dilations, begin, end, over;
};

int64_t CeilDiv(int64_t a, int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }

Windows Read(Rewrite& r) {
  const Attributes& a = r.attributes();
  Windows w;
  w.kernel = a.RequiredInts("kernel_shape");
  const size_t n = w.kernel.size();
  const std::vector<int64_t> ones(n, 1), zeros(n, 0);
  w.strides = a.Ints("strides", ones);
  w.dilations = a.Ints("dilations", ones);
  const auto pads = a.Ints("pads", std::vector<int64_t>(2 * n, 0));
  if (w.strides.size() != n || w.dilations.size() != n || pads.size() != 2 * n)
    throw Error(Code::kBadGraph, r.node().Describe(r.g) + ": strides, dilations and pads do not fit the kernel.");
  w.begin.assign(pads.begin(), pads.begin() + static_cast<int64_t>(n));
  w.end.assign(pads.begin() + static_cast<int64_t>(n), pads.end());
  w.over = zeros;
  const std::string auto_pad = a.String("auto_pad", "NOTSET");
  if (auto_pad == "VALID") w.begin = w.end = zeros;
  const bool same = auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER", ceil = a.Int("ceil_mode", 0) != 0;
  if (!same && !ceil) return w;
  for (size_t i = 0; i < n; ++i) {
    const auto size = r.Size(r.In(0), static_cast<int64_t>(i) + 2);
    if (!size) r.Fail("its pads depend on sizes that are not known.");
    const int64_t reach = (w.kernel[i] - 1) * w.dilations[i] + 1;
    if (same) {
      const int64_t all = std::max<int64_t>(0, (CeilDiv(*size, w.strides[i]) - 1) * w.strides[i] + reach - *size);
      w.begin[i] = auto_pad == "SAME_UPPER" ? all / 2 : all - all / 2;
      w.end[i] = all - w.begin[i];
    } else if (ceil) {
      const int64_t padded = *size + w.begin[i] + w.end[i];
      int64_t count = CeilDiv(padded - reach, w.strides[i]) + 1;
      // A window that would begin past the image and its first pads is none.
      if ((count - 1) * w.strides[i] >= *size + w.begin[i]) --count;
      w.over[i] = std::max<int64_t>(0, (count - 1) * w.strides[i] + reach - padded);
    }
  }
  return w;
}

std::vector<int64_t> Join(std::vector<int64_t> a, const std::vector<int64_t>& b, const std::vector<int64_t>& more) {
  for (size_t i = 0; i < b.size(); ++i) a.push_back(b[i] + more[i]);
  return a;
}

/// The sums over windows of [M, 1, spatial...].
ValueId Sums(Rewrite& r, ValueId x, const Windows& w, const std::vector<int64_t>& pads) {
  std::vector<int64_t> shape = {1, 1};
  shape.insert(shape.end(), w.kernel.begin(), w.kernel.end());
  const Shape kernel{std::span<const int64_t>(shape)};
  const ValueId ones = r.Floats(kernel, std::vector<float>(static_cast<size_t>(kernel.size()), 1), r.Elem(x));
  return r.Op("Conv", {x, ones},
              {{"kernel_shape", w.kernel}, {"strides", w.strides}, {"dilations", w.dilations}, {"pads", pads}});
}

/// Every channel as an image of its own.
ValueId Apart(Rewrite& r, ValueId x) {
  const int64_t rank = r.Rank(x);
  return r.ReshapeBy(x, r.Concat({r.Ints({-1, 1}), r.Slice(r.ShapeOf(x), 0, 2, rank)}, 0));
}

/// [M, 1, spatial...] as [N, C, spatial...].
ValueId Together(Rewrite& r, ValueId y, ValueId x) {
  const int64_t rank = r.Rank(x);
  return r.ReshapeBy(y, r.Concat({r.Slice(r.ShapeOf(x), 0, 0, 2), r.Slice(r.ShapeOf(y), 0, 2, rank)}, 0));
}

}  // namespace

/// Windows with holes: sums are those of a convolution with ones.
void PoolDilations(Rewrite& r) {
  const auto dilations = r.attributes().Ints("dilations");
  if (std::all_of(dilations.begin(), dilations.end(), [](int64_t d) { return d == 1; }))
    return r.attributes().Remove("dilations");
  if (r.node().op_type == "MaxPool") r.Fail("windows with dilations came with opset 10.");
  const Windows w = Read(r);
  const ValueId x = r.In(0);
  const bool include = r.attributes().Int("count_include_pad", 0) != 0;
  const ValueId sums = Sums(r, Apart(r, x), w, Join(w.begin, w.end, w.over));
  const int64_t rank = r.Rank(x);
  ValueId sizes = r.Slice(r.ShapeOf(x), 0, 2, rank);
  std::vector<int64_t> pads = Join(w.begin, w.end, w.over);
  if (include) {
    std::vector<int64_t> both = w.begin;
    for (size_t i = 0; i < both.size(); ++i) both[i] += w.end[i];
    sizes = r.Add(sizes, r.Ints(both));
    pads = Join(std::vector<int64_t>(both.size(), 0), w.over, std::vector<int64_t>(both.size(), 0));
  }
  const ValueId ones = r.Full(r.Concat({r.Ints({1, 1}), sizes}, 0), 1, r.Elem(x));
  r.Become({Together(r, r.Div(sums, Sums(r, ones, w, pads)), x)});
}

/// Rounding up, written as pads at the end.
void PoolCeil(Rewrite& r) {
  if (r.attributes().Int("ceil_mode", 0) == 0) return r.attributes().Remove("ceil_mode");
  const Windows w = Read(r);
  const bool pads_count = r.node().op_type == "AveragePool" && r.attributes().Int("count_include_pad", 0) != 0;
  if (pads_count && std::any_of(w.over.begin(), w.over.end(), [](int64_t n) { return n > 0; }))
    r.Fail("rounding up with pads that count came with opset 10.");
  Attributes& a = r.attributes();
  a.Remove("ceil_mode");
  a.Remove("auto_pad");
  std::vector<int64_t> pads = w.begin;
  for (size_t i = 0; i < w.end.size(); ++i) pads.push_back(w.end[i] + w.over[i]);
  a.Set("pads", pads);
}

void LpPoolBySums(Rewrite& r) {
  Attributes& a = r.attributes();
  const auto dilations = a.Ints("dilations");
  if (a.Int("ceil_mode", 0) == 0 && std::all_of(dilations.begin(), dilations.end(), [](int64_t d) { return d == 1; })) {
    a.Remove("ceil_mode");
    return a.Remove("dilations");
  }
  const Windows w = Read(r);
  const ValueId x = r.In(0);
  const auto p = static_cast<double>(a.Int("p", 2));
  const ValueId powers = r.Op("Pow", {r.Op("Abs", {x}), r.Like(p, x)});
  const ValueId sums = Sums(r, Apart(r, powers), w, Join(w.begin, w.end, w.over));
  r.Become({Together(r, r.Op("Pow", {sums, r.Like(1 / p, x)}), x)});
}

/// Columns are put back by a transposed convolution whose kernel has a one for each place in the block.
void ColToImageByConv(Rewrite& r) {
  const ValueId x = r.In(0), image = r.In(1);
  const auto block = r.Fixed(r.In(2), "input 2 ('block_shape')");
  const auto n = static_cast<int64_t>(block.size());
  const std::vector<int64_t> ones(block.size(), 1), zeros(block.size(), 0);
  const auto strides = r.attributes().Ints("strides", ones), dilations = r.attributes().Ints("dilations", ones);
  const auto pads = r.attributes().Ints("pads", std::vector<int64_t>(2 * block.size(), 0));
  std::vector<int64_t> weight_shape = {1, 1}, rest, begin, spare;
  int64_t places = 1;
  for (int64_t i = 0; i < n; ++i) {
    places *= block[i];
    weight_shape.push_back(block[i]);
    rest.push_back(pads[i] + pads[n + i] - dilations[i] * (block[i] - 1) - 1);
    begin.push_back(pads[i]);
    spare.push_back(strides[i] - 1);
  }
  weight_shape[0] = places;
  std::vector<float> weight(static_cast<size_t>(places * places), 0);
  for (int64_t i = 0; i < places; ++i) weight[i * places + i] = 1;
  // Blocks an axis: (size + pads - reach) / stride + 1.
  const ValueId counts = r.Add(r.Div(r.Add(image, r.Ints(rest)), r.Ints(strides)), r.Ints(ones));
  const ValueId columns = r.ReshapeBy(x, r.Concat({r.Ints({-1, places}), counts}, 0));
  ValueId y =
      r.Op("ConvTranspose", {columns, r.Floats(Shape(std::span<const int64_t>(weight_shape)), weight, r.Elem(x))},
           {{"strides", strides}, {"dilations", dilations}});
  if (spare != zeros) {
    std::vector<int64_t> all(static_cast<size_t>(n) + 4, 0);
    all.insert(all.end(), spare.begin(), spare.end());
    y = r.Op("Pad", {y, r.Ints(all)});
  }
  std::vector<int64_t> axes(static_cast<size_t>(n));
  std::iota(axes.begin(), axes.end(), 2);
  const ValueId from = r.Ints(begin);
  y = r.Op("Slice", {y, from, r.Add(from, image), r.Ints(axes)});
  r.Become({r.ReshapeBy(y, r.Concat({r.SizeOf(x, 0), r.Ints({-1}), image}, 0))});
}

void AffineGridByProduct(Rewrite& r) {
  const ValueId theta = r.In(0), size = r.In(1);
  const auto length = r.Size(size, 0);
  if (!length || (*length != 4 && *length != 5)) r.Fail("the rank of its result must be known.");
  const int64_t axes = *length - 2;
  const DType type = r.Elem(theta);
  const bool corners = r.attributes().Int("align_corners", 0) != 0;
  const ValueId spatial = r.Slice(size, 0, 2, *length);
  std::vector<ValueId> parts;
  for (int64_t i = axes - 1; i >= 0; --i) {  // x comes first
    const ValueId n = r.Slice(spatial, 0, i, i + 1), count = r.Cast(n, type), places = r.Cast(r.Count(n), type);
    const ValueId one = r.Num(1, type), two = r.Num(2, type);
    const ValueId line = corners ? r.Div(r.Mul(places, two), r.Op("Max", {r.Sub(count, one), one}))
                                 : r.Div(r.Add(r.Mul(places, two), one), count);
    std::vector<int64_t> others;
    for (int64_t j = 0; j < axes; ++j) {
      if (j != i) others.push_back(j);
    }
    parts.push_back(r.Unsqueeze(r.Op("Expand", {r.Unsqueeze(r.Sub(line, one), others), spatial}), {axes}));
  }
  parts.push_back(r.Unsqueeze(r.Full(spatial, 1, type), {axes}));
  const ValueId points = r.Reshape(r.Concat(parts, axes), {1, -1, axes + 1});
  const ValueId moved = r.Op("MatMul", {points, r.Transpose(theta, {0, 2, 1})});
  r.Become({r.ReshapeBy(moved, r.Concat({r.Slice(size, 0, 0, 1), spatial, r.Ints({axes})}, 0))});
}

namespace {

/// GridSample written out: for each axis the places that are read and their weights.
class GridSampler {
 public:
  explicit GridSampler(Rewrite& r) : r_(r), x_(r.In(0)), type_(r.Elem(r.In(1))) {
    mode_ = r.attributes().String("mode", "linear");
    padding_ = r.attributes().String("padding_mode", "zeros");
    corners_ = r.attributes().Int("align_corners", 0) != 0;
    axes_ = r.Rank(x_) - 2;
  }

  void Write() {
    const ValueId grid = r_.In(1);
    // Points: [N, P, axes].
    const ValueId points = r_.Reshape(grid, {0, -1, axes_});
    const ValueId sizes = r_.ShapeOf(x_);
    std::vector<std::vector<Tap>> taps;
    for (int64_t i = 0; i < axes_; ++i) {
      const ValueId at = r_.Squeeze(r_.Slice(points, 2, axes_ - 1 - i, axes_ - i), {2});
      taps.push_back(TapsOf(at, r_.Cast(r_.Slice(sizes, 0, i + 2, i + 3), type_)));
    }
    const ValueId flat = r_.Reshape(x_, {0, 0, -1});
    const ValueId channels = r_.SizeOf(x_, 1);
    ValueId sum = kNone;
    std::vector<size_t> pick(static_cast<size_t>(axes_), 0);
    for (bool more = true; more;) {
      ValueId place = kNone, weight = kNone;
      for (int64_t i = 0; i < axes_; ++i) {
        const Tap& tap = taps[i][pick[i]];
        const ValueId row = r_.Cast(tap.place, DType::kInt64);
        place = place == kNone ? row : r_.Add(r_.Mul(place, r_.Slice(sizes, 0, i + 2, i + 3)), row);
        if (tap.weight != kNone) weight = weight == kNone ? tap.weight : r_.Mul(weight, tap.weight);
      }
      const ValueId index = r_.Unsqueeze(place, {1});
      const ValueId wide = r_.Op("Expand", {index, r_.Concat({r_.Ints({1}), channels, r_.Ints({1})}, 0)});
      ValueId value = r_.Op("GatherElements", {flat, wide}, {{"axis", int64_t{2}}});
      if (weight != kNone) value = r_.Mul(value, r_.Cast(r_.Unsqueeze(weight, {1}), r_.Elem(x_)));
      sum = sum == kNone ? value : r_.Add(sum, value);
      more = false;
      for (size_t i = 0; i < pick.size() && !more; ++i) {
        more = ++pick[i] < taps[i].size();
        if (!more) pick[i] = 0;
      }
    }
    const ValueId shape = r_.Concat({r_.SizeOf(x_, 0), channels, r_.Slice(r_.ShapeOf(grid), 0, 1, axes_ + 1)}, 0);
    r_.Become({r_.ReshapeBy(sum, shape)});
  }

 private:
  struct Tap {
    ValueId place, weight;  // weight: kNone for 1
  };

  ValueId Num(double value) { return r_.Num(value, type_); }
  ValueId Clamp(ValueId v, ValueId size) { return r_.Op("Min", {r_.Op("Max", {v, Num(0)}), r_.Sub(size, Num(1))}); }

  ValueId InPixels(ValueId at, ValueId size) {
    const ValueId up = r_.Add(at, Num(1));
    if (corners_) return r_.Mul(up, r_.Div(r_.Sub(size, Num(1)), Num(2)));
    return r_.Div(r_.Sub(r_.Mul(up, size), Num(1)), Num(2));
  }

  /// Mirrored at the first and last pixels (their centres or outer edges) as often as it takes.
  ValueId Reflect(ValueId v, ValueId size) {
    const double low = corners_ ? 0 : -0.5;
    const ValueId span = corners_ ? r_.Sub(size, Num(1)) : size;
    const ValueId safe = r_.Op("Max", {span, Num(corners_ ? 1e-6 : 1)});
    const ValueId away = r_.Op("Abs", {r_.Sub(v, Num(low))});
    const ValueId turns = r_.Op("Floor", {r_.Div(away, safe)}), rest = r_.Sub(away, r_.Mul(turns, safe));
    const ValueId odd = r_.Sub(turns, r_.Mul(Num(2), r_.Op("Floor", {r_.Div(turns, Num(2))})));
    // rest on even turns, span - rest on odd ones.
    const ValueId place = r_.Add(rest, r_.Mul(odd, r_.Sub(safe, r_.Mul(Num(2), rest))));
    return r_.Add(place, Num(low));
  }

  Tap Bounded(ValueId place, ValueId weight, ValueId size) {
    if (padding_ != "zeros") {
      if (padding_ == "reflection") place = Reflect(place, size);
      return {Clamp(place, size), weight};
    }
    const ValueId outside =
        r_.Op("Or", {r_.Op("Less", {place, Num(0)}), r_.Op("Greater", {place, r_.Sub(size, Num(1))})});
    const ValueId inside = r_.Cast(r_.Not(outside), type_);
    return {Clamp(place, size), weight == kNone ? inside : r_.Mul(weight, inside)};
  }

  std::vector<Tap> TapsOf(ValueId at, ValueId size) {
    ValueId v = InPixels(at, size);
    if (mode_ != "cubic" && padding_ == "border") v = Clamp(v, size);
    if (mode_ != "cubic" && padding_ == "reflection") v = Clamp(Reflect(v, size), size);
    if (mode_ == "nearest") return {Bounded(r_.Op("Round", {v}), kNone, size)};
    const ValueId low = r_.Op("Floor", {v}), t = r_.Sub(v, low);
    if (mode_ != "cubic") {
      return {Bounded(low, r_.Sub(Num(1), t), size), Bounded(r_.Add(low, Num(1)), t, size)};
    }
    // Keys' kernel with a = -0.75, as a polynomial in the distance.
    constexpr double a = -0.75;
    const auto poly = [&](ValueId d, const std::vector<double>& c) {
      ValueId sum = Num(c[0]);
      for (size_t i = 1; i < c.size(); ++i) sum = r_.Add(r_.Mul(sum, d), Num(c[i]));
      return sum;
    };
    const ValueId u = r_.Sub(Num(1), t);
    const std::vector<double> near = {a + 2, -(a + 3), 0, 1}, far = {a, -5 * a, 8 * a, -4 * a};
    return {Bounded(r_.Sub(low, Num(1)), poly(r_.Add(t, Num(1)), far), size), Bounded(low, poly(t, near), size),
            Bounded(r_.Add(low, Num(1)), poly(u, near), size),
            Bounded(r_.Add(low, Num(2)), poly(r_.Add(u, Num(1)), far), size)};
  }

  Rewrite& r_;
  const ValueId x_;
  const DType type_;
  std::string mode_, padding_;
  bool corners_ = false;
  int64_t axes_ = 2;
};

}  // namespace

void GridSampleByGather(Rewrite& r) {
  // The names of modes before opset 20.
  if (r.attributes().String("mode", "linear") == "bilinear") r.attributes().Set("mode", std::string("linear"));
  if (r.attributes().String("mode", "linear") == "bicubic") r.attributes().Set("mode", std::string("cubic"));
  GridSampler(r).Write();
}

/// Opset 16 knew images alone, and other names for its modes.
void GridSampleOfImages(Rewrite& r) {
  if (r.target < 16 || r.Rank(r.In(0)) != 4) return GridSampleByGather(r);
  const std::string mode = r.attributes().String("mode", "linear");
  if (mode == "linear") r.attributes().Set("mode", std::string("bilinear"));
  if (mode == "cubic") r.attributes().Set("mode", std::string("bicubic"));
}

}  // namespace slipway::onnx
