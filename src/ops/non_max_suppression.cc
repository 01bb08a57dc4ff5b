#include <algorithm>

#include "ops/indexing.h"
#include "ops/one_number.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

/// Boxes as corners, each coordinate in a row of its own so that one box is compared with many at once.
struct Boxes {
  std::vector<float> left, top, right, bottom, area;
  explicit Boxes(size_t n = 0) : left(n), top(n), right(n), bottom(n), area(n) {}

  void Put(size_t i, const Boxes& from, size_t j) {
    left[i] = from.left[j];
    top[i] = from.top[j];
    right[i] = from.right[j];
    bottom[i] = from.bottom[j];
    area[i] = from.area[j];
  }
};

Boxes CornersOf(const float* b, int64_t n, bool center) {
  Boxes out(n);
  for (int64_t i = 0; i < n; ++i, b += 4) {
    if (center) {  // x, y, width, height
      out.left[i] = b[0] - b[2] / 2;
      out.right[i] = b[0] + b[2] / 2;
      out.top[i] = b[1] - b[3] / 2;
      out.bottom[i] = b[1] + b[3] / 2;
    } else {  // y, x of any two opposite corners
      out.left[i] = std::min(b[1], b[3]);
      out.right[i] = std::max(b[1], b[3]);
      out.top[i] = std::min(b[0], b[2]);
      out.bottom[i] = std::max(b[0], b[2]);
    }
    out.area[i] = (out.right[i] - out.left[i]) * (out.bottom[i] - out.top[i]);
  }
  return out;
}

/// Whether box j of `all` overlaps one of the first n of `chosen` by more than the threshold. Those past n up to the
/// next eight are empty boxes, which nothing overlaps.
bool Overlaps(const Boxes& all, size_t j, const Boxes& chosen, size_t n, float threshold) {
  const float left = all.left[j], top = all.top[j], right = all.right[j], bottom = all.bottom[j], area = all.area[j];
  if (!(area > 0)) return false;
  for (size_t i = 0; i < n; i += 8) {
    int any = 0;
    for (size_t k = i; k < i + 8; ++k) {
      const float w = std::min(right, chosen.right[k]) - std::max(left, chosen.left[k]);
      const float h = std::min(bottom, chosen.bottom[k]) - std::max(top, chosen.top[k]);
      const float common = w * h, both = area + chosen.area[k] - common;
      any |= static_cast<int>(w > 0) & static_cast<int>(h > 0) & static_cast<int>(chosen.area[k] > 0) &
             static_cast<int>(both > 0) & static_cast<int>(common / both > threshold);
    }
    if (any) return true;
  }
  return false;
}

}  // namespace

/// For each image and class the boxes of the best scores, without those that overlap a better one: rows of image,
/// class, box. ONNX NonMaxSuppression, since 11.
struct NonMaxSuppression {
  bool center = false;
  static NonMaxSuppression Parse(const Attributes& a) {
    const int64_t center = a.Int("center_point_box", 0);
    if (center != 0 && center != 1)
      throw Error(Code::kBadGraph, fmt::format("attribute 'center_point_box' is {}, but must be 0 or 1.", center));
    return {.center = center == 1};
  }

  void Infer(InferContext& c) const {
    c.ExpectElem(1, {DType::kFloat});
    c.ExpectRank(0, 3, 3);
    c.ExpectRank(1, 3, 3);
    for (int i = 2; i < 5; ++i) {
      if (!c.Has(i)) continue;
      c.ExpectElem(i, {i == 2 ? DType::kInt64 : DType::kFloat});
      ExpectOne(c, i);
    }
    if (c.HasRank(0) && c.HasRank(1)) {
      const SymbolicShape &boxes = c.Shape(0), &scores = c.Shape(1);
      if (boxes[2].Differs(4) || boxes[0].Differs(scores[0]) || boxes[1].Differs(scores[2])) {
        c.Fail("boxes have shape {} and scores {}, but [batch, boxes, 4] and [batch, classes, boxes] are wanted.",
               boxes.ToString(), scores.ToString());
      }
    }
    c.Out(0, DType::kInt64, {Dim::Unknown(), 3});
  }

  void Run(RunContext& c) const {
    const Shape& shape = c.In(1).shape();
    const int64_t batches = shape[0], classes = shape[1], n = shape[2];
    const int64_t most = c.Has(2) ? std::clamp<int64_t>(*c.In(2).data<int64_t>(), 0, n) : 0;
    const float threshold = c.Has(3) ? *c.In(3).data<float>() : 0;
    const float least = c.Has(4) ? *c.In(4).data<float>() : -std::numeric_limits<float>::infinity();
    if (!(threshold >= 0 && threshold <= 1)) c.Fail("iou_threshold is {}, but must be from 0 to 1.", threshold);
    std::vector<std::vector<int64_t>> chosen(batches * classes);
    if (most > 0) {
      std::vector<Boxes> corners;
      for (int64_t b = 0; b < batches; ++b) corners.push_back(CornersOf(c.In(0).data<float>() + b * n * 4, n, center));
      c.threads().ParallelFor(batches * classes, GrainFor(n * 8), [&](int64_t begin, int64_t end) {
        Boxes kept(most + 8);
        std::vector<std::pair<float, int64_t>> order;
        for (int64_t i = begin; i < end; ++i) {
          const float* scores = c.In(1).data<float>() + i * n;
          order.clear();
          for (int64_t k = 0; k < n; ++k) {
            // Without a threshold the least score still counts; what is no number never does.
            if (scores[k] > least || (!c.Has(4) && scores[k] == least)) order.emplace_back(-scores[k], k);
          }
          Choose(order, corners[i / classes], most, threshold, kept, chosen[i]);
        }
      });
    }
    int64_t count = 0;
    for (const auto& list : chosen) count += static_cast<int64_t>(list.size());
    int64_t* out = c.Allocate(0, DType::kInt64, {count, 3}).data<int64_t>();
    for (int64_t i = 0; i < batches * classes; ++i) {
      for (int64_t box : chosen[i]) {
        *out++ = i / classes;
        *out++ = i % classes;
        *out++ = box;
      }
    }
  }

 private:
  /// Goes through the candidates from the best on, of equal scores the first box first. Sorted as far as needed only.
  static void Choose(std::vector<std::pair<float, int64_t>>& order, const Boxes& boxes, int64_t most, float threshold,
                     Boxes& kept, std::vector<int64_t>& out) {
    size_t sorted = 0, piece = std::max<size_t>(64, static_cast<size_t>(most));
    std::fill(kept.area.begin(), kept.area.end(), 0.0f);
    for (size_t i = 0; i < order.size() && static_cast<int64_t>(out.size()) < most; ++i) {
      if (i == sorted) {
        sorted = std::min(order.size(), sorted + piece);
        if (sorted < order.size()) std::nth_element(order.begin() + i, order.begin() + sorted, order.end());
        std::sort(order.begin() + i, order.begin() + sorted);
        piece *= 4;
      }
      const int64_t box = order[i].second;
      if (Overlaps(boxes, box, kept, out.size(), threshold)) continue;
      kept.Put(out.size(), boxes, box);
      out.push_back(box);
    }
  }
};
extern const OpDef kNonMaxSuppression = Define<NonMaxSuppression>(
    {.name = "NonMaxSuppression", .since = 11, .min_inputs = 2, .max_inputs = 5, .types = {DType::kFloat}});

}  // namespace slipway
