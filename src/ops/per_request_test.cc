#include <gmock/gmock.h>

#include "graph/graph_builder.h"
#include "ops/testing.h"

namespace slipway {
namespace {

using testing::RunOp;

/// y = -x, of rows of two numbers.
std::shared_ptr<Graph> Negative() {
  GraphBuilder b;
  const ValueId x = b.Input("x", {Dim::Symbol("n"), 2});
  b.Output(b.Add("Neg", {x}));
  InferTypes(b.graph);
  return std::make_shared<Graph>(std::move(b.graph));
}

struct Call {
  std::vector<int64_t> layout;  // a row count a request
  int64_t rows;
  std::vector<int64_t> classes = {1}, in = {0}, out = {0}, source = {0}, ranks = {2};
};

std::vector<Value> RunCall(const Call& c) {
  Tensor x(DType::kFloat, {c.rows, 2});
  for (int64_t i = 0; i < x.size(); ++i) x.data<float>()[i] = static_cast<float>(i + 1);
  const Tensor layout = Tensor::From<int64_t>({static_cast<int64_t>(c.layout.size()), 1}, c.layout);
  return RunOp({.op_type = "PerRequest",
                .inputs = {layout, Tensor(DType::kInt64, {c.rows, 0}), x},
                .attributes = {{"body", Negative()},
                               {"classes", c.classes},
                               {"in", c.in},
                               {"out", c.out},
                               {"source", c.source},
                               {"ranks", c.ranks}},
                .domain = std::string(kSlipwayDomain)});
}

TEST(PerRequest, RunsOnEachRequestsRows) {
  for (const std::vector<int64_t>& layout : {std::vector<int64_t>{5}, {2, 3}, {1, 0, 4}}) {
    const Tensor y = RunCall({.layout = layout, .rows = 5})[0].tensor();
    ASSERT_EQ(y.shape(), (Shape{5, 2}));
    for (int64_t i = 0; i < y.size(); ++i) EXPECT_EQ(y.data<float>()[i], -static_cast<float>(i + 1));
  }
}

TEST(PerRequest, RefusesWhatDoesNotFit) {
  const struct {
    Call call;
    const char* want;
  } cases[] = {
      {{.layout = {2, 2}, .rows = 5}, "the layout has 4 rows, but there are 5"},
      {{.layout = {2, 4}, .rows = 5}, "the layout has more rows"},
      {{.layout = {7, -2}, .rows = 5}, "the layout has more rows"},
      {{.layout = {-1, 6}, .rows = 5}, "the layout has size -1"},
      {{.layout = {INT64_MAX, 2}, .rows = 5}, "the layout has more rows"},
      {{.layout = {5}, .rows = 5, .in = {1}}, "do not fit its subgraph"},
      {{.layout = {5}, .rows = 5, .in = {0, 0}}, "do not fit its subgraph"},
      {{.layout = {5}, .rows = 5, .source = {1}}, "do not fit its subgraph"},
      {{.layout = {5}, .rows = 5, .classes = {0}}, "do not fit its subgraph"},
      {{.layout = {5}, .rows = 5, .ranks = {0}}, "fewer axes than their class"},
      {{.layout = {5}, .rows = 5, .in = {-1}}, "not what its attributes say"},
  };
  for (const auto& c : cases) {
    try {
      RunCall(c.call);
      FAIL() << "ran, instead of: " << c.want;
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), ::testing::HasSubstr(c.want));
    }
  }
}

}  // namespace
}  // namespace slipway
