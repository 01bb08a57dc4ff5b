#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ops/op.h"

namespace slipway::ml {

/// The element types that ai.onnx.ml computes on.
inline constexpr TypeSet kNumberTypes = {DType::kFloat, DType::kDouble, DType::kInt64, DType::kInt32};

/// What becomes of a row of scores. The order is that of the attribute of TreeEnsemble.
enum class Transform { kNone, kSoftmax, kLogistic, kSoftmaxZero, kProbit };

/// The attribute post_transform as a string. Throws Error(kBadGraph) for other values.
Transform ParseTransform(const Attributes& a);

/// A row of two or more scores: SOFTMAX and SOFTMAX_ZERO over the row, the others by element. A score alone is changed
/// by PROBIT only, as onnxruntime has it.
void Apply(Transform transform, std::span<double> scores);

double Logistic(double x);
/// By Winitzki's approximation of the inverse error function, which onnxruntime and ONNX's reference use.
double Probit(double x);

/// What a classifier calls its classes: integers or strings.
struct Labels {
  std::vector<int64_t> ints;
  std::vector<std::string> strings;
  /// Throws Error(kBadGraph) where none or both of the attributes are given.
  static Labels Parse(const Attributes& a, std::string_view ints, std::string_view strings);
  DType dtype() const { return strings.empty() ? DType::kInt64 : DType::kString; }
  size_t size() const { return strings.empty() ? ints.size() : strings.size(); }
  void Store(Tensor& y, int64_t row, size_t label) const;
};

/// A tensor of rank 1 or 2 as rows of features.
struct Rows {
  int64_t count = 0, features = 0;
};
Rows RowsOf(const Shape& shape);
/// The number of rows; Fail()s where input 0 has another rank than 1 or 2.
Dim InferRows(const InferContext& c);
/// The number of features, where known.
Dim InferFeatures(const InferContext& c);
/// Fail()s where input 0 is known to have another number of features.
void ExpectFeatures(const InferContext& c, size_t features);

/// The elements as floats: the tensor's own, or converted into `buffer`.
const float* AsFloats(const Tensor& x, std::vector<float>& buffer);

/// y[rows, n] = x[rows, k] times the transpose of w[n, k]; the sums start at bias[n] where that is not null.
void MultiplyRows(const RunContext& c, const float* x, Rows rows, const float* w, int64_t n, const float* bias,
                  float* y);

[[noreturn]] void FailParse(const std::string& what);

/// Both scores of two classes from the second's: s, and what it leaves of 1 where s is a probability, else -s.
std::array<double, 2> OfTwo(Transform transform, double s, bool probability);

}  // namespace slipway::ml
