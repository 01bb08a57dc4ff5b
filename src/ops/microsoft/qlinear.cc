#include <algorithm>
#include <array>

#include "kernels/quant/quantize.h"
#include "ops/one_number.h"
#include "ops/op.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

constexpr TypeSet kBytes = {DType::kInt8, DType::kUint8};

/// An operator on bytes that is a float operator between dequantizing its operands and quantizing its result.
struct QLinearForm {
  std::string_view inner;
  std::string_view domain = kOnnxDomain;
  int first = 0;     ///< operands come as value, scale, zero point, from this input on
  int operands = 1;  ///< kVariadic: to the end
  int plain = 0;     ///< inputs before them that the inner operator has too
  int y_scale = 3;   ///< the zero point follows; kNone: the result has the operand's
};

/// (x - zero) * scale, by a table of all bytes.
Tensor Dequantized(const Tensor& x, float scale, int32_t zero, const Threads& threads) {
  std::array<float, 256> table;
  for (int i = 0; i < 256; ++i)
    table[i] = static_cast<float>((x.dtype() == DType::kInt8 ? static_cast<int8_t>(i) : i) - zero) * scale;
  Tensor out(DType::kFloat, x.shape());
  const auto* from = static_cast<const uint8_t*>(x.raw());
  threads.ParallelFor(x.size(), 16384, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out.data<float>()[i] = table[from[i]];
  });
  return out;
}

void Quantize(const Tensor& x, float scale, int32_t zero, Tensor& y, const Threads& threads) {
  const bool is_signed = y.dtype() == DType::kInt8;
  auto* to = static_cast<uint8_t*>(y.raw());
  kernels::QuantizeToBytes(x.data<float>(), x.size(), scale, zero + (is_signed ? 128 : 0), to, threads);
  if (!is_signed) return;
  for (int64_t i = 0; i < y.size(); ++i) to[i] ^= 0x80;
}

/// The number in a zero point; 0 where it is left out.
int32_t Zero(const RunContext& c, int i) {
  if (i < 0 || !c.Has(i)) return 0;
  return c.In(i).dtype() == DType::kInt8 ? *c.In(i).data<int8_t>() : *c.In(i).data<uint8_t>();
}

template <const QLinearForm& F>
struct QLinear {
  std::shared_ptr<const Op> op;
  std::vector<int64_t> axes;      // ReduceMean takes them as an input
  std::optional<int64_t> coerce;  // Softmax before opset 13: over all axes from this one on

  static QLinear Parse(const Attributes& a) {
    QLinear out;
    Node node{.op_type = std::string(F.inner), .domain = std::string(F.domain), .attributes = a};
    std::string_view domain = F.domain;
    if (F.inner == "ReduceMean") out.axes = a.RequiredInts("axes");
    if (F.inner == "Softmax" && a.RequiredInt("opset") < 13) {
      out.coerce = a.Int("axis", -1);
      node.attributes.Set("axis", int64_t{-1});
    }
    if (F.inner == "MaxPool") node.attributes.Set("channels_last", int64_t{1});
    if (a.Int("channels_last", 0) != 0) domain = kSlipwayDomain;
    out.op = FindOp(domain, F.inner)->make(node);
    return out;
  }

  void Infer(InferContext& c) const {
    const int operands = Operands(c.num_inputs());
    if (F.operands == kVariadic && (c.num_inputs() - F.first) % 3 != 0)
      c.Fail("has {} inputs, but wants three for each operand after the first {}.", c.num_inputs(), F.first);
    std::vector<Type> types;
    types.reserve(operands + 1);
    InferContext inner = c;
    inner.in_types.resize(F.plain);
    inner.in_constants.resize(F.plain);
    inner.in_ints.resize(F.plain);
    const auto add = [&](Type type, const Tensor* constant) {
      types.push_back(std::move(type));
      inner.in_types.push_back(&types.back());
      inner.in_constants.push_back(constant);
      inner.in_ints.push_back(nullptr);
    };
    const int first_value = F.first;
    for (int i = 0; i < operands; ++i) {
      const int at = F.first + 3 * i;
      c.ExpectElem(at, kBytes);
      if (at != first_value) c.ExpectSameElem(at, first_value);
      if (F.y_scale != kNone) CheckScale(c, at + 1, at + 2, at);
      add(Type::TensorOf(DType::kFloat, c.Shape(at)), nullptr);
    }
    if (F.y_scale != kNone) CheckScale(c, F.y_scale, F.y_scale + 1, first_value);
    const Tensor list = Axes();
    if (!axes.empty()) add(Type::TensorOf(DType::kInt64, SymbolicShape(list.shape())), &list);
    inner.out_types.assign(c.num_outputs(), Type{});
    if (coerce) {
      if (c.HasRank(first_value)) c.Axis(*coerce, c.Shape(first_value).rank());
      return c.Out(0, c.In(first_value));
    }
    op->Infer(inner);
    c.Out(0, c.Elem(first_value), inner.out_types[0].shape);
  }

  void Run(RunContext& c) const {
    Tensor& y = c.Out(0);
    if (y.size() == 0) return;
    std::vector<Value> values;
    for (int i = 0; i < Operands(c.num_inputs()); ++i) {
      const int at = F.first + 3 * i;
      const float scale = F.y_scale == kNone ? 1.0f : *c.In(at + 1).data<float>();
      Tensor x = Dequantized(c.In(at), scale, F.y_scale == kNone ? 0 : Zero(c, at + 2), c.threads());
      if (coerce) {
        const int axis = ModAxis(*coerce, x.shape().rank());
        x = Tensor(DType::kFloat, {x.shape().SizeTo(axis), x.shape().SizeFrom(axis)}, x.raw(),
                   std::make_shared<const Tensor>(x));
      }
      values.emplace_back(std::move(x));
    }
    if (!axes.empty()) values.emplace_back(Axes());
    Value result = Tensor(DType::kFloat, coerce ? values[0].tensor().shape() : y.shape());
    RunContext inner = c;
    inner.in.resize(F.plain);
    for (Value& v : values) inner.in.push_back(&v);
    inner.out = {&result};
    op->Run(inner);
    const float scale = F.y_scale == kNone ? 1.0f : *c.In(F.y_scale).template data<float>();
    Quantize(result.tensor(), scale, F.y_scale == kNone ? 0 : Zero(c, F.y_scale + 1), y, c.threads());
  }

 private:
  static int Operands(int inputs) { return F.operands == kVariadic ? (inputs - F.first) / 3 : F.operands; }
  static void CheckScale(const InferContext& c, int scale, int zero, int like) {
    c.ExpectElem(scale, {DType::kFloat});
    ExpectOne(c, scale);
    if (!c.Has(zero)) return;
    c.ExpectSameElem(zero, like);
    ExpectOne(c, zero);
  }
  Tensor Axes() const { return Tensor::From<int64_t>({static_cast<int64_t>(axes.size())}, axes); }
};

constexpr QLinearForm kAddForm = {.inner = "Add", .operands = 2, .y_scale = 6};
constexpr QLinearForm kMulForm = {.inner = "Mul", .operands = 2, .y_scale = 6};
constexpr QLinearForm kSigmoidForm = {.inner = "Sigmoid"};
constexpr QLinearForm kLeakyReluForm = {.inner = "LeakyRelu"};
constexpr QLinearForm kSoftmaxForm = {.inner = "Softmax"};
constexpr QLinearForm kAveragePoolForm = {.inner = "AveragePool"};
constexpr QLinearForm kGlobalAveragePoolForm = {.inner = "GlobalAveragePool"};
constexpr QLinearForm kReduceMeanForm = {.inner = "ReduceMean"};
constexpr QLinearForm kConcatForm = {.inner = "Concat", .first = 2, .operands = kVariadic, .y_scale = 0};
constexpr QLinearForm kWhereForm = {.inner = "Where", .first = 1, .operands = 2, .plain = 1, .y_scale = 7};
constexpr QLinearForm kMaxPoolForm = {.inner = "MaxPool", .domain = kSlipwayDomain, .y_scale = kNone};

template <const QLinearForm& F>
constexpr OpDef Def(std::string_view name, int min_inputs, int max_inputs, TypeSet types = kBytes) {
  return Define<QLinear<F>>(
      {.name = name, .domain = kMicrosoftDomain, .min_inputs = min_inputs, .max_inputs = max_inputs, .types = types});
}

}  // namespace

/// com.microsoft's operators on bytes with a scale and zero point for each operand and the result: dequantize, compute
/// in float, quantize with ties to even. NhwcMaxPool has neither scale nor zero point.
extern const OpDef kMicrosoftQLinearAdd = Def<kAddForm>("QLinearAdd", 7, 8);
extern const OpDef kMicrosoftQLinearMul = Def<kMulForm>("QLinearMul", 7, 8);
extern const OpDef kMicrosoftQLinearSigmoid = Def<kSigmoidForm>("QLinearSigmoid", 4, 5);
extern const OpDef kMicrosoftQLinearLeakyRelu = Def<kLeakyReluForm>("QLinearLeakyRelu", 4, 5);
extern const OpDef kMicrosoftQLinearSoftmax = Def<kSoftmaxForm>("QLinearSoftmax", 5, 5);
extern const OpDef kMicrosoftQLinearAveragePool = Def<kAveragePoolForm>("QLinearAveragePool", 4, 5);
extern const OpDef kMicrosoftQLinearGlobalAveragePool = Def<kGlobalAveragePoolForm>("QLinearGlobalAveragePool", 5, 5);
extern const OpDef kMicrosoftQLinearReduceMean = Def<kReduceMeanForm>("QLinearReduceMean", 4, 5);
extern const OpDef kMicrosoftQLinearConcat = Def<kConcatForm>("QLinearConcat", 5, kVariadic, {DType::kFloat});
extern const OpDef kMicrosoftQLinearWhere = Def<kWhereForm>("QLinearWhere", 9, 9, {DType::kBool});
extern const OpDef kMicrosoftNhwcMaxPool = Def<kMaxPoolForm>("NhwcMaxPool", 1, 1);

}  // namespace slipway
