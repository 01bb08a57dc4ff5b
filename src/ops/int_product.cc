#include "ops/int_product.h"

#include <algorithm>

#include "core/dtype_visit.h"
#include "kernels/copy/strided_copy.h"
#include "kernels/gemm/scratch.h"
#include "ops/shape_math.h"

namespace slipway {

void PackedIntWeights::Pack(const void* b, bool is_signed, int64_t k, int64_t n, int64_t row_stride, int64_t col_stride,
                            const kernels::Packing& packing) {
  block_ = packing.store.Block(kernels::PackedIntBytes(k, n, kernels::BestDotForm()), [&](std::byte* out) {
    kernels::PackIntMatrix(static_cast<const uint8_t*>(b), is_signed, k, n, row_stride, col_stride, out,
                           packing.threads);
  });
  matrix_ = kernels::PackedIntAt(block_.get(), is_signed, k, n);
}

std::vector<int32_t> ToInt32s(const Tensor* t) {
  if (!t) return {0};
  std::vector<int32_t> out(t->size());
  Visit(Types<int8_t, uint8_t, int16_t, uint16_t, int32_t>{}, t->dtype(), "an integer of up to 32 bits",
        [&]<class T>() { std::copy_n(t->data<T>(), out.size(), out.begin()); });
  return out;
}

void IntProduct::CheckPerLine(const InferContext& c, int i, int operand, bool rows) {
  if (!c.Has(i) || !c.HasRank(i) || !c.HasRank(operand)) return;
  const SymbolicShape &z = c.Shape(i), &x = c.Shape(operand);
  const Dim count = Product(z, 0, z.rank());
  if (x.rank() == 0 || z.rank() == 0 || count == Dim(1) || !count.is_const()) return;
  const Dim line = x.rank() == 1 ? Dim(1) : x[x.rank() - (rows ? 2 : 1)];
  const Dim lines = x.rank() == 1 ? Dim(1) : Product(x, 0, x.rank() - 2) * line;
  if (count.Differs(line) && count.Differs(lines))
    c.Fail("{} has shape {}, but for {} of shape {} it must be one number, or one for each {}.", c.InputName(i),
           z.ToString(), c.InputName(operand), x.ToString(), rows ? "row" : "column");
}

bool IntProduct::Prepack(const Tensor& b, const kernels::Packing& packing) {
  if (b.shape().rank() != 2) return false;
  const int64_t rows = b.shape()[trans_b ? 1 : 0], columns = b.shape()[trans_b ? 0 : 1];
  packed_.Pack(b.raw(), b.dtype() == DType::kInt8, rows, columns, trans_b ? 1 : columns, trans_b ? rows : 1, packing);
  return true;
}

void IntProduct::Run(RunContext& c, const Tensor& a, const Tensor& b, const Tensor* a_zero, const Tensor* b_zero,
                     Tensor& y, kernels::IntResult result) const {
  if (y.size() == 0) return;
  ProductSizes s(a.shape(), b.shape(), trans_a, trans_b);
  const auto* left = static_cast<const uint8_t*>(a.raw());
  const auto* right = static_cast<const uint8_t*>(b.raw());
  Tensor turned;
  if (trans_a && a.shape().rank() > 1) {
    turned = Tensor(a.dtype(), a.shape());
    const int64_t matrices = a.size() / std::max<int64_t>(1, s.m * s.k);
    kernels::StridedCopy(DType::kUint8, std::vector<int64_t>{matrices, s.m, s.k}, left,
                         std::vector<int64_t>{s.m * s.k, 1, s.m}, turned.raw(), std::vector<int64_t>{s.m * s.k, s.k, 1},
                         c.threads());
    left = static_cast<const uint8_t*>(turned.raw());
  }
  std::vector<int32_t> a_zeros = ToInt32s(a_zero), b_zeros = ToInt32s(b_zero);
  const int64_t a_rows = a.shape().rank() == 1 ? 1 : s.a.SizeTo(s.a.rank() - 2) * s.m;
  const int64_t b_columns = b.shape().rank() == 1 ? 1 : s.b.SizeTo(s.b.rank() - 2) * s.n;
  const auto repeat = [&](std::vector<int32_t>& zeros, int64_t line, int64_t lines) {
    const auto have = static_cast<int64_t>(zeros.size());
    if (have == 1 || have == lines) return;
    if (have != line) c.Fail("a zero point has {} numbers, but the operand has {} rows or columns.", have, line);
    for (int64_t i = have; i < lines; ++i) zeros.push_back(zeros[i - have]);
  };
  repeat(a_zeros, s.m, a_rows);
  repeat(b_zeros, s.n, b_columns);
  if (s.one_b()) {
    s.m *= s.batch;
    s.batch = 1;
    s.a = {s.m, s.k};
    s.out = {s.m, s.n};
  }
  const bool tb = trans_b && b.shape().rank() > 1, is_signed = b.dtype() == DType::kInt8;
  const auto size = static_cast<int64_t>(SizeOf(y.dtype()));
  result.stride = s.n;
  result.epilogue.residual_stride = s.n;
  const auto product = [&](int64_t batch, const Threads& threads) {
    kernels::IntResult mine = result;
    const bool a_many = a_zeros.size() > 1, b_many = b_zeros.size() > 1;
    mine.a_zero = {a_zeros.data() + (a_many ? MatrixOffset(s.a, s.out, batch, s.m) : 0), a_many};
    mine.b_zero = {b_zeros.data() + (b_many ? MatrixOffset(s.b, s.out, batch, s.n) : 0), b_many};
    mine.data = static_cast<char*>(y.raw()) + batch * s.m * s.n * size;
    if (mine.epilogue.residual) mine.epilogue.residual += batch * s.m * s.n;
    const kernels::ByteArrayRows rows(left + MatrixOffset(s.a, s.out, batch, s.m * s.k), s.k, s.k);
    if (packed_) return kernels::IntGemm(s.m, rows, a.dtype() == DType::kInt8, packed_.matrix(), mine, threads);
    static thread_local kernels::Scratch memory;
    const size_t bytes = kernels::PackedIntBytes(s.k, s.n, kernels::BestDotForm());
    const kernels::PackedIntMatrix packed =
        kernels::PackIntMatrix(right + MatrixOffset(s.b, s.out, batch, s.k * s.n), is_signed, s.k, s.n, tb ? 1 : s.n,
                               tb ? s.k : 1, memory.Reserve(bytes / sizeof(float)), threads);
    kernels::IntGemm(s.m, rows, a.dtype() == DType::kInt8, packed, mine, threads);
  };
  if (s.batch < c.threads().count()) {
    for (int64_t i = 0; i < s.batch; ++i) product(i, c.threads());
    return;
  }
  static const Threads one(1);
  constexpr int64_t kGrain = 1 << 18;  // products worth handing to another thread
  c.threads().ParallelFor(s.batch, 1 + kGrain / (1 + s.m * s.n * s.k), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) product(i, one);
  });
}

}  // namespace slipway
