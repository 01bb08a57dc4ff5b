#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "ops/testing.h"

namespace slipway::testing {
namespace {

template <class T = float>
Tensor Wave(Shape shape, int phase) {
  Tensor t(kDTypeOf<T>, std::move(shape));
  for (int64_t i = 0; i < t.size(); ++i) t.data<T>()[i] = static_cast<T>(static_cast<float>(std::sin(0.7 * i + phase)));
  return t;
}

constexpr int kSeq = 3, kBatch = 2, kInput = 2, kHidden = 2;

/// X, W, R, B, lengths, initial states and peepholes of `directions` directions.
template <class T = float>
std::vector<Value> Inputs(int gates, int directions = 1) {
  std::vector<Value> in = {Wave<T>({kSeq, kBatch, kInput}, 0),
                           Wave<T>({directions, gates * kHidden, kInput}, 1),
                           Wave<T>({directions, gates * kHidden, kHidden}, 2),
                           Wave<T>({directions, 2 * gates * kHidden}, 3),
                           Value(),
                           Wave<T>({directions, kBatch, kHidden}, 4)};
  if (gates == 4) in.emplace_back(Wave<T>({directions, kBatch, kHidden}, 5));
  if (gates == 4) in.emplace_back(Wave<T>({directions, 3 * kHidden}, 6));
  return in;
}

struct Case {
  const char* op;
  int gates;
  std::vector<std::pair<std::string, Attribute>> attributes;
  std::vector<float> want;  ///< by the definitions of the specification, in NumPy
};
const Case kCases[] = {
    {"RNN",
     1,
     {},
     {-0.858376f, -0.394616f, 0.0939563f, -0.386425f, -0.949397f, -0.605452f, -0.988981f, -0.946079f, -0.98513f,
      -0.815526f, -0.52363f, 0.0560295f}},
    {"GRU",
     3,
     {},
     {-0.772715f, -0.89799f, -0.697008f, -0.0395068f, -0.87672f, -0.863322f, -0.934373f, -0.501252f, -0.942662f,
      -0.878398f, -0.82569f, -0.351223f}},
    {"GRU",
     3,
     {{"linear_before_reset", int64_t{1}}},
     {-0.800328f, -0.739353f, -0.651215f, 0.0169469f, -0.895647f, -0.587547f, -0.919586f, -0.47667f, -0.948861f,
      -0.618038f, -0.779483f, -0.244986f}},
    {"LSTM",
     4,
     {},
     {0.252412f, 0.0222953f, 0.132482f, 0.0720739f, 0.16616f, 0.0903543f, 0.186421f, 0.183664f, 0.159805f, 0.137833f,
      0.0139832f, 0.0345614f}},
};

TEST(Recurrent, Forward) {
  for (const Case& k : kCases) {
    const Tensor y = RunOp1({k.op, Inputs(k.gates), k.attributes});
    const Tensor z = RunOp1({k.op, Inputs<double>(k.gates), k.attributes});
    EXPECT_EQ(y.shape(), (Shape{kSeq, 1, kBatch, kHidden}));
    for (size_t i = 0; i < k.want.size(); ++i) {
      EXPECT_NEAR(y.data<float>()[i], k.want[i], 2e-6) << k.op << i;
      EXPECT_NEAR(z.data<double>()[i], k.want[i], 2e-6) << k.op << i;
    }
  }
}

/// Backwards over a reversed sequence is forwards; the second of two directions is the backward one.
TEST(Recurrent, DirectionsAndLayout) {
  for (const Case& k : kCases) {
    std::vector<Value> in = Inputs(k.gates, 2);
    auto attributes = k.attributes;
    attributes.emplace_back("direction", std::string("bidirectional"));
    const Tensor both = RunOp1({k.op, in, attributes});
    ASSERT_EQ(both.shape(), (Shape{kSeq, 2, kBatch, kHidden}));
    std::vector<Value> second = in;
    Tensor turned(DType::kFloat, {kSeq, kBatch, kInput});
    for (int t = 0; t < kSeq; ++t)
      std::copy_n(in[0].tensor().data<float>() + (kSeq - 1 - t) * 4, 4, turned.data<float>() + t * 4);
    second[0] = turned;
    for (size_t i = 1; i < in.size(); ++i) {
      if (!in[i].is_tensor()) continue;
      const Tensor& t = in[i].tensor();
      Shape shape = t.shape();
      shape[0] = 1;
      second[i] = Tensor::From<float>(shape, t.span<float>().subspan(shape.size()));
    }
    const Tensor forward = RunOp1({k.op, second, k.attributes});
    for (int t = 0; t < kSeq; ++t) {
      for (int i = 0; i < 4; ++i) {
        EXPECT_NEAR(both.data<float>()[(t * 2 + 1) * 4 + i], forward.data<float>()[(kSeq - 1 - t) * 4 + i], 1e-6)
            << k.op;
      }
    }
  }
}

TEST(Recurrent, LengthsEndASequence) {
  for (const Case& k : kCases) {
    std::vector<Value> in = Inputs(k.gates);
    in[4] = Tensor::From<int32_t>({kBatch}, {3, 1});
    const auto out = RunOp({k.op, in, k.attributes, 2});
    const float *y = out[0].tensor().data<float>(), *last = out[1].tensor().data<float>();
    for (int i = 0; i < kHidden; ++i) {
      EXPECT_NEAR(last[i], k.want[8 + i], 2e-6) << k.op;
      EXPECT_NEAR(last[2 + i], k.want[2 + i], 2e-6) << k.op;
      EXPECT_EQ(y[6 + i], 0) << k.op;
    }
    in[4] = Tensor::From<int32_t>({kBatch}, {4, 1});
    EXPECT_THROW(RunOp({k.op, in, k.attributes}), Error);
  }
}

}  // namespace
}  // namespace slipway::testing
