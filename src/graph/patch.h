#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "graph/graph.h"

namespace slipway {

/// Why a rule does not apply to a node. Empty where the node is simply not what the rule is about.
struct Skip {
  std::string_view why;
};
inline constexpr Skip kNoMatch = {};

/// A change to a graph, written down but not made: new constants, new nodes, and which values they replace. Ids of new
/// values follow those of the graph, so that new nodes may read both.
class Patch {
 public:
  struct NewConstant {
    ValueId id;
    std::string name;
    Tensor value;
  };
  struct Replacement {
    ValueId old_value;
    ValueId with;
  };

  explicit Patch(const Graph& graph) : next_(static_cast<ValueId>(graph.num_values())), first_(next_) {}

  ValueId Constant(Tensor value, std::string name_hint);
  /// A new node with one output, whose id it returns.
  ValueId Add(std::string_view op_type, std::vector<ValueId> inputs, Attributes attributes = {},
              std::string_view domain = kOnnxDomain);
  /// The same with `outputs` outputs; those not in use are to be left out by passing false.
  std::vector<ValueId> AddMany(std::string_view op_type, std::vector<ValueId> inputs, const std::vector<bool>& outputs,
                               Attributes attributes = {}, std::string_view domain = kOnnxDomain);
  /// Every use of `old_value` becomes a use of `with`: one of the graph's own values or a new one, of the same type.
  /// What is left without users goes.
  void Replace(ValueId old_value, ValueId with) { replacements_.push_back({old_value, with}); }

  bool IsNew(ValueId id) const { return id >= first_; }
  const std::vector<NewConstant>& constants() const { return constants_; }
  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<Replacement>& replacements() const { return replacements_; }
  size_t num_new() const { return static_cast<size_t>(next_ - first_); }

 private:
  ValueId next_;
  ValueId first_;
  std::vector<NewConstant> constants_;
  std::vector<Node> nodes_;
  std::vector<Replacement> replacements_;
};

/// What a rule answers when it is shown a node.
using Result = std::variant<Skip, Patch>;

}  // namespace slipway
