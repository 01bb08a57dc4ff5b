#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graph/graph.h"

namespace slipway {

struct PatternNode;

/// A sub-graph to look for, written as the maths: `x * (Erf(x / kSqrt2) + 1.0) * 0.5`. Sums and products match in every
/// order and bracketing. Dividing by a number is multiplying by its reciprocal, subtracting one is adding its negative,
/// and p * p is Pow(p, 2). A number matches a float constant of one element, of any shape, within a relative 1e-4.
class Pattern {
 public:
  Pattern(double number);  // NOLINT(google-explicit-constructor)
  explicit Pattern(std::shared_ptr<const PatternNode> node) : node_(std::move(node)) {}
  /// The same, with the value it matches captured under a name.
  Pattern Named(std::string_view name) const;
  const PatternNode& node() const { return *node_; }
  const std::shared_ptr<const PatternNode>& shared() const { return node_; }

 private:
  std::shared_ptr<const PatternNode> node_;
};

/// Any value; the same name twice means the same value twice.
Pattern Any(std::string_view name);
/// Any constant.
Pattern Const(std::string_view name);
/// Output 0 of a node whose first inputs match these. Further inputs and the attributes are the rule's to check, by the
/// node that Match::Producer gives for a Named pattern.
Pattern Call(std::string_view op_type, std::vector<Pattern> inputs, std::string_view domain = kOnnxDomain);

Pattern operator+(const Pattern& a, const Pattern& b);
Pattern operator-(const Pattern& a, const Pattern& b);
Pattern operator*(const Pattern& a, const Pattern& b);
Pattern operator/(const Pattern& a, const Pattern& b);

inline Pattern Erf(const Pattern& x) { return Call("Erf", {x}); }
inline Pattern Tanh(const Pattern& x) { return Call("Tanh", {x}); }
inline Pattern Sigmoid(const Pattern& x) { return Call("Sigmoid", {x}); }
inline Pattern Sqrt(const Pattern& x) { return Call("Sqrt", {x}); }
inline Pattern Square(const Pattern& x) { return x * x; }
inline Pattern Cube(const Pattern& x) { return x * x * x; }

/// Where a pattern was found.
struct Match {
  std::vector<std::pair<std::string_view, ValueId>> captures;
  std::vector<NodeId> nodes;  ///< all that matched, the root first

  /// The captured value; the pattern has a capture of that name.
  ValueId operator[](std::string_view name) const;
};

/// Matches the pattern with what node `root` gives. Values between the matched nodes have no other users and are not
/// outputs of the graph; nullopt where there is no such match. The pattern must outlive the match.
std::optional<Match> Find(const Graph& graph, NodeId root, const Pattern& pattern);

/// The number in a float constant of one element.
std::optional<double> ScalarConstant(const Graph& graph, ValueId id);

}  // namespace slipway
