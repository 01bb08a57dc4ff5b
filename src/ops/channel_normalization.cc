#include <algorithm>
#include <cmath>

#include "kernels/elementwise/unary.h"
#include "kernels/reduce/normalize.h"
#include "ops/in_float.h"
#include "ops/indexing.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

/// Fail()s where the parameter is not [C] for an X of [N, C, ...].
void CheckPerChannel(const InferContext& c, int i) {
  c.ExpectElem(i, kFloatTypes);
  c.ExpectRank(i, 1, 1);
  if (!c.HasRank(0) || !c.HasRank(i) || c.Shape(0).rank() < 2 || !c.Shape(0)[1].Differs(c.Shape(i)[0])) return;
  c.Fail("{} has shape {}, but {} has {} channels.", c.InputName(i), c.Shape(i).ToString(), c.InputName(0),
         c.Shape(0)[1].ToString());
}

/// X of [N, C, ...] seen as [batch, channels, spatial].
struct Image {
  int64_t batch, channels, spatial;
  explicit Image(const Shape& s)
      : batch(s[0]), channels(s.rank() > 1 ? s[1] : 1), spatial(s.SizeFrom(std::min(2, s.rank()))) {}
};

/// y = x * scale[channel] + shift[channel]
template <class T>
void ScaleChannels(const Tensor& x, Tensor& y, const Image& image, const std::vector<T>& scale,
                   const std::vector<T>& shift, const Threads& threads) {
  const T* from = x.data<T>();
  T* to = y.data<T>();
  if (image.spatial == 1) {
    threads.ParallelFor(image.batch, GrainFor(image.channels * sizeof(T)), [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        for (int64_t c = 0, i = n * image.channels; c < image.channels; ++c, ++i) to[i] = from[i] * scale[c] + shift[c];
      }
    });
    return;
  }
  threads.ParallelFor(
      image.batch * image.channels, GrainFor(image.spatial * sizeof(T)), [&](int64_t begin, int64_t end) {
        for (int64_t p = begin; p < end; ++p) {
          const T a = scale[p % image.channels], b = shift[p % image.channels];
          if constexpr (std::is_same_v<T, float>) {
            static const Threads one(1);
            const int64_t at = p * image.spatial;
            kernels::UnaryFloat(kernels::UnaryOp::kLinear, from + at, to + at, image.spatial, a, b, one);
            continue;
          }
          for (int64_t i = p * image.spatial; i < (p + 1) * image.spatial; ++i) to[i] = from[i] * a + b;
        }
      });
}

}  // namespace

/// ONNX BatchNormalization, since 15: with the statistics given, or in training mode with the batch's own, which it
/// then mixes into the running ones.
struct BatchNormalization {
  double epsilon = 1e-5;
  double momentum = 0.9;
  bool training = false;
  static BatchNormalization Parse(const Attributes& a) {
    return {.epsilon = a.Float("epsilon", 1e-5f),
            .momentum = a.Float("momentum", 0.9f),
            .training = a.Int("training_mode", 0) != 0};
  }

  void Infer(InferContext& c) const {
    c.ExpectRank(0, 1, 1 << 20);
    for (int i = 1; i < 5; ++i) CheckPerChannel(c, i);
    InferSameAsFirst(c);
    for (int i = 1; i < c.num_outputs(); ++i) c.Out(i, c.Elem(i + 2), c.Shape(i + 2));
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    const Tensor& x = c.In(0);
    const Image image(x.shape());
    std::vector<double> mean = ToVectorOf<double>(c.In(3)), variance = ToVectorOf<double>(c.In(4));
    const std::vector<double> gamma = ToVectorOf<double>(c.In(1)), beta = ToVectorOf<double>(c.In(2));
    if (training) {
      Visit(Types<float, double>{}, x.dtype(), "a float", [&]<class T>() { Measure<T>(c, image, mean, variance); });
    }
    if (x.size() == 0) return;
    Visit(Types<float, double>{}, x.dtype(), "a float", [&]<class T>() {
      std::vector<T> scale(image.channels), shift(image.channels);
      for (int64_t i = 0; i < image.channels; ++i) {
        const double s = gamma[i] / std::sqrt(variance[i] + epsilon);
        scale[i] = static_cast<T>(s);
        shift[i] = static_cast<T>(beta[i] - mean[i] * s);
      }
      ScaleChannels<T>(x, c.Out(0), image, scale, shift, c.threads());
    });
  }

 private:
  /// The batch's mean and variance in place of the running ones, which go to the outputs, mixed.
  template <class T>
  void Measure(RunContext& c, const Image& image, std::vector<double>& mean, std::vector<double>& variance) const {
    const double count = static_cast<double>(image.batch * image.spatial);
    for (int64_t ch = 0; ch < image.channels; ++ch) {
      const auto over = [&](auto f) {
        double sum = 0;
        for (int64_t n = 0; n < image.batch; ++n) {
          const T* x = c.In(0).data<T>() + (n * image.channels + ch) * image.spatial;
          for (int64_t i = 0; i < image.spatial; ++i) sum += f(x[i]);
        }
        return sum / count;
      };
      const double m = over([](double v) { return v; }), v = over([m](double x) { return (x - m) * (x - m); });
      const auto mix = [&](int out, double old, double now) {
        if (!c.HasOut(out)) return;
        Visit(Types<float, double>{}, c.Out(out).dtype(), "a float",
              [&]<class U>() { c.Out(out).data<U>()[ch] = static_cast<U>(old * momentum + now * (1 - momentum)); });
      };
      mix(1, mean[ch], m);
      mix(2, variance[ch], v);
      mean[ch] = m;
      variance[ch] = v;
    }
  }
};
extern const OpDef kBatchNormalization = Define<BatchNormalization>({.name = "BatchNormalization",
                                                                     .since = 15,
                                                                     .min_inputs = 5,
                                                                     .max_inputs = 5,
                                                                     .max_outputs = 3,
                                                                     .types = kFloatTypes,
                                                                     .in_place = 0});

/// Each group of channels of each image normalized over itself, then scaled and shifted by channel. ONNX
/// GroupNormalization, since 21; with one channel a group InstanceNormalization, since 22.
struct GroupNormalization {
  float epsilon = 1e-5f;
  int64_t groups = 0;  ///< 0: as many as channels
  int64_t stash = 1;   ///< a type no wider than what is computed in

  static GroupNormalization Parse(const Attributes& a) {
    GroupNormalization op{.epsilon = a.Float("epsilon", 1e-5f), .stash = a.Int("stash_type", 1)};
    if (a.Has("num_groups")) {
      op.groups = a.RequiredInt("num_groups");
      if (op.groups < 1)
        throw Error(Code::kBadGraph, fmt::format("attribute 'num_groups' is {}, but must be 1 or more", op.groups));
    }
    return op;
  }
  void Infer(InferContext& c) const {
    c.ExpectRank(0, 2, 1 << 20);
    if (const DType type = ToDType(c, stash, "stash_type"); !kFloatTypes.Has(type))
      c.Fail("attribute 'stash_type' is {}, but must be {}.", Name(type), kFloatTypes.ToString());
    CheckPerChannel(c, 1);
    CheckPerChannel(c, 2);
    c.ExpectSameElem(1, 0);
    c.ExpectSameElem(2, 0);
    if (groups > 0 && c.HasRank(0) && c.Shape(0)[1].is_const() && c.Shape(0)[1].value() % groups != 0) {
      c.Fail("{} channels do not make {} groups.", c.Shape(0)[1].ToString(), groups);
    }
    InferSameAsFirst(c);
  }
  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    const Tensor& x = c.In(0);
    if (x.size() == 0) return;
    const Image image(x.shape());
    const int64_t count = groups ? groups : image.channels;
    if (x.dtype() == DType::kFloat) {
      kernels::NormalizeGroups(x.data<float>(), c.Out(0).data<float>(), image.batch, image.channels, image.spatial,
                               count, c.In(1).data<float>(), c.In(2).data<float>(), epsilon, c.threads());
    } else {
      RunPlain(c, image, count);
    }
  }

 private:
  void RunPlain(RunContext& c, const Image& image, int64_t count) const {
    const int64_t size = image.channels / count * image.spatial;
    const double *scale = c.In(1).data<double>(), *bias = c.In(2).data<double>();
    c.threads().ParallelFor(image.batch * count, GrainFor(16 * size), [&](int64_t begin, int64_t end) {
      for (int64_t g = begin; g < end; ++g) {
        const double* x = c.In(0).data<double>() + g * size;
        double *y = c.Out(0).data<double>() + g * size, mean = 0, squares = 0;
        for (int64_t i = 0; i < size; ++i) mean += x[i] / static_cast<double>(size);
        for (int64_t i = 0; i < size; ++i) squares += (x[i] - mean) * (x[i] - mean);
        const double inv_std = 1 / std::sqrt(squares / static_cast<double>(size) + epsilon);
        for (int64_t i = 0; i < size; ++i) {
          const int64_t channel = (g * size + i) / image.spatial % image.channels;
          y[i] = (x[i] - mean) * inv_std * scale[channel] + bias[channel];
        }
      }
    });
  }
};
extern const OpDef kGroupNormalization = Define<GroupNormalization>(
    {.name = "GroupNormalization", .since = 21, .min_inputs = 3, .max_inputs = 3, .types = kFloatTypes, .in_place = 0});
extern const OpDef kInstanceNormalization = Define<GroupNormalization>({.name = "InstanceNormalization",
                                                                        .since = 22,
                                                                        .min_inputs = 3,
                                                                        .max_inputs = 3,
                                                                        .types = kFloatTypes,
                                                                        .in_place = 0});

}  // namespace slipway
