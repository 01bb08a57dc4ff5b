#pragma once

#include "graph/patch.h"
#include "passes/pipeline.h"
#include "thread/pool.h"

namespace slipway {

/// A rule looks at one node and answers with a patch, or with why there is none. It changes nothing.
using Rule = Result(const Graph& graph, NodeId node);

/// For the few passes that are about the graph as a whole: changes it in place, and returns how often.
struct SweepContext {
  const Threads& threads;
  PassReport& report;
};
using Sweep = int(Graph& graph, SweepContext& context);

// Each lies in the file of its name. Order and level are in pipeline.cc.
Sweep FoldConstants, MergeDuplicates, EliminateDeadCode;
Rule EliminateIdentities;
Rule HoistSelection;
Rule FuseAttention, FoldHeadTransposes;
Rule FuseGelu, FuseSwish, FuseLayerNorm, FuseRmsNorm;
Rule FoldPad;
Rule FuseConvBatchNorm, FuseConvBias, FuseMatMulTranspose, FuseMatMulBias, FuseMatMulScale, FuseMatMulReshape;
Rule FuseMatMulInteger, FuseDequantize;
Rule FuseResidual, FuseActivation, FuseSkipLayerNorm;
Sweep ChannelsLast;
Rule FuseConvScale, FuseSeparableConv;
Rule MergeProjections;

}  // namespace slipway
