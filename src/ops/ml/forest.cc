#include "ops/ml/forest.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/dtype_visit.h"
#include "ops/ml/ml.h"

namespace slipway::ml {

void CheckTrees(const Ensemble& e) {
  std::vector<char> state(e.splits.size(), 0);  // 1: on the path, 2: done
  std::vector<Branch> path;
  for (size_t start = 0; start < e.splits.size(); ++start) {
    if (state[start] == 0) path.push_back(static_cast<Branch>(start));
    while (!path.empty()) {
      const Branch at = path.back();
      if (state[at] != 0) {
        state[at] = 2;
        path.pop_back();
        continue;
      }
      state[at] = 1;
      for (Branch next : {e.splits[at].yes, e.splits[at].no}) {
        if (next < 0 || state[next] == 2) continue;
        if (state[next] == 1) FailParse(fmt::format("the tree's node {} leads back to itself.", next));
        path.push_back(next);
      }
    }
  }
}

namespace {

/// Numbers as integers in the same order. NaN is none of them; it is put where the split at hand sends it.
int32_t KeyOf(float v) {
  const auto bits = std::bit_cast<int32_t>(v + 0.0f);  // -0 becomes 0
  return bits ^ ((bits >> 31) & INT32_MAX);
}
int64_t KeyOf(double v) {
  const auto bits = std::bit_cast<int64_t>(v + 0.0);
  return bits ^ ((bits >> 63) & INT64_MAX);
}

/// A split with one question: is the feature's key at most the threshold? Then left.
template <class Key>
struct Question {
  int32_t feature = 0;
  bool nan_left = false;
  Key threshold = 0;
  Branch left = 0, right = 0;
};

/// Puts every mode in terms of Question. Split i becomes question i and, where one does not do, others behind.
template <class Key>
class Questions {
 public:
  using Number = std::conditional_t<std::is_same_v<Key, int32_t>, float, double>;
  static constexpr Key kBelowAll = std::numeric_limits<Key>::min();

  explicit Questions(const Ensemble& e) : all(e.splits.size()) {
    for (size_t i = 0; i < e.splits.size(); ++i) Put(e, static_cast<Branch>(i));
  }
  std::vector<Question<Key>> all;

 private:
  void Put(const Ensemble& e, Branch at) {
    const Split& s = e.splits[at];
    if (s.mode == Mode::kMember) {
      std::vector<Key> keys;
      for (double v : e.sets[s.set]) {
        if (static_cast<double>(static_cast<Number>(v)) == v) keys.push_back(KeyOf(static_cast<Number>(v)));
      }
      std::sort(keys.begin(), keys.end());
      keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
      return AnyOf(s, keys, 0, keys.size(), at);
    }
    if (std::isnan(s.value)) {
      all[at] = {s.feature, s.nan_yes, kBelowAll, s.yes, s.mode == Mode::kNeq ? s.yes : s.no};
      return;
    }
    const Key key = KeyOf(static_cast<Number>(s.value));
    switch (s.mode) {
      case Mode::kLeq:
        all[at] = {s.feature, s.nan_yes, key, s.yes, s.no};
        return;
      case Mode::kLt:
        all[at] = {s.feature, s.nan_yes, key - 1, s.yes, s.no};
        return;
      case Mode::kGte:
        all[at] = {s.feature, !s.nan_yes, key - 1, s.no, s.yes};
        return;
      case Mode::kGt:
        all[at] = {s.feature, !s.nan_yes, key, s.no, s.yes};
        return;
      case Mode::kEq:
        return Is(s.feature, key, s.nan_yes, s.yes, s.no, at);
      default:
        return Is(s.feature, key, false, s.no, s.yes, at);
    }
  }

  void Is(int32_t feature, Key key, bool nan_yes, Branch yes, Branch no, Branch at) {
    const Branch not_below = Next();
    all[at] = {feature, nan_yes, key, not_below, no};
    all[not_below] = {feature, false, key - 1, no, yes};
  }

  void AnyOf(const Split& s, const std::vector<Key>& keys, size_t begin, size_t end, Branch at) {
    if (begin == end) {
      all[at] = {s.feature, s.nan_yes, kBelowAll, s.yes, s.no};
    } else if (end - begin == 1) {
      Is(s.feature, keys[begin], s.nan_yes, s.yes, s.no, at);
    } else {
      const size_t middle = begin + (end - begin) / 2;
      const Branch low = Next(), high = Next();
      all[at] = {s.feature, s.nan_yes, keys[middle - 1], low, high};
      AnyOf(s, keys, begin, middle, low);
      AnyOf(s, keys, middle, end, high);
    }
  }

  Branch Next() {
    if (all.size() >= INT32_MAX) FailParse("the trees have too many nodes.");
    all.emplace_back();
    return static_cast<Branch>(all.size() - 1);
  }
};

/// A node as it is walked: on to slot 2 * pair, or to the next where the column's key is above the threshold. A leaf
/// has its payload for a threshold and leads to itself, by way of a column whose key is below all or above all.
template <class Key, class Index>
struct Node {
  Key threshold;
  Index column;  // times kLanes
  Index pair;
};

/// Rows that are walked together, so that one row's loads hide behind the others'; their keys lie side by side.
constexpr int kLanes = 8;
/// Rows whose keys stay in the first cache while the trees go by.
constexpr int64_t kBlock = 64;
/// Trees that are added up before they are added to the whole: a fixed number, so that sums do not depend on who adds.
constexpr int64_t kChunk = 64;

template <class Key, class Index>
class ForestOf final : public Forest {
 public:
  using Number = typename Questions<Key>::Number;

  /// Null where an Index is too small for the trees.
  static std::unique_ptr<Forest> Make(const Ensemble& e) {
    auto forest = std::unique_ptr<ForestOf>(new ForestOf);
    return forest->Build(e) ? std::move(forest) : nullptr;
  }

  void Score(const Tensor& x, int64_t rows, int64_t features, const Threads& threads, double* scores) const override {
    if (rows == 0) return;
    VisitX(x, [&](const auto* data) {
      if (rows < kLanes) {
        ScoreFew(data, rows, features, threads, scores);
      } else {
        ScoreMany(data, rows, features, threads, scores);
      }
    });
  }

 private:
  using N = Node<Key, Index>;
  struct Tree {
    size_t first;  // among the nodes
    int depth;
  };
  struct Column {
    int32_t feature;
    bool nan_left;
    auto operator<=>(const Column&) const = default;
  };
  struct LeafVote {
    Number weight;
    int32_t target;
  };

  std::vector<N> nodes_;
  std::vector<Tree> trees_;
  std::vector<Column> columns_;
  std::vector<LeafVote> votes_;
  std::vector<size_t> vote_ends_;
  int64_t targets_ = 1;
  Aggregate aggregate_ = Aggregate::kSum;
  bool payload_is_weight_ = false;  // else the leaf's number

  static constexpr size_t kMaxIndex = std::numeric_limits<Index>::max();

  template <class F>
  static void VisitX(const Tensor& x, F&& f) {
    if constexpr (std::is_same_v<Key, int32_t>) {
      Visit(Types<float, Float16>{}, x.dtype(), "a float", [&]<class T>() { f(x.data<T>()); });
    } else {
      Visit(Types<float, Float16, double, int32_t, int64_t>{}, x.dtype(), "a number",
            [&]<class T>() { f(x.data<T>()); });
    }
  }

  // ---- building

  bool Build(const Ensemble& e) {
    const Questions<Key> questions(e);
    for (const auto& q : questions.all) columns_.push_back({q.feature, q.nan_left});
    std::sort(columns_.begin(), columns_.end());
    columns_.erase(std::unique(columns_.begin(), columns_.end()), columns_.end());
    if ((columns_.size() + 2) * kLanes > kMaxIndex) return false;
    targets_ = e.targets;
    aggregate_ = e.aggregate;
    PutVotes(e);
    std::vector<Index> pair_of(questions.all.size(), 0);
    std::vector<int> depths(questions.all.size(), 0);
    for (Branch root : e.roots) {
      if (!PutTree(e, questions.all, root, pair_of)) return false;
      trees_.back().depth = Depth(questions.all, root, depths);
    }
    return true;
  }

  Index ColumnOf(const Question<Key>& q) const {
    const auto found = std::lower_bound(columns_.begin(), columns_.end(), Column{q.feature, q.nan_left});
    return static_cast<Index>((found - columns_.begin()) * kLanes);
  }

  void PutVotes(const Ensemble& e) {
    payload_is_weight_ = targets_ == 1 && aggregate_ != Aggregate::kMin && aggregate_ != Aggregate::kMax;
    for (size_t leaf = 0; payload_is_weight_ && leaf < e.leaves(); ++leaf)
      payload_is_weight_ = e.vote_ends[leaf] - e.vote_begin(leaf) == 1;
    if (payload_is_weight_) return;
    for (const Vote& v : e.votes) votes_.push_back({static_cast<Number>(v.weight), v.target});
    vote_ends_ = e.vote_ends;
  }

  Key PayloadOf(const Ensemble& e, size_t leaf) const {
    if (!payload_is_weight_) return static_cast<Key>(leaf);
    const auto weight = static_cast<Number>(e.votes[e.vote_begin(leaf)].weight);
    // Any NaN is as good as another, and the largest key must stay above all.
    return std::bit_cast<Key>(weight != weight ? std::numeric_limits<Number>::quiet_NaN() : weight);
  }

  /// Lays a tree out in blocks of three levels, which lie close together in memory. `pair_of`, by question, is zeros
  /// before and after.
  bool PutTree(const Ensemble& e, const std::vector<Question<Key>>& questions, Branch root,
               std::vector<Index>& pair_of) {
    const size_t first = nodes_.size();
    const auto put = [&](Branch branch, size_t slot) {
      N& n = nodes_[first + slot];
      if (branch < 0) {
        const bool odd = slot % 2 == 1;
        n = {PayloadOf(e, ~branch), static_cast<Index>((columns_.size() + odd) * kLanes), static_cast<Index>(slot / 2)};
      } else {
        const Question<Key>& q = questions[branch];
        n = {q.threshold, ColumnOf(q), pair_of[branch]};
      }
    };
    nodes_.resize(first + 2);
    std::vector<Branch> blocks, met;
    if (root >= 0) blocks.push_back(root);
    while (!blocks.empty()) {
      std::vector<Branch> level = {blocks.back()}, next;
      blocks.pop_back();
      for (int depth = 0; depth < 3 && !level.empty(); ++depth, level.swap(next)) {
        next.clear();
        for (Branch at : level) {
          if (pair_of[at] != 0) continue;
          const size_t slot = nodes_.size() - first;
          if (slot / 2 > kMaxIndex || nodes_.size() > size_t{1} << 40) return false;
          pair_of[at] = static_cast<Index>(slot / 2);
          met.push_back(at);
          nodes_.resize(nodes_.size() + 2);
          for (Branch child : {questions[at].left, questions[at].right}) {
            if (child >= 0) next.push_back(child);
          }
        }
      }
      blocks.insert(blocks.end(), level.rbegin(), level.rend());
    }
    put(root, 0);
    if (nodes_.size() > first + 1) nodes_[first + 1] = nodes_[first];
    for (Branch at : met) {
      put(questions[at].left, size_t{pair_of[at]} * 2);
      put(questions[at].right, size_t{pair_of[at]} * 2 + 1);
    }
    trees_.push_back({first, 0});
    for (Branch at : met) pair_of[at] = 0;
    return true;
  }

  /// The questions on the longest path. `depths`, by question, holds what is known already.
  static int Depth(const std::vector<Question<Key>>& questions, Branch root, std::vector<int>& depths) {
    if (root < 0) return 0;
    std::vector<Branch> path = {root};
    while (!path.empty()) {
      const Branch at = path.back();
      int depth = 1;
      bool ready = true;
      for (Branch child : {questions[at].left, questions[at].right}) {
        if (child < 0) continue;
        if (depths[child] == 0) {
          path.push_back(child);
          ready = false;
        } else {
          depth = std::max(depth, depths[child] + 1);
        }
      }
      if (!ready) continue;
      depths[at] = depth;
      path.pop_back();
    }
    return depths[root];
  }

  // ---- walking

  size_t KeyRows() const { return (columns_.size() + 2) * kLanes; }

  template <class T>
  void PutKeys(const T* row, int lane, Key* keys) const {
    for (size_t i = 0; i < columns_.size(); ++i) {
      const T given = row[columns_[i].feature];
      Number v;
      if constexpr (std::is_same_v<T, Float16>) {
        v = static_cast<float>(given);
      } else {
        v = static_cast<Number>(given);
      }
      keys[i * kLanes + lane] = v == v                 ? KeyOf(v)
                                : columns_[i].nan_left ? std::numeric_limits<Key>::min()
                                                       : std::numeric_limits<Key>::max();
    }
    keys[columns_.size() * kLanes + lane] = std::numeric_limits<Key>::min();
    keys[(columns_.size() + 1) * kLanes + lane] = std::numeric_limits<Key>::max();
  }

  /// Goes from nodes at[i] of the trees at base[i] to the leaves; lane i reads its keys from lane i * Step.
  template <int Step, class Base>
  static void Walk(const Base& base, const Key* keys, int depth, std::array<N, kLanes>& at) {
    for (; depth > 0; depth -= 4) {
      for (int step = 0; step < 3; ++step) {
        for (int i = 0; i < kLanes; ++i)
          at[i] = base(i)[size_t{at[i].pair} * 2 + (keys[at[i].column + i * Step] > at[i].threshold)];
      }
      Index moved = 0;
      for (int i = 0; i < kLanes; ++i) {
        const N next = base(i)[size_t{at[i].pair} * 2 + (keys[at[i].column + i * Step] > at[i].threshold)];
        moved |= next.pair ^ at[i].pair;
        at[i] = next;
      }
      if (moved == 0) return;
    }
  }

  void Reset(double* scores, char* seen, int64_t n) const {
    std::fill(scores, scores + n, 0.0);
    if (seen) std::fill(seen, seen + n, 0);
  }

  bool ordered() const { return aggregate_ == Aggregate::kMin || aggregate_ == Aggregate::kMax; }

  void Take(double v, double& score, char& seen) const {
    if (!seen || (aggregate_ == Aggregate::kMin ? v < score : v > score)) score = v;
    seen = 1;
  }

  /// Adds what a leaf says to one row's scores.
  void Add(Key payload, double* scores, char* seen) const {
    if (payload_is_weight_) {
      *scores += std::bit_cast<Number>(payload);
      return;
    }
    const auto leaf = static_cast<size_t>(payload);
    for (size_t i = leaf == 0 ? 0 : vote_ends_[leaf - 1]; i < vote_ends_[leaf]; ++i) {
      const LeafVote& v = votes_[i];
      if (ordered()) {
        Take(v.weight, scores[v.target], seen[v.target]);
      } else {
        scores[v.target] += v.weight;
      }
    }
  }

  /// Adds a chunk of trees to the whole.
  void Merge(const double* part, const char* part_seen, int64_t n, double* scores, char* seen) const {
    for (int64_t i = 0; i < n; ++i) {
      if (!ordered()) {
        scores[i] += part[i];
      } else if (part_seen[i]) {
        Take(part[i], scores[i], seen[i]);
      }
    }
  }

  void Finish(double* scores, int64_t n) const {
    if (aggregate_ != Aggregate::kAverage) return;
    for (int64_t i = 0; i < n; ++i) scores[i] /= static_cast<double>(trees_.size());
  }

  int64_t chunks() const { return (static_cast<int64_t>(trees_.size()) + kChunk - 1) / kChunk; }

  /// Few rows: several trees at a time for each, and the threads share the trees.
  template <class T>
  void ScoreFew(const T* x, int64_t rows, int64_t features, const Threads& threads, double* scores) const {
    const int64_t n = rows * targets_;
    std::vector<Key> keys(KeyRows() * rows);
    for (int64_t r = 0; r < rows; ++r) PutKeys(x + r * features, 0, keys.data() + KeyRows() * r);
    std::vector<double> parts(chunks() * n);
    std::vector<char> parts_seen(ordered() ? chunks() * n : 0);
    threads.ParallelFor(chunks(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t chunk = begin; chunk < end; ++chunk) {
        const int64_t last = std::min<int64_t>((chunk + 1) * kChunk, static_cast<int64_t>(trees_.size()));
        for (int64_t r = 0; r < rows; ++r) {
          const int64_t at = chunk * n + r * targets_;
          AddTrees(keys.data() + KeyRows() * r, chunk * kChunk, last, parts.data() + at,
                   ordered() ? parts_seen.data() + at : nullptr);
        }
      }
    });
    std::vector<char> seen(ordered() ? n : 0);
    Reset(scores, ordered() ? seen.data() : nullptr, n);
    for (int64_t chunk = 0; chunk < chunks(); ++chunk)
      Merge(parts.data() + chunk * n, ordered() ? parts_seen.data() + chunk * n : nullptr, n, scores, seen.data());
    Finish(scores, n);
  }

  void AddTrees(const Key* keys, int64_t begin, int64_t end, double* scores, char* seen) const {
    for (int64_t t = begin; t < end; t += kLanes) {
      std::array<const N*, kLanes> base;
      std::array<N, kLanes> at;
      int depth = 0;
      for (int i = 0; i < kLanes; ++i) {
        const Tree& tree = trees_[std::min(t + i, end - 1)];
        base[i] = nodes_.data() + tree.first;
        at[i] = *base[i];
        depth = std::max(depth, tree.depth);
      }
      Walk<0>([&](int i) { return base[i]; }, keys, depth, at);
      for (int64_t i = 0; i < std::min<int64_t>(kLanes, end - t); ++i) Add(at[i].threshold, scores, seen);
    }
  }

  /// Many rows: several at a time through each tree, and the threads share the rows.
  template <class T>
  void ScoreMany(const T* x, int64_t rows, int64_t features, const Threads& threads, double* scores) const {
    const int64_t share = (rows + threads.count() - 1) / threads.count();
    const int64_t block = std::clamp<int64_t>((share + kLanes - 1) / kLanes * kLanes, kLanes, kBlock);
    threads.ParallelFor((rows + block - 1) / block, 1, [&](int64_t begin, int64_t end) {
      std::vector<Key> keys(KeyRows() * (block / kLanes));
      std::vector<double> part(block * targets_);
      std::vector<char> part_seen(ordered() ? part.size() : 0), seen(part_seen.size());
      for (int64_t b = begin; b < end; ++b) {
        const int64_t first = b * block, count = std::min(block, rows - first);
        // The last lanes repeat the last row.
        for (int64_t r = 0; r < (count + kLanes - 1) / kLanes * kLanes; ++r) {
          PutKeys(x + (first + std::min(r, count - 1)) * features, static_cast<int>(r % kLanes),
                  keys.data() + KeyRows() * (r / kLanes));
        }
        double* out = scores + first * targets_;
        const int64_t n = count * targets_;
        Reset(out, ordered() ? seen.data() : nullptr, n);
        for (int64_t chunk = 0; chunk < chunks(); ++chunk) {
          Reset(part.data(), ordered() ? part_seen.data() : nullptr, n);
          const int64_t last = std::min<int64_t>((chunk + 1) * kChunk, static_cast<int64_t>(trees_.size()));
          for (int64_t t = chunk * kChunk; t < last; ++t) AddRows(trees_[t], keys.data(), count, part, part_seen);
          Merge(part.data(), part_seen.data(), n, out, seen.data());
        }
        Finish(out, n);
      }
    });
  }

  void AddRows(const Tree& tree, const Key* keys, int64_t count, std::vector<double>& part,
               std::vector<char>& seen) const {
    const N* base = nodes_.data() + tree.first;
    for (int64_t r = 0; r < count; r += kLanes) {
      std::array<N, kLanes> at;
      at.fill(*base);
      Walk<1>([&](int) { return base; }, keys + KeyRows() * (r / kLanes), tree.depth, at);
      for (int64_t i = 0; i < std::min<int64_t>(kLanes, count - r); ++i) {
        const int64_t to = (r + i) * targets_;
        Add(at[i].threshold, part.data() + to, ordered() ? seen.data() + to : nullptr);
      }
    }
  }
};

}  // namespace

std::unique_ptr<Forest> MakeForest(const Ensemble& ensemble, DType x) {
  if (!ensemble.in_double && (x == DType::kFloat || x == DType::kFloat16)) {
    if (auto forest = ForestOf<int32_t, uint16_t>::Make(ensemble)) return forest;
  }
  auto forest = ForestOf<int64_t, uint32_t>::Make(ensemble);
  if (!forest) FailParse("a tree has too many nodes.");
  return forest;
}

}  // namespace slipway::ml
