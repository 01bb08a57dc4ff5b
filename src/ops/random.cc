#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <optional>
#include <random>

#include "core/dtype_visit.h"
#include "ops/in_float.h"
#include "ops/one_number.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

/// Numbers that repeat with a seed, and otherwise differ from run to run.
std::mt19937_64 Generator(const std::optional<double>& seed) {
  if (seed) return std::mt19937_64(std::bit_cast<uint64_t>(*seed));
  static std::atomic<uint64_t> next{(uint64_t{std::random_device()()} << 32) | std::random_device()()};
  return std::mt19937_64(next.fetch_add(0x9E3779B97F4A7C15));
}

std::optional<double> FloatSeed(const Attributes& a) {
  return a.Has("seed") ? std::optional<double>(a.Float("seed", 0)) : std::nullopt;
}

/// RandomNormal and RandomUniform, since 22, and their forms that take the shape of an input.
template <bool kNormal, bool kLike>
struct RandomOf {
  std::optional<double> seed;
  float first = 0;   ///< mean or low
  float second = 1;  ///< scale or high
  int64_t dtype = 0;
  std::vector<int64_t> shape;

  static RandomOf Parse(const Attributes& a) {
    RandomOf op{.seed = FloatSeed(a),
                .first = a.Float(kNormal ? "mean" : "low", 0),
                .second = a.Float(kNormal ? "scale" : "high", 1),
                .dtype = a.Int("dtype", kLike ? 0 : 1)};
    if (!kLike) op.shape = a.RequiredInts("shape");
    return op;
  }
  void Infer(InferContext& c) const {
    const DType type = dtype ? ToDType(c, dtype, "dtype") : c.Elem(0);
    if (!kFloatTypes.Has(type)) c.Fail("the output would be {}, but must be {}.", Name(type), kFloatTypes.ToString());
    for (int64_t d : shape) {
      if (d < 0) c.Fail("attribute 'shape' holds {}.", d);
    }
    c.Out(0, type, kLike ? c.Shape(0) : SymbolicShape(Shape(shape)));
  }
  void Run(RunContext& c) const {
    std::mt19937_64 generator = Generator(seed);
    std::normal_distribution<double> normal;
    std::uniform_real_distribution<double> uniform;
    VisitFloat(c.Out(0).dtype(), [&]<class T>() {
      T* y = c.Out(0).data<T>();
      for (int64_t i = 0; i < c.Out(0).size(); ++i) {
        const double v = kNormal ? first + second * normal(generator) : first + (second - first) * uniform(generator);
        y[i] = static_cast<T>(static_cast<float>(v));
      }
    });
  }
};

template <bool kNormal, bool kLike>
constexpr OpDef DefineRandom(std::string_view name) {
  return Define<RandomOf<kNormal, kLike>>(
      {.name = name, .since = 22, .min_inputs = kLike, .max_inputs = kLike, .shape_only = kLike, .impure = true});
}

}  // namespace

extern const OpDef kRandomNormal = DefineRandom<true, false>("RandomNormal");
extern const OpDef kRandomNormalLike = DefineRandom<true, true>("RandomNormalLike");
extern const OpDef kRandomUniform = DefineRandom<false, false>("RandomUniform");
extern const OpDef kRandomUniformLike = DefineRandom<false, true>("RandomUniformLike");

/// 1 with the probability that the input gives, else 0. ONNX Bernoulli, since 22.
struct Bernoulli {
  std::optional<double> seed;
  int64_t dtype = 0;
  static Bernoulli Parse(const Attributes& a) { return {.seed = FloatSeed(a), .dtype = a.Int("dtype", 0)}; }

  void Infer(InferContext& c) const {
    const DType type = dtype ? ToDType(c, dtype, "dtype") : c.Elem(0);
    if (!(kNumericTypes | TypeSet{DType::kBool}).Has(type)) c.Fail("the output cannot be {}.", Name(type));
    c.Out(0, type, c.Shape(0));
  }
  void Run(RunContext& c) const {
    std::mt19937_64 generator = Generator(seed);
    std::uniform_real_distribution<double> uniform;
    const std::vector<double> p = ToVectorOf<double>(c.In(0));
    Tensor& y = c.Out(0);
    const auto fill = [&]<class T>() {
      for (size_t i = 0; i < p.size(); ++i) y.data<T>()[i] = static_cast<T>(uniform(generator) < p[i] ? 1 : 0);
    };
    if (y.dtype() == DType::kBool) return fill.template operator()<bool>();
    VisitNumeric(y.dtype(), fill);
  }
};
extern const OpDef kBernoulli =
    Define<Bernoulli>({.name = "Bernoulli", .since = 22, .types = kFloatTypes, .impure = true});

/// sample_size draws for each row of log-probabilities. ONNX Multinomial, since 22.
struct Multinomial {
  std::optional<double> seed;
  int64_t dtype = 6;
  int64_t samples = 1;
  static Multinomial Parse(const Attributes& a) {
    return {.seed = FloatSeed(a), .dtype = a.Int("dtype", 6), .samples = a.Int("sample_size", 1)};
  }

  void Infer(InferContext& c) const {
    c.ExpectRank(0, 2, 2);
    const DType type = ToDType(c, dtype, "dtype");
    if (!kIndexTypes.Has(type)) c.Fail("the output would be {}, but must be {}.", Name(type), kIndexTypes.ToString());
    if (samples < 0) c.Fail("attribute 'sample_size' is {}.", samples);
    c.Out(0, type, c.HasRank(0) ? SymbolicShape{c.Shape(0)[0], Dim(samples)} : SymbolicShape::OfRank(2));
  }
  void Run(RunContext& c) const {
    std::mt19937_64 generator = Generator(seed);
    std::uniform_real_distribution<double> uniform;
    const std::vector<double> x = ToVectorOf<double>(c.In(0));
    const int64_t classes = c.In(0).shape()[1];
    if (classes == 0 && c.Out(0).size() > 0) c.Fail("there is no class to draw.");
    VisitIndex(c.Out(0).dtype(), [&]<class T>() {
      for (int64_t i = 0; i < c.Out(0).size(); ++i) {
        const double* row = x.data() + i / samples * classes;
        const double top = *std::max_element(row, row + classes);
        double left = 0;
        for (int64_t k = 0; k < classes; ++k) left += std::exp(row[k] - top);
        left *= uniform(generator);
        int64_t k = 0;
        while (k + 1 < classes && (left -= std::exp(row[k] - top)) >= 0) ++k;
        c.Out(0).data<T>()[i] = static_cast<T>(k);
      }
    });
  }
};
extern const OpDef kMultinomial =
    Define<Multinomial>({.name = "Multinomial", .since = 22, .types = kFloatTypes, .impure = true});

/// The input as it is; in training, elements are dropped at random and the others scaled up. ONNX Dropout, since 22.
struct Dropout {
  std::optional<double> seed;
  static Dropout Parse(const Attributes& a) {
    return {.seed = a.Has("seed") ? std::optional<double>(static_cast<double>(a.Int("seed", 0))) : std::nullopt};
  }
  void Infer(InferContext& c) const {
    for (const int i : {1, 2}) ExpectOne(c, i);
    InferSameAsFirst(c);
    c.Out(1, DType::kBool, c.Shape(0));
  }
  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    const bool training = c.Has(2) && *c.In(2).data<bool>();
    const double ratio = !training ? 0 : c.Has(1) ? ToVectorOf<double>(c.In(1)).at(0) : 0.5;
    if (!(ratio >= 0 && ratio < 1)) c.Fail("ratio is {}, but must lie in [0, 1).", ratio);
    if (ratio == 0) {
      if (c.Out(0).raw() != x.raw() && x.size() > 0) std::memcpy(c.Out(0).raw(), x.raw(), x.bytes());
      if (c.HasOut(1)) std::fill_n(c.Out(1).data<bool>(), x.size(), true);
      return;
    }
    // A seed gives what it gives in NumPy: ONNX's tests expect that.
    std::mt19937 generator(seed ? static_cast<uint32_t>(static_cast<int64_t>(*seed)) : Generator(seed)());
    const auto uniform = [&] {
      const uint32_t high = generator() >> 5, low = generator() >> 6;
      return (high * 67108864.0 + low) / 9007199254740992.0;
    };
    VisitFloat(x.dtype(), [&]<class T>() {
      for (int64_t i = 0; i < x.size(); ++i) {
        const bool keep = uniform() >= ratio;
        const auto v = static_cast<std::conditional_t<std::is_same_v<T, double>, double, float>>(x.data<T>()[i]);
        c.Out(0).data<T>()[i] = static_cast<T>(static_cast<decltype(v)>(keep ? v / (1 - ratio) : 0));
        if (c.HasOut(1)) c.Out(1).data<bool>()[i] = keep;
      }
    });
  }
};
constexpr TypeSet kDropoutTypes =
    kFloatTypes | TypeSet{DType::kFloat8E4M3FN, DType::kFloat8E4M3FNUZ, DType::kFloat8E5M2, DType::kFloat8E5M2FNUZ};
extern const OpDef kDropout = Define<Dropout>({.name = "Dropout",
                                               .since = 22,
                                               .max_inputs = 3,
                                               .max_outputs = 2,
                                               .types = kDropoutTypes,
                                               .in_place = 0,
                                               .impure = true});

}  // namespace slipway
