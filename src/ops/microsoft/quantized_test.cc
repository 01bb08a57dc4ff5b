#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "ops/testing.h"

namespace slipway::testing {
namespace {

using ::testing::ElementsAre;

template <class T>
Tensor Wave(Shape shape, int step) {
  Tensor t(kDTypeOf<T>, std::move(shape));
  for (int64_t i = 0; i < t.size(); ++i) t.data<T>()[i] = static_cast<T>(i * step % 251);
  return t;
}
Tensor Sines(Shape shape, float step) {
  Tensor t(DType::kFloat, std::move(shape));
  for (int64_t i = 0; i < t.size(); ++i) t.data<float>()[i] = std::sin(static_cast<float>(i) * step);
  return t;
}
Tensor Scale(float v) { return Tensor::From<float>({}, {v}); }
template <class T>
Tensor Zero(int v) {
  return Tensor::From<T>({}, {static_cast<T>(v)});
}
OpCall Call(std::string op, std::vector<Value> inputs, std::vector<std::pair<std::string, Attribute>> attributes = {}) {
  return {std::move(op), std::move(inputs), std::move(attributes), 1, "com.microsoft"};
}
void ExpectNear(const Tensor& got, const Tensor& want, float bound) {
  ASSERT_EQ(got.shape(), want.shape());
  for (int64_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got.data<float>()[i], want.data<float>()[i], bound) << i;
}
template <class T>
Tensor Dequantized(const Tensor& x, float scale, int zero) {
  Tensor out(DType::kFloat, x.shape());
  for (int64_t i = 0; i < x.size(); ++i) out.data<float>()[i] = (static_cast<float>(x.data<T>()[i]) - zero) * scale;
  return out;
}

/// Each is the float operator between DequantizeLinear and QuantizeLinear.
template <class T>
void CheckQLinear() {
  const Tensor x = Wave<T>({2, 3, 4, 4}, 37), z = Wave<T>({3, 1, 4}, 91);
  const Tensor xs = Scale(0.05f), xz = Zero<T>(20), zs = Scale(0.03f), zz = Zero<T>(-3), ys = Scale(0.1f),
               yz = Zero<T>(9);
  const Tensor xf = Dequantized<T>(x, 0.05f, *xz.data<T>()), zf = Dequantized<T>(z, 0.03f, *zz.data<T>());
  const std::vector<int64_t> two = {2, 2};
  const auto check = [&](const OpCall& call, const Tensor& want) {
    SCOPED_TRACE(call.op_type);
    const Tensor got = RunOp1(call), quantized = RunOp1({"QuantizeLinear", {want, ys, yz}});
    EXPECT_EQ(got.shape(), want.shape());
    EXPECT_EQ(ToVector<T>(got), ToVector<T>(quantized));
  };
  const std::vector<Value> one = {x, xs, xz, ys, yz};
  check(Call("QLinearAdd", {x, xs, xz, z, zs, zz, ys, yz}), RunOp1({"Add", {xf, zf}}));
  check(Call("QLinearMul", {x, xs, xz, z, zs, zz, ys, yz}), RunOp1({"Mul", {xf, zf}}));
  check(Call("QLinearSigmoid", one), RunOp1({"Sigmoid", {xf}}));
  check(Call("QLinearLeakyRelu", one, {{"alpha", 0.3f}}), RunOp1({"LeakyRelu", {xf}, {{"alpha", 0.3f}}}));
  check(Call("QLinearSoftmax", one, {{"opset", int64_t{13}}}), RunOp1({"Softmax", {xf}}));
  check(Call("QLinearAveragePool", one, {{"kernel_shape", two}}),
        RunOp1({"AveragePool", {xf}, {{"kernel_shape", two}}}));
  check(Call("QLinearGlobalAveragePool", one), RunOp1({"GlobalAveragePool", {xf}}));
  check(Call("QLinearReduceMean", one, {{"axes", std::vector<int64_t>{1}}, {"keepdims", int64_t{0}}}),
        RunOp1({"ReduceMean", {xf, Tensor::From<int64_t>({1}, {1})}, {{"keepdims", int64_t{0}}}}));
  check(Call("QLinearConcat", {ys, yz, x, xs, xz, x, xs, xz}, {{"axis", int64_t{1}}}),
        RunOp1({"Concat", {xf, xf}, {{"axis", int64_t{1}}}}));
  const Tensor condition = Tensor::From<bool>({4}, {true, false, true, false});
  check(Call("QLinearWhere", {condition, x, xs, xz, z, zs, zz, ys, yz}), RunOp1({"Where", {condition, xf, zf}}));
}
TEST(QLinear, FloatOperatorsOnBytes) {
  CheckQLinear<uint8_t>();
  CheckQLinear<int8_t>();
  EXPECT_THROW(RunOp1(Call("QLinearConcat", {Scale(1), Zero<uint8_t>(0), Wave<uint8_t>({2}, 1), Scale(1)},
                           {{"axis", int64_t{0}}})),
               Error);
  EXPECT_THROW(RunOp1(Call("QLinearSigmoid", {Wave<uint8_t>({2}, 1), Sines({2}, 1), Zero<uint8_t>(0), Scale(1)})),
               Error);
}

TEST(QLinear, OldSoftmaxAndChannelsLast) {
  const Tensor x = Wave<uint8_t>({2, 3, 4}, 7);
  const auto y = ToVector<uint8_t>(
      RunOp1(Call("QLinearSoftmax", {x, Scale(0.01f), Zero<uint8_t>(0), Scale(1 / 255.f), Zero<uint8_t>(0)},
                  {{"opset", int64_t{12}}, {"axis", int64_t{1}}})));
  int sum = 0;
  for (int i = 0; i < 12; ++i) sum += y[i];
  EXPECT_NEAR(sum, 255, 6);
  const Tensor image = Wave<int8_t>({1, 2, 2, 3}, 19);
  const Tensor pooled = RunOp1(Call("NhwcMaxPool", {image}, {{"kernel_shape", std::vector<int64_t>{2, 2}}}));
  EXPECT_EQ(pooled.shape(), (Shape{1, 1, 1, 3}));
  for (int ch = 0; ch < 3; ++ch) {
    int8_t most = -128;
    for (int p = 0; p < 4; ++p) most = std::max(most, image.data<int8_t>()[p * 3 + ch]);
    EXPECT_EQ(pooled.data<int8_t>()[ch], most);
  }
}

TEST(MatMulIntegerToFloat, AndWithDynamicQuantization) {
  const Tensor a = Wave<uint8_t>({2, 3, 7}, 31), b = Wave<int8_t>({7, 5}, 53), bias = Sines({5}, 1);
  const Tensor scales = Tensor::From<float>({5}, {0.1f, 0.2f, 0.3f, 0.4f, 0.5f});
  const Tensor y =
      RunOp1(Call("MatMulIntegerToFloat", {a, b, Scale(0.5f), scales, Zero<uint8_t>(100), Zero<int8_t>(3), bias}));
  const auto sums = ToVector<int32_t>(RunOp1({"MatMulInteger", {a, b, Zero<uint8_t>(100), Zero<int8_t>(3)}}));
  for (size_t i = 0; i < sums.size(); ++i) {
    EXPECT_EQ(y.data<float>()[i],
              static_cast<float>(sums[i]) * (0.5f * scales.data<float>()[i % 5]) + bias.data<float>()[i % 5]);
  }
  const Tensor x = Sines({4, 7}, 0.6f);
  const std::vector<Value> q = RunOp({"DynamicQuantizeLinear", {x}, {}, 3});
  ExpectNear(RunOp1(Call("DynamicQuantizeMatMul", {x, b, scales, Zero<int8_t>(3), bias})),
             RunOp1(Call("MatMulIntegerToFloat", {q[0], b, q[1], scales, q[2], Zero<int8_t>(3), bias})), 0);
  EXPECT_THROW(RunOp1(Call("MatMulIntegerToFloat", {a, b, scales, scales})), Error);
}

TEST(QGemm, FloatAndQuantized) {
  const Tensor a = Wave<uint8_t>({7, 3}, 31), b = Wave<int8_t>({5, 7}, 53);
  const std::vector<std::pair<std::string, Attribute>> attributes = {
      {"transA", int64_t{1}}, {"transB", int64_t{1}}, {"alpha", 2.f}};
  const Tensor at = RunOp1({"Transpose", {a}}), bt = RunOp1({"Transpose", {b}});
  const auto sums = ToVector<int32_t>(RunOp1({"MatMulInteger", {at, bt, Zero<uint8_t>(9), Zero<int8_t>(3)}}));
  for (const Tensor& c : {Wave<int32_t>({5}, 7), Wave<int32_t>({3, 1}, 7), Wave<int32_t>({3, 5}, 7)}) {
    const std::vector<Value> inputs = {a, Scale(0.5f), Zero<uint8_t>(9), b, Scale(0.25f), Zero<int8_t>(3), c};
    const Tensor y = RunOp1(Call("QGemm", inputs, attributes));
    std::vector<Value> quantized = inputs;
    quantized.push_back(Scale(64));
    quantized.push_back(Zero<uint8_t>(128));
    const Tensor bytes = RunOp1(Call("QGemm", quantized, attributes));
    for (int64_t i = 0; i < 15; ++i) {
      const int32_t add = c.data<int32_t>()[c.size() == 5 ? i % 5 : c.size() == 3 ? i / 5 : i];
      const float want = static_cast<float>(sums[i] + add) * 0.25f;
      EXPECT_EQ(y.data<float>()[i], want);
      EXPECT_EQ(bytes.data<uint8_t>()[i], std::clamp(std::nearbyint(want / 64) + 128, 0.f, 255.f));
    }
  }
}

struct NBits {
  int64_t bits, block, k, n, m;
  bool zeros, float_zeros, grouped;
};
TEST(MatMulNBits, AgainstDequantizedFloat) {
  const NBits cases[] = {{4, 32, 70, 9, 1, true, false, false}, {4, 16, 64, 70, 3, false, false, false},
                         {4, 32, 96, 5, 7, true, true, false},  {8, 16, 40, 6, 2, true, false, false},
                         {2, 16, 50, 6, 1, true, false, false}, {2, 64, 50, 80, 6, true, false, false},
                         {4, 16, 48, 5, 2, true, false, true},  {8, 128, 100, 3, 9, false, false, false}};
  for (const NBits& c : cases) {
    SCOPED_TRACE(::testing::Message() << c.bits << " bits, blocks of " << c.block << ", " << c.m << " rows");
    const int64_t blocks = (c.k + c.block - 1) / c.block, bytes = c.block * c.bits / 8, per_byte = 8 / c.bits;
    const int mask = (1 << c.bits) - 1;
    const Tensor a = Sines({c.m, c.k}, 0.37f), scales = Sines({c.n, blocks}, 0.11f), bias = Sines({c.n}, 1);
    const Tensor b = Wave<uint8_t>({c.n, blocks, bytes}, 77);
    const int64_t zero_bytes = (blocks * c.bits + 7) / 8;
    const Tensor packed = Wave<uint8_t>({c.n, zero_bytes}, 111), floats = Sines({c.n, blocks}, 0.5f);
    Tensor groups(DType::kInt32, {c.k});
    for (int64_t i = 0; i < c.k; ++i) groups.data<int32_t>()[i] = static_cast<int32_t>(i * 7 % blocks);
    Tensor want(DType::kFloat, {c.m, c.n});
    for (int64_t i = 0; i < c.m; ++i) {
      for (int64_t j = 0; j < c.n; ++j) {
        double sum = bias.data<float>()[j];
        for (int64_t p = 0; p < c.k; ++p) {
          const int64_t at = p % c.block, g = c.grouped ? groups.data<int32_t>()[p] : p / c.block;
          const int q =
              b.data<uint8_t>()[(j * blocks + p / c.block) * bytes + at / per_byte] >> (at % per_byte * c.bits) & mask;
          double zero = 1 << (c.bits - 1);
          if (c.float_zeros) {
            zero = floats.data<float>()[j * blocks + g];
          } else if (c.zeros) {
            zero = packed.data<uint8_t>()[j * zero_bytes + g / per_byte] >> (g % per_byte * c.bits) & mask;
          }
          sum += a.data<float>()[i * c.k + p] * (q - zero) * scales.data<float>()[j * blocks + g];
        }
        want.data<float>()[i * c.n + j] = static_cast<float>(sum);
      }
    }
    std::vector<Value> inputs = {a, b, scales, {}, {}, bias};
    if (c.zeros) inputs[3] = c.float_zeros ? floats : packed;
    if (c.grouped) inputs[4] = groups;
    const std::vector<std::pair<std::string, Attribute>> attributes = {
        {"K", c.k}, {"N", c.n}, {"bits", c.bits}, {"block_size", c.block}};
    ExpectNear(RunOp1(Call("MatMulNBits", inputs, attributes)), want, c.bits == 8 ? 5e-2f : 2e-3f);
  }
  EXPECT_THROW(RunOp1(Call("MatMulNBits", {Sines({1, 16}, 1), Wave<uint8_t>({1, 1, 8}, 1), Scale(1)},
                           {{"K", int64_t{16}}, {"N", int64_t{1}}, {"bits", int64_t{3}}, {"block_size", int64_t{16}}})),
               Error);
}

TEST(GatherBlockQuantized, PackedBytes) {
  // Two rows of 32 numbers of 4 bits: low halves first.
  const Tensor data = Wave<uint8_t>({3, 16}, 29), scales = Sines({3, 2}, 1);
  const Tensor indices = Tensor::From<int64_t>({4}, {2, -3, 7, 1});
  const Tensor y = RunOp1(Call("GatherBlockQuantized", {data, indices, scales}, {{"block_size", int64_t{16}}}));
  ASSERT_EQ(y.shape(), (Shape{4, 32}));
  const int64_t rows[] = {2, 0, -1, 1};
  for (int64_t i = 0; i < 4; ++i) {
    for (int64_t j = 0; j < 32; ++j) {
      const float got = y.data<float>()[i * 32 + j];
      if (rows[i] < 0) {
        EXPECT_EQ(got, 0);
      } else {
        const int q = data.data<uint8_t>()[rows[i] * 16 + j / 2] >> (j % 2 * 4) & 15;
        EXPECT_FLOAT_EQ(got, (q - 8) * scales.data<float>()[rows[i] * 2 + j / 16]);
      }
    }
  }
}

TEST(DynamicQuantizeLSTM, AsLstmOfDequantizedWeights) {
  const Tensor x = Sines({5, 2, 3}, 0.4f), w = Wave<int8_t>({1, 3, 16}, 37), r = Wave<int8_t>({1, 4, 16}, 59);
  const Tensor scale = Tensor::From<float>({1}, {0.01f}), zero = Tensor::From<int8_t>({1}, {2});
  const std::vector<std::pair<std::string, Attribute>> attributes = {{"hidden_size", int64_t{4}}};
  const std::vector<Value> none(5);
  std::vector<Value> inputs = {x, w, r};
  inputs.insert(inputs.end(), none.begin(), none.end());
  for (const Tensor& t : {scale, zero, scale, zero}) inputs.emplace_back(t);
  const auto turned = [](const Tensor& t) {
    return RunOp1({"Transpose", {Dequantized<int8_t>(t, 0.01f, 2)}, {{"perm", std::vector<int64_t>{0, 2, 1}}}});
  };
  ExpectNear(RunOp1(Call("DynamicQuantizeLSTM", inputs, attributes)),
             RunOp1({"LSTM", {x, turned(w), turned(r)}, attributes}), 1e-6f);
}

TEST(MatMulInteger16, Sums) {
  const Tensor a = Tensor::From<int16_t>({1, 2}, {30000, -5}), b = Tensor::From<int16_t>({2, 2}, {2, -3, 7, 32767});
  EXPECT_THAT(ToVector<int32_t>(RunOp1(Call("MatMulInteger16", {a, b}))), ElementsAre(59965, -253835));
}

}  // namespace
}  // namespace slipway::testing
