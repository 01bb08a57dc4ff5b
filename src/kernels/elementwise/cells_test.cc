#include "kernels/elementwise/cells.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/targets.h"
#include "kernels/testing.h"

namespace slipway::kernels {
namespace {

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

constexpr int64_t kSizes[] = {1, 3, 8, 15, 16, 17, 64, 67};

TEST(Cells, LstmIsItsDefinition) {
  for (const int64_t n : kSizes) {
    const std::vector<float> gates = Numbers(4 * n, 1, 2.0f), before = Numbers(n, 2, 2.0f);
    ForEachTarget([&] {
      std::vector<float> cell = before, hidden(n + 1, -7);
      LstmCells(gates.data(), n, cell.data(), hidden.data(), n);
      for (int64_t i = 0; i < n; ++i) {
        const double c = Sigmoid(gates[2 * n + i]) * before[i] + Sigmoid(gates[i]) * std::tanh(gates[3 * n + i]);
        ASSERT_NEAR(cell[i], c, 1e-6) << IsaName() << " n " << n << " at " << i;
        ASSERT_NEAR(hidden[i], Sigmoid(gates[n + i]) * std::tanh(c), 1e-6) << IsaName() << " n " << n << " at " << i;
      }
      ASSERT_EQ(hidden[n], -7);
    });
  }
}

TEST(Cells, GruIsItsDefinition) {
  for (const int64_t n : kSizes) {
    const std::vector<float> gates = Numbers(2 * n, 3, 2.0f), fresh = Numbers(n, 4, 2.0f), before = Numbers(n, 5, 2.0f);
    ForEachTarget([&] {
      std::vector<float> both = gates, hidden = before, reset_hidden(n + 1, -7);
      GruGates(both.data(), both.data() + n, hidden.data(), reset_hidden.data(), n);
      GruCells(both.data(), fresh.data(), hidden.data(), n);
      for (int64_t i = 0; i < n; ++i) {
        const double z = Sigmoid(gates[i]), r = Sigmoid(gates[n + i]);
        ASSERT_NEAR(both[n + i], r, 1e-6) << IsaName();
        ASSERT_NEAR(reset_hidden[i], r * before[i], 1e-6) << IsaName();
        ASSERT_NEAR(hidden[i], (1 - z) * std::tanh(fresh[i]) + z * before[i], 1e-6) << IsaName();
      }
      ASSERT_EQ(reset_hidden[n], -7);
    });
  }
}

}  // namespace
}  // namespace slipway::kernels
