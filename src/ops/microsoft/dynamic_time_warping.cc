#include <algorithm>
#include <limits>
#include <vector>

#include "ops/op.h"

namespace slipway {

/// The cheapest path from the first to the last corner of costs [M, N] or [1, M, N] by steps down, right and both; as
/// its rows and columns [2, steps]. com.microsoft DynamicTimeWarping.
struct DynamicTimeWarping {
  void Infer(InferContext& c) const {
    c.ExpectRank(0, 2, 3);
    if (c.HasRank(0)) {
      const SymbolicShape& x = c.Shape(0);
      if (x.rank() == 3 && x[0].Differs(1)) c.Fail("{} has shape {}.", c.InputName(0), x.ToString());
      for (int i = 1; i <= 2; ++i) {
        if (x[x.rank() - i] == Dim(0)) c.Fail("{} has shape {}: there is no path.", c.InputName(0), x.ToString());
      }
    }
    c.Out(0, DType::kInt32, {Dim(2), Dim::Unknown()});
  }

  void Run(RunContext& c) const {
    const int64_t rows = c.In(0).shape().Back(1), columns = c.In(0).shape().Back(0);
    if (rows == 0 || columns == 0) c.Fail("costs of shape {} have no path.", c.In(0).shape().ToString());
    const float* costs = c.In(0).data<float>();
    enum Step : uint8_t { kBoth, kDown, kRight };
    std::vector<Step> steps(rows * columns);
    std::vector<float> above(columns + 1, std::numeric_limits<float>::infinity()), now = above;
    above[0] = 0;
    for (int64_t i = 0; i < rows; ++i) {
      now[0] = std::numeric_limits<float>::infinity();
      for (int64_t j = 0; j < columns; ++j) {
        const float both = above[j], down = above[j + 1], right = now[j];
        const Step step = both < down && both < right ? kBoth : down < both && down < right ? kDown : kRight;
        steps[i * columns + j] = step;
        now[j + 1] = costs[i * columns + j] + (step == kBoth ? both : step == kDown ? down : right);
      }
      std::swap(above, now);
    }
    std::vector<std::pair<int32_t, int32_t>> path;
    int64_t i = rows - 1, j = columns - 1;
    while (true) {
      path.emplace_back(static_cast<int32_t>(i), static_cast<int32_t>(j));
      if (i == 0 && j == 0) break;
      const Step step = i == 0 ? kRight : j == 0 ? kDown : steps[i * columns + j];
      i -= step != kRight;
      j -= step != kDown;
    }
    const auto length = static_cast<int64_t>(path.size());
    Tensor& y = c.Allocate(0, DType::kInt32, {2, length});
    for (int64_t k = 0; k < length; ++k) {
      y.data<int32_t>()[k] = path[length - 1 - k].first;
      y.data<int32_t>()[length + k] = path[length - 1 - k].second;
    }
  }
};
extern const OpDef kMicrosoftDynamicTimeWarping =
    Define<DynamicTimeWarping>({.name = "DynamicTimeWarping", .domain = kMicrosoftDomain, .types = {DType::kFloat}});

}  // namespace slipway
