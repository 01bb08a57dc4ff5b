#include "kernels/conv/layout.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/targets.h"

namespace slipway::kernels {
namespace {

TEST(LayoutTest, Transposes) {
  ForEachTarget([] {
    for (const int64_t n : {1, 3}) {
      for (const int64_t rows : {1, 2, 3, 4, 5, 7, 8, 16, 17, 63, 200}) {
        for (const int64_t columns : {1, 2, 3, 4, 6, 15, 16, 17, 64, 65, 197}) {
          std::vector<float> in(static_cast<size_t>(n * rows * columns));
          for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i);
          std::vector<float> out(in.size() + 1, -1);
          TransposeMatrices(in.data(), n, rows, columns, out.data(), Threads(2));
          for (int64_t i = 0; i < n * rows * columns; ++i) {
            const int64_t m = i / (rows * columns);
            const int64_t r = i / columns % rows;
            const int64_t c = i % columns;
            ASSERT_EQ(out[static_cast<size_t>((m * columns + c) * rows + r)], static_cast<float>(i))
                << n << " x " << rows << " x " << columns << " on " << IsaName();
          }
          ASSERT_EQ(out.back(), -1) << n << " x " << rows << " x " << columns << " on " << IsaName();
        }
      }
    }
  });
}

}  // namespace
}  // namespace slipway::kernels
