#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "onnx/downgrade/rewrite.h"

namespace slipway::onnx {

// Moves: the same operator, said differently.

/// An input of constant ints, floats or one number that was an attribute.
Lower InputToInts(std::string name, size_t index);
Lower InputToFloats(std::string name, size_t index);
Lower InputToInt(std::string name, size_t index);
Lower InputToFloat(std::string name, size_t index);
/// An attribute that has its default, and goes; with another value `otherwise` takes over.
Lower DropInt(std::string name, int64_t meaningless, Lower otherwise = nullptr);
Lower DropString(std::string name, std::string meaningless, Lower otherwise = nullptr);
Lower RenameString(std::string attribute, std::string from, std::string to);
Lower RenameOperator(std::string to);
/// The node is refused, with what could be done.
Lower Refuse(std::string why);
Lower InTurn(std::vector<Lower> rules);
/// Negative axes counted from the front, in an attribute of one or of many.
void CountAxisFromFront(Rewrite& r);
/// Inputs of other types than the first are cast to it.
void OneType(Rewrite& r);
void CastLikeToCast(Rewrite& r);
void SliceShape(Rewrite& r);
void AllowZero(Rewrite& r);
void DropNumOutputs(Rewrite& r);
void SplitBySlices(Rewrite& r);
void PadAllAxes(Rewrite& r);
void WrapByGather(Rewrite& r);
void PadAttributes(Rewrite& r);
void SliceAttributes(Rewrite& r);
void ConstantToInitializer(Rewrite& r);
void ReduceNothing(Rewrite& r);
void ReduceBools(Rewrite& r);
void PlainDropout(Rewrite& r);
void ConstantOfShapeByExpand(Rewrite& r);
void ConstantOfShapeTypes(Rewrite& r);
void ExpandByTile(Rewrite& r);
void FlattenByReshape(Rewrite& r);
void BroadcastInputs(Rewrite& r);
void TensorsAlone(Rewrite& r);
void OptionalElement(Rewrite& r);
void OptionalHas(Rewrite& r);
void DepthByTranspose(Rewrite& r);
void SpaceByTranspose(Rewrite& r);
void CenterCrop(Rewrite& r);
void BothLayouts(Rewrite& r);
void TriluByMask(Rewrite& r);
void RangeByNonZero(Rewrite& r);

// Functions of one element.
void GeluByErf(Rewrite& r);
void SwishBySigmoid(Rewrite& r);
void SwiGluBySwish(Rewrite& r);
void MishBySoftplus(Rewrite& r);
void HardSwishBySigmoid(Rewrite& r);
void CeluByElu(Rewrite& r);
void ThresholdByWhere(Rewrite& r);
void ShrinkByWhere(Rewrite& r);
void ClipAttributes(Rewrite& r);
void ClipByMinMax(Rewrite& r);
void MinMaxByWhere(Rewrite& r);
void ReluByMax(Rewrite& r);
void OrEqual(Rewrite& r);
void EqualByOrder(Rewrite& r);
void OrderOfIntegers(Rewrite& r);
void NanByOrder(Rewrite& r);
void InfByOrder(Rewrite& r);
void SignByOrder(Rewrite& r);
void RoundByFloor(Rewrite& r);
void ErfByPolynomial(Rewrite& r);
void HyperbolicByExp(Rewrite& r);
void PowOneType(Rewrite& r);
void ModByDiv(Rewrite& r);
void ModOfFloats(Rewrite& r);
void ShiftSigned(Rewrite& r);
void BitwiseByBits(Rewrite& r);
void BernoulliByRandom(Rewrite& r);
void ArgOfLast(Rewrite& r);
void TopKSmallest(Rewrite& r);

// Normalizations and softmaxes.
void LayerNormByReduce(Rewrite& r);
void RmsNormByReduce(Rewrite& r);
void GroupNormByInstances(Rewrite& r);
void MeanVarianceByReduce(Rewrite& r);
void TrainedBatchNorm(Rewrite& r);
void BatchNormOneType(Rewrite& r);
void SoftmaxOfMatrix(Rewrite& r);

// Attention and its kin.
void AttentionByProducts(Rewrite& r);
/// The same where the node says what the form before opset 24 or 25 cannot.
void AttentionOfOpset24(Rewrite& r);
void AttentionOfOpset23(Rewrite& r);
void RotaryByProducts(Rewrite& r);
void TensorScatterByElements(Rewrite& r);
void CausalConvByConv(Rewrite& r);
void LinearAttentionByScan(Rewrite& r);

// Windows over images.
void PoolDilations(Rewrite& r);
void PoolCeil(Rewrite& r);
void LpPoolBySums(Rewrite& r);
void ColToImageByConv(Rewrite& r);
void AffineGridByProduct(Rewrite& r);
void GridSampleByGather(Rewrite& r);
void GridSampleOfImages(Rewrite& r);
void ResizeOfOpset18(Rewrite& r);
void ResizeSymmetric(Rewrite& r);
void ResizeEmptyInputs(Rewrite& r);
void ResizeOfOpset10(Rewrite& r);
void UpsampleFromResize(Rewrite& r);

// Quantization.
void DequantizeTypes(Rewrite& r);
void DequantizeBlocks(Rewrite& r);
void DequantizeAxis(Rewrite& r);
void DequantizeByProduct(Rewrite& r);
void QuantizePrecision(Rewrite& r);
void QuantizeBlocks(Rewrite& r);
void QuantizeAxis(Rewrite& r);
void QuantizeByRound(Rewrite& r);
void DynamicQuantize(Rewrite& r);

// Indices.
void GatherNdBatches(Rewrite& r);
void ScatterElementsReduce(Rewrite& r);
void ScatterNdReduce(Rewrite& r);
void CumSumByScan(Rewrite& r);
void CumProdByScan(Rewrite& r);
void EinsumByProducts(Rewrite& r);
void LikelihoodLoss(Rewrite& r);
void CrossEntropyLoss(Rewrite& r);
void SequenceMapByLoop(Rewrite& r);

// Signals.
void WindowByCos(Rewrite& r);
void DftAxis(Rewrite& r);
void DftByProduct(Rewrite& r);
void StftByFrames(Rewrite& r);

}  // namespace slipway::onnx
