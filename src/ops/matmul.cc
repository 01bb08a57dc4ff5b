#include "ops/matmul.h"

#include <algorithm>

#include "core/dtype_visit.h"
#include "kernels/conv/layout.h"
#include "kernels/gemm/double_gemm.h"
#include "ops/epilogue.h"
#include "ops/in_float.h"

namespace slipway {
namespace {

constexpr TypeSet kProductTypes = kFloatTypes | TypeSet{DType::kUint32, DType::kUint64, DType::kInt32, DType::kInt64};

}  // namespace

int64_t MatrixOffset(const Shape& shape, const Shape& out, int64_t batch, int64_t matrix) {
  int64_t offset = 0, step = matrix;
  for (int i = shape.rank() - 3, o = out.rank() - 3; o >= 0; --i, --o) {
    const int64_t index = batch % out[o];
    batch /= out[o];
    if (i >= 0) {
      if (shape[i] != 1) offset += index * step;
      step *= shape[i];
    }
  }
  return offset;
}

ProductSizes::ProductSizes(const Shape& left, const Shape& right, bool trans_a, bool trans_b) : a(left), b(right) {
  if (left.rank() == 1) a.insert(0, 1);
  if (right.rank() == 1) b.push_back(1);
  const bool ta = trans_a && left.rank() > 1, tb = trans_b && right.rank() > 1;
  m = a.Back(ta ? 0 : 1);
  k = a.Back(ta ? 1 : 0);
  n = b.Back(tb ? 1 : 0);
  for (int i = std::max(a.rank(), b.rank()); i > 2; --i) {
    const int64_t x = i <= a.rank() ? a.Back(i - 1) : 1, y = i <= b.rank() ? b.Back(i - 1) : 1;
    out.push_back(x == 1 ? y : x);
  }
  batch = out.size();
  out.push_back(m);
  out.push_back(n);
}

SymbolicShape MatrixProduct::Infer(const InferContext& c) const {
  c.ExpectSameElem(1, 0);
  return ProductShape(c, 0, 1, trans_a, trans_b);
}

SymbolicShape ProductShape(const InferContext& c, int left, int right, bool trans_a, bool trans_b) {
  if (!c.HasRank(left) || !c.HasRank(right)) return {};
  std::vector<Dim> a = c.Shape(left).dims(), b = c.Shape(right).dims();
  if (a.empty() || b.empty()) c.Fail("an operand is a scalar, but must have an axis at least.");
  const bool a_vector = a.size() == 1, b_vector = b.size() == 1;
  if (a_vector) a.insert(a.begin(), 1);
  if (b_vector) b.push_back(1);
  if (trans_a && !a_vector) std::swap(a[a.size() - 1], a[a.size() - 2]);
  if (trans_b && !b_vector) std::swap(b[b.size() - 1], b[b.size() - 2]);
  if (a.back().Differs(b[b.size() - 2])) {
    c.Fail("{} has shape {} and {} has {}: {} columns do not meet {} rows.", c.InputName(left),
           c.Shape(left).ToString(), c.InputName(right), c.Shape(right).ToString(), a.back().ToString(),
           b[b.size() - 2].ToString());
  }
  const SymbolicShape outer =
      Broadcast(c, std::vector<Dim>(a.begin(), a.end() - 2), std::vector<Dim>(b.begin(), b.end() - 2));
  std::vector<Dim> out = outer.dims();
  if (!a_vector) out.push_back(a[a.size() - 2]);
  if (!b_vector) out.push_back(b.back());
  return out;
}

bool MatrixProduct::Prepack(const Tensor& b, const kernels::Packing& packing) {
  if (b.dtype() != DType::kFloat || b.shape().rank() != 2) return false;
  packed_ = std::make_shared<LazyWeights>(SideBySide({b}, trans_b), packing);
  return true;
}

void MatrixProduct::RunFloat(RunContext& c, const Tensor& a, const Tensor& b, Tensor& y,
                             const kernels::Epilogue& epilogue) const {
  if (y.size() == 0) return;
  ProductSizes s(a.shape(), b.shape(), trans_a, trans_b);
  const float* left = a.data<float>();
  if (trans_a && a.shape().rank() > 1) {
    auto* turned = static_cast<float*>(c.Scratch(std::max<size_t>(a.bytes(), 1)));
    kernels::TransposeMatrices(left, a.size() / std::max<int64_t>(1, s.m * s.k), s.k, s.m, turned, c.threads());
    left = turned;
  }
  kernels::Epilogue e = epilogue;
  e.residual_stride = s.n;
  const bool one_b = s.one_b();
  if (one_b) {
    s.m *= s.batch;
    s.batch = 1;
  }
  const int64_t row_stride = trans_b && b.shape().rank() > 1 ? 1 : s.n,
                col_stride = row_stride == 1 && s.n != 1 ? s.k : 1;
  auto product = [&](int64_t batch, const Threads& threads) {
    const float* rows = left + (one_b ? 0 : MatrixOffset(s.a, s.out, batch, s.m * s.k));
    float* out = y.data<float>() + batch * s.m * s.n;
    kernels::Epilogue mine = e;
    if (mine.residual) mine.residual += batch * s.m * s.n;
    if (packed_) {
      packed_->Multiply(s.m, rows, out, mine, threads);
    } else {
      const float* columns = b.data<float>() + (one_b ? 0 : MatrixOffset(s.b, s.out, batch, s.k * s.n));
      kernels::GemmUnpacked(s.m, s.n, s.k, rows, s.k, columns, row_stride, col_stride, out, s.n, mine, threads);
    }
  };
  if (s.batch < c.threads().count()) {
    for (int64_t i = 0; i < s.batch; ++i) product(i, c.threads());
    return;
  }
  static const Threads one(1);
  constexpr int64_t kGrain = 1 << 18;  // multiplications worth handing to another thread
  c.threads().ParallelFor(s.batch, 1 + kGrain / (1 + s.m * s.n * s.k), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) product(i, one);
  });
}

template <class T>
void MatrixProduct::RunTyped(RunContext& c, const Tensor& a, const Tensor& b, Tensor& y) const {
  // Unsigned arithmetic wraps; signed overflow would be undefined.
  using U = std::make_unsigned_t<T>;
  const ProductSizes s(a.shape(), b.shape(), trans_a, trans_b);
  const bool ta = trans_a && a.shape().rank() > 1, tb = trans_b && b.shape().rank() > 1;
  c.threads().ParallelFor(s.batch * s.m, 1 + 65536 / (1 + s.n * s.k), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* left = a.data<T>() + MatrixOffset(s.a, s.out, r / s.m, s.m * s.k);
      const T* right = b.data<T>() + MatrixOffset(s.b, s.out, r / s.m, s.k * s.n);
      U* out = reinterpret_cast<U*>(y.data<T>()) + r * s.n;
      std::fill_n(out, s.n, U{0});
      for (int64_t k = 0; k < s.k; ++k) {
        const U x = static_cast<U>(ta ? left[k * s.m + r % s.m] : left[(r % s.m) * s.k + k]);
        for (int64_t n = 0; n < s.n; ++n) out[n] += x * static_cast<U>(tb ? right[n * s.k + k] : right[k * s.n + n]);
      }
    }
  });
}

void MatrixProduct::RunDouble(RunContext& c, const Tensor& a, const Tensor& b, Tensor& y) const {
  ProductSizes s(a.shape(), b.shape(), trans_a, trans_b);
  const bool ta = trans_a && a.shape().rank() > 1, tb = trans_b && b.shape().rank() > 1;
  const bool one_b = s.one_b() && !ta;
  if (one_b) {
    s.m *= s.batch;
    s.batch = 1;
  }
  for (int64_t i = 0; i < s.batch; ++i) {
    const double* left = a.data<double>() + (one_b ? 0 : MatrixOffset(s.a, s.out, i, s.m * s.k));
    const double* right = b.data<double>() + (one_b ? 0 : MatrixOffset(s.b, s.out, i, s.k * s.n));
    kernels::DoubleGemm(s.m, s.n, s.k, {left, ta ? 1 : s.k, ta ? s.m : 1}, {right, tb ? 1 : s.n, tb ? s.k : 1},
                        y.data<double>() + i * s.m * s.n, s.n, c.threads());
  }
}

void MatrixProduct::RunPlain(RunContext& c, const Tensor& a, const Tensor& b, Tensor& y) const {
  if (y.size() == 0) return;
  if (y.dtype() == DType::kDouble) return RunDouble(c, a, b, y);
  Visit(Types<uint32_t, uint64_t, int32_t, int64_t>{}, y.dtype(), "a float or an integer of 32 or 64 bits",
        [&]<class T>() { RunTyped<T>(c, a, b, y); });
}

/// ONNX MatMul, since 13.
struct MatMul {
  MatrixProduct product;

  void Infer(InferContext& c) const { c.Out(0, c.Elem(0), product.Infer(c)); }
  bool Prepack(int input, const InferContext& c, const kernels::Packing& packing) {
    return input == 1 && product.Prepack(*c.Constant(1), packing);
  }
  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    if (c.In(0).dtype() == DType::kFloat) {
      product.RunFloat(c, c.In(0), c.In(1), c.Out(0), {});
    } else {
      product.RunPlain(c, c.In(0), c.In(1), c.Out(0));
    }
  }
};
extern const OpDef kMatMul =
    Define<MatMul>({.name = "MatMul", .since = 13, .min_inputs = 2, .max_inputs = 2, .types = kProductTypes});

/// Y = activation(scale * scales * A B + bias + residual); A and B as in MatMul, bias [N], residual of Y's shape,
/// scales [N]. What is not float has none of them, and no activation.
struct FusedMatMul {
  MatrixProduct product;
  kernels::Epilogue epilogue;

  static FusedMatMul Parse(const Attributes& a) {
    FusedMatMul op;
    op.product.trans_a = a.Int("transA", 0) != 0;
    op.product.trans_b = a.Int("transB", 0) != 0;
    op.epilogue = ParseEpilogue(a);
    return op;
  }
  void Infer(InferContext& c) const {
    SymbolicShape out = product.Infer(c);
    for (const int i : {2, 4}) {
      if (c.Has(i)) c.ExpectRank(i, 1, 1);
    }
    if (out.has_rank() && out.rank() > 0) CheckExtras(c, out);
    if (c.Elem(0) == DType::kDouble &&
        (c.Has(2) || c.Has(3) || c.Has(4) || epilogue.activation != kernels::Activation::kNone))
      c.Fail("{} is double, but only float and its halves have bias, residual, scales and activation.", c.InputName(0));
    c.Out(0, c.Elem(0), std::move(out));
  }
  bool Prepack(int input, const InferContext& c, const kernels::Packing& packing) {
    return input == 1 && product.Prepack(*c.Constant(1), packing);
  }
  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    if (c.In(0).dtype() == DType::kDouble) {
      product.RunPlain(c, c.In(0), c.In(1), c.Out(0));
      for (int64_t i = 0; i < c.Out(0).size(); ++i) c.Out(0).data<double>()[i] *= static_cast<double>(epilogue.scale);
      return;
    }
    kernels::Epilogue e = epilogue;
    if (c.Has(2)) e.bias = c.In(2).data<float>();
    if (c.Has(3)) e.residual = c.In(3).data<float>();
    if (c.Has(4)) e.scales = c.In(4).data<float>();
    product.RunFloat(c, c.In(0), c.In(1), c.Out(0), e);
  }

 private:
  static void CheckExtras(const InferContext& c, const SymbolicShape& out) {
    for (const int i : {2, 4}) {
      if (c.Has(i) && c.HasRank(i) && c.Shape(i)[0].Differs(out[out.rank() - 1]))
        c.Fail("{} has shape {}, but the product has shape {}.", c.InputName(i), c.Shape(i).ToString(), out.ToString());
    }
    if (!c.Has(3) || !c.HasRank(3)) return;
    bool same = c.Shape(3).rank() == out.rank();
    for (int i = 0; same && i < out.rank(); ++i) same = !c.Shape(3)[i].Differs(out[i]);
    if (!same)
      c.Fail("{} has shape {}, but the product has shape {}.", c.InputName(3), c.Shape(3).ToString(), out.ToString());
  }
};
extern const OpDef kSlipwayFusedMatMul = Define<FusedMatMul>(
    {.name = "FusedMatMul", .domain = kSlipwayDomain, .min_inputs = 2, .max_inputs = 5, .types = kFloatTypes});

}  // namespace slipway
