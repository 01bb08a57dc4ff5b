#include <unordered_map>

#include "onnx/upgrade/rewrite.h"

namespace slipway::onnx {
namespace {

/// Channels of a block, which the file does not say: it is for CPUs like the one that it was written on.
int64_t BlockSize() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512f") ? 16 : 8;
#else
  return 16;
#endif
}

/// Weights [O, I, spatial...] out of blocks of output channels, and of input channels where the image came in blocks.
Tensor Unblocked(const Tensor& w, int64_t block, bool input_blocks) {
  const int64_t out_channels = w.shape()[0], in_channels = w.shape()[1], taps = w.shape().SizeFrom(2);
  Tensor y(DType::kFloat, w.shape());
  const float* from = w.data<float>();
  const int64_t inner = input_blocks ? block : 1;
  for (int64_t o = 0; o < out_channels; ++o) {
    for (int64_t i = 0; i < in_channels; ++i) {
      for (int64_t t = 0; t < taps; ++t) {
        const int64_t tile = (o / block * (in_channels / inner) + i / inner) * taps + t;
        y.data<float>()[(o * in_channels + i) * taps + t] = from[(tile * inner + i % inner) * block + o % block];
      }
    }
  }
  return y;
}

void Conv(Rewrite& r) {
  const Tensor* w = r.Constant(1);
  if (!w || w->dtype() != DType::kFloat || w->shape().rank() != 4)
    FailUpgrade(Code::kUnsupported, "weights in blocks of channels must be a constant of float and four axes.");
  const int64_t block = w->shape()[0] % BlockSize() == 0 ? BlockSize() : 8, inputs = w->shape()[1];
  // Fewer input channels than a block (a picture's, or one in a depthwise convolution) are not put into blocks.
  const bool input_blocks = inputs >= block;
  if (w->shape()[0] % block != 0 || (input_blocks && inputs % block != 0))
    FailUpgrade(Code::kBadGraph, fmt::format("weights {} are not in blocks of {}.", w->shape().ToString(), block));
  BecomeFusedConv(r, r.before().Constant("weights", Unblocked(*w, block, input_blocks)));
}

/// Channels are filled up with zeros to whole blocks.
void ReorderInput(Rewrite& r) {
  ValueId x = r.In(0);
  if (r.attributes().Int("channels_last", 0) != 0)
    x = r.Add("Transpose", {x}, {{"perm", std::vector<int64_t>{0, 3, 1, 2}}});
  const Before& b = r.before();
  const ValueId block = b.Ints("block", {BlockSize()});
  const ValueId channels = r.Add("Shape", {x}, {{"start", int64_t{1}}, {"end", int64_t{2}}});
  const ValueId over = r.Add(
      "Sub",
      {channels,
       r.Add("Mul", {r.Add("Div", {r.Add("Add", {channels, b.Ints("last", {BlockSize() - 1})}), block}), block})});
  const ValueId pads = r.Add("Concat", {b.Ints("none", {0}), r.Add("Neg", {over})}, {{"axis", int64_t{0}}});
  r.Become("Pad", {x, pads, kNone, b.Ints("axis", {1})});
}

void ReorderOutput(Rewrite& r) {
  const Before& b = r.before();
  const bool last = r.attributes().Int("channels_last", 0) != 0;
  const std::vector<ValueId> part = {r.In(0), b.Ints("from", {0}),
                                     b.Ints("to", {r.attributes().RequiredInt("channels")}), b.Ints("axis", {1})};
  if (!last) return r.Become("Slice", part);
  r.Become("Transpose", {r.Add("Slice", part)}, {{"perm", std::vector<int64_t>{0, 2, 3, 1}}});
}

void Upsample(Rewrite& r) {
  const std::vector<int64_t> scales = r.attributes().Ints("scales");
  const ValueId factors = r.before().Constant(
      "scales",
      Tensor::From<float>({static_cast<int64_t>(scales.size())}, std::vector<float>(scales.begin(), scales.end())));
  Attributes a = Without(r.attributes(), {"scales"});
  if (!a.Has("coordinate_transformation_mode")) a.Set("coordinate_transformation_mode", std::string("asymmetric"));
  a.Set("nearest_mode", std::string("floor"));
  r.Become("Resize", {r.In(0), kNone, factors}, std::move(a));
}

void AsItIs(Rewrite& r, std::string_view op_type) { r.Become(op_type, {r.In(0)}, r.attributes()); }

}  // namespace

bool TakeApartBlocked(Rewrite& r, std::string_view op_type) {
  static const auto* const rules = new std::unordered_map<std::string_view, void (*)(Rewrite&)>{
      {"AveragePool", [](Rewrite& n) { AsItIs(n, "AveragePool"); }},
      {"Conv", Conv},
      {"GlobalAveragePool", [](Rewrite& n) { AsItIs(n, "GlobalAveragePool"); }},
      {"GlobalMaxPool", [](Rewrite& n) { AsItIs(n, "GlobalMaxPool"); }},
      {"MaxPool", [](Rewrite& n) { AsItIs(n, "MaxPool"); }},
      {"ReorderInput", ReorderInput},
      {"ReorderOutput", ReorderOutput},
      {"Upsample", Upsample},
  };
  const auto found = rules->find(op_type);
  if (found == rules->end()) return false;
  found->second(r);
  return true;
}

}  // namespace slipway::onnx
