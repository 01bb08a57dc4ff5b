#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "graph/patch.h"

namespace slipway {

inline constexpr std::string_view kFusedConv = "FusedConv";
inline constexpr std::string_view kFusedMatMul = "FusedMatMul";

/// A convolution or matrix product that has no activation yet, so that more can be done to its result before that is
/// stored. The plain ONNX operators and Slipway's fused ones look the same here.
struct OpenProducer {
  const Node* node;
  bool is_conv;

  std::string_view fused_type() const { return is_conv ? kFusedConv : kFusedMatMul; }
  ValueId bias() const { return node->input(2); }
  ValueId residual() const { return node->input(3); }
  /// The node's inputs as the fused operator has them, four of them.
  std::vector<ValueId> Inputs() const;
};

/// The float producer of `v` where `v` has no other use.
std::optional<OpenProducer> FindOpenProducer(const Graph& graph, ValueId v);

/// Inputs without those left out at the end.
std::vector<ValueId> Trimmed(std::vector<ValueId> inputs);

}  // namespace slipway
