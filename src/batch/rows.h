#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "graph/graph.h"

namespace slipway {

/// A way in which values of several requests lie one after the other. A request's value begins with axes of these
/// sizes, [batch, seq, ...] say; all requests' values together are [1, rows, ...], a row a token.
struct RowClass {
  std::vector<Dim> lead;

  int axes() const { return static_cast<int>(lead.size()); }
  /// The rows of one request.
  Dim rows() const;
};

/// Where the values of several requests are, by value of the graph that one request runs through.
struct RowState {
  static constexpr int kConstant = -2;  ///< the same for all
  static constexpr int kEach = -1;      ///< each request has its own

  const Graph& graph;
  std::vector<RowClass> classes;
  std::vector<int> of;  ///< kConstant, kEach, or the class in whose rows the value lies

  /// True where the value is [lead..., rest...] for that class, the rest in numbers.
  bool IsOf(ValueId v, int of_class) const;
  /// The class with the most axes that the value is of; kEach where there is none.
  int Longest(ValueId v) const;
};

/// What an input of a node that runs on rows is.
struct RowInput {
  enum class Kind : uint8_t {
    kAsIs,  ///< the same constant, or left out
    kRows,  ///< rows of the node's class with `rank` axes
    kGone,  ///< not read: `target` says it
  };
  Kind kind = Kind::kAsIs;
  int rank = 0;
};

/// How a node runs on all requests' rows at once.
struct RowForm {
  int in = 0;   ///< the class of what it reads
  int out = 0;  ///< the class of what it gives
  std::vector<RowInput> inputs;
  /// The contents of input 1 of the node that stands for it: a Reshape, or where it was one an Expand.
  std::optional<std::vector<int64_t>> target;
};

/// The form in which the node gives on all requests' rows what it gives on each request's; or why there is none.
std::variant<RowForm, std::string> FindRowForm(const RowState& state, const Node& node);

/// True for products and convolutions, which are what running on more rows at once makes quicker.
bool IsWeighty(const Node& node);

}  // namespace slipway
