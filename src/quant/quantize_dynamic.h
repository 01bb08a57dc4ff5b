#pragma once

#include <string>
#include <vector>

#include "graph/graph.h"

namespace slipway {

/// How quantize_dynamic goes about it; the defaults are onnxruntime's.
struct DynamicQuantization {
  bool signed_weights = true;         ///< int8; else uint8
  bool symmetric = true;              ///< a weight's zero point is 0, or the middle of uint8
  bool per_channel = false;           ///< a scale for each of a weight's output channels
  bool reduce_range = false;          ///< weights in 7 bits
  bool constant_b_only = true;        ///< products of two activations stay float
  bool subgraphs = false;             ///< the branches of If and bodies of Loop and Scan too
  std::vector<std::string> op_types;  ///< empty: Conv, Gather, Gemm, MatMul
  std::vector<std::string> nodes;     ///< empty: all
  std::vector<std::string> exclude_nodes;
};

/// Rewrites products and convolutions with float weights to work on bytes: weights are quantized now, activations in
/// each run (DynamicQuantizeLinear, MatMulInteger, ConvInteger, Cast, Mul). Embeddings are kept as bytes and
/// dequantized after Gather. Returns how many nodes were rewritten. Throws Error(kInvalidArgument) for an operator type
/// that it does not know.
int QuantizeDynamic(Model& model, const DynamicQuantization& options);

}  // namespace slipway
