#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>

#include "core/dtype_visit.h"
#include "core/mapped_file.h"
#include "kernels/conv/conv.h"
#include "kernels/conv/layout.h"
#include "kernels/gemm/gemm.h"
#include "ops/conv_shape.h"
#include "ops/epilogue.h"
#include "ops/in_float.h"
#include "ops/packed_weights.h"
#include "ops/windows.h"

namespace slipway {
namespace {

/// Any number of spatial axes, any number type: one output element at a time.
template <class T>
void PlainConv(const Tensor& x, const Tensor& w, const Tensor* b, const WindowAttributes& window, int64_t group,
               Tensor& y, const Threads& threads) {
  const int rank = x.shape().rank() - 2;
  const int64_t c = x.shape()[1], oc = y.shape()[1], group_c = c / group, group_oc = oc / group;
  const int64_t x_image = x.shape().SizeFrom(2), y_image = y.shape().SizeFrom(2), taps = w.shape().SizeFrom(2);
  threads.ParallelFor(y.shape()[0] * oc, 1, [&](int64_t begin, int64_t end) {
    std::vector<int64_t> at(rank), tap(rank);
    for (int64_t plane = begin; plane < end; ++plane) {
      const int64_t n = plane / oc, o = plane % oc;
      const T* from = x.data<T>() + (n * c + o / group_oc * group_c) * x_image;
      const T* weights = w.data<T>() + o * group_c * taps;
      for (int64_t p = 0; p < y_image; ++p) {
        int64_t rest = p;
        for (int i = rank - 1; i >= 0; --i) {
          const int64_t positions = y.shape()[i + 2];
          at[i] = rest % positions * window.strides[i] - window.PadBegin(i, x.shape()[i + 2], positions);
          rest /= positions;
        }
        T sum = b ? b->data<T>()[o] : T{};
        for (int64_t t = 0; t < taps; ++t) {
          int64_t left = t, offset = 0, step = 1;
          bool inside = true;
          for (int i = rank - 1; i >= 0; --i) {
            const int64_t position = at[i] + left % window.kernel[i] * window.dilations[i];
            left /= window.kernel[i];
            inside &= position >= 0 && position < x.shape()[i + 2];
            offset += position * step;
            step *= x.shape()[i + 2];
          }
          if (!inside) continue;
          for (int64_t k = 0; k < group_c; ++k) sum += from[k * x_image + offset] * weights[k * taps + t];
        }
        y.data<T>()[plane * y_image + p] = sum;
      }
    }
  });
}

}  // namespace

/// A convolution's constant weights, packed for an algorithm when it is first needed: which is quickest depends on the
/// image.
class ConvWeights {
 public:
  ConvWeights(const kernels::ConvAttributes& attributes, Tensor weights, WeightStore& store)
      : attributes_(attributes), weights_(std::move(weights)), store_(store) {
    may_wait_ = MayWait(weights_, store);
  }

  /// True once, where the weights wait for their second use.
  bool TakeFirstUse() { return may_wait_ && !used_.exchange(true); }

  /// Packs for what is quickest on such images.
  void PackFor(const kernels::ConvShape& shape, const Threads& threads) {
    if (may_wait_) return;
    std::lock_guard lock(mutex_);
    Pack(kernels::PackedConv::Fastest(attributes_, shape), threads);
  }

  const kernels::ConvAttributes& attributes() const { return attributes_; }
  const float* data() const { return weights_.data<float>(); }

  const kernels::PackedConv& For(const kernels::ConvShape& shape, const Threads& threads) {
    const kernels::ConvAlgorithm fastest = kernels::PackedConv::Fastest(attributes_, shape);
    std::lock_guard lock(mutex_);
    if (!weights_.raw() && !packed_[static_cast<size_t>(fastest)]) {
      // A compiled model has what was packed then; any algorithm does for any image.
      const auto any = std::ranges::find_if(packed_, [](const auto& p) { return p != nullptr; });
      if (any != std::end(packed_)) return **any;
    }
    return Pack(fastest, threads);
  }

 private:
  const kernels::PackedConv& Pack(kernels::ConvAlgorithm algorithm, const Threads& threads) {
    auto& packed = packed_[static_cast<size_t>(algorithm)];
    if (!packed) {
      if (may_wait_) ReleaseFileOnce(weights_);
      packed = std::make_unique<const kernels::PackedConv>(attributes_, weights_.data<float>(),
                                                           kernels::Packing{threads, store_}, algorithm);
      ReleasePages(weights_);
      kernels::ForgetOnceMemory();
    }
    return *packed;
  }

  const kernels::ConvAttributes attributes_;
  const Tensor weights_;
  WeightStore& store_;
  bool may_wait_ = false;
  std::atomic<bool> used_ = false;
  std::mutex mutex_;
  std::unique_ptr<const kernels::PackedConv> packed_[kernels::PackedConv::kAlgorithms];
};

/// Convolution. ONNX Conv, since 22; ai.slipway FusedConv adds a residual, an activation, channels-last
/// images, and for 1x1 kernels over such images a scale of the input, one number a channel and image.
struct Conv {
  WindowAttributes window;
  int64_t group = 1;
  bool channels_last = false;
  kernels::Epilogue epilogue;
  std::shared_ptr<ConvWeights> weights;  // null: not constant, packed in each run

  static Conv Parse(const Attributes& a) {
    return {.window = WindowAttributes::Parse(a),
            .group = a.Int("group", 1),
            .channels_last = a.Int("channels_last", 0) != 0,
            .epilogue = ParseEpilogue(a)};
  }

  void Infer(InferContext& c) const {
    c.ExpectSameElem(1, 0);
    if (c.Has(2)) c.ExpectSameElem(2, 0);
    if (c.Has(2)) CheckConvBias(c, 2, 1);
    SymbolicShape out = ConvOutput(c, window, group, channels_last, 1);
    CheckResidual(c, 3, out, c.Elem(0));
    if (c.Has(4)) CheckScale(c);
    c.Out(0, c.Elem(0), std::move(out));
  }

  bool Prepack(int input, const InferContext& c, const kernels::Packing& packing) {
    if (input != 1) return false;
    const Tensor& w = *c.Constant(1);
    if (w.dtype() != DType::kFloat || w.shape().rank() < 3 || w.shape().rank() > 5 || group < 1 ||
        w.shape()[0] % group != 0 || w.size() == 0)
      return false;
    const WindowAttributes spatial = Shaped(c);
    if (PadsImages(spatial)) return false;
    weights = std::make_shared<ConvWeights>(AttributesFor(spatial, w.shape()), w, packing.store);
    // Where the image's size is known by now, what the first run will want is packed by now, too.
    SymbolicShape x = c.HasRank(0) ? c.Shape(0) : SymbolicShape::OfRank(w.shape().rank());
    if (!x[0].is_const()) x[0] = 1;
    const auto image = x.Concrete();
    const auto out = image ? WindowOutput(c, spatial, x, w.shape()[0], channels_last).Concrete() : std::nullopt;
    if (out) {
      weights->PackFor(ShapeFor(spatial, *image, *out), packing.threads);
    } else if (packing.store.in_order() || !w.raw()) {
      for (int64_t side : {1, 1024}) {
        weights->PackFor({.n = 1, .h = side, .w = side, .oh = side, .ow = side}, packing.threads);
      }
    }
    return true;
  }

  void Run(RunContext& c) const {
    if (c.Out(0).size() == 0) return;
    if (RunHalvesInFloat(c, [&](RunContext& in_float) { Run(in_float); })) return;
    const Tensor &x = c.In(0), &w = c.In(1);
    WindowAttributes spatial = window;
    const int rank = x.shape().rank() - 2;
    FillConvWindow(spatial, w.shape());
    if (x.dtype() == DType::kFloat && rank <= 3 && w.size() > 0 && !PadsImages(spatial)) return RunFloat(c, spatial);
    const Tensor* b = c.Has(2) ? &c.In(2) : nullptr;
    const bool fused = epilogue.activation != kernels::Activation::kNone || channels_last || c.Has(3) || c.Has(4);
    if (fused) c.Fail("the fused form is for float images of one or two spatial axes.");
    Visit(Types<float, double>{}, x.dtype(), "float or double",
          [&]<class T>() { PlainConv<T>(x, w, b, spatial, group, c.Out(0), c.threads()); });
  }

 private:
  /// Input 4 multiplies each channel of each image: [N, 1..., C].
  void CheckScale(const InferContext& c) const {
    c.ExpectSameElem(4, 0);
    if (!c.HasRank(4) || !c.HasRank(0)) return;
    const SymbolicShape &x = c.Shape(0), &scale = c.Shape(4);
    const int last = x.rank() - 1;
    bool fits = scale.rank() == x.rank() && !scale[0].Differs(x[0]) && !scale[last].Differs(x[last]);
    for (int i = 1; fits && i < last; ++i) fits = !scale[i].Differs(Dim(1));
    if (!fits) {
      c.Fail("scale {} has shape {}, but image {} has shape {}: one number a channel and image is wanted.",
             c.InputName(4), scale.ToString(), c.InputName(0), x.ToString());
    }
  }

  /// Kernels take a depth that the window does not reach over for a second count of images, which has no padding.
  static bool PadsImages(const WindowAttributes& spatial) {
    const std::vector<int64_t>& pads = spatial.pads;
    return spatial.kernel.size() == 3 && spatial.kernel[0] == 1 && spatial.strides[0] == 1 && pads.size() == 6 &&
           (pads[0] != 0 || pads[3] != 0);
  }

  WindowAttributes Shaped(const InferContext& c) const { return ConvWindow(c, window, 1); }

  kernels::ConvAttributes AttributesFor(const WindowAttributes& spatial, const Shape& w) const {
    const int missing = 5 - w.rank();  // of depth, height, width
    const auto at = [&](const std::vector<int64_t>& list, int axis) {
      return list.empty() || axis < missing ? int64_t{1} : list[axis - missing];
    };
    return {.c = w[1] * group,
            .oc = w[0],
            .kd = at(spatial.kernel, 0),
            .kh = at(spatial.kernel, 1),
            .kw = at(spatial.kernel, 2),
            .stride_d = at(spatial.strides, 0),
            .stride_h = at(spatial.strides, 1),
            .stride_w = at(spatial.strides, 2),
            .dilation_d = at(spatial.dilations, 0),
            .dilation_h = at(spatial.dilations, 1),
            .dilation_w = at(spatial.dilations, 2),
            .groups = group};
  }

  kernels::ConvShape ShapeFor(const WindowAttributes& spatial, const Shape& x, const Shape& y) const {
    const int axes = x.rank() - 2;
    kernels::ConvShape shape{.n = x[0], .h = 1, .oh = 1};
    const auto set = [&](int axis, int64_t& size, int64_t& pad, int64_t& out) {
      if (axis < 0) return;
      size = x[axis + (channels_last ? 1 : 2)];
      out = y[axis + (channels_last ? 1 : 2)];
      pad = spatial.PadBegin(axis, size, out);
    };
    set(axes - 3, shape.d, shape.pad_front, shape.od);
    set(axes - 2, shape.h, shape.pad_top, shape.oh);
    set(axes - 1, shape.w, shape.pad_left, shape.ow);
    return shape;
  }

  void RunFloat(RunContext& c, const WindowAttributes& spatial) const {
    const Tensor& x = c.In(0);
    Tensor& y = c.Out(0);
    const kernels::ConvShape shape = ShapeFor(spatial, x.shape(), y.shape());
    const kernels::ConvAttributes attributes =
        weights ? weights->attributes() : AttributesFor(spatial, c.In(1).shape());
    kernels::Epilogue now = epilogue;
    now.bias = c.Has(2) ? c.In(2).data<float>() : nullptr;
    const float* residual = c.Has(3) ? c.In(3).data<float>() : nullptr;
    const float* scale = c.Has(4) ? c.In(4).data<float>() : nullptr;
    if (scale && !(channels_last && kernels::PackedConv::CanScale(attributes, shape))) {
      c.Fail("a scale of the input is for 1x1 kernels over channels-last images.");
    }
    const bool once = !weights || weights->TakeFirstUse();
    const kernels::PackedConv* packed = once ? nullptr : &weights->For(shape, c.threads());
    const auto run = [&](const float* in, float* out) {
      if (packed) return packed->Run({in, scale}, shape, now, out, c.threads());
      const float* plain = weights ? weights->data() : c.In(1).data<float>();
      kernels::ConvOnce(attributes, plain, {in, scale}, shape, now, out, c.threads());
    };
    if (channels_last) {
      now.residual = residual;
      return run(x.data<float>(), y.data<float>());
    }
    const int64_t channels = attributes.c, out_channels = attributes.oc;
    const int64_t pixels = shape.d * shape.h * shape.w, out_pixels = shape.od * shape.oh * shape.ow;
    auto* in_last = static_cast<float*>(c.Scratch((x.size() + y.size() * (residual ? 2 : 1)) * sizeof(float) + 128));
    float* out_last = in_last + x.size();
    kernels::ToChannelsLast(x.data<float>(), shape.n, channels, pixels, in_last, c.threads());
    if (residual) {
      kernels::ToChannelsLast(residual, shape.n, out_channels, out_pixels, out_last + y.size(), c.threads());
      now.residual = out_last + y.size();
    }
    run(in_last, out_last);
    kernels::ToChannelsFirst(out_last, shape.n, out_channels, out_pixels, y.data<float>(), c.threads());
  }
};
extern const OpDef kConv =
    Define<Conv>({.name = "Conv", .since = 22, .min_inputs = 2, .max_inputs = 3, .types = kFloatTypes});
extern const OpDef kSlipwayFusedConv = Define<Conv>(
    {.name = "FusedConv", .domain = kSlipwayDomain, .min_inputs = 2, .max_inputs = 5, .types = {DType::kFloat}});

}  // namespace slipway
