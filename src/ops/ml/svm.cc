#include <algorithm>
#include <cmath>
#include <numeric>

#include "ops/ml/ml.h"

namespace slipway {
namespace {

/// What support vector machines compare rows by.
struct Kernel {
  enum class Kind { kLinear, kPoly, kRbf, kSigmoid } kind = Kind::kLinear;
  float gamma = 0, coef0 = 0, degree = 0;

  static Kernel Parse(const Attributes& a) {
    const std::string name = a.String("kernel_type", "LINEAR");
    static constexpr std::string_view kNames[] = {"LINEAR", "POLY", "RBF", "SIGMOID"};
    const auto found = std::find(std::begin(kNames), std::end(kNames), name);
    if (found == std::end(kNames)) ml::FailParse(fmt::format("kernel_type is '{}', which is none of ONNX's.", name));
    Kernel kernel{.kind = static_cast<Kind>(found - std::begin(kNames))};
    const std::vector<float> params = a.Floats("kernel_params");
    if (params.size() >= 3) {
      kernel.gamma = params[0], kernel.coef0 = params[1], kernel.degree = params[2];
    } else if (!params.empty() || kernel.kind != Kind::kLinear) {
      ml::FailParse(fmt::format("kernel_params has {} values, but must give gamma, coef0 and degree.", params.size()));
    }
    return kernel;
  }

  /// y[row, i] = kernel(x[row], vectors[i])
  void Apply(const RunContext& c, const float* x, ml::Rows rows, const std::vector<float>& vectors, int64_t n,
             float* y) const {
    if (kind == Kind::kRbf) return ApplyRbf(c, x, rows, vectors, n, y);
    ml::MultiplyRows(c, x, rows, vectors.data(), n, nullptr, y);
    if (kind == Kind::kLinear) return;
    for (int64_t i = 0; i < rows.count * n; ++i) {
      const float v = gamma * y[i] + coef0;
      y[i] = kind == Kind::kSigmoid ? std::tanh(v) : std::pow(v, degree);
    }
  }

 private:
  void ApplyRbf(const RunContext& c, const float* x, ml::Rows rows, const std::vector<float>& vectors, int64_t n,
                float* y) const {
    const int64_t k = rows.features;
    c.threads().ParallelFor(rows.count * n, 1 + 16384 / (k + 16), [&](int64_t begin, int64_t end) {
      for (int64_t at = begin; at < end; ++at) {
        const float *a = x + at / n * k, *b = vectors.data() + at % n * k;
        float sum = 0;
        for (int64_t j = 0; j < k; ++j) sum += (a[j] - b[j]) * (a[j] - b[j]);
        y[at] = std::exp(-gamma * sum);
      }
    });
  }
};

/// Pairwise probabilities r[i, j] (of i against j) as one of each class: Wu, Lin and Weng, "Probability Estimates for
/// Multi-class Classification by Pairwise Coupling", second method.
std::vector<double> Couple(const std::vector<double>& r, int64_t n) {
  std::vector<double> p(n, 1.0 / static_cast<double>(n)), q(n * n), qp(n);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      if (j == i) continue;
      q[i * n + i] += r[j * n + i] * r[j * n + i];
      q[i * n + j] = -r[j * n + i] * r[i * n + j];
    }
  }
  const double enough = 0.005 / static_cast<double>(n);
  for (int turn = 0; turn < 100; ++turn) {
    double pqp = 0, worst = 0;
    for (int64_t i = 0; i < n; ++i) {
      qp[i] = std::inner_product(p.begin(), p.end(), q.begin() + i * n, 0.0);
      pqp += p[i] * qp[i];
    }
    for (double v : qp) worst = std::max(worst, std::abs(v - pqp));
    if (!(worst >= enough)) break;
    for (int64_t i = 0; i < n; ++i) {
      const double diag = q[i * n + i], step = (pqp - qp[i]) / diag, scale = 1 / (1 + step);
      p[i] += step;
      pqp = (pqp + step * (step * diag + 2 * qp[i])) * scale * scale;
      for (int64_t j = 0; j < n; ++j) {
        qp[j] = (qp[j] + step * q[i * n + j]) * scale;
        p[j] *= scale;
      }
    }
  }
  return p;
}

}  // namespace

/// One score for each pair of classes, votes for the class, and probabilities where the attributes allow them; without
/// support vectors one score a class. ONNX SVMClassifier, since ai.onnx.ml 1.
struct SVMClassifier {
  Kernel kernel;
  std::vector<float> coefficients, vectors, rho, prob_a, prob_b;
  std::vector<int64_t> counts;  ///< of the vectors of each class
  ml::Labels labels;
  ml::Transform transform;
  int64_t num_vectors = 0, classes = 0, pairs = 0, features = 0;

  static SVMClassifier Parse(const Attributes& a) {
    SVMClassifier op{.kernel = Kernel::Parse(a),
                     .coefficients = a.Floats("coefficients"),
                     .vectors = a.Floats("support_vectors"),
                     .rho = a.Floats("rho"),
                     .prob_a = a.Floats("prob_a"),
                     .prob_b = a.Floats("prob_b"),
                     .counts = a.Ints("vectors_per_class"),
                     .labels = ml::Labels::Parse(a, "classlabels_ints", "classlabels_strings"),
                     .transform = ml::ParseTransform(a)};
    op.classes = static_cast<int64_t>(op.labels.size());
    op.pairs = op.classes * (op.classes - 1) / 2;
    for (int64_t n : op.counts) {
      if (n < 0 || n > static_cast<int64_t>(op.vectors.size()))
        ml::FailParse(fmt::format("vectors_per_class has the count {}.", n));
      op.num_vectors += n;
    }
    op.Check();
    return op;
  }

  void Infer(InferContext& c) const {
    const Dim rows = ml::InferRows(c);
    ml::ExpectFeatures(c, features);
    c.Out(0, labels.dtype(), {rows});
    c.Out(1, DType::kFloat, {rows, Columns()});
  }

  void Run(RunContext& c) const {
    const ml::Rows rows = ml::RowsOf(c.In(0).shape());
    std::vector<float> buffer;
    const float* x = ml::AsFloats(c.In(0), buffer);
    const int64_t n = num_vectors > 0 ? num_vectors : classes;
    std::vector<float> products(rows.count * n);
    if (num_vectors > 0) {
      kernel.Apply(c, x, rows, vectors, n, products.data());
    } else {
      ml::MultiplyRows(c, x, rows, coefficients.data(), n, nullptr, products.data());
    }
    for (int64_t r = 0; r < rows.count; ++r) {
      const float* row = products.data() + r * n;
      size_t label = 0;
      const std::vector<double> scores = num_vectors > 0 ? ByPairs(row, label) : ByClass(row, label);
      if (c.HasOut(0)) labels.Store(c.Out(0), r, label);
      if (!c.HasOut(1)) continue;
      std::transform(scores.begin(), scores.end(), c.Out(1).data<float>() + r * Columns(),
                     [](double s) { return static_cast<float>(s); });
    }
  }

 private:
  bool probable() const { return !prob_a.empty(); }
  int64_t Columns() const {
    if (num_vectors == 0 || probable()) return classes;
    return classes == 2 ? 2 : pairs;
  }
  void Check() {
    const auto size = [](const auto& v) { return static_cast<int64_t>(v.size()); };
    if (coefficients.empty()) ml::FailParse("attribute coefficients is missing or empty.");
    if (rho.empty()) ml::FailParse("attribute rho is missing or empty.");
    if (prob_a.size() != prob_b.size())
      ml::FailParse(fmt::format("prob_a has {} values, prob_b {}.", prob_a.size(), prob_b.size()));
    if (num_vectors == 0) {
      if (size(coefficients) % classes != 0)
        ml::FailParse(fmt::format("{} coefficients cannot be shared by {} classes.", coefficients.size(), classes));
      features = size(coefficients) / classes;
      return;
    }
    if (classes < 2 || classes > 65535 || size(counts) != classes)
      ml::FailParse(fmt::format("vectors_per_class has {} counts for {} classes.", counts.size(), classes));
    if (vectors.empty() || size(vectors) % num_vectors != 0)
      ml::FailParse(fmt::format("support_vectors has {} values for {} vectors.", vectors.size(), num_vectors));
    features = size(vectors) / num_vectors;
    if (size(coefficients) < (classes - 1) * num_vectors || size(rho) < pairs || (probable() && size(prob_a) < pairs))
      ml::FailParse(fmt::format("coefficients ({}), rho ({}) or prob_a ({}) are too few for {} classes and {} vectors.",
                                coefficients.size(), rho.size(), prob_a.size(), classes, num_vectors));
  }

  std::vector<double> ByPairs(const float* products, size_t& label) const {
    std::vector<double> scores;
    std::vector<int> votes(classes);
    int64_t start_i = 0;
    for (int64_t i = 0; i < classes; start_i += counts[i++]) {
      int64_t start_j = start_i + counts[i];
      for (int64_t j = i + 1; j < classes; start_j += counts[j++]) {
        double sum = rho[scores.size()];
        const float *for_i = coefficients.data() + (j - 1) * num_vectors,
                    *for_j = coefficients.data() + i * num_vectors;
        for (int64_t m = start_i; m < start_i + counts[i]; ++m) sum += double{for_i[m]} * products[m];
        for (int64_t m = start_j; m < start_j + counts[j]; ++m) sum += double{for_j[m]} * products[m];
        scores.push_back(sum);
        ++votes[sum > 0 ? i : j];
      }
    }
    label = std::max_element(votes.begin(), votes.end()) - votes.begin();
    if (probable()) {
      scores = Probabilities(scores);
      ml::Apply(transform, scores);
    } else if (classes > 2) {
      ml::Apply(transform, scores);
    } else {
      const auto both = ml::OfTwo(transform, scores[0], transform != ml::Transform::kNone);
      scores.assign(both.begin(), both.end());
    }
    return scores;
  }

  std::vector<double> Probabilities(const std::vector<double>& scores) const {
    std::vector<double> r(classes * classes);
    size_t at = 0;
    for (int64_t i = 0; i < classes; ++i) {
      for (int64_t j = i + 1; j < classes; ++j, ++at) {
        const double p = 1 - ml::Logistic(scores[at] * prob_a[at] + prob_b[at]);
        r[i * classes + j] = std::clamp(p, 1e-7, 1 - 1e-7);
        r[j * classes + i] = 1 - r[i * classes + j];
      }
    }
    return Couple(r, classes);
  }

  std::vector<double> ByClass(const float* products, size_t& label) const {
    std::vector<double> scores(products, products + classes);
    for (double& s : scores) s += rho[0];
    const auto top = std::max_element(scores.begin(), scores.end());
    label = top - scores.begin();
    // Of two classes the second is the positive one, as onnxruntime has it.
    const bool all_positive = std::all_of(coefficients.begin(), coefficients.end(), [](float v) { return v >= 0; });
    if (classes == 2 && !probable() && (all_positive ? *top >= 0.5 : *top > 0)) label = 1;
    ml::Apply(transform, scores);
    return scores;
  }
};
extern const OpDef kSVMClassifier = Define<SVMClassifier>(
    {.name = "SVMClassifier", .since = 1, .domain = kMlDomain, .max_outputs = 2, .types = ml::kNumberTypes});

/// A weighted sum of kernels; without support vectors a linear function; with one_class 1 above zero and -1 elsewhere.
/// ONNX SVMRegressor, since ai.onnx.ml 1.
struct SVMRegressor {
  Kernel kernel;
  std::vector<float> coefficients, vectors, rho;
  int64_t num_vectors = 0, features = 0;
  bool one_class = false;
  ml::Transform transform;

  static SVMRegressor Parse(const Attributes& a) {
    SVMRegressor op{.kernel = Kernel::Parse(a),
                    .coefficients = a.Floats("coefficients"),
                    .vectors = a.Floats("support_vectors"),
                    .rho = a.Floats("rho"),
                    .num_vectors = a.Int("n_supports", 0),
                    .one_class = a.Int("one_class", 0) != 0,
                    .transform = ml::ParseTransform(a)};
    const auto values = static_cast<int64_t>(op.vectors.size()), weights = static_cast<int64_t>(op.coefficients.size());
    if (op.rho.empty()) ml::FailParse("attribute rho is missing or empty.");
    if (op.num_vectors < 0 || weights == 0 || (op.num_vectors > 0 && weights < op.num_vectors))
      ml::FailParse(fmt::format("there are {} coefficients for {} support vectors.", weights, op.num_vectors));
    if (op.num_vectors > 0 && (values == 0 || values % op.num_vectors != 0))
      ml::FailParse(fmt::format("support_vectors has {} values for {} vectors.", values, op.num_vectors));
    op.features = op.num_vectors > 0 ? values / op.num_vectors : weights;
    return op;
  }

  void Infer(InferContext& c) const {
    const Dim rows = ml::InferRows(c);
    ml::ExpectFeatures(c, features);
    c.Out(0, DType::kFloat, {rows, 1});
  }

  void Run(RunContext& c) const {
    const ml::Rows rows = ml::RowsOf(c.In(0).shape());
    std::vector<float> buffer;
    const float* x = ml::AsFloats(c.In(0), buffer);
    const int64_t n = num_vectors > 0 ? num_vectors : features;
    std::vector<float> products;
    if (num_vectors > 0) {
      products.resize(rows.count * n);
      kernel.Apply(c, x, rows, vectors, n, products.data());
      x = products.data();
    }
    float* y = c.Out(0).data<float>();
    for (int64_t r = 0; r < rows.count; ++r) {
      double sum = rho[0];
      for (int64_t j = 0; j < n; ++j) sum += double{x[r * n + j]} * coefficients[j];
      ml::Apply(transform, {&sum, 1});
      y[r] = one_class ? (sum > 0 ? 1.0f : -1.0f) : static_cast<float>(sum);
    }
  }
};
extern const OpDef kSVMRegressor =
    Define<SVMRegressor>({.name = "SVMRegressor", .since = 1, .domain = kMlDomain, .types = ml::kNumberTypes});

}  // namespace slipway
