#include "kernels/elementwise/halves.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

#include "kernels/targets.h"
#include "slipway/dtypes.h"

namespace slipway::kernels {
namespace {

template <class Half>
void ExpectAllHalves(DType type) {
  std::vector<uint16_t> every(65536 + 3);
  for (size_t i = 0; i < every.size(); ++i) every[i] = static_cast<uint16_t>(i);
  const auto n = static_cast<int64_t>(every.size());
  std::vector<float> wide(every.size());
  std::vector<uint16_t> back(every.size());
  HalvesToFloats(type, every.data(), wide.data(), n, Threads(2));
  FloatsToHalves(type, wide.data(), back.data(), n, Threads(2));
  for (size_t i = 0; i < every.size(); ++i) {
    const auto want = static_cast<float>(std::bit_cast<Half>(every[i]));
    if (std::isnan(want)) {
      ASSERT_TRUE(std::isnan(wide[i]) && std::isnan(static_cast<float>(std::bit_cast<Half>(back[i])))) << i;
    } else {
      ASSERT_EQ(std::bit_cast<uint32_t>(wide[i]), std::bit_cast<uint32_t>(want)) << IsaName() << " " << i;
      ASSERT_EQ(back[i], every[i]) << IsaName();
    }
  }
}

TEST(Halves, EveryOneWidensAndComesBack) {
  ForEachTarget([] {
    ExpectAllHalves<Float16>(DType::kFloat16);
    ExpectAllHalves<BFloat16>(DType::kBFloat16);
  });
}

TEST(Halves, FloatsRoundAsThePlainTypesDo) {
  std::vector<float> x;
  uint32_t bits = 12345;
  for (int i = 0; i < 20001; ++i) x.push_back(std::bit_cast<float>(bits = bits * 1664525 + 1013904223));
  for (float v : {65504.0f, 65519.0f, 65520.0f, 1e30f, 5.9e-8f, 2.9e-8f, 1.0009765f, 1.00048828125f}) x.push_back(v);
  const auto n = static_cast<int64_t>(x.size());
  ForEachTarget([&] {
    std::vector<uint16_t> half(x.size()), brain(x.size());
    FloatsToHalves(DType::kFloat16, x.data(), half.data(), n, Threads(2));
    FloatsToHalves(DType::kBFloat16, x.data(), brain.data(), n, Threads(2));
    for (size_t i = 0; i < x.size(); ++i) {
      if (std::isnan(x[i])) continue;
      ASSERT_EQ(half[i], std::bit_cast<uint16_t>(Float16(x[i]))) << IsaName() << " " << x[i];
      ASSERT_EQ(brain[i], std::bit_cast<uint16_t>(BFloat16(x[i]))) << IsaName() << " " << x[i];
    }
  });
}

}  // namespace
}  // namespace slipway::kernels
