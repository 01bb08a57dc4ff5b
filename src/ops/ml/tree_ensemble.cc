#include <algorithm>
#include <mutex>

#include "core/dtype_visit.h"
#include "ops/indexing.h"
#include "ops/ml/forest.h"
#include "ops/ml/ml.h"

namespace slipway {
namespace {

using ml::FailParse;

/// A list attribute in place; empty where absent.
template <class T>
const std::vector<T>& ListAt(const Attributes& a, const std::string& name) {
  static const std::vector<T> kEmpty;
  const Attribute* found = a.Find(name);
  if (!found) return kEmpty;
  const auto* list = std::get_if<std::vector<T>>(found);
  if (!list) FailParse(fmt::format("attribute '{}' is of another type than it should be.", name));
  return *list;
}

/// Numbers given as a list of floats or as a tensor.
class Reals {
 public:
  /// `name`, or else `name`_as_tensor.
  static Reals Either(const Attributes& a, const std::string& name) {
    Reals out(a, name + "_as_tensor");
    const auto& list = ListAt<float>(a, name);
    if (!list.empty() && !out.values_.empty())
      FailParse(fmt::format("has both of the attributes {} and {}_as_tensor.", name, name));
    if (!list.empty()) out.values_.assign(list.begin(), list.end());
    return out;
  }
  Reals(const Attributes& a, const std::string& name) {
    const Tensor* t = a.GetTensor(name);
    if (!t) return;
    Visit(Types<float, double, Float16>{}, t->dtype(), "float, double or float16", [&]<class T>() {
      for (T v : t->span<T>()) values_.push_back(static_cast<std::conditional_t<sizeof(T) == 8, double, float>>(v));
    });
    in_double = t->dtype() == DType::kDouble;
  }
  size_t size() const { return values_.size(); }
  double operator[](size_t i) const { return values_[i]; }
  const std::vector<double>& values() const { return values_; }

  bool in_double = false;

 private:
  std::vector<double> values_;
};

void ExpectSize(std::string_view name, size_t size, size_t want, std::string_view of) {
  if (size != want)
    FailParse(fmt::format("attribute '{}' has {} elements, but there are {} {}.", name, size, want, of));
}

/// The places of nodes by tree and node number. Most files list each tree's nodes by number, from 0 on.
class NodeIndex {
 public:
  NodeIndex(const std::vector<int64_t>& trees, const std::vector<int64_t>& nodes) {
    if (trees.size() > INT32_MAX) FailParse("the trees have too many nodes.");
    for (size_t i = 0; i < trees.size(); ++i) ids_.push_back({trees[i], nodes[i], static_cast<int32_t>(i)});
    if (!std::is_sorted(ids_.begin(), ids_.end())) std::sort(ids_.begin(), ids_.end());
    for (size_t i = 0; i < ids_.size(); ++i) {
      if (i == 0 || ids_[i].tree != ids_[i - 1].tree) {
        starts_.push_back({ids_[i].tree, i});
      } else if (ids_[i].node == ids_[i - 1].node) {
        FailParse(fmt::format("node {} of tree {} is there twice.", ids_[i].node, ids_[i].tree));
      }
    }
  }
  /// Throws Error(kBadGraph) where there is none such.
  int32_t Find(int64_t tree, int64_t node) {
    if (last_ >= starts_.size() || starts_[last_].tree != tree) {
      last_ =
          std::lower_bound(starts_.begin(), starts_.end(), tree, [](const Start& s, int64_t t) { return s.tree < t; }) -
          starts_.begin();
    }
    if (last_ < starts_.size() && starts_[last_].tree == tree) {
      const size_t start = starts_[last_].at;
      if (node >= 0 && static_cast<size_t>(node) < ids_.size() - start) {
        const Id& guess = ids_[start + node];
        if (guess.tree == tree && guess.node == node) return guess.place;
      }
      const auto found = std::lower_bound(ids_.begin() + static_cast<int64_t>(start), ids_.end(), Id{tree, node, 0});
      if (found != ids_.end() && found->tree == tree && found->node == node) return found->place;
    }
    FailParse(fmt::format("there is no node {} in tree {}.", node, tree));
  }

 private:
  struct Id {
    int64_t tree, node;
    int32_t place;
    bool operator<(const Id& o) const { return tree != o.tree ? tree < o.tree : node < o.node; }
  };
  struct Start {
    int64_t tree;
    size_t at;
  };
  std::vector<Id> ids_;
  std::vector<Start> starts_;
  size_t last_ = 0;
};

ml::Mode ModeOf(const std::string& name) {
  static constexpr std::string_view kNames[] = {"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE",
                                                "BRANCH_GT",  "BRANCH_EQ", "BRANCH_NEQ"};
  const auto found = std::find(std::begin(kNames), std::end(kNames), name);
  if (found == std::end(kNames)) FailParse(fmt::format("a node's mode is '{:.100}', which is none of ONNX's.", name));
  return static_cast<ml::Mode>(found - std::begin(kNames));
}

/// Memory for scores goes by the targets, which a file of any size can ask for.
void ExpectTargets(int64_t targets, size_t votes) {
  if (targets < 1 || (targets > 1'000'000 && static_cast<size_t>(targets) > votes))
    FailParse(fmt::format("n_targets is {}, and the leaves have {} votes.", targets, votes));
}

int32_t FeatureOf(int64_t id) {
  if (id < 0 || id >= INT32_MAX) FailParse(fmt::format("a node asks for feature {}.", id));
  return static_cast<int32_t>(id);
}

/// The form before ai.onnx.ml 5: leaves are nodes, and votes name the node they are for. `prefix` is "target" or
/// "class".
ml::Ensemble ParseNodes(const Attributes& a, const std::string& prefix, int64_t targets) {
  const auto &trees = ListAt<int64_t>(a, "nodes_treeids"), &nodes = ListAt<int64_t>(a, "nodes_nodeids"),
             &features = ListAt<int64_t>(a, "nodes_featureids"), &yes = ListAt<int64_t>(a, "nodes_truenodeids"),
             &no = ListAt<int64_t>(a, "nodes_falsenodeids"),
             &nan = ListAt<int64_t>(a, "nodes_missing_value_tracks_true");
  const auto& modes = ListAt<std::string>(a, "nodes_modes");
  const Reals values = Reals::Either(a, "nodes_values"), weights = Reals::Either(a, prefix + "_weights");
  const size_t n = nodes.size();
  const Reals rates = Reals::Either(a, "nodes_hitrates");  // how often a node was met in training: nothing to score by
  if (n == 0) FailParse("has no nodes.");
  ExpectSize("nodes_treeids", trees.size(), n, "nodes");
  ExpectSize("nodes_featureids", features.size(), n, "nodes");
  ExpectSize("nodes_truenodeids", yes.size(), n, "nodes");
  ExpectSize("nodes_falsenodeids", no.size(), n, "nodes");
  ExpectSize("nodes_modes", modes.size(), n, "nodes");
  ExpectSize("nodes_values", values.size(), n, "nodes");
  if (!nan.empty()) ExpectSize("nodes_missing_value_tracks_true", nan.size(), n, "nodes");

  ml::Ensemble e{.targets = targets, .in_double = values.in_double || weights.in_double};
  NodeIndex index(trees, nodes);
  std::vector<ml::Branch> branches(n);
  ml::Branch splits = 0, leaves = 0;
  for (size_t i = 0; i < n; ++i) branches[i] = modes[i] == "LEAF" ? ~leaves++ : splits++;
  e.splits.reserve(splits);
  for (size_t i = 0; i < n; ++i) {
    // A tree's first node is its root.
    if (i == 0 || trees[i] != trees[i - 1]) e.roots.push_back(branches[i]);
    if (branches[i] < 0) continue;
    e.splits.push_back({.feature = FeatureOf(features[i]),
                        .mode = ModeOf(modes[i]),
                        .nan_yes = !nan.empty() && nan[i] != 0,
                        .value = values[i],
                        .yes = branches[index.Find(trees[i], yes[i])],
                        .no = branches[index.Find(trees[i], no[i])]});
  }

  const auto &vote_trees = ListAt<int64_t>(a, prefix + "_treeids"),
             &vote_nodes = ListAt<int64_t>(a, prefix + "_nodeids"), &vote_ids = ListAt<int64_t>(a, prefix + "_ids");
  ExpectSize(prefix + "_treeids", vote_trees.size(), vote_ids.size(), prefix + "_ids");
  ExpectSize(prefix + "_nodeids", vote_nodes.size(), vote_ids.size(), prefix + "_ids");
  ExpectSize(prefix + "_weights", weights.size(), vote_ids.size(), prefix + "_ids");
  ExpectTargets(targets, vote_ids.size());
  std::vector<int32_t> leaf_of(vote_ids.size(), -1);
  e.vote_ends.assign(leaves, 0);
  for (size_t i = 0; i < vote_ids.size(); ++i) {
    if (vote_ids[i] < 0 || vote_ids[i] >= targets)
      FailParse(fmt::format("{}_ids has {}, which is outside [0, {}).", prefix, vote_ids[i], targets));
    const ml::Branch at = branches[index.Find(vote_trees[i], vote_nodes[i])];
    if (at >= 0) continue;  // what a split would say is never asked
    leaf_of[i] = ~at;
    ++e.vote_ends[~at];
  }
  size_t total = 0;
  for (size_t& end : e.vote_ends) end = std::exchange(total, total + end);
  e.votes.resize(total);
  for (size_t i = 0; i < vote_ids.size(); ++i) {
    if (leaf_of[i] >= 0) e.votes[e.vote_ends[leaf_of[i]]++] = {static_cast<int32_t>(vote_ids[i]), weights[i]};
  }
  ml::CheckTrees(e);
  return e;
}

/// The sets of values that follow one another, each with NaN behind.
std::vector<std::vector<double>> ParseSets(const Reals& values) {
  std::vector<std::vector<double>> sets;
  bool open = false;
  for (double v : values.values()) {
    if (!open) sets.emplace_back();
    open = v == v;
    if (open) sets.back().push_back(v);
  }
  return sets;
}

/// The form of ai.onnx.ml 5: splits and leaves in lists of their own.
ml::Ensemble ParseSplits(const Attributes& a) {
  const auto &features = ListAt<int64_t>(a, "nodes_featureids"), &yes = ListAt<int64_t>(a, "nodes_truenodeids"),
             &no = ListAt<int64_t>(a, "nodes_falsenodeids"), &yes_leaf = ListAt<int64_t>(a, "nodes_trueleafs"),
             &no_leaf = ListAt<int64_t>(a, "nodes_falseleafs"), &leaf_ids = ListAt<int64_t>(a, "leaf_targetids"),
             &roots = ListAt<int64_t>(a, "tree_roots"), &nan = ListAt<int64_t>(a, "nodes_missing_value_tracks_true");
  const Reals values(a, "nodes_splits"), weights(a, "leaf_weights"), members(a, "membership_values");
  const Tensor* modes = a.GetTensor("nodes_modes");
  const size_t n = features.size(), leaves = leaf_ids.size();
  const Reals rates(a, "nodes_hitrates");  // how often a node was met in training: nothing to score by
  if (n == 0 || leaves == 0 || roots.empty()) FailParse("has no nodes, no leaves or no roots.");
  if (n > INT32_MAX || leaves > INT32_MAX) FailParse("the trees have too many nodes.");
  if (!modes || modes->dtype() != DType::kUint8) FailParse("attribute 'nodes_modes' must be a tensor of uint8.");
  ExpectSize("nodes_modes", static_cast<size_t>(modes->size()), n, "nodes");
  ExpectSize("nodes_splits", values.size(), n, "nodes");
  ExpectSize("nodes_truenodeids", yes.size(), n, "nodes");
  ExpectSize("nodes_falsenodeids", no.size(), n, "nodes");
  ExpectSize("nodes_trueleafs", yes_leaf.size(), n, "nodes");
  ExpectSize("nodes_falseleafs", no_leaf.size(), n, "nodes");
  ExpectSize("leaf_weights", weights.size(), leaves, "leaves");
  if (!nan.empty()) ExpectSize("nodes_missing_value_tracks_true", nan.size(), n, "nodes");

  ml::Ensemble e{.sets = ParseSets(members), .targets = a.Int("n_targets", 1)};
  e.in_double = values.in_double || weights.in_double || members.in_double;
  const auto branch = [&](int64_t at, int64_t is_leaf) -> ml::Branch {
    if (at < 0 || static_cast<size_t>(at) >= (is_leaf ? leaves : n))
      FailParse(fmt::format("a node leads to {} {}, which is not there.", is_leaf ? "leaf" : "node", at));
    return is_leaf ? ~static_cast<ml::Branch>(at) : static_cast<ml::Branch>(at);
  };
  int32_t sets = 0;
  for (size_t i = 0; i < n; ++i) {
    const uint8_t mode = modes->data<uint8_t>()[i];
    if (mode > static_cast<uint8_t>(ml::Mode::kMember)) FailParse(fmt::format("a node's mode is {}.", mode));
    e.splits.push_back({.feature = FeatureOf(features[i]),
                        .mode = static_cast<ml::Mode>(mode),
                        .nan_yes = !nan.empty() && nan[i] != 0,
                        .value = values[i],
                        .yes = branch(yes[i], yes_leaf[i]),
                        .no = branch(no[i], no_leaf[i])});
    if (e.splits.back().mode == ml::Mode::kMember) e.splits.back().set = sets++;
  }
  ExpectSize("membership_values", e.sets.size(), static_cast<size_t>(sets), "nodes of mode BRANCH_MEMBER");
  for (int64_t root : roots) e.roots.push_back(branch(root, false));
  ExpectTargets(e.targets, leaves);
  for (size_t i = 0; i < leaves; ++i) {
    if (leaf_ids[i] < 0 || leaf_ids[i] >= e.targets)
      FailParse(fmt::format("leaf_targetids has {}, which is outside [0, {}).", leaf_ids[i], e.targets));
    e.votes.push_back({static_cast<int32_t>(leaf_ids[i]), weights[i]});
    e.vote_ends.push_back(i + 1);
  }
  ml::CheckTrees(e);
  return e;
}

/// An ensemble that takes its walked form when the type of the features is known.
class Scorer {
 public:
  Scorer() = default;
  explicit Scorer(ml::Ensemble e) : state_(std::make_shared<State>()) {
    for (const ml::Split& s : e.splits) state_->features = std::max<int64_t>(state_->features, s.feature + int64_t{1});
    state_->targets = e.targets;
    state_->ensemble = std::move(e);
  }
  int64_t targets() const { return state_->targets; }

  /// The number of rows.
  Dim Infer(const InferContext& c) const {
    const Dim rows = ml::InferRows(c), have = ml::InferFeatures(c);
    if (have.is_const() && have.value() < state_->features)
      c.Fail("{} has {} features, but a node asks for feature {}.", c.InputName(0), have.value(), state_->features - 1);
    return rows;
  }

  /// Calls each(row, scores) for every row, from several threads.
  void Run(RunContext& c, FunctionRef<void(int64_t row, std::span<double> scores)> each) const {
    std::call_once(state_->once, [&] {
      state_->forest = ml::MakeForest(state_->ensemble, c.In(0).dtype());
      state_->ensemble = {};
    });
    const auto [rows, features] = ml::RowsOf(c.In(0).shape());
    std::vector<double> scores(rows * targets());
    state_->forest->Score(c.In(0), rows, features, c.threads(), scores.data());
    c.threads().ParallelFor(rows, GrainFor(32 * targets()), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) each(r, {scores.data() + r * targets(), static_cast<size_t>(targets())});
    });
  }

 private:
  struct State {
    ml::Ensemble ensemble;  // until `forest` is made of it
    std::unique_ptr<ml::Forest> forest;
    std::once_flag once;
    int64_t targets = 1, features = 0;
  };
  std::shared_ptr<State> state_;
};

void ExpectBase(const Reals& base, size_t targets) {
  if (base.size() != 0) ExpectSize("base_values", base.size(), targets, "targets");
}

}  // namespace

/// What the leaves that a row reaches say for each target, taken together. ONNX TreeEnsemble, since ai.onnx.ml 5.
struct TreeEnsemble {
  Scorer scorer;
  ml::Transform transform;

  static TreeEnsemble Parse(const Attributes& a) {
    ml::Ensemble e = ParseSplits(a);
    const int64_t aggregate = a.Int("aggregate_function", 1), transform = a.Int("post_transform", 0);
    if (aggregate < 0 || aggregate > 3) FailParse(fmt::format("aggregate_function is {}.", aggregate));
    if (transform < 0 || transform > 4) FailParse(fmt::format("post_transform is {}.", transform));
    e.aggregate = static_cast<ml::Aggregate>(aggregate);
    return {.scorer = Scorer(std::move(e)), .transform = static_cast<ml::Transform>(transform)};
  }
  void Infer(InferContext& c) const { c.Out(0, c.Elem(0), {scorer.Infer(c), scorer.targets()}); }
  void Run(RunContext& c) const {
    Visit(Types<float, double, Float16>{}, c.In(0).dtype(), "float, double or float16", [&]<class T>() {
      scorer.Run(c, [&](int64_t row, std::span<double> scores) {
        ml::Apply(transform, scores);
        T* to = c.Out(0).data<T>() + row * static_cast<int64_t>(scores.size());
        std::transform(scores.begin(), scores.end(), to, [](double s) {
          return static_cast<T>(static_cast<std::conditional_t<sizeof(T) == 8, double, float>>(s));
        });
      });
    });
  }
};
extern const OpDef kTreeEnsemble = Define<TreeEnsemble>({.name = "TreeEnsemble",
                                                         .since = 5,
                                                         .domain = kMlDomain,
                                                         .types = {DType::kFloat, DType::kDouble, DType::kFloat16}});

/// ONNX TreeEnsembleRegressor, since ai.onnx.ml 3; deprecated in 5 for TreeEnsemble.
struct TreeEnsembleRegressor {
  Scorer scorer;
  std::vector<double> base;
  ml::Transform transform;

  static TreeEnsembleRegressor Parse(const Attributes& a) {
    int64_t targets = a.Int("n_targets", 0);
    if (!a.Has("n_targets")) {
      for (int64_t id : ListAt<int64_t>(a, "target_ids")) targets = std::max(targets, id + 1);
    }
    if (targets < 1 || targets > INT32_MAX) FailParse(fmt::format("n_targets is {}.", targets));
    ml::Ensemble e = ParseNodes(a, "target", targets);
    const std::string name = a.String("aggregate_function", "SUM");
    static constexpr std::string_view kNames[] = {"AVERAGE", "SUM", "MIN", "MAX"};
    const auto found = std::find(std::begin(kNames), std::end(kNames), name);
    if (found == std::end(kNames)) FailParse(fmt::format("aggregate_function is '{}', which is none of ONNX's.", name));
    e.aggregate = static_cast<ml::Aggregate>(found - std::begin(kNames));
    const Reals base = Reals::Either(a, "base_values");
    ExpectBase(base, targets);
    return {.scorer = Scorer(std::move(e)), .base = base.values(), .transform = ml::ParseTransform(a)};
  }
  void Infer(InferContext& c) const { c.Out(0, DType::kFloat, {scorer.Infer(c), scorer.targets()}); }
  void Run(RunContext& c) const {
    scorer.Run(c, [&](int64_t row, std::span<double> scores) {
      for (size_t i = 0; i < base.size(); ++i) scores[i] += base[i];
      ml::Apply(transform, scores);
      float* to = c.Out(0).data<float>() + row * static_cast<int64_t>(scores.size());
      std::transform(scores.begin(), scores.end(), to, [](double s) { return static_cast<float>(s); });
    });
  }
};
extern const OpDef kTreeEnsembleRegressor = Define<TreeEnsembleRegressor>(
    {.name = "TreeEnsembleRegressor", .since = 3, .domain = kMlDomain, .types = ml::kNumberTypes});

/// The class with the highest score, and all scores. Where the votes of two classes are all for one of them, they
/// stand for the second. ONNX TreeEnsembleClassifier, since ai.onnx.ml 3; deprecated in 5 for TreeEnsemble.
struct TreeEnsembleClassifier {
  Scorer scorer;
  ml::Labels labels;
  std::vector<double> base;
  ml::Transform transform;
  std::optional<size_t> only;  ///< of two classes the one that has all votes
  bool all_positive = true;

  static TreeEnsembleClassifier Parse(const Attributes& a) {
    TreeEnsembleClassifier op{.labels = ml::Labels::Parse(a, "classlabels_int64s", "classlabels_strings"),
                              .transform = ml::ParseTransform(a)};
    const size_t classes = op.labels.size();
    ml::Ensemble e = ParseNodes(a, "class", static_cast<int64_t>(classes));
    const Reals base = Reals::Either(a, "base_values");
    if (classes == 2 && !e.votes.empty()) {
      op.only = e.votes[0].target;
      for (const ml::Vote& v : e.votes) {
        if (v.target != e.votes[0].target) op.only.reset();
      }
    }
    for (const ml::Vote& v : e.votes) op.all_positive = op.all_positive && !(v.weight < 0);
    if (op.only && base.size() == 1) {
      op.base.assign(2, 0);
      op.base[*op.only] = base[0];
    } else {
      ExpectBase(base, classes);
      op.base = base.values();
    }
    op.scorer = Scorer(std::move(e));
    return op;
  }

  void Infer(InferContext& c) const {
    const Dim rows = scorer.Infer(c);
    c.Out(0, labels.dtype(), {rows});
    c.Out(1, DType::kFloat, {rows, scorer.targets()});
  }

  void Run(RunContext& c) const {
    scorer.Run(c, [&](int64_t row, std::span<double> scores) {
      for (size_t i = 0; i < base.size(); ++i) scores[i] += base[i];
      const size_t best = only ? Second(scores) : std::max_element(scores.begin(), scores.end()) - scores.begin();
      if (c.HasOut(0)) labels.Store(c.Out(0), row, best);
      if (!c.HasOut(1)) return;
      if (only && *only == 0) {
        const auto both = ml::OfTwo(transform, scores[0], all_positive);
        std::copy(both.begin(), both.end(), scores.begin());
      } else {
        ml::Apply(transform, scores);
      }
      float* to = c.Out(1).data<float>() + row * static_cast<int64_t>(scores.size());
      std::transform(scores.begin(), scores.end(), to, [](double s) { return static_cast<float>(s); });
    });
  }

 private:
  /// Votes that are never negative are taken for probabilities.
  size_t Second(std::span<const double> scores) const { return scores[*only] > (all_positive ? 0.5 : 0.0) ? 1 : 0; }
};
extern const OpDef kTreeEnsembleClassifier = Define<TreeEnsembleClassifier>(
    {.name = "TreeEnsembleClassifier", .since = 3, .domain = kMlDomain, .max_outputs = 2, .types = ml::kNumberTypes});

}  // namespace slipway
