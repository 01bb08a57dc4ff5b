#include "graph/pattern.h"

#include <gtest/gtest.h>

#include <functional>

#include "graph/graph_builder.h"

namespace slipway {
namespace {

constexpr double kSqrt2 = 1.4142135623730951;

Pattern GeluPattern() {
  const Pattern x = Any("x");
  return x * (Erf(x / kSqrt2) + 1.0) * 0.5;
}

struct Case {
  const char* name;
  std::function<ValueId(GraphBuilder&, ValueId x)> build;
  bool found;
};

TEST(Pattern, MatchesEveryBracketing) {
  const auto inner = [](GraphBuilder& b, ValueId x) {
    return b.Add("Add", {b.Add("Erf", {b.Add("Div", {x, b.Scalar(1.41421354f)})}), b.Scalar(1)});
  };
  const Case cases[] = {
      {"(x * e) * half",
       [&](auto& b, ValueId x) {
         return b.Add("Mul", {b.Add("Mul", {x, inner(b, x)}), b.Scalar(0.5f)});
       },
       true},
      {"x * (e * half)",
       [&](auto& b, ValueId x) {
         return b.Add("Mul", {x, b.Add("Mul", {inner(b, x), b.Scalar(0.5f)})});
       },
       true},
      {"half * (e * x)",
       [&](auto& b, ValueId x) {
         return b.Add("Mul", {b.Scalar(0.5f), b.Add("Mul", {inner(b, x), x})});
       },
       true},
      {"(half * x) * e",
       [&](auto& b, ValueId x) {
         return b.Add("Mul", {b.Add("Mul", {b.Scalar(0.5f), x}), inner(b, x)});
       },
       true},
      {"(x / 2) * e",
       [&](auto& b, ValueId x) {
         return b.Add("Mul", {b.Add("Div", {x, b.Scalar(2)}), inner(b, x)});
       },
       true},
      {"(x * e) / [[2]]",
       [&](auto& b, ValueId x) {
         return b.Add("Div", {b.Add("Mul", {x, inner(b, x)}), b.Floats({1, 1}, {2})});
       },
       true},
      {"e with 1 + erf(k * x)",
       [&](auto& b, ValueId x) {
         const ValueId e = b.Add("Add", {b.Scalar(1), b.Add("Erf", {b.Add("Mul", {b.Scalar(0.70710678f), x})})});
         return b.Add("Mul", {b.Add("Mul", {x, e}), b.Scalar(0.5f)});
       },
       true},
      {"minus -1",
       [&](auto& b, ValueId x) {
         const ValueId e = b.Add("Sub", {b.Add("Erf", {b.Add("Div", {x, b.Scalar(1.4142135f)})}), b.Scalar(-1)});
         return b.Add("Mul", {b.Add("Mul", {x, e}), b.Scalar(0.5f)});
       },
       true},
      {"another constant",
       [&](auto& b, ValueId x) {
         return b.Add("Mul", {b.Add("Mul", {x, inner(b, x)}), b.Scalar(0.6f)});
       },
       false},
      {"another x",
       [&](auto& b, ValueId x) {
         return b.Add("Mul", {b.Add("Mul", {b.Input("y", {2, 3}), inner(b, x)}), b.Scalar(0.5f)});
       },
       false},
      {"no half",
       [&](auto& b, ValueId x) {
         return b.Add("Mul", {x, inner(b, x)});
       },
       false},
      {"an inner value is used elsewhere",
       [&](auto& b, ValueId x) {
         const ValueId e = inner(b, x);
         b.Output(b.Add("Relu", {e}));
         return b.Add("Mul", {b.Add("Mul", {x, e}), b.Scalar(0.5f)});
       },
       false},
  };
  const Pattern gelu = GeluPattern();
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    GraphBuilder b;
    const ValueId x = b.Input("x", {2, 3});
    const ValueId y = c.build(b, x);
    b.Output(y);
    const auto match = Find(b.graph, b.graph.value(y).producer, gelu);
    ASSERT_EQ(match.has_value(), c.found);
    if (match) {
      EXPECT_EQ((*match)["x"], x);
      EXPECT_EQ(match->nodes.front(), b.graph.value(y).producer);
    }
  }
}

TEST(Pattern, XMayBeAProductItself) {
  GraphBuilder b;
  const ValueId x = b.Add("Mul", {b.Input("a", {2}), b.Input("b", {2})});
  const ValueId y = b.Add("Mul", {x, b.Add("Sigmoid", {x})});
  b.Output(y);
  const Pattern v = Any("x"), swish = v * Sigmoid(v);
  const auto match = Find(b.graph, b.graph.value(y).producer, swish);
  ASSERT_TRUE(match);
  EXPECT_EQ((*match)["x"], x);
}

TEST(Pattern, SquaresReciprocalsAndNames) {
  const Pattern x = Any("x"), d = Any("d");
  const Pattern pattern = d / Sqrt(Square(x) + Const("eps").Named("eps")) * Const("gamma");
  const std::function<ValueId(GraphBuilder&, ValueId, ValueId)> builds[] = {
      [](GraphBuilder& b, ValueId d, ValueId s) {
        return b.Add("Div", {d, s});
      },
      [](GraphBuilder& b, ValueId d, ValueId s) {
        return b.Add("Mul", {b.Add("Reciprocal", {s}), d});
      },
      [](GraphBuilder& b, ValueId d, ValueId s) {
        return b.Add("Mul", {b.Add("Div", {b.Scalar(1), s}), d});
      },
  };
  for (const bool power : {false, true}) {
    for (const auto& build : builds) {
      GraphBuilder b;
      const ValueId xv = b.Input("x", {2, 3}), dv = b.Input("d", {2, 3});
      const ValueId square = power ? b.Add("Pow", {xv, b.Scalar(2)}) : b.Add("Mul", {xv, xv});
      const ValueId eps = b.Scalar(1e-5f), gamma = b.Floats({3}, {1, 2, 3});
      const ValueId root = b.Add("Sqrt", {b.Add("Add", {eps, square})});
      const ValueId y = b.Add("Mul", {gamma, build(b, dv, root)});
      b.Output(y);
      const auto match = Find(b.graph, b.graph.value(y).producer, pattern);
      ASSERT_TRUE(match);
      EXPECT_EQ((*match)["x"], xv);
      EXPECT_EQ((*match)["d"], dv);
      EXPECT_EQ((*match)["eps"], eps);
      EXPECT_EQ((*match)["gamma"], gamma);
    }
  }
}

}  // namespace
}  // namespace slipway
