#include "passes/testing.h"

namespace slipway {
namespace {

using testing::CheckPasses;

ValueId Rows(GraphBuilder& b, const char* name = "x") {
  return b.Input(name, {Dim::Symbol("b"), Dim::Symbol("s"), 32});
}

ValueId Numbers(GraphBuilder& b, Shape shape) {
  Tensor t(DType::kFloat, std::move(shape));
  std::mt19937 random(static_cast<unsigned>(b.graph.num_values()));
  for (float& x : std::span(t.data<float>(), static_cast<size_t>(t.size())))
    x = std::uniform_real_distribution<float>(-0.3f, 0.3f)(random);
  return b.Constant(std::move(t));
}

ValueId Product(GraphBuilder& b, ValueId x, int64_t width, bool biased = true) {
  const ValueId y = b.Add("MatMul", {x, Numbers(b, {32, width})});
  return biased ? b.Add("Add", {y, Numbers(b, {width})}) : y;
}

Attributes Heads(int64_t queries = 2, int64_t keys = 2) { return {{"q_num_heads", queries}, {"kv_num_heads", keys}}; }

void Attend(GraphBuilder& b, std::vector<ValueId> inputs, Attributes heads = Heads()) {
  b.Output(b.Add("Attention", std::move(inputs), std::move(heads)), "y");
}

TEST(MergeProjections, OneProductForAll) {
  CheckPasses(
      {
          {"queries, keys and values",
           [](GraphBuilder& b) {
             const ValueId x = Rows(b);
             Attend(b, {Product(b, x, 64), Product(b, x, 64), Product(b, x, 64)});
           },
           {"MergedMatMul", "StridedAttention"}},
          {"with a mask, heads that share keys, keys without a bias",
           [](GraphBuilder& b) {
             const ValueId x = Rows(b);
             const ValueId mask = b.Input("mask", {Dim::Symbol("b"), 1, Dim::Symbol("s"), Dim::Symbol("s")});
             Attend(b, {Product(b, x, 256), Product(b, x, 64, false), Product(b, x, 64), mask}, Heads(8, 2));
           },
           {"MergedMatMul", "StridedAttention"}},
          {"weights with rows for columns",
           [](GraphBuilder& b) {
             const ValueId x = Rows(b);
             const auto product = [&] {
               return b.Add("FusedMatMul", {x, Numbers(b, {64, 32})}, {{"transB", int64_t{1}}, {"scale", 0.5f}},
                            kSlipwayDomain);
             };
             Attend(b, {product(), product(), product()});
           },
           {"MergedMatMul", "StridedAttention"}},
          {"keys and values of something else",
           [](GraphBuilder& b) {
             const ValueId x = Rows(b), other = Rows(b, "other");
             Attend(b, {Product(b, x, 64), Product(b, other, 64), Product(b, other, 64)});
           },
           {"FusedMatMul", "MergedMatMul", "StridedAttention"}},
          {"queries that are used elsewhere",
           [](GraphBuilder& b) {
             const ValueId x = Rows(b), q = Product(b, x, 64);
             b.Output(q, "q");
             Attend(b, {q, Product(b, x, 64), Product(b, x, 64)});
           },
           {"FusedMatMul", "MergedMatMul", "StridedAttention"}},
          {"the last fills no panel",
           [](GraphBuilder& b) {
             const ValueId x = Rows(b);
             Attend(b, {Product(b, x, 64), Product(b, x, 64), Product(b, x, 6)});
           },
           {"MergedMatMul", "StridedAttention"}},
          {"one in the middle fills no panel",
           [](GraphBuilder& b) {
             const ValueId x = Rows(b);
             Attend(b, {Product(b, x, 48), Product(b, x, 48), Product(b, x, 48)});
           },
           {"FusedMatMul", "FusedMatMul", "FusedMatMul", "Attention"}},
          {"other scales",
           [](GraphBuilder& b) {
             const ValueId x = Rows(b);
             const auto product = [&](float scale) {
               return b.Add("FusedMatMul", {x, Numbers(b, {32, 64})}, {{"scale", scale}}, kSlipwayDomain);
             };
             Attend(b, {product(1), product(2), product(3)});
           },
           {"FusedMatMul", "FusedMatMul", "FusedMatMul", "Attention"}},
          {"weights that are fed",
           [](GraphBuilder& b) {
             const ValueId x = Rows(b), w = b.Input("w", {32, 64});
             const auto product = [&](float scale) {
               return b.Add("FusedMatMul", {x, w}, {{"scale", scale}}, kSlipwayDomain);
             };
             Attend(b, {product(1), product(2), product(3)});
           },
           {"FusedMatMul", "FusedMatMul", "FusedMatMul", "Attention"}},
          {"the keys are given too",
           [](GraphBuilder& b) {
             const ValueId x = Rows(b);
             const auto out =
                 b.AddMany("Attention", {Product(b, x, 64), Product(b, x, 64), Product(b, x, 64)}, 2, Heads());
             b.Output(out[0], "y");
             b.Output(out[1], "keys");
           },
           {"FusedMatMul", "FusedMatMul", "FusedMatMul", "Attention"}},
      },
      {.level = 2});
}

TEST(MergeProjections, ColumnsAreNotCopied) {
  CheckPasses(
      {
          {"a Split",
           [](GraphBuilder& b) {
             const auto parts =
                 b.AddMany("Split", {Product(b, Rows(b), 54), b.Ints({24, 24, 6})}, 3, {{"axis", int64_t{-1}}});
             Attend(b, parts);
           },
           {"FusedMatMul", "StridedAttention"}},
          {"a Split in another order, one part of which is used elsewhere",
           [](GraphBuilder& b) {
             const auto parts = b.AddMany("Split", {Rows(b), b.Ints({12, 8, 12})}, 3, {{"axis", int64_t{2}}});
             b.Output(parts[1], "part");
             Attend(b, {parts[2], parts[0], parts[1]});
           },
           {"Split", "StridedAttention"}},
          {"Slices, and values as they are",
           [](GraphBuilder& b) {
             const ValueId x = Rows(b);
             const auto slice = [&](int64_t from, int64_t to) {
               return b.Add("Slice", {x, b.Ints({from}), b.Ints({to}), b.Ints({2})});
             };
             Attend(b, {slice(-20, -10), slice(0, 10), x});
           },
           {"StridedAttention"}},
          {"a Split of rows, and every other column",
           [](GraphBuilder& b) {
             const ValueId x = b.Input("x", {Dim::Symbol("b"), 6, 32});
             const auto parts = b.AddMany("Split", {x, b.Ints({3, 3})}, 2, {{"axis", int64_t{1}}});
             const ValueId every = b.Add("Slice", {parts[1], b.Ints({0}), b.Ints({32}), b.Ints({2}), b.Ints({2})});
             Attend(b, {every, every, parts[0]});
           },
           {"Split", "Slice", "Attention"}},
      },
      {.level = 2});
}

}  // namespace
}  // namespace slipway
