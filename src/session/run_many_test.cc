#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <thread>

#include "graph/graph_builder.h"
#include "onnx/writer.h"
#include "slipway/session.h"

namespace slipway {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kWidth = 16, kHeads = 2, kWords = 30, kPositions = 64;
const Dim kBatch = Dim::Symbol("batch"), kSeq = Dim::Symbol("seq");

class Builder : public GraphBuilder {
 public:
  ValueId Weight(Shape shape) {
    Tensor t(DType::kFloat, std::move(shape));
    for (int64_t i = 0; i < t.size(); ++i) t.data<float>()[i] = normal_(random_) / 4;
    return Constant(std::move(t));
  }
  ValueId Int(int64_t value) { return Constant(Tensor::From<int64_t>({}, {value})); }
  ValueId Dense(ValueId x, int64_t from = kWidth, int64_t to = kWidth) {
    return Add("Add", {Add("MatMul", {x, Weight({from, to})}), Weight({to})});
  }
  ValueId Norm(ValueId x) {
    return Add("LayerNormalization", {x, Weight({kWidth}), Weight({kWidth})}, {{"axis", int64_t{-1}}});
  }
  ValueId Turn(ValueId x, std::vector<int64_t> perm) { return Add("Transpose", {x}, {{"perm", std::move(perm)}}); }
  /// One number of the value's shape, [1].
  ValueId Size(ValueId x, int64_t axis) { return Add("Shape", {x}, {{"start", axis}, {"end", axis + 1}}); }
  ValueId Join(std::vector<ValueId> ints) { return Add("Concat", std::move(ints), {{"axis", int64_t{0}}}); }

  ValueId Heads(ValueId x) {
    const ValueId shape = Join({Size(x, 0), Size(x, 1), Ints({kHeads, kWidth / kHeads})});
    return Turn(Add("Reshape", {x, shape}), {0, 2, 1, 3});
  }
  /// Attention as exporters write it, with a mask that is added or none.
  ValueId Attend(ValueId x, ValueId mask = kNone) {
    const ValueId q = Heads(Dense(x)), k = Heads(Dense(x)), v = Heads(Dense(x));
    ValueId scores = Add("Mul", {Add("MatMul", {q, Turn(k, {0, 1, 3, 2})}), Scalar(0.35f)});
    if (mask != kNone) scores = Add("Add", {scores, mask});
    const ValueId mixed = Add("MatMul", {Add("Softmax", {scores}, {{"axis", int64_t{-1}}}), v});
    return Dense(Add("Reshape", {Turn(mixed, {0, 2, 1, 3}), Join({Size(x, 0), Size(x, 1), Ints({kWidth})})}));
  }
  ValueId Block(ValueId x, ValueId mask = kNone) {
    x = Norm(Add("Add", {x, Attend(x, mask)}));
    return Norm(Add("Add", {x, Dense(Add("Gelu", {Dense(x, kWidth, 32)}), 32, kWidth)}));
  }
  ValueId Ids() { return Input("ids", {kBatch, kSeq}, DType::kInt64); }
  ValueId Mask() { return Input("mask", {kBatch, kSeq}, DType::kInt64); }
  ValueId Embed(ValueId ids) { return Add("Gather", {Weight({kWords, kWidth}), ids}); }
  /// Positions cut from a constant row of them, [1, seq, width].
  ValueId Positions(ValueId ids) {
    std::vector<int64_t> all(kPositions);
    for (int64_t i = 0; i < kPositions; ++i) all[i] = i;
    const ValueId row = Constant(Tensor::From<int64_t>({1, kPositions}, all));
    return Add("Gather", {Weight({kPositions, kWidth}), Add("Slice", {row, Ints({0}), Size(ids, 1), Ints({1})})});
  }
  /// [batch, 1, 1, seq]: 0 where the mask is 1, else a large negative number.
  ValueId Added(ValueId mask) {
    const ValueId keep = Add("Cast", {Add("Unsqueeze", {mask, Ints({1, 2})})}, {{"to", int64_t{1}}});
    return Add("Mul", {Add("Sub", {Scalar(1), keep}), Scalar(-1e9f)});
  }
  /// The mean over the tokens that the mask keeps, [batch, width], of length 1.
  ValueId MeanPool(ValueId x, ValueId mask) {
    const ValueId keep = Add("Cast", {Add("Unsqueeze", {mask, Ints({2})})}, {{"to", int64_t{1}}});
    const ValueId wide = Add("Expand", {keep, Add("Shape", {x})});
    const ValueId sum = Add("ReduceSum", {Add("Mul", {x, wide}), Ints({1})}, {{"keepdims", int64_t{0}}});
    const ValueId count = Add("ReduceSum", {wide, Ints({1})}, {{"keepdims", int64_t{0}}});
    const ValueId mean = Add("Div", {sum, Add("Clip", {count, Scalar(1e-9f)})});
    const ValueId norm = Add("ReduceL2", {mean, Ints({1})});
    return Add("Div", {mean, Add("Clip", {norm, Scalar(1e-12f)})});
  }
  /// One of the first `n`.
  int64_t Draw(int64_t n) { return static_cast<int64_t>(random_() % n); }

 private:
  std::mt19937 random_{11};
  std::normal_distribution<float> normal_;
};

std::string Bytes(Builder& b) {
  b.graph.name = "test";
  Model model{.graph = std::make_unique<Graph>(std::move(b.graph))};
  return WriteModel(model);
}

/// What the session wants, for a batch and a length: ids among the words, masks with holes, floats.
Inputs RequestFor(const Session& session, int64_t batch, int64_t seq, std::mt19937& random) {
  Inputs out;
  for (const ValueInfo& info : session.inputs()) {
    Shape shape;
    for (size_t axis = 0; axis < info.shape.size(); ++axis) {
      const AxisInfo& a = info.shape[axis];
      const bool is_batch = a.symbol == "batch" || (axis == 0 && a.symbol != "seq");
      shape.push_back(a.size >= 0 ? a.size : is_batch ? batch : seq);
    }
    Tensor t(info.elem, shape);
    for (int64_t i = 0; i < t.size(); ++i) {
      if (info.elem == DType::kFloat) {
        t.data<float>()[i] = std::normal_distribution<float>()(random);
      } else if (info.name == "mask") {
        t.data<int64_t>()[i] = i % shape[1] == 0 || random() % 4 != 0;
      } else {
        t.data<int64_t>()[i] = static_cast<int64_t>(random() % kWords);
      }
    }
    out.emplace_back(info.name, t);
  }
  return out;
}

/// How many products and convolutions ran.
int Products(const std::vector<NodeTime>& profile) {
  return static_cast<int>(std::count_if(profile.begin(), profile.end(), [](const NodeTime& t) {
    return t.op_type.find("MatMul") != std::string::npos || t.op_type == "Gemm" || t.op_type.find("Conv") == 0 ||
           t.op_type == "FusedConv";
  }));
}

void ExpectSame(const std::vector<Value>& got, const std::vector<Value>& want, float tolerance = 2e-5f) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    const Tensor &a = got[i].tensor(), &b = want[i].tensor();
    ASSERT_EQ(a.dtype(), b.dtype());
    ASSERT_EQ(a.shape(), b.shape());
    for (int64_t k = 0; k < a.size(); ++k) {
      if (a.dtype() == DType::kFloat) {
        const float x = a.data<float>()[k], y = b.data<float>()[k];
        ASSERT_NEAR(x, y, tolerance * std::max(1.0f, std::abs(y))) << "output " << i << " at " << k;
      } else {
        ASSERT_EQ(a.data<int64_t>()[k], b.data<int64_t>()[k]) << "output " << i << " at " << k;
      }
    }
  }
}

using Sizes = std::vector<std::pair<int64_t, int64_t>>;  // batch and length of each request

/// The requests together must give what each gives alone, and where the session says that it packs, in fewer products.
void ExpectLikeAlone(const Session& session, const Sizes& sizes, unsigned seed = 5, float tolerance = 2e-5f) {
  std::mt19937 random(seed);
  std::vector<Inputs> requests;
  for (const auto& [batch, seq] : sizes) requests.push_back(RequestFor(session, batch, seq, random));
  std::vector<NodeTime> alone, together;
  std::vector<std::vector<Value>> want;
  for (const Inputs& r : requests) want.push_back(session.Run(r, {}, {.profile = &alone}));
  const auto got = session.RunMany(requests, {}, {.profile = &together});
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    SCOPED_TRACE("request " + std::to_string(i));
    ExpectSame(got[i], want[i], tolerance);
  }
  if (session.packing().packed && sizes.size() > 1) {
    EXPECT_LT(Products(together), Products(alone));
  } else {
    EXPECT_EQ(Products(together), Products(alone));
  }
}

const Sizes kSizes[] = {
    {{1, 7}},
    {{1, 1}, {1, 1}},
    {{1, 5}, {1, 1}, {1, 12}, {1, 5}, {1, 33}, {1, 2}},
    {{2, 3}, {1, 9}, {3, 1}, {2, 3}},
    {{1, 8}, {1, 8}, {1, 8}},
};

struct ManyCase {
  const char* name;
  std::function<void(Builder&)> build;
  const char* reason = "";  ///< why it is not packed; "" where it is
  const char* apart = "";   ///< of what reads tokens and runs request by request
};

const ManyCase kCases[] = {
    {"bert with a mask, the first token pooled",
     [](Builder& b) {
       const ValueId ids = b.Ids(), mask = b.Mask(), types = b.Input("types", {kBatch, kSeq}, DType::kInt64);
       ValueId x = b.Add("Add", {b.Embed(ids), b.Add("Gather", {b.Weight({kWords, kWidth}), types})});
       x = b.Norm(b.Add("Add", {x, b.Positions(ids)}));
       for (int layer = 0; layer < 2; ++layer) x = b.Block(x, b.Added(mask));
       b.Output(x, "hidden");
       const ValueId first = b.Add("Gather", {x, b.Int(0)}, {{"axis", int64_t{1}}});
       b.Output(b.Add("Tanh", {b.Dense(first)}), "pooled");
     },
     "", "attends to others of its request alone"},
    {"sentence vectors: masked means",
     [](Builder& b) {
       const ValueId ids = b.Ids(), mask = b.Mask();
       const ValueId x = b.Block(b.Add("Add", {b.Embed(ids), b.Positions(ids)}), b.Added(mask));
       b.Output(b.MeanPool(x, mask), "vector");
     },
     "", "along axis 1"},
    {"positions counted where the mask keeps, as RoBERTa has them",
     [](Builder& b) {
       const ValueId ids = b.Ids();
       const ValueId keep = b.Add("Cast", {b.Add("Not", {b.Add("Equal", {ids, b.Int(1)})})}, {{"to", int64_t{7}}});
       const ValueId count = b.Add("Mul", {b.Add("CumSum", {keep, b.Int(1)}), keep});
       const ValueId places = b.Add("Gather", {b.Weight({kPositions, kWidth}), b.Add("Add", {count, b.Int(1)})});
       b.Output(b.Block(b.Add("Add", {b.Embed(ids), places}), b.Added(keep)), "hidden");
     },
     "", "CumSum"},
    {"a decoder: causal, logits for every token",
     [](Builder& b) {
       const ValueId ids = b.Ids();
       const ValueId range = b.Add("Range", {b.Int(0), b.Add("Squeeze", {b.Size(ids, 1)}), b.Int(1)});
       const ValueId hidden =
           b.Add("Less", {b.Add("Unsqueeze", {range, b.Ints({1})}), b.Add("Unsqueeze", {range, b.Ints({0})})});
       const ValueId added = b.Add("Where", {hidden, b.Scalar(-1e9f), b.Scalar(0)});
       ValueId x = b.Add("Add", {b.Embed(ids), b.Add("Gather", {b.Weight({kPositions, kWidth}), range})});
       x = b.Block(x, added);
       const ValueId flat = b.Add("Reshape", {x, b.Ints({-1, kWidth})});
       const ValueId all = b.Add("Gemm", {flat, b.Weight({kWidth, kWords}), b.Weight({kWords})});
       b.Output(b.Add("Reshape", {all, b.Join({b.Size(ids, 0), b.Size(ids, 1), b.Ints({kWords})})}), "logits");
       b.Output(b.Add("ArgMax", {all}, {{"axis", int64_t{1}}, {"keepdims", int64_t{0}}}), "words");
     },
     "", "attends"},
    {"a key-value cache of its own length",
     [](Builder& b) {
       const Dim past = Dim::Symbol("past");
       const ValueId x = b.Embed(b.Ids());
       const ValueId q = b.Heads(b.Dense(x)), k = b.Heads(b.Dense(x)), v = b.Heads(b.Dense(x));
       const ValueId keys = b.Input("keys", {kBatch, kHeads, past, kWidth / kHeads});
       const ValueId values = b.Input("values", {kBatch, kHeads, past, kWidth / kHeads});
       const auto out = b.AddMany("Attention", {q, k, v, kNone, keys, values}, 3, {{"is_causal", int64_t{1}}});
       const ValueId shape = b.Join({b.Size(x, 0), b.Size(x, 1), b.Ints({kWidth})});
       b.Output(b.Dense(b.Add("Reshape", {b.Turn(out[0], {0, 2, 1, 3}), shape})), "y");
       b.Output(out[1], "new_keys");
       b.Output(out[2], "new_values");
     },
     "", "attends"},
    {"the sequence first",
     [](Builder& b) {
       const ValueId x = b.Turn(b.Input("x", {kBatch, kSeq, kWidth}), {1, 0, 2});
       b.Output(b.Dense(b.Add("Relu", {b.Dense(x)})), "y");
     },
     "", "moves axis 0"},
    {"a mean over the batch runs request by request",
     [](Builder& b) {
       const ValueId x = b.Dense(b.Input("x", {kBatch, kSeq, kWidth}));
       b.Output(b.Dense(b.Add("Sub", {x, b.Add("ReduceMean", {x, b.Ints({0})})})), "y");
     },
     "", "along axis 0"},
    {"a softmax over the batch",
     [](Builder& b) {
       const ValueId x = b.Dense(b.Input("x", {kBatch, kSeq, kWidth}));
       b.Output(b.Dense(b.Add("Softmax", {x}, {{"axis", int64_t{0}}})), "y");
     },
     "", "along axis 0"},
    {"tokens in reverse",
     [](Builder& b) {
       const ValueId x = b.Dense(b.Input("x", {kBatch, kSeq, kWidth}));
       const ValueId back = b.Add("Slice", {x, b.Ints({-1}), b.Ints({INT64_MIN}), b.Ints({1}), b.Ints({-1})});
       b.Output(b.Dense(back), "y");
     },
     "", "along axis 1"},
    {"a number for each request",
     [](Builder& b) {
       const ValueId x = b.Input("x", {kBatch, kSeq, kWidth});
       b.Output(b.Dense(b.Add("Mul", {x, b.Add("Neg", {b.Input("by", std::vector<Dim>{})})})), "y");
     }},
    {"what a row gets for its whole request",
     [](Builder& b) {
       const ValueId x = b.Input("x", {kBatch, kSeq, kWidth});
       const ValueId most = b.Add("ReduceMax", {x, b.Ints({1})});
       b.Output(b.Dense(b.Add("Sub", {x, most})), "y");
       b.Output(most, "most");
       b.Output(x, "x_again");
       b.Output(b.Constant(Tensor::From<float>({2}, {1, 2})), "always");
     },
     "", "along axis 1"},
    {"one item a request: the file has a batch of 1",
     [](Builder& b) {
       const ValueId x = b.Dense(b.Input("x", {1, kSeq, kWidth}));
       const ValueId mean = b.Add("ReduceMean", {x, b.Ints({1})}, {{"keepdims", int64_t{0}}});
       b.Output(b.Dense(b.Add("Reshape", {mean, b.Ints({1, kWidth})})), "y");
     },
     "", "along axis 1"},
    {"axes without names",
     [](Builder& b) {
       const ValueId x = b.Input("x", {Dim::Unknown(), Dim::Unknown(), kWidth});
       const ValueId y = b.Input("y", {Dim::Unknown(), Dim::Unknown(), kWidth});
       b.Output(b.Dense(b.Add("Mul", {x, y})), "z");
     }},
    {"axes that each input names in its own way",
     [](Builder& b) {
       const ValueId x = b.Input("x", {Dim::Symbol("x_0"), Dim::Symbol("x_1"), kWidth});
       const ValueId y = b.Input("y", {Dim::Symbol("y_0"), Dim::Symbol("y_1"), kWidth});
       b.Output(b.Dense(b.Add("Mul", {x, y})), "z");
     }},
    {"images of one size are one batch",
     [](Builder& b) {
       const ValueId x = b.Input("x", {kBatch, 3, 8, 8});
       const ValueId y = b.Add("Relu", {b.Add("Conv", {x, b.Weight({4, 3, 3, 3}), b.Weight({4})})});
       const ValueId z =
           b.Add("Flatten",
                 {b.Add("GlobalAveragePool", {b.Add("MaxPool", {y}, {{"kernel_shape", std::vector<int64_t>{2, 2}}})})});
       b.Output(b.Dense(z, 4, 5), "y");
     }},
    {"a convolution along tokens",
     [](Builder& b) {
       const ValueId x = b.Turn(b.Input("x", {kBatch, kSeq, kWidth}), {0, 2, 1});
       b.Output(b.Add("Conv", {x, b.Weight({4, kWidth, 3})}, {{"pads", std::vector<int64_t>{1, 1}}}), "y");
     },
     "runs request by request", "works along the axes of an item"},
    {"products along tokens",
     [](Builder& b) {
       const ValueId x = b.Turn(b.Input("x", {kBatch, kSeq, kWidth}), {2, 0, 1});
       b.Output(b.Add("MatMul", {b.Add("ReduceMax", {x, b.Ints({2})}, {{"keepdims", int64_t{1}}}), b.Weight({1, 5})}),
                "y");
     },
     "it moves axis 0"},
    {"a scale for the whole request",
     [](Builder& b) {
       const auto q = b.AddMany("DynamicQuantizeLinear", {b.Input("x", {kBatch, kSeq, kWidth})}, 3);
       Tensor w(DType::kInt8, {kWidth, 3});
       for (int64_t i = 0; i < w.size(); ++i) w.data<int8_t>()[i] = static_cast<int8_t>(i * 5);
       const ValueId sums = b.Add("Cast", {b.Add("MatMulInteger", {q[0], b.Constant(w), q[2]})}, {{"to", int64_t{1}}});
       b.Output(b.Add("Mul", {sums, q[1]}), "y");
     },
     "one scale for all elements"},
    {"no products",
     [](Builder& b) {
       b.Output(b.Add("Tanh", {b.Input("x", {kBatch, kSeq})}), "y");
     },
     "no products"},
    {"a batch that is normalized as in training",
     [](Builder& b) {
       const ValueId x = b.Input("x", {kBatch, 4, 3, 3});
       std::vector<ValueId> in = {x};
       for (int i = 0; i < 4; ++i) in.push_back(b.Add("Abs", {b.Weight({4})}));
       const ValueId y = b.AddMany("BatchNormalization", in, 3, {{"training_mode", int64_t{1}}})[0];
       b.Output(b.Add("Conv", {y, b.Weight({4, 4, 3, 3})}), "y");
     },
     "", "takes means over the whole batch"},
};

TEST(RunMany, GivesWhatEachRequestGivesAlone) {
  for (const ManyCase& c : kCases) {
    for (const int level : {0, 1, 2, 3}) {
      SCOPED_TRACE(std::string(c.name) + ", level " + std::to_string(level));
      Builder b;
      c.build(b);
      const Session session = Session::FromBytes(Bytes(b), {.intra_op_threads = 2, .optimization_level = level});
      EXPECT_EQ(session.packing().packed, std::string_view(c.reason).empty()) << session.packing().reason;
      EXPECT_THAT(session.packing().reason, HasSubstr(c.reason));
      if (level > 2 && *c.apart) {
        std::string apart;
        for (const auto& [node, why] : session.packing().apart) apart += node + ": " + why + "\n";
        EXPECT_THAT(apart, HasSubstr(c.apart));
      }
      for (const Sizes& sizes : kSizes) ExpectLikeAlone(session, sizes);
    }
  }
}

/// Models of operators drawn at random, each of which may or may not act token by token.
ValueId RandomStep(Builder& b, ValueId x) {
  const int64_t axis = b.Draw(3);
  switch (b.Draw(16)) {
    case 0:
      return b.Add("Softmax", {x}, {{"axis", axis}});
    case 1:
      return b.Add("Sub", {x, b.Add("ReduceMean", {x, b.Ints({axis})})});
    case 2:
      return b.Add("Slice", {x, b.Ints({-1}), b.Ints({INT64_MIN}), b.Ints({axis}), b.Ints({-1})});
    case 3:
      return b.Add("Tanh", {b.Add("CumSum", {x, b.Int(axis)})});
    case 4: {
      const ValueId flat = b.Dense(b.Add("Reshape", {x, b.Ints({-1, kWidth})}));
      return b.Add("Reshape", {flat, b.Add("Shape", {x})});
    }
    case 5:
      return b.Turn(b.Dense(b.Turn(x, {1, 0, 2})), {1, 0, 2});
    case 6: {
      const ValueId conv =
          b.Add("Conv", {b.Turn(x, {0, 2, 1}), b.Weight({kWidth, kWidth, 3})}, {{"pads", std::vector<int64_t>{1, 1}}});
      return b.Turn(conv, {0, 2, 1});
    }
    case 7: {
      const ValueId first = b.Dense(b.Add("Gather", {x, b.Int(0)}, {{"axis", int64_t{1}}}));
      return b.Add("Add", {x, b.Add("Unsqueeze", {first, b.Ints({1})})});
    }
    case 8:
      return b.Dense(b.Add("Concat", {x, b.Add("Neg", {x})}, {{"axis", int64_t{2}}}), 2 * kWidth, kWidth);
    case 9: {
      const ValueId range = b.Add("Range", {b.Int(0), b.Add("Squeeze", {b.Size(x, 1)}), b.Int(1)});
      return b.Add("Add", {x, b.Add("Gather", {b.Weight({kPositions, kWidth}), range})});
    }
    case 10: {
      const auto halves = b.AddMany("Split", {x}, 2, {{"axis", int64_t{2}}, {"num_outputs", int64_t{2}}});
      return b.Dense(b.Add("Mul", {halves[0], b.Add("Sigmoid", {halves[1]})}), kWidth / 2, kWidth);
    }
    case 11: {
      const ValueId most = b.Add("ReduceMax", {x, b.Ints({axis})}, {{"keepdims", int64_t{0}}});
      return b.Add("Mul", {x, b.Add("Unsqueeze", {most, b.Ints({axis})})});
    }
    case 12: {
      const ValueId part = b.Add("Slice", {x, b.Ints({0}), b.Ints({1}), b.Ints({axis})});
      return b.Add("Add", {x, b.Add("Expand", {part, b.Add("Shape", {x})})});
    }
    case 13:
      return b.Block(x);
    case 14: {
      const ValueId test = b.Add("Greater", {x, b.Add("ReduceMin", {x, b.Ints({axis})})});
      return b.Add("Where", {test, x, b.Add("Softmax", {x}, {{"axis", int64_t{1}}})});
    }
    default:
      return b.Norm(b.Dense(x));
  }
}

TEST(RunMany, RandomModelsGiveWhatEachRequestGivesAlone) {
  int packed = 0;
  for (int model = 0; model < 150; ++model) {
    SCOPED_TRACE("model " + std::to_string(model));
    Builder b;
    for (int skip = 0; skip < model * 7; ++skip) b.Draw(2);
    ValueId x = b.Input("x", {kBatch, kSeq, kWidth});
    std::vector<ValueId> seen = {x};
    for (int64_t step = 2 + b.Draw(5); step > 0; --step) {
      x = RandomStep(b, x);
      if (b.Draw(3) == 0) x = b.Add("Add", {x, seen[b.Draw(static_cast<int64_t>(seen.size()))]});
      seen.push_back(x);
    }
    b.Output(x, "y");
    const int level = static_cast<int>(b.Draw(4));
    const Session session = Session::FromBytes(Bytes(b), {.intra_op_threads = 2, .optimization_level = level});
    packed += session.packing().packed;
    std::mt19937 random(model);
    Sizes sizes;
    for (size_t n = 1 + random() % 6; n > 0; --n) sizes.emplace_back(1 + random() % 3, 1 + random() % 14);
    // Normalizing what is nearly constant makes much of rounding.
    ExpectLikeAlone(session, sizes, model, 1e-3f);
  }
  EXPECT_GT(packed, 100);
}

std::string Classifier() {
  Builder b;
  const ValueId ids = b.Ids(), mask = b.Mask();
  const ValueId x = b.Block(b.Add("Add", {b.Embed(ids), b.Positions(ids)}), b.Added(mask));
  b.Output(b.MeanPool(x, mask), "vector");
  b.Output(x, "hidden");
  return Bytes(b);
}

Inputs Tokens(int64_t batch, int64_t seq, int64_t mask_seq, int64_t word = 3) {
  Tensor ids(DType::kInt64, {batch, seq}), mask(DType::kInt64, {batch, mask_seq});
  std::fill_n(ids.data<int64_t>(), ids.size(), word);
  std::fill_n(mask.data<int64_t>(), mask.size(), 1);
  return {{"ids", ids}, {"mask", mask}};
}

template <class F>
std::string MessageOf(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(RunMany, ARequestAtFaultIsNamedWithItsOwnError) {
  const Session session = Session::FromBytes(Classifier());
  const Inputs good = Tokens(1, 4, 4);
  const struct {
    Inputs bad;
    const char* want;
  } cases[] = {
      {{}, "request 2: input 'ids'"},
      {{{"ids", good[0].second}}, "request 2: input 'mask'"},
      {Tokens(1, 4, 4, kWords), "request 2: "},                    // a word that the table has not
      {Tokens(1, 4, 5), "request 2: "},                            // more mask than tokens
      {Tokens(1, kPositions + 1, kPositions + 1), "request 2: "},  // more tokens than positions
  };
  for (const auto& c : cases) {
    const std::vector<Inputs> requests = {good, Tokens(1, 2, 2), c.bad, good};
    EXPECT_THAT(MessageOf([&] { session.RunMany(requests); }), HasSubstr(c.want));
  }
  const std::vector<Inputs> requests = {good, Tokens(1, 2, 2)};
  const std::string unknown[] = {"z"};
  EXPECT_THAT(MessageOf([&] { session.RunMany(requests, unknown); }), HasSubstr("there is no output 'z'"));
  EXPECT_EQ(session.RunMany(requests)[1][1].tensor().shape(), (Shape{1, 2, kWidth}));
}

TEST(RunMany, NoRequestsGiveNothing) {
  const Session session = Session::FromBytes(Classifier());
  EXPECT_THAT(session.RunMany({}), IsEmpty());
}

TEST(RunMany, AnEmptyRequestIsLikeAlone) {
  Builder b;
  b.Output(b.Dense(b.Input("x", {kBatch, kSeq, kWidth})), "y");
  ExpectLikeAlone(Session::FromBytes(Bytes(b)), {{1, 3}, {1, 0}, {2, 2}, {0, 4}});
}

TEST(RunMany, MoreTokensThanFitOneGo) {
  Builder b;
  b.Output(b.Dense(b.Input("x", {kBatch, kSeq, kWidth})), "y");
  ExpectLikeAlone(Session::FromBytes(Bytes(b)), Sizes(30, {2, 300}));
}

TEST(RunMany, OutputsByNameInTheOrderAsked) {
  const Session session = Session::FromBytes(Classifier());
  const std::string names[] = {"hidden", "vector", "hidden"};
  const std::vector<Inputs> requests = {Tokens(1, 4, 4), Tokens(2, 3, 3)};
  const auto out = session.RunMany(requests, names);
  ASSERT_EQ(out[1].size(), 3u);
  EXPECT_EQ(out[1][0].tensor().shape(), (Shape{2, 3, kWidth}));
  EXPECT_EQ(out[1][1].tensor().shape(), (Shape{2, kWidth}));
}

TEST(RunMany, ARunIsCancelled) {
  const Session session = Session::FromBytes(Classifier());
  const std::atomic<bool> stop = true;
  const std::vector<Inputs> requests = {Tokens(1, 4, 4), Tokens(1, 2, 2)};
  try {
    session.RunMany(requests, {}, {.terminate = &stop});
    FAIL() << "ran";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::kCancelled);
  }
}

TEST(RunMany, FromManyThreadsAtOnce) {
  const Session session = Session::FromBytes(Classifier(), {.intra_op_threads = 2, .max_plans = 2});
  std::vector<std::vector<Inputs>> sets;
  std::vector<std::vector<std::vector<Value>>> want;
  std::mt19937 random(3);
  for (int i = 0; i < 4; ++i) {
    sets.emplace_back();
    want.emplace_back();
    for (int n = 0; n < 3 + i; ++n) {
      sets[i].push_back(RequestFor(session, 1 + n % 2, 1 + static_cast<int64_t>(random() % 20), random));
      want[i].push_back(session.Run(sets[i].back()));
    }
  }
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < 10; ++round) {
        const int at = (t + round) % 4;
        const auto got = session.RunMany(sets[at]);
        for (size_t i = 0; i < got.size(); ++i) ExpectSame(got[i], want[at][i]);
      }
    });
  }
  for (std::thread& t : threads) t.join();
}

}  // namespace
}  // namespace slipway
