#include <gtest/gtest.h>

#include <random>

#include "plan/plan.h"

namespace slipway {
namespace {

bool HoldTogether(const Storage& a, const Storage& b) { return a.first <= b.last && b.first <= a.last; }
bool Overlap(const Storage& a, const Storage& b) {
  return a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
}

Storage Held(size_t bytes, int first, int last) {
  return {.place = Place::kArena, .bytes = bytes, .offset = 0, .first = first, .last = last};
}

TEST(AssignOffsets, AChainNeedsTwoBuffers) {
  std::vector<Storage> storages;
  for (int i = 0; i < 10; ++i) storages.push_back(Held(640, i, i + 1));
  EXPECT_EQ(AssignOffsets(storages), 1280u);
}

TEST(AssignOffsets, NothingThatHoldsTogetherOverlaps) {
  std::mt19937 random(1);
  for (int round = 0; round < 50; ++round) {
    std::vector<Storage> storages;
    for (int i = 0; i < 60; ++i) {
      const int first = static_cast<int>(random() % 40);
      storages.push_back(Held(random() % 5000, first, first + static_cast<int>(random() % 8)));
    }
    const size_t peak = AssignOffsets(storages);
    for (size_t i = 0; i < storages.size(); ++i) {
      EXPECT_EQ(storages[i].offset % 64, 0u);
      EXPECT_LE(storages[i].offset + storages[i].bytes, peak);
      for (size_t j = 0; j < i; ++j) {
        EXPECT_FALSE(HoldTogether(storages[i], storages[j]) && Overlap(storages[i], storages[j])) << i << " and " << j;
      }
    }
  }
}

TEST(AssignOffsets, OtherPlacesTakeNoRoom) {
  std::vector<Storage> storages = {Held(64, 0, 3), {.place = Place::kOutput, .bytes = 1 << 20, .first = 0, .last = 3}};
  EXPECT_EQ(AssignOffsets(storages), 64u);
}

}  // namespace
}  // namespace slipway
