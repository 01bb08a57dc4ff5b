#include "ops/ml/ml.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/dtype_visit.h"
#include "kernels/gemm/gemm.h"

namespace slipway::ml {

void FailParse(const std::string& what) { throw Error(Code::kBadGraph, what); }

Transform ParseTransform(const Attributes& a) {
  const std::string name = a.String("post_transform", "NONE");
  static constexpr std::string_view kNames[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"};
  const auto found = std::find(std::begin(kNames), std::end(kNames), name);
  if (found == std::end(kNames)) FailParse(fmt::format("post_transform is '{}', which is none of ONNX's.", name));
  return static_cast<Transform>(found - std::begin(kNames));
}

double Logistic(double x) {
  const double v = 1 / (1 + std::exp(-std::abs(x)));
  return x < 0 ? 1 - v : v;
}

double Probit(double x) {
  constexpr double kA = 0.147;
  const double e = 2 * x - 1;
  const double log = std::log((1 - e) * (1 + e));
  const double half = 2 / (std::numbers::pi * kA) + log / 2;
  const double inverse = std::sqrt(std::sqrt(half * half - log / kA) - half);
  return std::numbers::sqrt2 * (e < 0 ? -inverse : inverse);
}

namespace {

void Softmax(std::span<double> scores, bool skip_zeros) {
  const double top = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (double& s : scores) {
    // With SOFTMAX_ZERO a class without votes stays without.
    if (skip_zeros && std::abs(s) <= 1e-7) {
      s *= std::exp(-top);
    } else {
      s = std::exp(s - top);
      sum += s;
    }
  }
  for (double& s : scores) s = sum == 0 ? s : s / sum;
}

}  // namespace

void Apply(Transform transform, std::span<double> scores) {
  if (transform == Transform::kProbit) {
    for (double& s : scores) s = Probit(s);
  } else if (scores.size() < 2) {
    return;
  } else if (transform == Transform::kLogistic) {
    for (double& s : scores) s = Logistic(s);
  } else if (transform != Transform::kNone) {
    Softmax(scores, transform == Transform::kSoftmaxZero);
  }
}

std::array<double, 2> OfTwo(Transform transform, double s, bool probability) {
  switch (transform) {
    case Transform::kLogistic:
      return {Logistic(-s), Logistic(s)};
    case Transform::kProbit:
      return {Probit(1 - s), Probit(s)};
    default:
      return {probability ? 1 - s : -s, s};
  }
}

Labels Labels::Parse(const Attributes& a, std::string_view ints, std::string_view strings) {
  Labels labels{.ints = a.Ints(ints), .strings = a.Strings(strings)};
  if (labels.ints.empty() == labels.strings.empty())
    FailParse(fmt::format("needs one of the attributes {} and {}.", ints, strings));
  return labels;
}

void Labels::Store(Tensor& y, int64_t row, size_t label) const {
  if (strings.empty()) {
    y.data<int64_t>()[row] = ints[label];
  } else {
    y.data<std::string>()[row] = strings[label];
  }
}

Rows RowsOf(const Shape& shape) {
  if (shape.rank() == 1) return {.count = 1, .features = shape[0]};
  return {.count = shape[0], .features = shape[1]};
}

Dim InferRows(const InferContext& c) {
  c.ExpectRank(0, 1, 2);
  if (!c.HasRank(0)) return Dim::Unknown();
  return c.Shape(0).rank() == 1 ? Dim(1) : c.Shape(0)[0];
}

Dim InferFeatures(const InferContext& c) {
  return c.HasRank(0) && c.Shape(0).rank() > 0 ? c.Shape(0)[c.Shape(0).rank() - 1] : Dim::Unknown();
}

void ExpectFeatures(const InferContext& c, size_t features) {
  const Dim have = InferFeatures(c);
  if (have.is_const() && have.value() != static_cast<int64_t>(features))
    c.Fail("{} has {} features, but the attributes are for {}.", c.InputName(0), have.value(), features);
}

const float* AsFloats(const Tensor& x, std::vector<float>& buffer) {
  if (x.dtype() == DType::kFloat) return x.data<float>();
  buffer.resize(x.size());
  VisitNumeric(x.dtype(), [&]<class T>() {
    std::transform(x.data<T>(), x.data<T>() + x.size(), buffer.begin(), [](T v) { return static_cast<float>(v); });
  });
  return buffer.data();
}

void MultiplyRows(const RunContext& c, const float* x, Rows rows, const float* w, int64_t n, const float* bias,
                  float* y) {
  if (rows.count == 0 || n == 0) return;
  kernels::GemmUnpacked(rows.count, n, rows.features, x, rows.features, w, 1, rows.features, y, n, {.bias = bias},
                        c.threads());
}

}  // namespace slipway::ml
