#include "ops/epilogue.h"
#include "ops/packed_weights.h"

namespace slipway {

/// Y = activation(scale * A [B1, B2, ...] + bias): products of one A with constant matrices side by side, as one.
/// Inputs: A, B1, B2, ..., each [K, N] or with transB [N, K], then the bias, as long as all N together.
struct MergedMatMul {
  bool trans_b = false;
  kernels::Epilogue epilogue;

  static MergedMatMul Parse(const Attributes& a) {
    MergedMatMul op;
    op.trans_b = a.Int("transB", 0) != 0;
    op.epilogue = ParseEpilogue(a);
    return op;
  }

  void Infer(InferContext& c) const {
    const int bias = c.num_inputs() - 1;
    Dim columns = 0;
    for (int i = 1; i < bias; ++i) {
      c.ExpectSameElem(i, 0);
      c.ExpectRank(i, 2, 2);
      if (!c.HasRank(i)) continue;
      const Dim &k = c.Shape(i)[trans_b ? 1 : 0], &n = c.Shape(i)[trans_b ? 0 : 1];
      if (i + 1 < bias && (!n.is_const() || n.value() % kWidestPanel != 0))
        c.Fail("{} has {} columns, but only the last may have others than a multiple of {}.", c.InputName(i),
               n.ToString(), kWidestPanel);
      columns = columns + n;
      if (c.HasRank(0) && c.Shape(0).rank() > 0 && k.Differs(c.Shape(0)[c.Shape(0).rank() - 1]))
        c.Fail("{} has shape {}, whose columns do not meet the {} rows of {}.", c.InputName(0), c.Shape(0).ToString(),
               k.ToString(), c.InputName(i));
    }
    for (int i = 1; i < bias; ++i) {
      if (!c.HasRank(i)) columns = Dim::Unknown();
    }
    c.ExpectSameElem(bias, 0);
    c.ExpectRank(bias, 1, 1);
    if (c.HasRank(bias) && c.Shape(bias)[0].Differs(columns))
      c.Fail("{} has shape {}, but the products have {} columns.", c.InputName(bias), c.Shape(bias).ToString(),
             columns.ToString());
    if (!c.HasRank(0)) return c.Out(0, c.Elem(0));
    if (c.Shape(0).rank() == 0) c.Fail("{} is a scalar, but must have an axis at least.", c.InputName(0));
    SymbolicShape out = c.Shape(0);
    out[out.rank() - 1] = columns;
    c.Out(0, c.Elem(0), std::move(out));
  }

  /// All matrices are offered in turn; the last one completes them.
  bool Prepack(int input, const InferContext& c, const kernels::Packing& packing) {
    const int bias = c.num_inputs() - 1;
    if (input < 1 || input >= bias) return false;
    for (int i = 1; i < bias; ++i) {
      const Tensor* b = c.graph.Constant(c.node.input(i));
      if (!b || b->dtype() != DType::kFloat || b->shape().rank() != 2) return false;
    }
    given_.push_back(*c.Constant(input));
    if (input == bias - 1) packed_ = std::make_shared<LazyWeights>(SideBySide(std::move(given_), trans_b), packing);
    return true;
  }

  void Run(RunContext& c) const {
    const Tensor& a = c.In(0);
    Tensor& y = c.Out(0);
    if (y.size() == 0) return;
    kernels::Epilogue e = epilogue;
    e.bias = c.In(c.num_inputs() - 1).data<float>();
    const int64_t m = y.size() / y.shape().Back(0);
    if (packed_) return packed_->Multiply(m, a.data<float>(), y.data<float>(), e, c.threads());
    std::vector<Tensor> parts;
    for (int i = 1; i + 1 < c.num_inputs(); ++i) parts.push_back(c.In(i));
    SideBySide(std::move(parts), trans_b).Multiply(m, a.data<float>(), y.data<float>(), e, c.threads());
  }

 private:
  std::vector<Tensor> given_;
  std::shared_ptr<LazyWeights> packed_;
};
extern const OpDef kSlipwayMergedMatMul = Define<MergedMatMul>({.name = "MergedMatMul",
                                                                .domain = kSlipwayDomain,
                                                                .min_inputs = 3,
                                                                .max_inputs = kVariadic,
                                                                .types = {DType::kFloat}});

}  // namespace slipway
