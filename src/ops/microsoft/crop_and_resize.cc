#include <algorithm>
#include <cmath>

#include "ops/in_float.h"
#include "ops/indexing.h"

namespace slipway {

/// Boxes (y1, x1, y2, x2, each from 0 to 1) of images [N, C, H, W], brought to one size with corners on corners; what
/// lies outside of the image is `outside`. com.microsoft CropAndResize.
struct CropAndResize {
  bool nearest = false;
  float outside = 0;
  static CropAndResize Parse(const Attributes& a) {
    const std::string mode = a.String("mode", "bilinear");
    if (mode != "bilinear" && mode != "nearest")
      throw Error(Code::kBadGraph, fmt::format("attribute 'mode' is '{}', but must be bilinear or nearest.", mode));
    return {.nearest = mode == "nearest", .outside = a.Float("extrapolation_value", 0)};
  }

  void Infer(InferContext& c) const {
    c.ExpectRank(0, 4, 4);
    c.ExpectSameElem(1, 0);
    c.ExpectRank(1, 2, 2);
    for (int i : {2, 3}) {
      c.ExpectElem(i, {DType::kInt32});
      c.ExpectRank(i, 1, 1);
    }
    if (c.HasRank(1) && c.Shape(1)[1].Differs(4))
      c.Fail("{} has shape {}, but must be [boxes, 4].", c.InputName(1), c.Shape(1).ToString());
    if (c.HasRank(1) && c.HasRank(2) && c.Shape(1)[0].Differs(c.Shape(2)[0]))
      c.Fail("{} has shape {}, but there are {} boxes.", c.InputName(2), c.Shape(2).ToString(),
             c.Shape(1)[0].ToString());
    Dim height = Dim::Unknown(), width = Dim::Unknown();
    if (const auto size = c.Ints(3)) {
      if (size->size() != 2) c.Fail("{} must be a height and a width.", c.InputName(3));
      height = (*size)[0];
      width = (*size)[1];
      for (const Dim& d : *size) {
        if (d.is_const() && d.value() < 1) c.Fail("{} is {}, but must be 1 or more.", c.InputName(3), d.ToString());
      }
    }
    const Dim boxes = c.HasRank(1) ? c.Shape(1)[0] : Dim::Unknown();
    c.Out(0, c.Elem(0), {boxes, c.HasRank(0) ? c.Shape(0)[1] : Dim::Unknown(), height, width});
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    const Shape &x = c.In(0).shape(), &y = c.Out(0).shape();
    if (c.Out(0).size() == 0) return;
    const std::vector<int64_t> images = Images(c, x[0]);
    c.threads().ParallelFor(y[0], 1, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) {
        const float* box = c.In(1).data<float>() + b * 4;
        const float* image = c.In(0).data<float>() + images[b] * x.SizeFrom(1);
        float* out = c.Out(0).data<float>() + b * y.SizeFrom(1);
        for (int64_t i = 0; i < y[2]; ++i) {
          const float at_y = Place(box[0], box[2], i, y[2], x[2]);
          for (int64_t j = 0; j < y[3]; ++j) {
            const float at_x = Place(box[1], box[3], j, y[3], x[3]);
            const bool inside =
                at_y >= 0 && at_y <= static_cast<float>(x[2] - 1) && at_x >= 0 && at_x <= static_cast<float>(x[3] - 1);
            for (int64_t k = 0; k < x[1]; ++k) {
              out[(k * y[2] + i) * y[3] + j] = inside ? Sample(image + k * x[2] * x[3], x[3], at_y, at_x) : outside;
            }
          }
        }
      }
    });
  }

 private:
  static std::vector<int64_t> Images(const RunContext& c, int64_t count) {
    std::vector<int64_t> out(c.In(2).size());
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] = c.In(2).data<int32_t>()[i];
      if (out[i] < 0 || out[i] >= count) c.Fail("batch_indices names image {} of {}.", out[i], count);
    }
    return out;
  }

  /// Where point `i` of `points` lies on an axis of `size`, of which the box takes [from, to].
  static float Place(float from, float to, int64_t i, int64_t points, int64_t size) {
    const auto last = static_cast<float>(size - 1);
    if (points == 1) return 0.5f * (from + to) * last;
    if (i == points - 1) return to * last;
    return from * last + static_cast<float>(i) * ((to - from) * last / static_cast<float>(points - 1));
  }

  float Sample(const float* plane, int64_t width, float y, float x) const {
    if (nearest) return plane[static_cast<int64_t>(std::round(y)) * width + static_cast<int64_t>(std::round(x))];
    const auto top = static_cast<int64_t>(std::floor(y)), bottom = static_cast<int64_t>(std::ceil(y));
    const auto left = static_cast<int64_t>(std::floor(x)), right = static_cast<int64_t>(std::ceil(x));
    const float down = y - static_cast<float>(top), across = x - static_cast<float>(left);
    const auto row = [&](int64_t r) {
      return plane[r * width + left] + (plane[r * width + right] - plane[r * width + left]) * across;
    };
    return row(top) + (row(bottom) - row(top)) * down;
  }
};
extern const OpDef kMicrosoftCropAndResize = Define<CropAndResize>({.name = "CropAndResize",
                                                                    .domain = kMicrosoftDomain,
                                                                    .min_inputs = 4,
                                                                    .max_inputs = 4,
                                                                    .types = {DType::kFloat, DType::kFloat16}});

}  // namespace slipway
