#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "ops/ml/forest.h"
#include "ops/testing.h"

namespace slipway {
namespace {

using ml::Branch;
using ml::Ensemble;
using ml::Mode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::OpCall;
using testing::RunOp;
using testing::ToVector;

using Floats = std::vector<float>;
using Ints = std::vector<int64_t>;
using Strings = std::vector<std::string>;
using Items = std::vector<std::pair<std::string, Attribute>>;

/// Random trees over all modes, with whole numbers for thresholds, so that features often equal them.
Ensemble RandomTrees(std::mt19937& random, int trees, int depth, int features, int64_t targets) {
  Ensemble e{.targets = targets};
  const auto upto = [&](int n) { return static_cast<int>(random() % n); };
  const std::function<Branch(int)> grow = [&](int left) -> Branch {
    if (left == 0 || upto(5) == 0) {
      for (int i = upto(3); i >= 0; --i)
        e.votes.push_back({upto(static_cast<int>(targets)), static_cast<float>(upto(1000)) / 8 - 50});
      e.vote_ends.push_back(e.votes.size());
      return ~static_cast<Branch>(e.vote_ends.size() - 1);
    }
    const auto at = static_cast<Branch>(e.splits.size());
    e.splits.push_back({.feature = upto(features),
                        .mode = static_cast<Mode>(upto(7)),
                        .nan_yes = upto(2) == 0,
                        .value = upto(9) == 0 ? NAN : upto(7) - 3,
                        .set = static_cast<int32_t>(e.sets.size())});
    if (e.splits[at].mode == Mode::kMember) {
      e.sets.emplace_back();
      for (int i = upto(6); i > 0; --i) e.sets.back().push_back(upto(7) - 3);
    }
    const Branch yes = grow(left - 1), no = grow(left - 1);
    e.splits[at].yes = yes;
    e.splits[at].no = no;
    return at;
  };
  for (int i = 0; i < trees; ++i) e.roots.push_back(grow(depth));
  return e;
}

bool Answer(const Ensemble& e, const ml::Split& s, double x) {
  if (std::isnan(x)) return s.nan_yes || s.mode == Mode::kNeq;
  switch (s.mode) {
    case Mode::kLeq:
      return x <= s.value;
    case Mode::kLt:
      return x < s.value;
    case Mode::kGte:
      return x >= s.value;
    case Mode::kGt:
      return x > s.value;
    case Mode::kEq:
      return x == s.value;
    case Mode::kNeq:
      return x != s.value;
    default:
      return std::find(e.sets[s.set].begin(), e.sets[s.set].end(), x) != e.sets[s.set].end();
  }
}

std::vector<double> Plain(const Ensemble& e, const std::vector<double>& x) {
  std::vector<std::vector<double>> met(e.targets);
  for (Branch at : e.roots) {
    while (at >= 0) at = Answer(e, e.splits[at], x[e.splits[at].feature]) ? e.splits[at].yes : e.splits[at].no;
    for (size_t i = e.vote_begin(~at); i < e.vote_ends[~at]; ++i) met[e.votes[i].target].push_back(e.votes[i].weight);
  }
  std::vector<double> out(e.targets);
  for (int64_t t = 0; t < e.targets; ++t) {
    if (met[t].empty()) continue;
    double sum = 0;
    for (double v : met[t]) sum += v;
    out[t] = e.aggregate == ml::Aggregate::kSum       ? sum
             : e.aggregate == ml::Aggregate::kAverage ? sum / static_cast<double>(e.roots.size())
             : e.aggregate == ml::Aggregate::kMin     ? *std::min_element(met[t].begin(), met[t].end())
                                                      : *std::max_element(met[t].begin(), met[t].end());
  }
  return out;
}

template <class T>
void ExpectAsPlain(const Ensemble& e, std::mt19937& random, int64_t rows, int features, int threads) {
  std::vector<T> x;
  for (int64_t i = 0; i < rows * features; ++i) {
    const int kind = static_cast<int>(random() % 12);
    const double whole = static_cast<int>(random() % 9) - 4;
    if constexpr (std::is_floating_point_v<T>) {
      x.push_back(kind == 0   ? static_cast<T>(NAN)
                  : kind == 1 ? static_cast<T>(-INFINITY)
                  : kind == 2 ? static_cast<T>(-0.0)
                  : kind == 3 ? std::nextafter(static_cast<T>(whole), T{9})
                              : static_cast<T>(whole));
    } else {
      x.push_back(static_cast<T>(whole));
    }
  }
  const auto forest = MakeForest(e, kDTypeOf<T>);
  std::vector<double> got(rows * e.targets);
  forest->Score(Tensor::From<T>({rows, features}, x), rows, features, Threads(threads), got.data());
  for (int64_t r = 0; r < rows; ++r) {
    const std::vector<double> row(x.begin() + r * features, x.begin() + (r + 1) * features);
    const std::vector<double> want = Plain(e, row);
    for (int64_t t = 0; t < e.targets; ++t)
      ASSERT_NEAR(got[r * e.targets + t], want[t], 1e-9) << "row " << r << " of " << rows << ", target " << t;
  }
}

TEST(Forest, GoesWhereThePlainWalkGoes) {
  std::mt19937 random(7);
  for (int turn = 0; turn < 60; ++turn) {
    const int features = 1 + turn % 9, trees = turn % 4 == 0 ? 150 : 1 + turn % 20;
    Ensemble e = RandomTrees(random, trees, turn % 8, features, 1 + turn % 3);
    e.aggregate = static_cast<ml::Aggregate>(turn % 4);
    ml::CheckTrees(e);
    for (int64_t rows : {1, 7, 8, 9, 130}) {
      SCOPED_TRACE(turn);
      ExpectAsPlain<float>(e, random, rows, features, 1 + turn % 2);
      ExpectAsPlain<double>(e, random, rows, features, 1 + turn % 2);
      ExpectAsPlain<int64_t>(e, random, rows, features, 1 + turn % 2);
    }
  }
}

TEST(Forest, ThresholdsThatNoFloatHoldsStayDouble) {
  const double just_above = std::nextafter(1.0, 2.0);
  Ensemble e{.splits = {{.mode = Mode::kLt, .value = just_above, .yes = ~0, .no = ~1}},
             .roots = {0},
             .votes = {{0, 1}, {0, 2}},
             .vote_ends = {1, 2},
             .in_double = true};
  const auto forest = MakeForest(e, DType::kFloat);
  double got = 0;
  forest->Score(Tensor::From<float>({1, 1}, {1}), 1, 1, Threads(1), &got);
  EXPECT_EQ(got, 1);
}

TEST(Forest, DeepTreesAndManyFeatures) {
  // A chain: split i leads to leaf i or on; deep enough, and with features enough, for the wider nodes.
  constexpr int kDepth = 70000;
  Ensemble e{.roots = {0}};
  for (int i = 0; i < kDepth; ++i) {
    e.splits.push_back({.feature = i, .mode = Mode::kGt, .value = 0, .yes = ~i, .no = i + 1 < kDepth ? i + 1 : ~0});
    e.votes.push_back({0, static_cast<double>(i)});
    e.vote_ends.push_back(i + 1);
  }
  ml::CheckTrees(e);
  std::vector<float> x(kDepth);
  x[kDepth - 2] = 1;
  double got = 0;
  MakeForest(e, DType::kFloat)->Score(Tensor::From<float>({1, kDepth}, x), 1, kDepth, Threads(1), &got);
  EXPECT_EQ(got, kDepth - 2);
}

Items Stump(Ints yes, Ints no) {
  return {{"nodes_treeids", Ints{0, 0, 0}},     {"nodes_nodeids", Ints{0, 1, 2}},
          {"nodes_featureids", Ints{0, 0, 0}},  {"nodes_modes", Strings{"BRANCH_LEQ", "LEAF", "LEAF"}},
          {"nodes_values", Floats{2, 0, 0}},    {"nodes_truenodeids", std::move(yes)},
          {"nodes_falsenodeids", std::move(no)}};
}

TEST(TreeEnsemble, BinaryClassifierOfOneScore) {
  Items items = Stump({1, 0, 0}, {2, 0, 0});
  items.insert(items.end(), {{"class_treeids", Ints{0, 0}},
                             {"class_nodeids", Ints{1, 2}},
                             {"class_ids", Ints{0, 0}},
                             {"class_weights", Floats{0.25f, 0.75f}},
                             {"classlabels_strings", Strings{"no", "yes"}}});
  const auto out =
      RunOp({"TreeEnsembleClassifier", {Tensor::From<float>({2, 1}, {2, 3})}, items, 2, std::string(kMlDomain)});
  EXPECT_THAT(ToVector<std::string>(out[0].tensor()), ElementsAre("no", "yes"));
  EXPECT_THAT(ToVector<float>(out[1].tensor()), ElementsAre(0.75f, 0.25f, 0.25f, 0.75f));
}

TEST(TreeEnsemble, RefusesMalformedTrees) {
  const Items votes = {{"target_treeids", Ints{0, 0}},
                       {"target_nodeids", Ints{1, 2}},
                       {"target_ids", Ints{0, 0}},
                       {"target_weights", Floats{1, 2}},
                       {"n_targets", int64_t{1}}};
  const struct {
    Items items;
    std::pair<std::string, Attribute> changed;
    const char* want;
  } cases[] = {
      {Stump({0, 0, 0}, {2, 0, 0}), {"n_targets", int64_t{1}}, "leads back to itself"},
      {Stump({7, 0, 0}, {2, 0, 0}), {"n_targets", int64_t{1}}, "no node 7"},
      {Stump({1, 0, 0}, {2, 0, 0}), {"target_ids", Ints{0, 1}}, "outside [0, 1)"},
      {Stump({1, 0, 0}, {2, 0, 0}), {"target_nodeids", Ints{1, 5}}, "no node 5"},
      {Stump({1, 0, 0}, {2, 0, 0}), {"nodes_nodeids", Ints{0, 1, 1}}, "is there twice"},
      {Stump({1, 0, 0}, {2, 0, 0}), {"nodes_values", Floats{1}}, "'nodes_values' has 1 elements"},
      {Stump({1, 0, 0}, {2, 0, 0}), {"nodes_featureids", Ints{-1, 0, 0}}, "feature -1"},
      {Stump({1, 0, 0}, {2, 0, 0}), {"nodes_featureids", Ints{1, 0, 0}}, "feature 1"},
      {Stump({1, 0, 0}, {2, 0, 0}), {"nodes_modes", Strings{"BRANCH", "LEAF", "LEAF"}}, "'BRANCH'"},
      {Stump({1, 0, 0}, {2, 0, 0}), {"base_values", Floats{1, 2}}, "base_values"},
  };
  for (const auto& c : cases) {
    Items items = c.items;
    for (const auto& v : votes) items.push_back(v);
    std::erase_if(items, [&](const auto& i) { return i.first == c.changed.first; });
    items.push_back(c.changed);
    std::string message = "no error";
    try {
      RunOp({"TreeEnsembleRegressor", {Tensor::From<float>({1, 1}, {1})}, items, 1, std::string(kMlDomain)});
    } catch (const Error& e) {
      message = e.what();
    }
    EXPECT_THAT(message, HasSubstr(c.want));
  }
}

}  // namespace
}  // namespace slipway
