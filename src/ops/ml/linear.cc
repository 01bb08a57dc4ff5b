#include <algorithm>

#include "ops/ml/ml.h"

namespace slipway {

/// Scores x w^T + b for each class, and the class with the highest; one score stands for the second of two classes.
/// ONNX LinearClassifier, since ai.onnx.ml 1.
struct LinearClassifier {
  std::vector<float> coefficients, intercepts;
  ml::Labels labels;
  ml::Transform transform;

  static LinearClassifier Parse(const Attributes& a) {
    LinearClassifier op{.coefficients = a.Floats("coefficients"),
                        .intercepts = a.Floats("intercepts"),
                        .labels = ml::Labels::Parse(a, "classlabels_ints", "classlabels_strings"),
                        .transform = ml::ParseTransform(a)};
    a.Int("multi_class", 0);  // how it was trained
    if (op.coefficients.empty()) ml::FailParse("attribute coefficients is missing or empty.");
    if (!op.intercepts.empty()) op.CheckScores(op.intercepts.size());
    return op;
  }

  void Infer(InferContext& c) const {
    const Dim rows = ml::InferRows(c), features = ml::InferFeatures(c);
    c.Out(0, labels.dtype(), {rows});
    Dim columns = Dim::Unknown();
    if (features.is_const()) {
      const size_t n = CountScores(c, features.value());
      columns = static_cast<int64_t>(TwoFromOne(n) ? 2 : n);
    } else if (!intercepts.empty()) {
      columns = static_cast<int64_t>(TwoFromOne(intercepts.size()) ? 2 : intercepts.size());
    }
    c.Out(1, DType::kFloat, {rows, columns});
  }

  void Run(RunContext& c) const {
    std::vector<float> buffer;
    const ml::Rows rows = ml::RowsOf(c.In(0).shape());
    const float* x = ml::AsFloats(c.In(0), buffer);
    const auto n = static_cast<int64_t>(CountScores(c, rows.features));
    std::vector<float> scores(rows.count * n);
    ml::MultiplyRows(c, x, rows, coefficients.data(), n, intercepts.empty() ? nullptr : intercepts.data(),
                     scores.data());
    for (int64_t r = 0; r < rows.count; ++r) {
      const float* row = scores.data() + r * n;
      if (c.HasOut(0)) {
        const size_t best = TwoFromOne(n) ? (row[0] > 0 ? 1 : 0) : std::max_element(row, row + n) - row;
        labels.Store(c.Out(0), r, best);
      }
      if (c.HasOut(1)) Write(row, n, c.Out(1).data<float>() + r * (TwoFromOne(n) ? 2 : n));
    }
  }

 private:
  bool TwoFromOne(size_t scores) const { return scores == 1 && labels.size() == 2; }
  void CheckScores(size_t n) const {
    if (coefficients.size() % n != 0)
      ml::FailParse(fmt::format("{} coefficients cannot be shared by {} classes.", coefficients.size(), n));
    if (labels.size() < n && !TwoFromOne(n))
      ml::FailParse(fmt::format("there are {} class labels for {} scores.", labels.size(), n));
  }
  size_t CountScores(const auto& c, int64_t features) const {
    const size_t n = features == 0 ? 0 : coefficients.size() / features;
    if (n == 0 || n * features != coefficients.size() || (!intercepts.empty() && intercepts.size() != n)) {
      c.Fail("{} coefficients and {} intercepts do not fit {} features.", coefficients.size(), intercepts.size(),
             features);
    }
    if (labels.size() < n) c.Fail("there are {} class labels for {} scores.", labels.size(), n);
    return n;
  }
  void Write(const float* row, int64_t n, float* out) const {
    std::vector<double> scores(row, row + n);
    if (TwoFromOne(n)) {
      const auto both = ml::OfTwo(transform, scores[0], true);
      scores.assign(both.begin(), both.end());
    } else {
      ml::Apply(transform, scores);
    }
    std::transform(scores.begin(), scores.end(), out, [](double s) { return static_cast<float>(s); });
  }
};
extern const OpDef kLinearClassifier = Define<LinearClassifier>(
    {.name = "LinearClassifier", .since = 1, .domain = kMlDomain, .max_outputs = 2, .types = ml::kNumberTypes});

/// x w^T + b for each target. ONNX LinearRegressor, since ai.onnx.ml 1.
struct LinearRegressor {
  std::vector<float> coefficients, intercepts;
  int64_t targets = 1;
  ml::Transform transform;

  static LinearRegressor Parse(const Attributes& a) {
    LinearRegressor op{.coefficients = a.Floats("coefficients"),
                       .intercepts = a.Floats("intercepts"),
                       .targets = a.Int("targets", 1),
                       .transform = ml::ParseTransform(a)};
    const auto count = static_cast<int64_t>(op.coefficients.size());
    if (op.targets < 1 || count == 0 || count % op.targets != 0)
      ml::FailParse(fmt::format("{} coefficients cannot be shared by {} targets.", count, op.targets));
    if (!op.intercepts.empty() && static_cast<int64_t>(op.intercepts.size()) != op.targets)
      ml::FailParse(fmt::format("there are {} intercepts for {} targets.", op.intercepts.size(), op.targets));
    return op;
  }

  void Infer(InferContext& c) const {
    const Dim rows = ml::InferRows(c);
    ml::ExpectFeatures(c, coefficients.size() / targets);
    c.Out(0, DType::kFloat, {rows, targets});
  }

  void Run(RunContext& c) const {
    std::vector<float> buffer;
    const ml::Rows rows = ml::RowsOf(c.In(0).shape());
    float* y = c.Out(0).data<float>();
    ml::MultiplyRows(c, ml::AsFloats(c.In(0), buffer), rows, coefficients.data(), targets,
                     intercepts.empty() ? nullptr : intercepts.data(), y);
    if (transform == ml::Transform::kNone) return;
    for (int64_t r = 0; r < rows.count; ++r) {
      float* row = y + r * targets;
      std::vector<double> scores(row, row + targets);
      ml::Apply(transform, scores);
      std::transform(scores.begin(), scores.end(), row, [](double s) { return static_cast<float>(s); });
    }
  }
};
extern const OpDef kLinearRegressor =
    Define<LinearRegressor>({.name = "LinearRegressor", .since = 1, .domain = kMlDomain, .types = ml::kNumberTypes});

}  // namespace slipway
