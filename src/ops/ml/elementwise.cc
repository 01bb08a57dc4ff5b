#include <algorithm>
#include <cmath>

#include "ops/indexing.h"
#include "ops/ml/ml.h"

namespace slipway {
namespace {

/// y[row, j] = f(x[row, j], j) over the last axis.
template <class T, class Y, class F>
void ByFeature(RunContext& c, const F& f) {
  const Tensor& x = c.In(0);
  const int64_t width = x.shape().Back(0);
  const T* from = x.data<T>();
  Y* to = c.Out(0).data<Y>();
  c.threads().ParallelFor(width == 0 ? 0 : x.size() / width, GrainFor(8 * width), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t j = 0; j < width; ++j) to[r * width + j] = f(from[r * width + j], j);
    }
  });
}

template <class F>
decltype(auto) VisitNumber(DType type, F&& f) {
  return Visit(Types<float, double, int64_t, int32_t>{}, type, "float, double, int64 or int32", std::forward<F>(f));
}

/// The attribute has a value for each feature or one for all.
template <class T>
void ExpectOneOrEach(const InferContext& c, const std::vector<T>& values, std::string_view name) {
  if (c.HasRank(0) && c.Shape(0).rank() == 0) c.Fail("{} has no axis.", c.InputName(0));
  const Dim features = ml::InferFeatures(c);
  if (values.size() == 1 || !features.is_const() || features.value() == static_cast<int64_t>(values.size())) return;
  c.Fail("{} has {} values, but must have one or as many as {} has features ({}).", name, values.size(), c.InputName(0),
         features.value());
}

template <class T>
const T& Of(const std::vector<T>& values, int64_t j) {
  return values[values.size() == 1 ? 0 : j];
}

}  // namespace

/// 1 above the threshold, 0 elsewhere. ONNX Binarizer, since ai.onnx.ml 1.
struct Binarizer {
  float threshold = 0;
  static Binarizer Parse(const Attributes& a) { return {.threshold = a.Float("threshold", 0)}; }
  void Infer(InferContext& c) const { c.Out(0, c.In(0)); }
  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    VisitNumber(x.dtype(), [&]<class T>() {
      using Wide = std::conditional_t<std::is_same_v<T, float>, float, double>;
      for (int64_t i = 0; i < x.size(); ++i)
        c.Out(0).data<T>()[i] = static_cast<Wide>(x.data<T>()[i]) > static_cast<Wide>(threshold) ? T{1} : T{0};
    });
  }
};
extern const OpDef kBinarizer =
    Define<Binarizer>({.name = "Binarizer", .since = 1, .domain = kMlDomain, .types = ml::kNumberTypes, .in_place = 0});

/// Replaces one value (NaN too) by another, which may differ from feature to feature. ONNX Imputer, since ai.onnx.ml 1.
struct Imputer {
  std::vector<float> floats;
  std::vector<int64_t> ints;
  float replaced_float = 0;
  int64_t replaced_int = 0;

  static Imputer Parse(const Attributes& a) {
    Imputer op{.floats = a.Floats("imputed_value_floats"),
               .ints = a.Ints("imputed_value_int64s"),
               .replaced_float = a.Float("replaced_value_float", 0),
               .replaced_int = a.Int("replaced_value_int64", 0)};
    if (op.floats.empty() == op.ints.empty())
      ml::FailParse("needs one of the attributes imputed_value_floats and imputed_value_int64s.");
    return op;
  }

  void Infer(InferContext& c) const {
    const bool integers = c.Elem(0) == DType::kInt64 || c.Elem(0) == DType::kInt32;
    if (integers == ints.empty())
      c.Fail("{} is {}, but the imputed values are {}.", c.InputName(0), Name(c.Elem(0)),
             ints.empty() ? "floats" : "integers");
    if (integers) {
      ExpectOneOrEach(c, ints, "imputed_value_int64s");
    } else {
      ExpectOneOrEach(c, floats, "imputed_value_floats");
    }
    for (int64_t v : ints) {
      if (c.Elem(0) == DType::kInt32 && v != static_cast<int32_t>(v)) c.Fail("the imputed value {} is no int32.", v);
    }
    c.Out(0, c.In(0));
  }

  void Run(RunContext& c) const {
    VisitNumber(c.In(0).dtype(), [&]<class T>() {
      if constexpr (std::is_integral_v<T>) {
        ByFeature<T, T>(c, [&](T v, int64_t j) { return v == replaced_int ? static_cast<T>(Of(ints, j)) : v; });
      } else {
        const bool nan = std::isnan(replaced_float);
        ByFeature<T, T>(c, [&](T v, int64_t j) {
          return (nan ? std::isnan(v) : v == static_cast<T>(replaced_float)) ? static_cast<T>(Of(floats, j)) : v;
        });
      }
    });
  }
};
extern const OpDef kImputer =
    Define<Imputer>({.name = "Imputer", .since = 1, .domain = kMlDomain, .types = ml::kNumberTypes, .in_place = 0});

/// (x - offset) * scale. ONNX Scaler, since ai.onnx.ml 1.
struct Scaler {
  std::vector<float> scale, offset;
  static Scaler Parse(const Attributes& a) {
    Scaler op{.scale = a.Floats("scale", {1}), .offset = a.Floats("offset", {0})};
    if (op.scale.empty() || op.offset.empty()) ml::FailParse("scale and offset must not be empty.");
    return op;
  }
  void Infer(InferContext& c) const {
    ExpectOneOrEach(c, scale, "scale");
    ExpectOneOrEach(c, offset, "offset");
    c.Out(0, DType::kFloat, c.Shape(0));
  }
  void Run(RunContext& c) const {
    VisitNumber(c.In(0).dtype(), [&]<class T>() {
      using Wide = std::conditional_t<std::is_same_v<T, float>, float, double>;
      ByFeature<T, float>(c, [&](T v, int64_t j) {
        return static_cast<float>((static_cast<Wide>(v) - static_cast<Wide>(Of(offset, j))) *
                                  static_cast<Wide>(Of(scale, j)));
      });
    });
  }
};
extern const OpDef kScaler =
    Define<Scaler>({.name = "Scaler", .since = 1, .domain = kMlDomain, .types = ml::kNumberTypes});

/// Each row divided by its largest element, its sum of magnitudes or its length; rows for which that is 0 stay. ONNX
/// Normalizer, since ai.onnx.ml 1.
struct Normalizer {
  std::string norm;
  static Normalizer Parse(const Attributes& a) {
    Normalizer op{.norm = a.String("norm", "MAX")};
    if (op.norm != "MAX" && op.norm != "L1" && op.norm != "L2")
      ml::FailParse(fmt::format("norm is '{}', but must be MAX, L1 or L2.", op.norm));
    return op;
  }
  void Infer(InferContext& c) const {
    ml::InferRows(c);
    c.Out(0, DType::kFloat, c.Shape(0));
  }
  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    const auto [rows, width] = ml::RowsOf(x.shape());
    if (width == 0) return;
    VisitNumber(x.dtype(), [&]<class T>() {
      c.threads().ParallelFor(rows, GrainFor(8 * width), [&, width = width](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          const T* from = x.data<T>() + r * width;
          float* to = c.Out(0).data<float>() + r * width;
          const double by = Divisor(from, width);
          for (int64_t j = 0; j < width; ++j)
            to[j] = static_cast<float>(by == 0 ? static_cast<double>(from[j]) : static_cast<double>(from[j]) / by);
        }
      });
    });
  }

 private:
  template <class T>
  double Divisor(const T* x, int64_t n) const {
    if (norm == "MAX") return static_cast<double>(*std::max_element(x, x + n));
    double sum = 0;
    for (int64_t j = 0; j < n; ++j) {
      const auto v = static_cast<double>(x[j]);
      sum += norm == "L1" ? std::abs(v) : v * v;
    }
    return norm == "L1" ? sum : std::sqrt(sum);
  }
};
extern const OpDef kNormalizer =
    Define<Normalizer>({.name = "Normalizer", .since = 1, .domain = kMlDomain, .types = ml::kNumberTypes});

}  // namespace slipway
