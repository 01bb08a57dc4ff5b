#include "onnx/downgrade/downgrade.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

#include "onnx/downgrade/rules.h"
#include "onnx/upgrade/upgrade.h"

namespace slipway::onnx {
namespace {

/// What becomes of a node where the model is written at an opset before `before`: it says the same in the form of that
/// opset's predecessors, or in other operators.
struct Rule {
  std::string_view op;
  int64_t before;
  Lower apply;
};

/// An operator's rules stand from the newest to the oldest, and apply in that order.
std::vector<Rule> MakeRules() {
  std::vector<Rule> rules = {
      {"AffineGrid", 20, AffineGridByProduct},
      {"ArgMax", 12, DropInt("select_last_index", 0, ArgOfLast)},
      {"ArgMin", 12, DropInt("select_last_index", 0, ArgOfLast)},
      {"Attention", 25, AttentionOfOpset24},
      {"Attention", 24, AttentionOfOpset23},
      {"Attention", 23, AttentionByProducts},
      {"AveragePool", 19, PoolDilations},
      {"AveragePool", 10, PoolCeil},
      {"BatchNormalization", 15, BatchNormOneType},
      {"BatchNormalization", 14, DropInt("training_mode", 0, TrainedBatchNorm)},
      {"Bernoulli", 15, BernoulliByRandom},
      {"BitShift", 28, ShiftSigned},
      {"CastLike", 15, CastLikeToCast},
      {"CausalConvWithState", 27, CausalConvByConv},
      {"Cast", 24, DropString("round_mode", "up")},
      {"Cast", 19, DropInt("saturate", 1)},
      {"Celu", 28, [](Rewrite& r) { if (r.Elem(r.In(0)) != DType::kFloat) CeluByElu(r); }},
      {"Celu", 12, CeluByElu},
      {"CenterCropPad", 18, CenterCrop},
      {"Clip", 12, ClipByMinMax},
      {"Clip", 11, ClipAttributes},
      {"Col2Im", 18, ColToImageByConv},
      {"Constant", 12, ConstantToInitializer},
      {"ConstantOfShape", 20, ConstantOfShapeTypes},
      {"ConstantOfShape", 9, ConstantOfShapeByExpand},
      {"CumProd", 26, CumProdByScan},
      {"CumSum", 11, CumSumByScan},
      {"DFT", 20, DftAxis},
      {"DFT", 17, DftByProduct},
      {"DepthToSpace", 11, DropString("mode", "DCR", DepthByTranspose)},
      {"DequantizeLinear", 23, DequantizeTypes},
      {"DequantizeLinear", 21, DequantizeBlocks},
      {"DequantizeLinear", 13, DequantizeAxis},
      {"DequantizeLinear", 10, DequantizeByProduct},
      {"Dropout", 12, PlainDropout},
      {"DynamicQuantizeLinear", 11, DynamicQuantize},
      {"Einsum", 12, EinsumByProducts},
      {"Equal", 11, EqualByOrder},
      {"Erf", 9, ErfByPolynomial},
      {"Expand", 8, ExpandByTile},
      {"Flatten", 11, CountAxisFromFront},
      {"Flatten", 9, FlattenByReshape},
      {"GatherND", 12, GatherNdBatches},
      {"Gelu", 20, GeluByErf},
      {"Gemm", 11,
       [](Rewrite& r) {
         if (!r.Has(2)) r.g.SetInput(r.id, 2, r.Like(0, r.In(0)));
       }},
      {"GreaterOrEqual", 12, OrEqual},
      {"GridSample", 20, GridSampleOfImages},
      {"GridSample", 16, GridSampleByGather},
      {"GroupNormalization", 21, GroupNormByInstances},
      {"HardSwish", 14, HardSwishBySigmoid},
      {"IsInf", 10, InfByOrder},
      {"IsNaN", 9, NanByOrder},
      {"LayerNormalization", 17, LayerNormByReduce},
      {"LessOrEqual", 12, OrEqual},
      {"LinearAttention", 27, LinearAttentionByScan},
      {"LpPool", 18, LpPoolBySums},
      {"MaxPool", 10, PoolDilations},
      {"MaxPool", 10, PoolCeil},
      {"MaxPool", 8,
       [](Rewrite& r) {
         if (r.Gives(1)) r.Fail("indices came with opset 8.");
         r.attributes().Remove("storage_order");
         r.node().outputs.resize(1);
       }},
      {"MeanVarianceNormalization", 9, MeanVarianceByReduce},
      {"Mish", 18, MishBySoftplus},
      {"Mod", 28, ModOfFloats},
      {"Mod", 10, ModByDiv},
      {"NegativeLogLikelihoodLoss", 12, LikelihoodLoss},
      {"OptionalGetElement", 18, OptionalElement},
      {"OptionalHasElement", 18, OptionalHas},
      {"Pad", 19, WrapByGather},
      {"Pad", 18, PadAllAxes},
      {"Pad", 11, PadAttributes},
      {"Pow", 12, PowOneType},
      {"QuantizeLinear", 23, QuantizePrecision},
      {"QuantizeLinear", 21, QuantizeBlocks},
      {"QuantizeLinear", 19, DropInt("saturate", 1)},
      {"QuantizeLinear", 13, QuantizeAxis},
      {"QuantizeLinear", 10, QuantizeByRound},
      {"RMSNormalization", 23, RmsNormByReduce},
      {"Range", 27, DropInt("stash_type", 1)},
      {"Range", 11, RangeByNonZero},
      {"ReduceSum", 13, ReduceNothing},
      {"Relu", 14, ReluByMax},
      {"Reshape", 14, DropInt("allowzero", 0, AllowZero)},
      {"Resize", 19, ResizeSymmetric},
      {"Resize", 18, ResizeOfOpset18},
      {"Resize", 13, ResizeEmptyInputs},
      {"Resize", 11, ResizeOfOpset10},
      {"Resize", 10, UpsampleFromResize},
      {"RoiAlign", 16,
       [](Rewrite& r) {
         Attributes& a = r.attributes();
         if (a.String("coordinate_transformation_mode", "half_pixel") != "output_half_pixel")
           r.Fail("its mode 'half_pixel' came with opset 16.");
         a.Remove("coordinate_transformation_mode");
       }},
      {"RotaryEmbedding", 23, RotaryByProducts},
      {"Round", 11, RoundByFloor},
      {"STFT", 17, StftByFrames},
      {"ScatterElements", 18, ScatterElementsReduce},
      {"ScatterElements", 11, RenameOperator("Scatter")},
      {"ScatterND", 18, ScatterNdReduce},
      {"SequenceMap", 17, SequenceMapByLoop},
      {"Shape", 15, SliceShape},
      {"Shrink", 9, ShrinkByWhere},
      {"Sign", 9, SignByOrder},
      {"Slice", 10, SliceAttributes},
      {"SoftmaxCrossEntropyLoss", 12, CrossEntropyLoss},
      {"SpaceToDepth", 28, DropString("mode", "DCR", SpaceByTranspose)},
      {"Split", 18, DropNumOutputs},
      {"Split", 13, SplitBySlices},
      {"Squeeze", 13, InputToInts("axes", 1)},
      {"SwiGLU", 28, SwiGluBySwish},
      {"Swish", 24, SwishBySigmoid},
      {"TensorScatter", 24, TensorScatterByElements},
      {"ThresholdedRelu", 10, ThresholdByWhere},
      {"TopK", 11, TopKSmallest},
      {"TopK", 10, InputToInt("k", 1)},
      {"Trilu", 14, TriluByMask},
      {"Unsqueeze", 13, InputToInts("axes", 1)},
  };
  const auto each = [&](std::initializer_list<std::string_view> ops, int64_t before, const Lower& apply) {
    for (std::string_view op : ops) rules.push_back({op, before, apply});
  };
  each({"ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp",
        "ReduceSumSquare"},
       18, ReduceNothing);
  each({"ReduceMax", "ReduceMin"}, 20, ReduceBools);
  each({"Identity", "If", "Loop"}, 16, TensorsAlone);
  each({"GRU", "LSTM", "RNN"}, 14, DropInt("layout", 0, BothLayouts));
  each({"Softmax", "LogSoftmax", "Hardmax"}, 13, SoftmaxOfMatrix);
  each({"Max", "Min"}, 12, MinMaxByWhere);
  each({"BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor"}, 18, BitwiseByBits);
  each({"BlackmanWindow", "HammingWindow", "HannWindow"}, 17, WindowByCos);
  each({"Sinh", "Cosh", "Asinh", "Acosh", "Atanh"}, 9, HyperbolicByExp);
  each({"Less", "Greater"}, 9, OrderOfIntegers);
  // Before opset 11 axes were counted from the front.
  each({"ArgMax", "ArgMin", "Compress", "Concat", "Gather", "OneHot", "ReduceL1", "ReduceL2", "ReduceLogSum",
        "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare",
        "Scatter", "ScatterElements", "Split", "Squeeze", "TopK", "Unsqueeze"},
       11, CountAxisFromFront);
  each({"Max", "Mean", "Min", "Sum"}, 8, BroadcastInputs);
  return rules;
}

const std::vector<const Rule*>* RulesOf(const std::string& op) {
  static const auto* const rules = new std::vector<Rule>(MakeRules());
  static const auto* const by_op = [] {
    auto* map = new std::unordered_map<std::string_view, std::vector<const Rule*>>;
    for (const Rule& rule : *rules) (*map)[rule.op].push_back(&rule);
    for (auto& [name, list] : *map) {
      std::stable_sort(list.begin(), list.end(), [](const Rule* a, const Rule* b) { return a->before > b->before; });
    }
    return map;
  }();
  const auto found = by_op->find(op);
  return found == by_op->end() ? nullptr : &found->second;
}

class Converter {
 public:
  Converter(int64_t target, const Inference& inference) : target_(target), inference_(inference) {}

  void Convert(Graph& g) {
    const std::vector<NodeId> nodes = g.order();
    for (NodeId id : nodes) Bring(g, id);
  }

 private:
  /// One node, and then those that stand in its place.
  void Bring(Graph& g, NodeId id) {
    std::vector<NodeId> open = {id};
    while (!open.empty()) {
      const NodeId next = open.back();
      open.pop_back();
      if (!g.alive(next)) continue;
      const std::vector<NodeId> added = Step(g, next);
      open.insert(open.end(), added.rbegin(), added.rend());
    }
  }

  std::vector<NodeId> Step(Graph& g, NodeId id) {
    const std::string& domain = g.node(id).domain;
    if (domain == kSlipwayDomain) {
      throw Error(Code::kUnsupported, fmt::format("{} is Slipway's own operator, which no opset has.\n  Convert the "
                                                  "model before it is optimized.",
                                                  g.node(id).Describe(g)));
    }
    Rewrite r(g, id, target_, inference_);
    if (domain.empty()) {
      if (const auto* rules = RulesOf(g.node(id).op_type)) {
        for (const Rule* rule : *rules) {
          if (target_ < rule->before && !r.done() && rule->op == g.node(id).op_type) rule->apply(r);
          if (r.done()) break;
        }
      }
      if (!r.done()) {
        CheckExists(r);
        WidenTypes(r);
      }
    }
    if (!r.done()) ConvertBodies(g, id);
    return r.added();
  }

  void CheckExists(const Rewrite& r) const {
    const std::string& op = r.node().op_type;
    if (const int64_t first = FirstOpset(op); target_ < first)
      r.Fail(fmt::format("the operator came with opset {}.\n  Convert to opset {} or newer.", first, first));
  }

  void ConvertBodies(Graph& g, NodeId id) {
    std::vector<std::shared_ptr<Graph>> bodies;
    for (const auto& [name, value] : g.node(id).attributes) {
      if (const auto* body = std::get_if<std::shared_ptr<Graph>>(&value)) bodies.push_back(*body);
    }
    for (const auto& body : bodies) Convert(*body);
  }

  const int64_t target_;
  const Inference& inference_;
};

}  // namespace

int64_t IrVersionOf(int64_t opset) {
  struct Since {
    int64_t opset, ir;
  };
  static constexpr Since kIr[] = {{28, 14}, {25, 13}, {24, 12}, {23, 11}, {21, 10}, {19, 9},
                                  {15, 8},  {12, 7},  {11, 6},  {10, 5},  {0, 4}};
  return std::find_if(std::begin(kIr), std::end(kIr), [&](const Since& row) { return opset >= row.opset; })->ir;
}

void ConvertOpset(Model& model, int64_t target, const Inference& inference) {
  if (target < kOldestOpset || target > kNewestOpset) {
    throw Error(Code::kInvalidArgument, fmt::format("opset {} cannot be written, only {} to {}.", target, kOldestOpset,
                                                    kNewestOpset));
  }
  if (target < kNewestOpset) Converter(target, inference).Convert(*model.graph);
  model.opsets[""] = target;
  model.ir_version = IrVersionOf(target);
}

}  // namespace slipway::onnx
