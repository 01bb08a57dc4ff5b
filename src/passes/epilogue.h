#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "graph/patch.h"

namespace slipway {

inline constexpr std::string_view kFusedConv = "FusedConv";
inline constexpr std::string_view kFusedMatMul = "FusedMatMul";

inline constexpr std::string_view kFusedConvInteger = "FusedConvInteger";
inline constexpr std::string_view kFusedMatMulInteger = "FusedMatMulInteger";

/// A convolution or matrix product that has no activation yet, so that more can be done to its result before that is
/// stored. The plain ONNX operators and Slipway's fused ones look the same here.
struct OpenProducer {
  enum class Kind : uint8_t { kConv, kMatMul, kConvInteger, kMatMulInteger };
  static constexpr size_t kScalesInput = 4;  // of matrix products, one a column
  const Node* node;
  Kind kind;

  bool is_conv() const { return kind == Kind::kConv || kind == Kind::kConvInteger; }
  bool is_integer() const { return kind == Kind::kConvInteger || kind == Kind::kMatMulInteger; }
  std::string_view fused_type() const {
    switch (kind) {
      case Kind::kConv:
        return kFusedConv;
      case Kind::kMatMul:
        return kFusedMatMul;
      case Kind::kConvInteger:
        return kFusedConvInteger;
      case Kind::kMatMulInteger:
        return kFusedMatMulInteger;
    }
    return {};
  }
  size_t bias_input() const { return is_integer() ? 6 : 2; }
  size_t residual_input() const { return bias_input() + 1; }
  ValueId bias() const { return node->input(bias_input()); }
  ValueId residual() const { return node->input(residual_input()); }
  ValueId scales() const { return kind == Kind::kMatMul ? node->input(kScalesInput) : kNone; }
  /// The node's inputs as the fused operator has them, down to the residual at least.
  std::vector<ValueId> Inputs() const;
};

/// The float producer of `v` where `v` has no other use.
std::optional<OpenProducer> FindOpenProducer(const Graph& graph, ValueId v);

/// Inputs without those left out at the end.
std::vector<ValueId> Trimmed(std::vector<ValueId> inputs);

}  // namespace slipway
