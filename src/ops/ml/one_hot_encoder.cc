#include <cmath>
#include <unordered_map>

#include "ops/indexing.h"
#include "ops/ml/ml.h"

namespace slipway {

/// A row of zeros with a one at the place of each element's category. Numbers are taken as integers. ONNX
/// OneHotEncoder, since ai.onnx.ml 1.
struct OneHotEncoder {
  std::unordered_map<int64_t, int64_t> ints;
  std::unordered_map<std::string, int64_t> strings;
  int64_t count = 0;
  bool zeros = true;  ///< other elements are all zeros, not an error

  static OneHotEncoder Parse(const Attributes& a) {
    const ml::Labels categories = ml::Labels::Parse(a, "cats_int64s", "cats_strings");
    OneHotEncoder op{.count = static_cast<int64_t>(categories.size()), .zeros = a.Int("zeros", 1) != 0};
    for (size_t i = 0; i < categories.ints.size(); ++i) op.ints[categories.ints[i]] = static_cast<int64_t>(i);
    for (size_t i = 0; i < categories.strings.size(); ++i) op.strings[categories.strings[i]] = static_cast<int64_t>(i);
    return op;
  }

  void Infer(InferContext& c) const {
    if ((c.Elem(0) == DType::kString) == strings.empty()) {
      c.Fail("{} is {}, but the categories are {}.", c.InputName(0), Name(c.Elem(0)),
             strings.empty() ? "integers" : "strings");
    }
    if (!c.HasRank(0)) return c.Out(0, DType::kFloat);
    std::vector<Dim> dims = c.Shape(0).dims();
    dims.push_back(count);
    c.Out(0, DType::kFloat, std::move(dims));
  }

  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    float* y = c.Out(0).data<float>();
    std::fill(y, y + x.size() * count, 0.0f);
    Visit(Types<std::string, int64_t, int32_t, float, double>{}, x.dtype(), "a string or number", [&]<class T>() {
      for (int64_t i = 0; i < x.size(); ++i) {
        const int64_t at = Place(x.data<T>()[i]);
        if (at >= 0) {
          y[i * count + at] = 1;
        } else if (!zeros) {
          c.Fail("element {} is of none of the categories, and the attribute 'zeros' is 0.", i);
        }
      }
    });
  }

 private:
  int64_t Place(const std::string& v) const {
    const auto found = strings.find(v);
    return found == strings.end() ? -1 : found->second;
  }
  template <class T>
  int64_t Place(T v) const {
    if constexpr (std::is_floating_point_v<T>) {
      if (!(std::abs(v) < T{9.2e18})) return -1;
    }
    const auto found = ints.find(static_cast<int64_t>(v));
    return found == ints.end() ? -1 : found->second;
  }
};
extern const OpDef kOneHotEncoder = Define<OneHotEncoder>(
    {.name = "OneHotEncoder", .since = 1, .domain = kMlDomain, .types = ml::kNumberTypes | TypeSet{DType::kString}});

}  // namespace slipway
