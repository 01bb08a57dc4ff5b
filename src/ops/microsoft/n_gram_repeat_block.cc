#include <algorithm>
#include <limits>

#include "ops/shape_math.h"

namespace slipway {

/// Scores [batch, vocabulary] with -inf for each token that would repeat an n-gram of its sequence in input_ids.
/// com.microsoft NGramRepeatBlock.
struct NGramRepeatBlock {
  int64_t size = 0;
  static NGramRepeatBlock Parse(const Attributes& a) { return {.size = a.RequiredInt("ngram_size")}; }

  void Infer(InferContext& c) const {
    if (size < 1) c.Fail("attribute 'ngram_size' is {}, but must be 1 or more.", size);
    c.ExpectElem(1, {DType::kFloat});
    for (int i : {0, 1}) c.ExpectRank(i, 2, 2);
    if (c.HasRank(0) && c.HasRank(1) && c.Shape(0)[0].Differs(c.Shape(1)[0]))
      c.Fail("{} has shape {}, {} has {}.", c.InputName(0), c.Shape(0).ToString(), c.InputName(1),
             c.Shape(1).ToString());
    c.Out(0, c.In(1));
  }

  void Run(RunContext& c) const {
    const int64_t batch = c.In(0).shape()[0], length = c.In(0).shape()[1], words = c.In(1).shape()[1];
    std::copy_n(c.In(1).data<float>(), c.In(1).size(), c.Out(0).data<float>());
    for (int64_t b = 0; b < batch; ++b) {
      const int64_t* ids = c.In(0).data<int64_t>() + b * length;
      for (int64_t i = 0; i + size <= length; ++i) {
        const int64_t word = ids[i + size - 1];
        if (!std::equal(ids + i, ids + i + size - 1, ids + length - size + 1)) continue;
        if (word < 0 || word >= words) c.Fail("token {} is outside of a vocabulary of {}.", word, words);
        c.Out(0).data<float>()[b * words + word] = -std::numeric_limits<float>::infinity();
      }
    }
  }
};
extern const OpDef kMicrosoftNGramRepeatBlock = Define<NGramRepeatBlock>({.name = "NGramRepeatBlock",
                                                                          .domain = kMicrosoftDomain,
                                                                          .min_inputs = 2,
                                                                          .max_inputs = 2,
                                                                          .types = {DType::kInt64}});

}  // namespace slipway
