#include "core/dtype_visit.h"
#include "ops/in_float.h"
#include "ops/indexing.h"
#include "ops/shape_math.h"

namespace slipway {

/// -x[n, target[n, ...], ...] by the class's weight, each on its own, summed, or as a mean by weights. Those whose
/// target is `ignore_index` weigh nothing. ONNX NegativeLogLikelihoodLoss, since 22.
struct NegativeLogLikelihoodLoss {
  enum class Reduction : uint8_t { kNone, kSum, kMean };
  Reduction reduction = Reduction::kMean;
  std::optional<int64_t> ignored;

  static NegativeLogLikelihoodLoss Parse(const Attributes& a) {
    NegativeLogLikelihoodLoss op;
    const std::string name = a.String("reduction", "mean");
    if (name != "mean" && name != "sum" && name != "none")
      throw Error(Code::kBadGraph, fmt::format("attribute 'reduction' is '{}', but must be none, sum or mean.", name));
    op.reduction = name == "none" ? Reduction::kNone : name == "sum" ? Reduction::kSum : Reduction::kMean;
    if (a.Has("ignore_index")) op.ignored = a.Int("ignore_index", 0);
    return op;
  }

  void Infer(InferContext& c) const {
    c.ExpectElem(1, kIndexTypes);
    if (c.Has(2)) {
      c.ExpectSameElem(2, 0);
      c.ExpectRank(2, 1, 1);
    }
    SymbolicShape losses = c.Shape(1);
    if (c.HasRank(0)) {
      const SymbolicShape& x = c.Shape(0);
      if (x.rank() < 2) c.Fail("{} has shape {}, but [N, C, ...] is wanted.", c.InputName(0), x.ToString());
      std::vector<Dim> dims = x.dims();
      dims.erase(dims.begin() + 1);
      if (losses.has_rank()) {
        bool differ = losses.rank() != x.rank() - 1;
        for (int i = 0; !differ && i < losses.rank(); ++i) differ = losses[i].Differs(dims[i]);
        if (differ) c.Fail("scores have shape {}, but targets {}.", x.ToString(), losses.ToString());
      }
      losses = SymbolicShape(dims);
      if (c.Has(2) && c.HasRank(2) && c.Shape(2)[0].Differs(x[1]))
        c.Fail("{} classes have {} weights.", x[1].ToString(), c.Shape(2)[0].ToString());
    }
    c.Out(0, c.Elem(0), reduction == Reduction::kNone ? losses : SymbolicShape(Shape{}));
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    Visit(Types<float, double>{}, c.In(0).dtype(), "a float", [&]<class T>() { RunTyped<T>(c); });
  }

 private:
  template <class T>
  void RunTyped(RunContext& c) const {
    const Shape& shape = c.In(0).shape();
    const int64_t classes = shape[1], inner = shape.SizeFrom(2);
    const T* x = c.In(0).data<T>();
    const T* weights = c.Has(2) ? c.In(2).data<T>() : nullptr;
    T* each = reduction == Reduction::kNone ? c.Out(0).data<T>() : nullptr;
    double loss = 0, weight = 0;
    VisitIndex(c.In(1).dtype(), [&]<class I>() {
      const I* target = c.In(1).data<I>();
      for (int64_t i = 0; i < c.In(1).size(); ++i) {
        const int64_t k = target[i];
        if (ignored && k == *ignored) {
          if (each) each[i] = 0;
          continue;
        }
        if (k < 0 || k >= classes) c.Fail("target {} is none of {} classes.", k, classes);
        const T w = weights ? weights[k] : T(1);
        const T value = -x[(i / inner * classes + k) * inner + i % inner] * w;
        if (each) each[i] = value;
        loss += value;
        weight += w;
      }
    });
    if (!each) *c.Out(0).data<T>() = static_cast<T>(reduction == Reduction::kMean ? loss / weight : loss);
  }
};
extern const OpDef kNegativeLogLikelihoodLoss = Define<NegativeLogLikelihoodLoss>(
    {.name = "NegativeLogLikelihoodLoss", .since = 22, .min_inputs = 2, .max_inputs = 3, .types = kFloatTypes});

}  // namespace slipway
