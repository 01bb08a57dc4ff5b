#include <algorithm>

#include "ops/indexing.h"

namespace slipway {

/// The words of padded sequences one after the other. Outputs: those rows, where each lies among [batch, seq] (first
/// the words, then the padding), where each sequence begins, and the longest one's length. com.microsoft RemovePadding.
struct RemovePadding {
  void Infer(InferContext& c) const {
    c.ExpectRank(0, 3, 3);
    c.ExpectElem(1, {DType::kInt32});
    c.ExpectRank(1, 1, 1);
    const SymbolicShape x = c.HasRank(0) ? c.Shape(0) : SymbolicShape::OfRank(3);
    if (c.HasRank(1) && c.Shape(1)[0].Differs(x[0]))
      c.Fail("{} has shape {}, but the batch is {}.", c.InputName(1), c.Shape(1).ToString(), x[0].ToString());
    Dim words = Dim::Unknown();
    if (const auto counts = c.ConstInts(1)) {
      int64_t sum = 0;
      for (int64_t n : *counts) sum += std::max<int64_t>(n, 0);
      words = sum;
    }
    c.Out(0, c.Elem(0), {words, x[2]});
    c.Out(1, DType::kInt32, {x[0], x[1]});
    c.Out(2, DType::kInt32, {x[0] + 1});
    c.Out(3, DType::kInt32, {Dim(1)});
  }

  void Run(RunContext& c) const {
    const Shape& x = c.In(0).shape();
    const int64_t batch = x[0], seq = x[1], row = x[2] * static_cast<int64_t>(SizeOf(c.In(0).dtype()));
    const int32_t* counts = c.In(1).data<int32_t>();
    std::vector<int32_t> places, padding, starts = {0};
    int32_t longest = 0;
    for (int64_t b = 0; b < batch; ++b) {
      if (counts[b] < 0 || counts[b] > seq) c.Fail("sequence {} has {} words of {}.", b, counts[b], seq);
      for (int64_t i = 0; i < seq; ++i) (i < counts[b] ? places : padding).push_back(static_cast<int32_t>(b * seq + i));
      starts.push_back(starts.back() + counts[b]);
      longest = std::max(longest, counts[b]);
    }
    const auto words = static_cast<int64_t>(places.size());
    Tensor& y = c.Allocate(0, c.In(0).dtype(), {words, x[2]});
    for (int64_t i = 0; i < words; ++i) {
      std::copy_n(static_cast<const std::byte*>(c.In(0).raw()) + places[i] * row, row,
                  static_cast<std::byte*>(y.raw()) + i * row);
    }
    if (c.HasOut(1)) {
      int32_t* out = std::copy(places.begin(), places.end(), c.Out(1).data<int32_t>());
      std::copy(padding.begin(), padding.end(), out);
    }
    if (c.HasOut(2)) std::copy(starts.begin(), starts.end(), c.Out(2).data<int32_t>());
    if (c.HasOut(3)) *c.Out(3).data<int32_t>() = longest;
  }
};
constexpr TypeSet kPaddedTypes = {DType::kFloat, DType::kFloat16, DType::kBFloat16, DType::kDouble};
extern const OpDef kMicrosoftRemovePadding = Define<RemovePadding>({.name = "RemovePadding",
                                                                    .domain = kMicrosoftDomain,
                                                                    .min_inputs = 2,
                                                                    .max_inputs = 2,
                                                                    .max_outputs = 4,
                                                                    .types = kPaddedTypes});

/// Puts rows back where RemovePadding took them from, zeros elsewhere. com.microsoft RestorePadding.
struct RestorePadding {
  void Infer(InferContext& c) const {
    c.ExpectRank(0, 2, 2);
    c.ExpectElem(1, {DType::kInt32});
    c.ExpectRank(1, 2, 2);
    const SymbolicShape x = c.HasRank(0) ? c.Shape(0) : SymbolicShape::OfRank(2);
    const SymbolicShape places = c.HasRank(1) ? c.Shape(1) : SymbolicShape::OfRank(2);
    c.Out(0, c.Elem(0), {places[0], places[1], x[1]});
  }

  void Run(RunContext& c) const {
    const int64_t words = c.In(0).shape()[0], cells = c.In(1).size();
    const int64_t row = c.In(0).shape()[1] * static_cast<int64_t>(SizeOf(c.In(0).dtype()));
    if (words > cells) c.Fail("{} words do not fit token_offset {}.", words, c.In(1).shape().ToString());
    auto* out = static_cast<std::byte*>(c.Out(0).raw());
    std::fill_n(out, c.Out(0).bytes(), std::byte{0});
    for (int64_t i = 0; i < words; ++i) {
      const int64_t at = c.In(1).data<int32_t>()[i];
      if (at < 0 || at >= cells) c.Fail("token_offset names place {} of {}.", at, cells);
      std::copy_n(static_cast<const std::byte*>(c.In(0).raw()) + i * row, row, out + at * row);
    }
  }
};
extern const OpDef kMicrosoftRestorePadding = Define<RestorePadding>(
    {.name = "RestorePadding", .domain = kMicrosoftDomain, .min_inputs = 2, .max_inputs = 2, .types = kPaddedTypes});

}  // namespace slipway
