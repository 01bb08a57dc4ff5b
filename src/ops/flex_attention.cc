#include <cmath>
#include <cstring>

#include "core/dtype_visit.h"
#include "kernels/gemm/gemm.h"
#include "kernels/reduce/softmax.h"
#include "ops/control_flow.h"
#include "ops/in_float.h"
#include "ops/indexing.h"

namespace slipway {
namespace {

using Matrix = Types<float, double>;

Tensor Converted(const Tensor& t, DType to, const Threads& threads) {
  if (t.dtype() == to) return t;
  if (t.dtype() != DType::kDouble && to != DType::kDouble) {
    const Tensor wide = ToFloat(t, threads);
    if (to == DType::kFloat) return wide;
    Tensor out(to, t.shape());
    FromFloat(wide, out, threads);
    return out;
  }
  const std::vector<double> wide = ToVectorOf<double>(t);
  Tensor out(to, t.shape());
  VisitFloat(to, [&]<class T>() {
    using Step = std::conditional_t<std::is_arithmetic_v<T>, T, float>;
    for (size_t i = 0; i < wide.size(); ++i) out.data<T>()[i] = static_cast<T>(static_cast<Step>(wide[i]));
  });
  return out;
}

/// c[m, n] = a[m, k] b, where b's element (i, j) lies at b[i * row + j * column].
void Product(int64_t m, int64_t n, int64_t k, const float* a, const float* b, int64_t row, int64_t column, float* c,
             double scale, const Threads& threads) {
  kernels::GemmUnpacked(m, n, k, a, k, b, row, column, c, n, {.scale = static_cast<float>(scale)}, threads);
}
void Product(int64_t m, int64_t n, int64_t k, const double* a, const double* b, int64_t row, int64_t column, double* c,
             double scale, const Threads& threads) {
  threads.ParallelFor(m, GrainFor(n * k * 8), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (int64_t p = 0; p < k; ++p) sum += a[i * k + p] * b[p * row + j * column];
        c[i * n + j] = sum * scale;
      }
    }
  });
}

void SoftmaxRows(const Tensor& x, const Threads& threads) {
  const int64_t size = x.shape().Back(0), rows = size ? x.size() / size : 0;
  if (x.dtype() == DType::kFloat) {
    float* data = const_cast<float*>(x.data<float>());
    return kernels::SoftmaxFloat(data, data, rows, size, 1, false, threads);
  }
  double* data = const_cast<double*>(x.data<double>());
  threads.ParallelFor(rows, GrainFor(size * 32), [&](int64_t begin, int64_t end) {
    for (double* row = data + begin * size; row < data + end * size; row += size) {
      double top = row[0], sum = 0;
      for (int64_t i = 1; i < size; ++i) top = row[i] > top || row[i] != row[i] ? row[i] : top;
      for (int64_t i = 0; i < size; ++i) sum += row[i] = std::exp(row[i] - top);
      for (int64_t i = 0; i < size; ++i) row[i] /= sum;
    }
  });
}

}  // namespace

/// Attention over [batch, heads, rows, size] whose scores and probabilities the model's own subgraphs may change. ONNX
/// ai.onnx.preview FlexAttention, since 1.
struct FlexAttention {
  std::shared_ptr<Graph> score_mod, prob_mod;
  std::optional<float> scale;
  int64_t precision = 0;  ///< the type of scores and probabilities; 0: double for double, else float

  static FlexAttention Parse(const Attributes& a) {
    FlexAttention op{.score_mod = a.GetGraph("score_mod"),
                     .prob_mod = a.GetGraph("prob_mod"),
                     .precision = a.Int("softmax_precision", 0)};
    if (a.Has("scale")) op.scale = a.Float("scale", 0);
    return op;
  }

  void Infer(InferContext& c) const {
    c.ExpectSameElem(1, 0);
    c.ExpectSameElem(2, 0);
    SymbolicShape in[3];
    for (int i = 0; i < 3; ++i) {
      c.ExpectRank(i, 4, 4);
      in[i] = c.HasRank(i) ? c.Shape(i) : SymbolicShape::OfRank(4);
    }
    const SymbolicShape &q = in[0], &k = in[1], &v = in[2];
    const bool batches = q[0].Differs(k[0]) || q[0].Differs(v[0]), heads = k[1].Differs(v[1]);
    if (batches || heads || q[3].Differs(k[3]) || k[2].Differs(v[2]))
      c.Fail("shapes {}, {} and {} do not fit each other.", q.ToString(), k.ToString(), v.ToString());
    if (q[1].is_const() && k[1].is_const() && (k[1].value() < 1 || q[1].value() % k[1].value() != 0))
      c.Fail("{} query heads cannot share {} key heads.", q[1].value(), k[1].value());
    const DType elem = Precision(c.Elem(0));
    if (!kFloatTypes.Has(elem)) c.Fail("attribute 'softmax_precision' is {}, but must be a float type.", precision);
    const Type scores = Type::TensorOf(elem, {q[0], q[1], q[2], k[2]});
    for (const auto* body : {&score_mod, &prob_mod}) {
      if (*body) CheckBody(c, **body, scores);
    }
    c.Out(0, c.Elem(0), {q[0], q[1], q[2], v[3]});
  }

  void Run(RunContext& c) const {
    const Shape &q = c.In(0).shape(), &v = c.In(2).shape();
    const Shape shape = {q[0], q[1], q[2], v[2]};
    const DType elem = Precision(c.In(0).dtype());
    const double factor = scale ? *scale : 1 / std::sqrt(static_cast<double>(q[3]));
    const DType wide_in = c.In(0).dtype() == DType::kDouble ? DType::kDouble : DType::kFloat;
    Tensor scores = PerHead(c, c.In(0), c.In(1), wide_in, shape, true, factor);
    scores = Modified(c, "score_mod", score_mod, Converted(scores, elem, c.threads()));
    const DType wide = elem == DType::kDouble ? DType::kDouble : DType::kFloat;
    Tensor probs = Converted(scores, wide, c.threads());
    if (probs.size() > 0) SoftmaxRows(probs, c.threads());
    probs = Modified(c, "prob_mod", prob_mod, Converted(probs, elem, c.threads()));
    const Tensor out = PerHead(c, probs, c.In(2), wide, c.Out(0).shape(), false, 1);
    const Tensor narrow = Converted(out, c.Out(0).dtype(), c.threads());
    if (narrow.bytes() > 0) std::memcpy(c.Out(0).raw(), narrow.raw(), narrow.bytes());
  }

 private:
  DType Precision(DType in) const {
    if (precision == 0) return in == DType::kDouble ? in : DType::kFloat;
    return precision > 0 && precision < kNumDTypes ? static_cast<DType>(precision) : DType::kUndefined;
  }

  static void CheckBody(InferContext& c, Graph& body, const Type& scores) {
    if (body.inputs.size() != 1 || body.outputs.size() != 1)
      c.Fail("a subgraph takes {} and gives {} values, but should one.", body.inputs.size(), body.outputs.size());
    const Type out = c.infer_subgraph(body, std::vector<Type>{scores})[0];
    if (!out.known()) return;
    bool same = out.kind == Type::Kind::kTensor && out.elem == scores.elem;
    if (same && out.shape.has_rank()) {
      same = out.shape.rank() == 4;
      for (int i = 0; same && i < 4; ++i) same = !out.shape[i].Differs(scores.shape[i]);
    }
    if (!same) c.Fail("a subgraph makes {} of {}.", out.ToString(), scores.ToString());
  }

  Tensor Modified(RunContext& c, std::string_view name, const std::shared_ptr<Graph>& body, Tensor x) const {
    if (!body) return x;
    const Shape shape = x.shape();
    const DType elem = x.dtype();
    const Tensor out = RunBody(c, name, *body, {Value(std::move(x))})[0].tensor();
    if (!(out.shape() == shape) || out.dtype() != elem)
      c.Fail("subgraph '{}' makes {} of {}.", name, out.shape().ToString(), shape.ToString());
    // What it gave may be its own constant.
    return out.Clone();
  }

  /// a [B, H, rows, k] times b [B, H / share, k, n], or transposed, for each head, in `wide`.
  static Tensor PerHead(const RunContext& c, const Tensor& a, const Tensor& b, DType wide, const Shape& shape,
                        bool transposed, double factor) {
    const Tensor left = Converted(a, wide, c.threads()), right = Converted(b, wide, c.threads());
    Tensor out(wide, shape);
    const int64_t m = shape[2], n = shape[3], k = a.shape()[3], heads = shape[1];
    if (out.size() == 0) return out;
    const int64_t share = heads / b.shape()[1];
    Visit(Matrix{}, wide, "a float", [&]<class T>() {
      c.threads().ParallelFor(shape[0] * heads, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const int64_t other = i / heads * (heads / share) + i % heads / share;
          Product(m, n, k, left.data<T>() + i * m * k, right.data<T>() + other * n * k, transposed ? 1 : n,
                  transposed ? k : 1, out.data<T>() + i * m * n, factor, c.threads());
        }
      });
    });
    return out;
  }
};
extern const OpDef kFlexAttention = Define<FlexAttention>(
    {.name = "FlexAttention", .domain = "ai.onnx.preview", .min_inputs = 3, .max_inputs = 3, .types = kFloatTypes});

}  // namespace slipway
