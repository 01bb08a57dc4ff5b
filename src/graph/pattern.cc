#include "graph/pattern.h"

#include <algorithm>
#include <cmath>

namespace slipway {
namespace {

/// How a term stands in a sum (negated) or a factor in a product (inverted).
struct Item {
  std::shared_ptr<const PatternNode> pattern;
  bool inverse = false;
};

}  // namespace

struct PatternNode {
  enum class Kind { kNumber, kCall, kSum, kProduct, kConst, kAny };  // the most telling first: tried in this order
  Kind kind;
  double number = 0;
  std::string name;  // of the capture
  std::string op_type;
  std::string domain;
  std::vector<Item> items;
};

namespace {

using Kind = PatternNode::Kind;

double Invert(Kind kind, double number) { return kind == Kind::kSum ? -number : 1 / number; }

/// a and b as one flat sum or product. Numbers are put together.
Pattern Combine(Kind kind, const Pattern& a, const Pattern& b, bool invert_b) {
  PatternNode out{.kind = kind};
  const double neutral = kind == Kind::kSum ? 0 : 1;
  double number = neutral;
  auto add = [&](const std::shared_ptr<const PatternNode>& p, bool inverse) {
    if (p->kind == Kind::kNumber) {
      const double n = inverse ? Invert(kind, p->number) : p->number;
      number = kind == Kind::kSum ? number + n : number * n;
    } else {
      out.items.push_back({p, inverse});
    }
  };
  auto flatten = [&](const Pattern& p, bool inverse) {
    if (p.node().kind != kind || !p.node().name.empty()) return add(p.shared(), inverse);
    for (const Item& i : p.node().items) add(i.pattern, i.inverse != inverse);
  };
  flatten(a, false);
  flatten(b, invert_b);
  if (number != neutral) out.items.push_back({Pattern(number).shared(), false});
  std::stable_sort(out.items.begin(), out.items.end(),
                   [](const Item& x, const Item& y) { return x.pattern->kind < y.pattern->kind; });
  return Pattern(std::make_shared<const PatternNode>(std::move(out)));
}

}  // namespace

Pattern::Pattern(double number)
    : node_(std::make_shared<const PatternNode>(PatternNode{.kind = Kind::kNumber, .number = number})) {}

Pattern Pattern::Named(std::string_view name) const {
  PatternNode copy = *node_;
  copy.name = name;
  return Pattern(std::make_shared<const PatternNode>(std::move(copy)));
}

Pattern Any(std::string_view name) {
  return Pattern(std::make_shared<const PatternNode>(PatternNode{.kind = Kind::kAny, .name = std::string(name)}));
}
Pattern Const(std::string_view name) {
  return Pattern(std::make_shared<const PatternNode>(PatternNode{.kind = Kind::kConst, .name = std::string(name)}));
}
Pattern Call(std::string_view op_type, std::vector<Pattern> inputs, std::string_view domain) {
  PatternNode out{.kind = Kind::kCall, .op_type = std::string(op_type), .domain = std::string(domain)};
  for (const Pattern& p : inputs) out.items.push_back({p.shared()});
  return Pattern(std::make_shared<const PatternNode>(std::move(out)));
}

Pattern operator+(const Pattern& a, const Pattern& b) { return Combine(Kind::kSum, a, b, false); }
Pattern operator-(const Pattern& a, const Pattern& b) { return Combine(Kind::kSum, a, b, true); }
Pattern operator*(const Pattern& a, const Pattern& b) { return Combine(Kind::kProduct, a, b, false); }
Pattern operator/(const Pattern& a, const Pattern& b) { return Combine(Kind::kProduct, a, b, true); }

ValueId Match::operator[](std::string_view name) const {
  for (const auto& [key, value] : captures) {
    if (key == name) return value;
  }
  return kNone;
}

std::optional<double> ScalarConstant(const Graph& graph, ValueId id) {
  const Tensor* t = graph.Constant(id);
  if (!t || !t->raw() || t->size() != 1) return std::nullopt;
  switch (t->dtype()) {
    case DType::kFloat:
      return *t->data<float>();
    case DType::kDouble:
      return *t->data<double>();
    case DType::kFloat16:
      return static_cast<float>(*t->data<Float16>());
    case DType::kBFloat16:
      return static_cast<float>(*t->data<BFloat16>());
    default:
      return std::nullopt;
  }
}

namespace {

/// A value of the graph as it stands in a sum or product.
struct Leaf {
  ValueId value;
  bool inverse = false;
};

/// The leaves are to be matched with the items, one each, in any order; with one item and one leaf that is a plain
/// match.
struct Goal {
  Kind kind = Kind::kProduct;  // of the sum or product; numbers are inverted by it
  std::vector<const Item*> items;
  std::vector<Leaf> leaves;
};

struct State {
  Match match;
  std::vector<Goal> goals;
};

class Matcher {
 public:
  explicit Matcher(const Graph& graph) : graph_(graph) {}

  std::optional<Match> Solve(State state) {
    if (++steps_ > kMaxSteps) return std::nullopt;
    if (state.goals.empty())
      return InteriorIsPrivate(state.match) ? std::optional(std::move(state.match)) : std::nullopt;
    Goal goal = std::move(state.goals.back());
    state.goals.pop_back();
    const Item* item = goal.items.front();
    goal.items.erase(goal.items.begin());
    for (size_t i = 0; i < goal.leaves.size(); ++i) {
      const Leaf leaf = goal.leaves[i];
      if (item->pattern->kind != Kind::kNumber && item->inverse != leaf.inverse) continue;
      State next = state;
      if (!goal.items.empty()) {
        Goal rest = goal;
        rest.leaves.erase(rest.leaves.begin() + static_cast<std::ptrdiff_t>(i));
        next.goals.push_back(std::move(rest));
      }
      if (auto found = MatchOne(std::move(next), goal.kind, *item->pattern, leaf)) return found;
    }
    return std::nullopt;
  }

 private:
  std::optional<Match> MatchOne(State state, Kind kind, const PatternNode& p, const Leaf& leaf) {
    if (!p.name.empty() && !Bind(state.match, p.name, leaf.value)) return std::nullopt;
    switch (p.kind) {
      case Kind::kAny:
        return Solve(std::move(state));
      case Kind::kConst:
        return graph_.Constant(leaf.value) ? Solve(std::move(state)) : std::nullopt;
      case Kind::kNumber: {
        const auto number = ScalarConstant(graph_, leaf.value);
        if (!number) return std::nullopt;
        const double have = leaf.inverse ? Invert(kind, *number) : *number;
        return std::abs(have - p.number) <= 1e-4 * std::abs(p.number) ? Solve(std::move(state)) : std::nullopt;
      }
      case Kind::kCall: {
        const Node* node = graph_.Producer(leaf.value);
        if (!node || !node->Is(p.op_type, p.domain) || node->output(0) != leaf.value ||
            node->inputs.size() < p.items.size()) {
          return std::nullopt;
        }
        state.match.nodes.push_back(graph_.value(leaf.value).producer);
        for (size_t i = p.items.size(); i-- > 0;) {
          if (node->inputs[i] == kNone) return std::nullopt;
          state.goals.push_back({.items = {&p.items[i]}, .leaves = {{node->inputs[i]}}});
        }
        return Solve(std::move(state));
      }
      case Kind::kSum:
      case Kind::kProduct:
        return MatchChain(state, p, {{leaf.value}}, 0, false);
    }
    return std::nullopt;
  }

  /// Every way to take the chain apart into as many leaves as the pattern has items. Leaves before `from` stay as they
  /// are.
  std::optional<Match> MatchChain(const State& state, const PatternNode& p, const std::vector<Leaf>& leaves,
                                  size_t from, bool apart) {
    if (++steps_ > kMaxSteps) return std::nullopt;
    if (apart && leaves.size() == p.items.size()) {
      State next = state;
      Goal goal{.kind = p.kind, .leaves = leaves};
      for (const Item& i : p.items) goal.items.push_back(&i);
      next.goals.push_back(std::move(goal));
      if (auto found = Solve(std::move(next))) return found;
    }
    for (size_t i = from; i < leaves.size(); ++i) {
      const std::vector<Leaf> parts = TakeApart(p.kind, leaves[i]);
      if (parts.empty() || leaves.size() - 1 + parts.size() > p.items.size()) continue;
      State next = state;
      next.match.nodes.push_back(graph_.value(leaves[i].value).producer);
      std::vector<Leaf> longer = leaves;
      longer.erase(longer.begin() + static_cast<std::ptrdiff_t>(i));
      longer.insert(longer.begin() + static_cast<std::ptrdiff_t>(i), parts.begin(), parts.end());
      if (auto found = MatchChain(next, p, longer, i, true)) return found;
    }
    return std::nullopt;
  }

  /// The operands of the sum or product that gives the value; empty where something else does.
  std::vector<Leaf> TakeApart(Kind kind, const Leaf& leaf) const {
    const Node* n = graph_.Producer(leaf.value);
    if (!n || !n->domain.empty()) return {};
    const ValueId a = n->input(0), b = n->input(1);
    const bool inverse = leaf.inverse;
    if (kind == Kind::kSum) {
      if (n->op_type == "Add") return {{a, inverse}, {b, inverse}};
      if (n->op_type == "Sub") return {{a, inverse}, {b, !inverse}};
      if (n->op_type == "Neg") return {{a, !inverse}};
      return {};
    }
    if (n->op_type == "Mul") return {{a, inverse}, {b, inverse}};
    if (n->op_type == "Div" && ScalarConstant(graph_, a) == 1.0) return {{b, !inverse}};
    if (n->op_type == "Div") return {{a, inverse}, {b, !inverse}};
    if (n->op_type == "Reciprocal") return {{a, !inverse}};
    if (n->op_type == "Pow") {
      const auto power = ScalarConstant(graph_, b);
      if (power == 2) return {{a, inverse}, {a, inverse}};
      if (power == 3) return {{a, inverse}, {a, inverse}, {a, inverse}};
    }
    return {};
  }

  static bool Bind(Match& match, std::string_view name, ValueId value) {
    const ValueId bound = match[name];
    if (bound != kNone) return bound == value;
    match.captures.emplace_back(name, value);
    return true;
  }

  bool InteriorIsPrivate(const Match& match) const {
    for (size_t i = 1; i < match.nodes.size(); ++i) {
      for (const ValueId v : graph_.node(match.nodes[i]).outputs) {
        if (v == kNone || match.nodes[i] == match.nodes[0]) continue;
        if (graph_.IsOutput(v)) return false;
        for (const NodeId user : graph_.value(v).users) {
          if (std::find(match.nodes.begin(), match.nodes.end(), user) == match.nodes.end()) return false;
        }
      }
    }
    return true;
  }

  /// Bounds the work on a graph made to defeat the search.
  static constexpr int kMaxSteps = 20000;

  const Graph& graph_;
  int steps_ = 0;
};

}  // namespace

std::optional<Match> Find(const Graph& graph, NodeId root, const Pattern& pattern) {
  const ValueId value = graph.node(root).output(0);
  if (value == kNone) return std::nullopt;
  const Item item{pattern.shared()};
  State state;
  state.goals.push_back({.items = {&item}, .leaves = {{value}}});
  return Matcher(graph).Solve(std::move(state));
}

}  // namespace slipway
