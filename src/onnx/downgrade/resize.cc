#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "onnx/downgrade/rules.h"

namespace slipway::onnx {
namespace {

/// What a Resize says about one axis.
struct Scaling {
  int64_t in, out;
  double scale;
  double wanted;  ///< the size before it was rounded
};

double Coordinate(const std::string& mode, const Scaling& s, int64_t x) {
  const auto in = static_cast<double>(s.in), out = static_cast<double>(s.out);
  const double at = static_cast<double>(x);
  if (mode == "asymmetric") return at / s.scale;
  if (mode == "tf_half_pixel_for_nn") return (at + 0.5) / s.scale;
  if (mode == "align_corners") {
    // As the operator has it: scales that lead past the last whole element place the corners there.
    const double length = s.wanted - out > 1e-5 * out && s.wanted < out + 1 ? s.wanted : out;
    return s.out > 1 ? at * (in - 1) / (length - 1) : 0;
  }
  if (mode == "pytorch_half_pixel") return s.out > 1 ? (at + 0.5) / s.scale - 0.5 : 0;
  if (mode == "half_pixel_symmetric") return in / 2 * (1 - out / s.wanted) + (at + 0.5) / s.scale - 0.5;
  return (at + 0.5) / s.scale - 0.5;
}

int64_t Nearest(const std::string& mode, double at) {
  if (mode == "floor") return static_cast<int64_t>(std::floor(at));
  if (mode == "ceil") return static_cast<int64_t>(std::ceil(at));
  const double low = std::floor(at);
  if (at - low == 0.5) return static_cast<int64_t>(mode == "round_prefer_ceil" ? low + 1 : low);
  return static_cast<int64_t>(std::round(at));
}

double Kernel(bool cubic, double a, double d) {
  d = std::abs(d);
  if (!cubic) return std::max(0.0, 1 - d);
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  if (d < 2) return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  return 0;
}

/// The weights of each input for each output: [out, in].
std::vector<float> WeightsOf(const Attributes& a, const Scaling& s) {
  const bool cubic = a.String("mode", "nearest") == "cubic", excludes = a.Int("exclude_outside", 0) != 0;
  const bool smooth = a.Int("antialias", 0) != 0 && s.scale < 1;
  const double slope = a.Float("cubic_coeff_a", -0.75f), stretch = smooth ? s.scale : 1;
  const std::string mode = a.String("coordinate_transformation_mode", "half_pixel");
  const double reach = (cubic ? 2 : 1) / stretch;
  std::vector<float> weights(static_cast<size_t>(s.out * s.in), 0);
  for (int64_t o = 0; o < s.out; ++o) {
    const double at = Coordinate(mode, s, o);
    std::vector<double> row(static_cast<size_t>(s.in), 0);
    double sum = 0;
    for (auto i = static_cast<int64_t>(std::floor(at - reach)); i <= static_cast<int64_t>(std::ceil(at + reach)); ++i) {
      const bool outside = i < 0 || i >= s.in;
      if (outside && excludes) continue;
      const double weight = Kernel(cubic, slope, (static_cast<double>(i) - at) * stretch);
      row[std::clamp<int64_t>(i, 0, s.in - 1)] += weight;
      sum += weight;
    }
    for (int64_t i = 0; i < s.in; ++i) {
      weights[o * s.in + i] = static_cast<float>(excludes || smooth ? row[i] / sum : row[i]);
    }
  }
  return weights;
}

std::vector<int64_t> AxesOf(Rewrite& r) {
  std::vector<int64_t> all(static_cast<size_t>(r.Rank(r.In(0))));
  std::iota(all.begin(), all.end(), 0);
  std::vector<int64_t> axes = r.attributes().Ints("axes", all);
  for (int64_t& axis : axes) axis = r.Axis(r.In(0), axis);
  return axes;
}

/// The scaling of every axis, in numbers.
std::vector<Scaling> Scalings(Rewrite& r) {
  const ValueId x = r.In(0);
  const auto axes = AxesOf(r);
  std::vector<Scaling> out;
  for (int64_t axis = 0; axis < r.Rank(x); ++axis) {
    const auto size = r.Size(x, axis);
    const bool named = std::count(axes.begin(), axes.end(), axis) > 0;
    if (!size && named) r.Fail("the sizes of its input must be known.");
    const int64_t n = size.value_or(1);
    out.push_back({n, n, 1, static_cast<double>(n)});
  }
  const auto set = [&](int64_t axis, double scale, int64_t size) {
    out[axis].scale = scale;
    out[axis].out = size;
    out[axis].wanted = scale * static_cast<double>(out[axis].in);
  };
  if (r.Has(3)) {
    const auto sizes = r.Fixed(r.In(3), "input 3 ('sizes')");
    const std::string policy = r.attributes().String("keep_aspect_ratio_policy", "stretch");
    double common = policy == "not_larger" ? std::numeric_limits<double>::infinity() : 0;
    for (size_t i = 0; i < axes.size() && policy != "stretch"; ++i) {
      const double scale = static_cast<double>(sizes[i]) / static_cast<double>(out[axes[i]].in);
      common = policy == "not_larger" ? std::min(common, scale) : std::max(common, scale);
    }
    for (size_t i = 0; i < axes.size(); ++i) {
      const auto in = static_cast<double>(out[axes[i]].in);
      if (policy == "stretch")
        set(axes[i], static_cast<double>(sizes[i]) / in, sizes[i]);
      else
        set(axes[i], common, static_cast<int64_t>(std::floor(common * in + 0.5)));
    }
  } else {
    const Tensor* scales = r.g.Constant(r.In(2));
    if (!scales || scales->dtype() != DType::kFloat) r.Fail("input 2 ('scales') must be constant in it.");
    for (size_t i = 0; i < axes.size(); ++i) {
      const double scale = scales->data<float>()[i];
      set(axes[i], scale, static_cast<int64_t>(std::floor(static_cast<double>(out[axes[i]].in) * scale)));
    }
  }
  return out;
}

/// Each axis by a product with its weights, or by picking.
void ResizeByAxes(Rewrite& r) {
  const Attributes a = r.attributes();
  const std::string where = a.String("coordinate_transformation_mode", "half_pixel");
  if (where == "tf_crop_and_resize") r.Fail("cropping while resizing cannot be decomposed.");
  const bool nearest = a.String("mode", "nearest") == "nearest";
  const auto scalings = Scalings(r);
  const auto rank = static_cast<int64_t>(scalings.size());
  const DType type = r.Elem(r.In(0));
  ValueId x = r.In(0);
  if (!nearest && !IsFloat(type)) x = r.Cast(x, DType::kFloat);
  for (int64_t axis = 0; axis < rank; ++axis) {
    const Scaling& s = scalings[axis];
    if (s.in == s.out && s.scale == 1) continue;
    if (nearest) {
      std::vector<int64_t> picks;
      for (int64_t o = 0; o < s.out; ++o) {
        const double at = Coordinate(where, s, o);
        picks.push_back(std::clamp<int64_t>(Nearest(a.String("nearest_mode", "round_prefer_floor"), at), 0, s.in - 1));
      }
      x = r.Op("Gather", {x, r.Ints(picks)}, {{"axis", axis}});
      continue;
    }
    const ValueId weights = r.Floats({s.out, s.in}, WeightsOf(a, s), r.Elem(x));
    std::vector<int64_t> perm(static_cast<size_t>(rank));
    std::iota(perm.begin(), perm.end(), 0);
    if (axis == rank - 2) {
      x = r.Op("MatMul", {weights, x});
    } else {
      std::swap(perm[axis], perm[rank - 1]);
      const ValueId last = axis == rank - 1 ? x : r.Transpose(x, perm);
      x = r.Op("MatMul", {last, r.Transpose(weights, {1, 0})});
      if (axis != rank - 1) x = r.Transpose(x, perm);
    }
  }
  r.Become({r.Cast(x, type)});
}

bool IsAsymmetric(const Attributes& a) {
  if (a.String("coordinate_transformation_mode", "half_pixel") != "asymmetric") return false;
  const std::string mode = a.String("mode", "nearest");
  return mode == "linear" || (mode == "nearest" && a.String("nearest_mode", "round_prefer_floor") == "floor");
}

}  // namespace

/// `axes`, `antialias`, a kept aspect ratio and the mode "half_pixel_symmetric" came later.
void ResizeOfOpset18(Rewrite& r) {
  Attributes& a = r.attributes();
  if (a.Int("antialias", 0) != 0 && a.String("mode", "nearest") != "nearest") return ResizeByAxes(r);
  a.Remove("antialias");
  if (a.String("coordinate_transformation_mode", "half_pixel") == "half_pixel_symmetric") return ResizeByAxes(r);
  if (a.String("keep_aspect_ratio_policy", "stretch") != "stretch" && r.Has(3)) {
    const auto scalings = Scalings(r);
    std::vector<int64_t> sizes;
    const auto axes = AxesOf(r);
    for (int64_t axis : axes) sizes.push_back(scalings[axis].out);
    r.g.SetInput(r.id, 3, r.Ints(sizes));
  }
  a.Remove("keep_aspect_ratio_policy");
  if (!a.Has("axes")) return;
  const auto axes = AxesOf(r);
  const int64_t rank = r.Rank(r.In(0));
  a.Remove("axes");
  std::vector<int64_t> places(static_cast<size_t>(rank), -1);
  for (size_t i = 0; i < axes.size(); ++i) places[axes[i]] = static_cast<int64_t>(i);
  // Axes that are not named stay as they are.
  const auto spread = [&](size_t which, int64_t from, const auto& otherwise) {
    const Tensor* constant = r.g.Constant(r.In(which));
    std::vector<ValueId> parts;
    std::vector<float> numbers;
    for (int64_t axis = 0; axis < rank; ++axis) {
      const int64_t place = from + places[axis];
      if (places[axis] < 0)
        parts.push_back(otherwise(axis));
      else if (!constant || constant->dtype() != DType::kFloat)
        parts.push_back(r.Slice(r.In(which), 0, place, place + 1));
      else
        parts.push_back(r.Floats({1}, {constant->data<float>()[place]}, DType::kFloat));
      const Tensor* part = r.g.Constant(parts.back());
      if (part && part->dtype() == DType::kFloat) numbers.push_back(*part->data<float>());
    }
    if (static_cast<int64_t>(numbers.size()) == rank) return r.Floats({rank}, numbers, DType::kFloat);
    return r.Concat(parts, 0);
  };
  const auto number = [&](float value) {
    return [&r, value](int64_t) { return r.Floats({1}, {value}, DType::kFloat); };
  };
  if (r.Has(1)) {
    // Begins, then ends.
    const ValueId whole =
        r.Concat({spread(1, 0, number(0)), spread(1, static_cast<int64_t>(axes.size()), number(1))}, 0);
    r.g.SetInput(r.id, 1, whole);
  }
  if (r.Has(3))
    r.g.SetInput(r.id, 3, spread(3, 0, [&](int64_t axis) { return r.SizeOf(r.In(0), axis); }));
  else
    r.g.SetInput(r.id, 2, spread(2, 0, number(1)));
}

/// The mode "half_pixel_symmetric" alone.
void ResizeSymmetric(Rewrite& r) {
  if (r.attributes().String("coordinate_transformation_mode", "half_pixel") == "half_pixel_symmetric") ResizeByAxes(r);
}

/// Inputs that are not used had to be there, empty.
void ResizeEmptyInputs(Rewrite& r) {
  const ValueId empty = r.Floats({0}, {}, DType::kFloat);
  for (size_t i : {1, 2}) {
    if (!r.Has(i)) r.g.SetInput(r.id, i, empty);
  }
}

/// Resize of inputs X and scales.
void ResizeOfOpset10(Rewrite& r) {
  const Attributes a = r.attributes();
  const bool empty = r.Has(2) && r.Size(r.In(2), 0) == 0;
  if (!IsAsymmetric(a)) return ResizeByAxes(r);
  ValueId scales = r.Has(2) && !empty ? r.In(2) : kNone;
  if (scales == kNone) {
    std::vector<float> numbers;
    for (const Scaling& s : Scalings(r)) {
      auto scale = static_cast<float>(s.scale);
      // Sizes are computed from scales again, rounding down.
      while (static_cast<int64_t>(std::floor(scale * static_cast<float>(s.in))) < s.out)
        scale = std::nextafter(scale, std::numeric_limits<float>::infinity());
      numbers.push_back(scale);
    }
    scales = r.Floats({static_cast<int64_t>(numbers.size())}, numbers, DType::kFloat);
  }
  r.RemoveInput(3);
  r.RemoveInput(2);
  r.g.SetInput(r.id, 1, scales);
  r.attributes() = {{"mode", a.String("mode", "nearest")}};
}

/// Upsample-9: as Resize-10, but it only makes larger. Upsample-7: scales are an attribute.
void UpsampleFromResize(Rewrite& r) {
  const Tensor* scales = r.g.Constant(r.In(1));
  const bool shrinks = !scales || std::any_of(scales->data<float>(), scales->data<float>() + scales->size(),
                                              [](float scale) { return scale < 1; });
  if (shrinks) {
    // As it was in opset 11, which the decomposition reads.
    Attributes& a = r.attributes();
    a.Set("coordinate_transformation_mode", std::string("asymmetric"));
    a.Set("nearest_mode", std::string("floor"));
    r.g.SetInput(r.id, 2, r.In(1));
    r.g.SetInput(r.id, 1, kNone);
    return ResizeByAxes(r);
  }
  r.node().op_type = "Upsample";
  if (r.target < 9) InputToFloats("scales", 1)(r);
}

}  // namespace slipway::onnx
