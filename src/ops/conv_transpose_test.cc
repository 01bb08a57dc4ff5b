#include <gtest/gtest.h>

#include <cmath>

#include "ops/testing.h"

namespace slipway::testing {
namespace {

using Ints = std::vector<int64_t>;

template <class T>
Tensor Wave(Shape shape, int phase) {
  Tensor t(kDTypeOf<T>, std::move(shape));
  for (int64_t i = 0; i < t.size(); ++i) t.data<T>()[i] = static_cast<T>(std::sin(0.7 * i + phase));
  return t;
}

struct Case {
  Shape x, w;
  std::vector<std::pair<std::string, Attribute>> attributes;
  Shape y;
  std::vector<double> want;
};
const Case kCases[] = {
    {{1, 2, 3},
     {2, 1, 3},
     {{"strides", Ints{2}}, {"pads", Ints{1, 1}}, {"output_padding", Ints{1}}},
     {1, 1, 6},
     {0.381136, 0.621504, 1.34318, 1.83162, 2.10116, 1.91783}},
    {{1, 2, 2, 2},
     {2, 1, 2, 2},
     {{"strides", Ints{2, 2}}, {"group", int64_t{2}}},
     {1, 2, 4, 4},
     {0.909297, 0.909297, 1.45139,  1.54815, 0.909297, 0.909297, 1.34444,   0.936084, 1.73852,  1.88653,  1.63566,
      1.76531,  1.57493,  0.950273, 1.49236, 0.94519,  0.222415, 0.0999189, 0.642009, 0.770281, 0.131433, 0.302136,
      0.737281, 0.55853,  0.96066,  1.27937, 1.0285,   1.38776,  1.19738,   0.753242, 1.29533,  0.794696}},
    {{1, 1, 2, 3},
     {1, 1, 2, 2},
     {{"dilations", Ints{2, 2}}, {"pads", Ints{1, 1, 1, 1}}},
     {1, 1, 2, 3},
     {1.19118, 1.47014, 1.24149, 1.34444, 1.57493, 0.936084}},
};

template <class T>
void Check(const Case& k) {
  const Tensor bias = Wave<T>({k.y[1]}, 2);
  const Tensor y = RunOp1({"ConvTranspose", {Wave<T>(k.x, 0), Wave<T>(k.w, 1), bias}, k.attributes});
  ASSERT_EQ(y.shape(), k.y);
  for (size_t i = 0; i < k.want.size(); ++i) EXPECT_NEAR(y.data<T>()[i], k.want[i], 1e-5) << i;
}

TEST(ConvTranspose, StridesGroupsDilations) {
  for (const Case& k : kCases) {
    Check<float>(k);
    Check<double>(k);
  }
}

TEST(ConvTranspose, OutputShapes) {
  struct Shapes {
    std::vector<std::pair<std::string, Attribute>> attributes;
    Shape y;
  };
  const Shapes cases[] = {
      {{{"strides", Ints{2, 2}}, {"auto_pad", std::string("SAME_UPPER")}}, {1, 1, 6, 8}},
      {{{"strides", Ints{2, 2}}, {"output_shape", Ints{9, 10}}}, {1, 1, 9, 10}},
      {{}, {1, 1, 5, 6}},
  };
  for (const Shapes& k : cases) {
    EXPECT_EQ(
        RunOp1({"ConvTranspose", {Wave<float>({1, 1, 3, 4}, 0), Wave<float>({1, 1, 3, 3}, 1)}, k.attributes}).shape(),
        k.y);
  }
}

}  // namespace
}  // namespace slipway::testing
