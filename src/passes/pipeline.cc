#include "passes/pipeline.h"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>

#include "ops/op.h"
#include "passes/apply.h"
#include "passes/passes.h"

namespace slipway {
namespace {

struct Pass {
  std::string_view name;
  int level;
  Rule* rule = nullptr;
  Sweep* sweep = nullptr;
  bool last = false;  ///< once no other pass finds anything more
};

// The order, and the level beside each.
constexpr Pass kPipeline[] = {
    {.name = "FoldConstants", .level = 1, .sweep = FoldConstants},
    {.name = "EliminateIdentities", .level = 1, .rule = EliminateIdentities},
    {.name = "MergeDuplicates", .level = 1, .sweep = MergeDuplicates},
    {.name = "EliminateDeadCode", .level = 1, .sweep = EliminateDeadCode},
    // Before anything is fused that it would have to know of.
    {.name = "HoistSelection", .level = 2, .rule = HoistSelection},
    // What exporters take apart is put together before anything is fused into it.
    {.name = "FuseAttention", .level = 2, .rule = FuseAttention},
    {.name = "FoldHeadTransposes", .level = 2, .rule = FoldHeadTransposes},
    {.name = "FuseGelu", .level = 2, .rule = FuseGelu},
    {.name = "FuseSwish", .level = 2, .rule = FuseSwish},
    {.name = "FuseLayerNorm", .level = 2, .rule = FuseLayerNorm},
    {.name = "FuseRmsNorm", .level = 2, .rule = FuseRmsNorm},
    {.name = "FoldPad", .level = 2, .rule = FoldPad},
    {.name = "FuseConvBatchNorm", .level = 2, .rule = FuseConvBatchNorm},
    {.name = "FuseConvBias", .level = 2, .rule = FuseConvBias},
    {.name = "FuseDequantize", .level = 2, .rule = FuseDequantize},
    {.name = "FuseMatMulInteger", .level = 2, .rule = FuseMatMulInteger},
    {.name = "FuseMatMulTranspose", .level = 2, .rule = FuseMatMulTranspose},
    {.name = "FuseMatMulBias", .level = 2, .rule = FuseMatMulBias},
    {.name = "FuseMatMulScale", .level = 2, .rule = FuseMatMulScale},
    {.name = "FuseMatMulReshape", .level = 2, .rule = FuseMatMulReshape},
    // A residual is added before the activation.
    {.name = "FuseResidual", .level = 2, .rule = FuseResidual},
    {.name = "FuseActivation", .level = 2, .rule = FuseActivation},
    // Only what no matrix product or convolution took: a residual there costs no reading of its own.
    {.name = "FuseSkipLayerNorm", .level = 2, .rule = FuseSkipLayerNorm},
    // Last: what is fused already has fewer values to be moved.
    {.name = "ChannelsLast", .level = 3, .sweep = ChannelsLast},
    {.name = "FuseConvScale", .level = 3, .rule = FuseConvScale},
    {.name = "FuseSeparableConv", .level = 3, .rule = FuseSeparableConv},
    // A selection may yet move up through an Attention, to queries that are then not those of the keys' rows.
    {.name = "MergeProjections", .level = 2, .rule = MergeProjections, .last = true},
};
constexpr int kMaxRounds = 8;

bool VerifyWanted() {
#ifdef NDEBUG
  static const bool wanted = [] {
    const char* env = std::getenv("SLIPWAY_VERIFY");
    return env && *env && *env != '0';
  }();
  return wanted;
#else
  return true;
#endif
}

/// Why the patch cannot be used, or nothing.
std::string MissingOperator(const Patch& patch) {
  for (const Node& n : patch.nodes()) {
    if (!FindOp(n.domain, n.op_type)) return fmt::format("there is no operator {}", n.op_type);
  }
  return {};
}

int RunRule(Graph& graph, Rule* rule, PassReport& report) {
  int applied = 0;
  // From the end: the outermost form of what rules look for is met first (a normalization with its scale and bias).
  const std::vector<NodeId> order(graph.order().rbegin(), graph.order().rend());
  for (const NodeId id : order) {
    if (!graph.alive(id)) continue;
    Result result = rule(graph, id);
    std::string why;
    if (const Skip* skip = std::get_if<Skip>(&result)) {
      why = skip->why;
    } else {
      Patch& patch = std::get<Patch>(result);
      why = MissingOperator(patch);
      if (why.empty()) why = ApplyPatch(graph, id, std::move(patch));
      applied += why.empty();
    }
    if (!why.empty()) ++report.skipped[why];
  }
  return applied;
}

class Pipeline {
 public:
  Pipeline(const PassOptions& options, const Threads& threads) : threads_(threads) {
    const auto names = PassNames();
    for (const std::string& name : options.disabled) {
      if (std::find(names.begin(), names.end(), name) != names.end()) continue;
      throw Error(Code::kInvalidArgument,
                  fmt::format("there is no pass '{}'. The passes are {}.", name, fmt::join(names, ", ")));
    }
    for (const Pass& pass : kPipeline) {
      if (pass.level > options.level) continue;
      if (std::find(options.disabled.begin(), options.disabled.end(), pass.name) != options.disabled.end()) continue;
      passes_.push_back(&pass);
      reports_.push_back({.name = pass.name});
    }
  }

  void Run(Graph& graph) {
    if (passes_.empty()) return;
    bool changed = true;
    for (int round = 0; changed && round < kMaxRounds; ++round) {
      changed = false;
      for (size_t i = 0; i < passes_.size(); ++i) {
        if (!passes_[i]->last) changed |= RunPass(graph, *passes_[i], reports_[i]);
      }
    }
    for (size_t i = 0; i < passes_.size(); ++i) {
      if (passes_[i]->last) RunPass(graph, *passes_[i], reports_[i]);
    }
    for (const NodeId id : graph.order()) {
      for (auto& [name, attribute] : graph.node(id).attributes) {
        if (auto* sub = std::get_if<std::shared_ptr<Graph>>(&attribute)) Run(**sub);
      }
    }
  }

  std::vector<PassReport> TakeReports() { return std::move(reports_); }

 private:
  bool RunPass(Graph& graph, const Pass& pass, PassReport& report) {
    report.skipped.clear();  // the last round tells what is left
    SweepContext context{threads_, report};
    const int applied = pass.rule ? RunRule(graph, pass.rule, report) : pass.sweep(graph, context);
    report.applied += applied;
    if (applied && VerifyWanted()) {
      try {
        Verify(graph);
      } catch (const Error& e) {
        throw Error(Code::kRuntime, fmt::format("pass {} broke the graph: {}", pass.name, e.what()));
      }
    }
    return applied > 0;
  }

  const Threads& threads_;
  std::vector<const Pass*> passes_;
  std::vector<PassReport> reports_;
};

}  // namespace

std::vector<std::string_view> PassNames() {
  std::vector<std::string_view> names;
  for (const Pass& pass : kPipeline) names.push_back(pass.name);
  return names;
}

std::vector<PassReport> Optimize(Graph& graph, const PassOptions& options, const Threads& threads) {
  Pipeline pipeline(options, threads);
  pipeline.Run(graph);
  return pipeline.TakeReports();
}

}  // namespace slipway
