#include <array>
#include <atomic>
#include <memory>
#include <mutex>

#include "core/mapped_file.h"
#include "kernels/conv/separable.h"
#include "ops/conv_shape.h"
#include "ops/epilogue.h"
#include "ops/packed_weights.h"
#include "ops/windows.h"

namespace slipway {
namespace {

/// Inputs: the image, then weights and bias of each convolution, then a residual.
constexpr int kImage = 0, kExpand = 1, kDepthwise = 3, kProject = 5, kResidual = 7;

using PackedConvs = std::array<std::shared_ptr<const kernels::PackedConv>, 3>;

std::shared_ptr<const kernels::PackedConv> PackConv(const kernels::ConvAttributes& a, const Tensor& w,
                                                    const kernels::Packing& packing) {
  const bool direct = a.groups > 1 && kernels::PackedConv::Supports(a, kernels::ConvAlgorithm::kDirect);
  return std::make_shared<const kernels::PackedConv>(
      a, w.data<float>(), packing, direct ? kernels::ConvAlgorithm::kDirect : kernels::ConvAlgorithm::kGemm);
}

/// The constant ones among the weights of three convolutions, each packed when it is used for the second time, or at
/// once where it may not wait.
class SeparableWeights {
 public:
  explicit SeparableWeights(WeightStore& store) : store_(store) {}

  void Add(int which, const kernels::ConvAttributes& attributes, const Tensor& w, const Threads& threads) {
    if (MayWait(w, store_)) {
      waiting_[which] = w;
      attributes_[which] = attributes;
      ready_ = false;
    } else {
      packed_[which] = PackConv(attributes, w, {threads, store_});
      ReleasePages(w);
    }
  }

  /// Null where the weights are not constant.
  PackedConvs Use(const Threads& threads) {
    if (ready_.load(std::memory_order_acquire)) return packed_;
    if (!used_.exchange(true)) {
      kernels::OnceStore store;
      return Pack({threads, store});
    }
    std::lock_guard lock(mutex_);
    if (!ready_.load(std::memory_order_relaxed)) {
      for (const Tensor& w : waiting_) LeaveFirstRun(w);
      packed_ = Pack({threads, store_});
      for (Tensor& w : waiting_) {
        ReleasePages(w);
        w = {};
      }
      ready_.store(true, std::memory_order_release);
    }
    return packed_;
  }

 private:
  PackedConvs Pack(const kernels::Packing& packing) const {
    PackedConvs all;
    for (size_t i = 0; i < all.size(); ++i) {
      all[i] = waiting_[i].defined() ? PackConv(attributes_[i], waiting_[i], packing) : packed_[i];
    }
    return all;
  }

  WeightStore& store_;
  kernels::ConvAttributes attributes_[3];
  Tensor waiting_[3];
  PackedConvs packed_;
  std::atomic<bool> ready_ = true;
  std::atomic<bool> used_ = false;
  std::mutex mutex_;
};

}  // namespace

/// A depthwise convolution with the 1x1 convolutions around it, over channels-last float images; the window's
/// attributes are the depthwise convolution's. ai.slipway FusedSeparableConv(X, expand W, B, depthwise W, B, project W,
/// B, residual): either 1x1 may be missing.
struct FusedSeparableConv {
  WindowAttributes window;
  kernels::SeparableConv::Epilogues epilogues;
  std::shared_ptr<SeparableWeights> weights;

  static FusedSeparableConv Parse(const Attributes& a) {
    return {.window = WindowAttributes::Parse(a),
            .epilogues = {.expand = ParseEpilogue(a, "expand_"),
                          .depthwise = ParseEpilogue(a, "depthwise_"),
                          .project = ParseEpilogue(a, "project_")}};
  }

  void Infer(InferContext& c) const {
    for (int i = kExpand; i < kResidual; ++i) {
      if (c.Has(i)) c.ExpectSameElem(i, kImage);
    }
    for (const int w : {kExpand, kDepthwise, kProject}) {
      if (c.Has(w)) c.ExpectRank(w, 4, 4);
      if (c.Has(w) && c.Has(w + 1)) CheckConvBias(c, w + 1, w);
    }
    c.ExpectRank(kImage, 4, 4);
    if (!c.HasRank(kImage) || !c.HasRank(kDepthwise) || (c.Has(kExpand) && !c.HasRank(kExpand)) ||
        (c.Has(kProject) && !c.HasRank(kProject))) {
      return c.Out(0, c.Elem(0), SymbolicShape::OfRank(4));
    }
    for (const int w : {kExpand, kDepthwise, kProject}) {
      for (int i = 0; c.Has(w) && i < 4; ++i) {
        if (c.Shape(w)[i] == Dim(0)) c.Fail("weight {} is empty: {}.", c.InputName(w), c.Shape(w).ToString());
      }
    }
    const Dim wide = c.Shape(kDepthwise)[0];
    if (c.Has(kExpand)) ExpectPointwise(c, kExpand, c.Shape(kImage)[3], wide);
    if (c.Has(kProject)) ExpectPointwise(c, kProject, wide, c.Shape(kProject)[0]);
    if (c.Shape(kDepthwise)[1].Differs(Dim(1)) || (!c.Has(kExpand) && c.Shape(kImage)[3].Differs(wide)))
      c.Fail("weight {} has shape {}, but must be one filter for each channel of {}.", c.InputName(kDepthwise),
             c.Shape(kDepthwise).ToString(), c.InputName(kImage));
    const WindowAttributes shaped = ConvWindow(c, window, kDepthwise);
    if (shaped.kernel.empty()) return c.Out(0, c.Elem(0), SymbolicShape::OfRank(4));
    const Dim channels = c.Has(kProject) ? c.Shape(kProject)[0] : wide;
    SymbolicShape out = WindowOutput(c, shaped, c.Shape(kImage), channels, true);
    CheckResidual(c, kResidual, out);
    c.Out(0, c.Elem(0), std::move(out));
  }

  bool Prepack(int input, const InferContext& c, const kernels::Packing& packing) {
    if (input != kExpand && input != kDepthwise && input != kProject) return false;
    const Tensor& w = *c.Constant(input);
    if (w.size() == 0) return false;
    if (!weights) weights = std::make_shared<SeparableWeights>(packing.store);
    weights->Add(input / 2, AttributesOf(input, ConvWindow(c, window, kDepthwise), w.shape()), w, packing.threads);
    return true;
  }

  void Run(RunContext& c) const {
    Tensor& y = c.Out(0);
    if (y.size() == 0) return;
    const Shape& x = c.In(kImage).shape();
    WindowAttributes shaped = window;
    FillConvWindow(shaped, c.In(kDepthwise).shape());
    PackedConvs used;
    if (weights) used = weights->Use(c.threads());
    kernels::OnceStore store;
    for (const int i : {kExpand, kDepthwise, kProject}) {
      if (!c.Has(i) || used[i / 2]) continue;
      used[i / 2] = PackConv(AttributesOf(i, shaped, c.In(i).shape()), c.In(i), {c.threads(), store});
    }
    const kernels::SeparableConv conv = {used[0].get(), used[1].get(), used[2].get()};
    const auto floats = [&](int i) { return c.Has(i) ? c.In(i).data<float>() : nullptr; };
    kernels::SeparableConv::Epilogues now = epilogues;
    now.expand.bias = floats(kExpand + 1);
    now.depthwise.bias = floats(kDepthwise + 1);
    now.project.bias = floats(kProject + 1);
    (conv.project ? now.project : now.depthwise).residual = floats(kResidual);
    kernels::ConvShape shape = {.n = x[0], .h = x[1], .w = x[2], .oh = y.shape()[1], .ow = y.shape()[2]};
    shape.pad_top = shaped.PadBegin(0, shape.h, shape.oh);
    shape.pad_left = shaped.PadBegin(1, shape.w, shape.ow);
    conv.Run(c.In(kImage).data<float>(), shape, now, y.data<float>(), c.threads());
  }

 private:
  static void ExpectPointwise(const InferContext& c, int w, const Dim& from, const Dim& to) {
    const SymbolicShape& shape = c.Shape(w);
    if (shape[0].Differs(to) || shape[1].Differs(from) || shape[2].Differs(Dim(1)) || shape[3].Differs(Dim(1)))
      c.Fail("weight {} has shape {}, but must be [{}, {}, 1, 1].", c.InputName(w), shape.ToString(), to.ToString(),
             from.ToString());
  }

  static kernels::ConvAttributes AttributesOf(int input, const WindowAttributes& shaped, const Shape& w) {
    if (input != kDepthwise) return {.c = w[1], .oc = w[0]};
    return {.c = w[0],
            .oc = w[0],
            .kh = shaped.kernel[0],
            .kw = shaped.kernel[1],
            .stride_h = shaped.strides[0],
            .stride_w = shaped.strides[1],
            .dilation_h = shaped.dilations[0],
            .dilation_w = shaped.dilations[1],
            .groups = w[0]};
  }
};
extern const OpDef kSlipwayFusedSeparableConv = Define<FusedSeparableConv>({.name = "FusedSeparableConv",
                                                                            .domain = kSlipwayDomain,
                                                                            .min_inputs = 4,
                                                                            .max_inputs = 8,
                                                                            .types = {DType::kFloat}});

}  // namespace slipway
