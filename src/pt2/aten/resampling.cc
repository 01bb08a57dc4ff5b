#include <cmath>

#include "pt2/aten/shared.h"

namespace slipway::pt2 {
namespace {

/// The scales that the program gives, one a spatial axis; empty where sizes alone do.
std::vector<double> Scales(Call& c, int axes) {
  std::vector<double> out;
  if (const Argument* list = c.Find("scale_factors")) {
    for (const Argument& item : list->items) out.push_back(c.ToOperand(item).number->value());
    return out;
  }
  static constexpr std::string_view kNames[] = {"scales_d", "scales_h", "scales_w"};
  for (int i = 3 - axes; i < 3; ++i) {
    const std::string_view name = axes == 1 ? "scales" : kNames[i];
    if (!c.Has(name)) return {};
    out.push_back(c.Float(name, 1));
  }
  return out;
}

/// interpolate: `detail` is the mode, then "exact" or "smooth".
void Upsample(Call& c) {
  const TensorRef x = First(c);
  const int axes = x.rank() - 2;
  const Exprs shape = c.OutShape();
  const bool corners = c.Bool("align_corners", false);
  const std::string_view detail = c.detail();
  const bool nearest = detail.starts_with("nearest"), cubic = detail.starts_with("cubic");
  const bool exact = detail.ends_with("exact"), smooth = detail.ends_with("smooth");
  Attributes a = {{"mode", std::string(nearest ? "nearest" : cubic ? "cubic" : "linear")}};
  const char* where = corners ? "align_corners" : nearest && !exact ? "asymmetric" : "half_pixel";
  a.Set("coordinate_transformation_mode", std::string(where));
  if (nearest) a.Set("nearest_mode", std::string(exact ? "round_prefer_ceil" : "floor"));
  if (cubic) a.Set("cubic_coeff_a", smooth ? -0.5f : -0.75f);
  if (smooth) {
    a.Set("antialias", int64_t{1});
    a.Set("exclude_outside", int64_t{1});
  }
  const DType type = IsFloating(x.dtype) || nearest ? x.dtype : DType::kFloat;
  const ValueId from = c.Cast(x.id, type);
  const std::vector<double> scales = Scales(c, axes);
  // Sizes say the same where they are what the scales give, without rounding.
  bool by_scales = !scales.empty() && !corners;
  bool plain = true;
  for (int i = 0; i < axes && by_scales; ++i) {
    const Expr &in = x.shape[i + 2], &out = shape[i + 2];
    plain = plain && in.is_int() && out.is_int() && in.value() * scales[i] == out.value();
  }
  ValueId y;
  if (by_scales && !plain) {
    std::vector<float> all = {1, 1};
    for (const double s : scales) all.push_back(static_cast<float>(s));
    const ValueId given = c.Constant(slipway::Tensor::From<float>({static_cast<int64_t>(all.size())}, all));
    y = c.Add("Resize", {from, kNone, given}, std::move(a));
  } else if (smooth) {
    // The axes alone that change: the weights of smoothing are worked out from their sizes in older opsets.
    a.Set("axes", std::vector<int64_t>{2, 3});
    y = c.Add("Resize", {from, kNone, kNone, c.SizeVector({shape.at(2), shape.at(3)})}, std::move(a));
  } else {
    y = c.Add("Resize", {from, kNone, kNone, c.SizeVector(shape)}, std::move(a));
  }
  if (type != x.dtype) {
    y = c.Add("Round", {y});
    if (x.dtype == DType::kUint8) y = c.Add("Clip", {y, c.Scalar(0, type), c.Scalar(255, type)});
  }
  c.Out(y);
}

void GridSample(Call& c) {
  static constexpr const char* kModes[] = {"linear", "nearest", "cubic"};
  static constexpr const char* kPaddings[] = {"zeros", "border", "reflection"};
  const int64_t mode = c.Int("interpolation_mode"), padding = c.Int("padding_mode");
  if (mode < 0 || mode > 2 || padding < 0 || padding > 2) c.Fail("its mode or padding is not known.");
  c.Out(c.Add("GridSample", {First(c).id, c.Tensor("grid").id},
              {{"mode", std::string(kModes[mode])},
               {"padding_mode", std::string(kPaddings[padding])},
               {"align_corners", int64_t{c.Bool("align_corners", false)}}}));
}

void AffineGrid(Call& c) {
  c.Out(c.Add("AffineGrid", {c.Tensor("theta").id, c.SizeVector(c.Sizes("size"))},
              {{"align_corners", int64_t{c.Bool("align_corners", false)}}}));
}

constexpr Conversion kConversions[] = {
    {"aten._upsample_bicubic2d_aa", Upsample, "cubic smooth"},
    {"aten._upsample_bilinear2d_aa", Upsample, "linear smooth"},
    {"aten._upsample_nearest_exact1d", Upsample, "nearest exact"},
    {"aten._upsample_nearest_exact2d", Upsample, "nearest exact"},
    {"aten._upsample_nearest_exact3d", Upsample, "nearest exact"},
    {"aten.affine_grid_generator", AffineGrid},
    {"aten.grid_sampler", GridSample},
    {"aten.grid_sampler_2d", GridSample},
    {"aten.grid_sampler_3d", GridSample},
    {"aten.upsample_bicubic2d", Upsample, "cubic"},
    {"aten.upsample_bilinear2d", Upsample, "linear"},
    {"aten.upsample_linear1d", Upsample, "linear"},
    {"aten.upsample_nearest1d", Upsample, "nearest"},
    {"aten.upsample_nearest2d", Upsample, "nearest"},
    {"aten.upsample_nearest3d", Upsample, "nearest"},
    {"aten.upsample_trilinear3d", Upsample, "linear"},
};

}  // namespace

const ConversionTable kResamplingTable = {std::begin(kConversions), std::end(kConversions)};

}  // namespace slipway::pt2
