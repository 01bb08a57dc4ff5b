#include <bit>
#include <unordered_map>

#include "ops/indexing.h"
#include "ops/ml/ml.h"

namespace slipway {
namespace {

constexpr TypeSet kLabelTypes = {DType::kString, DType::kInt64, DType::kFloat,
                                 DType::kInt32,  DType::kInt16, DType::kDouble};

/// What numbers that equal each other have in common; all NaNs do.
template <class T>
uint64_t KeyOf(T v) {
  if constexpr (std::is_integral_v<T>) {
    return static_cast<uint64_t>(static_cast<int64_t>(v));
  } else {
    // Adding zero turns -0 into 0.
    return v != v ? UINT64_MAX : std::bit_cast<uint64_t>(static_cast<double>(v) + 0.0);
  }
}

/// The places of keys in a table; of equal keys the last counts.
class Places {
 public:
  void Add(const Tensor& keys) {
    VisitAll(keys.dtype(), [&]<class T>() {
      for (int64_t i = 0; i < keys.size(); ++i) {
        if constexpr (std::is_same_v<T, std::string>) {
          strings_[keys.data<T>()[i]] = i;
        } else if constexpr (std::is_arithmetic_v<T>) {
          numbers_[KeyOf(keys.data<T>()[i])] = i;
        }
      }
    });
  }
  template <class T>
  int64_t Find(const T& v) const {
    if constexpr (std::is_same_v<T, std::string>) {
      const auto found = strings_.find(v);
      return found == strings_.end() ? -1 : found->second;
    } else {
      const auto found = numbers_.find(KeyOf(v));
      return found == numbers_.end() ? -1 : found->second;
    }
  }

 private:
  std::unordered_map<std::string, int64_t> strings_;
  std::unordered_map<uint64_t, int64_t> numbers_;
};

template <class T>
Tensor List(const std::vector<T>& values) {
  return Tensor::From<T>({static_cast<int64_t>(values.size())}, values);
}

/// keys_int64s, keys_strings, keys_floats or keys_tensor: just one of them.
Tensor ListOf(const Attributes& a, const std::string& prefix) {
  Tensor out;
  int given = 0;
  const auto take = [&](Tensor t) {
    if (t.size() == 0) return;
    out = std::move(t);
    ++given;
  };
  take(List(a.Ints(prefix + "_int64s")));
  take(List(a.Strings(prefix + "_strings")));
  take(List(a.Floats(prefix + "_floats")));
  if (const Tensor* t = a.GetTensor(prefix + "_tensor")) take(*t);
  if (given != 1) ml::FailParse(fmt::format("needs exactly one attribute {}_*, but has {}.", prefix, given));
  if (!kLabelTypes.Has(out.dtype()))
    ml::FailParse(fmt::format("{}_tensor is {}, but must be {}.", prefix, Name(out.dtype()), kLabelTypes.ToString()));
  return out;
}

Tensor DefaultFor(const Attributes& a, DType type) {
  if (const Tensor* t = a.GetTensor("default_tensor")) {
    if (t->dtype() != type || t->size() != 1)
      ml::FailParse(fmt::format("default_tensor must be one {}, but is {} {}.", Name(type), Name(t->dtype()),
                                t->shape().ToString()));
    return *t;
  }
  if (type == DType::kString) return List<std::string>({a.String("default_string", "_Unused")});
  if (type == DType::kInt64) return List<int64_t>({a.Int("default_int64", -1)});
  if (type == DType::kFloat) return List<float>({a.Float("default_float", -0.0f)});
  if (type == DType::kDouble) return List<double>({-0.0});
  return type == DType::kInt32 ? List<int32_t>({-1}) : List<int16_t>({-1});
}

/// y[i] is the value at the place of x[i], or `otherwise`.
void Encode(RunContext& c, const Places& places, const Tensor& values, const Tensor& otherwise) {
  const Tensor& x = c.In(0);
  VisitAll(x.dtype(), [&]<class K>() {
    if constexpr (std::is_arithmetic_v<K> || std::is_same_v<K, std::string>) {
      VisitBySize(values.dtype(), [&]<class V>() {
        c.threads().ParallelFor(x.size(), 1024, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            const int64_t at = places.Find(x.data<K>()[i]);
            c.Out(0).data<V>()[i] = at < 0 ? *otherwise.data<V>() : values.data<V>()[at];
          }
        });
      });
    }
  });
}

}  // namespace

/// Maps each element by a table. ONNX LabelEncoder, since ai.onnx.ml 4.
struct LabelEncoder {
  Tensor keys, values, otherwise;
  Places places;

  static LabelEncoder Parse(const Attributes& a) {
    LabelEncoder op{.keys = ListOf(a, "keys"), .values = ListOf(a, "values")};
    if (op.keys.size() != op.values.size())
      ml::FailParse(fmt::format("has {} keys, but {} values.", op.keys.size(), op.values.size()));
    op.otherwise = DefaultFor(a, op.values.dtype());
    op.places.Add(op.keys);
    return op;
  }
  void Infer(InferContext& c) const {
    if (c.Elem(0) != keys.dtype())
      c.Fail("{} is {}, but the keys are {}.", c.InputName(0), Name(c.Elem(0)), Name(keys.dtype()));
    c.Out(0, values.dtype(), c.Shape(0));
  }
  void Run(RunContext& c) const { Encode(c, places, values, otherwise); }
};
extern const OpDef kLabelEncoder =
    Define<LabelEncoder>({.name = "LabelEncoder", .since = 4, .domain = kMlDomain, .types = kLabelTypes});

/// Strings to integers, or integers to strings, by a table. ONNX CategoryMapper, since ai.onnx.ml 1.
struct CategoryMapper {
  Tensor ints, strings;
  Tensor other_int, other_string;
  Places from_ints, from_strings;

  static CategoryMapper Parse(const Attributes& a) {
    CategoryMapper op{.ints = List(a.Ints("cats_int64s")),
                      .strings = List(a.Strings("cats_strings")),
                      .other_int = DefaultFor(a, DType::kInt64),
                      .other_string = DefaultFor(a, DType::kString)};
    if (op.ints.size() != op.strings.size())
      ml::FailParse(fmt::format("has {} integers, but {} strings.", op.ints.size(), op.strings.size()));
    op.from_ints.Add(op.ints);
    op.from_strings.Add(op.strings);
    return op;
  }
  void Infer(InferContext& c) const {
    c.Out(0, c.Elem(0) == DType::kString ? DType::kInt64 : DType::kString, c.Shape(0));
  }
  void Run(RunContext& c) const {
    if (c.In(0).dtype() == DType::kString) {
      Encode(c, from_strings, ints, other_int);
    } else {
      Encode(c, from_ints, strings, other_string);
    }
  }
};
extern const OpDef kCategoryMapper = Define<CategoryMapper>(
    {.name = "CategoryMapper", .since = 1, .domain = kMlDomain, .types = {DType::kString, DType::kInt64}});

}  // namespace slipway
