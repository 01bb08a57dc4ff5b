#include <algorithm>

#include "kernels/gemm/gemm.h"
#include "kernels/gemm/scratch.h"
#include "kernels/quant/nbits.h"
#include "ops/in_float.h"
#include "ops/microsoft/block_weights.h"

namespace slipway {

/// Y = A B^T + bias with B [N, K] of 2, 4 or 8 bits in blocks along K that have a scale and a zero point each; computed
/// in float whatever accuracy_level allows. com.microsoft MatMulNBits.
struct MatMulNBits {
  int64_t k = 0, n = 0, bits = 4, block_size = 0;

  static MatMulNBits Parse(const Attributes& a) {
    const MatMulNBits op = {.k = a.RequiredInt("K"),
                            .n = a.RequiredInt("N"),
                            .bits = a.Int("bits", 4),
                            .block_size = a.RequiredInt("block_size")};
    if (a.Int("weight_prepacked", 0) != 0)
      throw Error(Code::kUnsupported, "attribute 'weight_prepacked' names a layout for GPUs");
    return op;
  }

  void Infer(InferContext& c) const {
    constexpr int64_t kMost = int64_t{1} << 40;
    if (k < 1 || n < 1 || k > kMost || n > kMost)
      c.Fail("attributes 'K' and 'N' are {} and {}, but must be 1 or more.", k, n);
    if (bits != 2 && bits != 4 && bits != 8) c.Fail("attribute 'bits' is {}, but must be 2, 4 or 8.", bits);
    if (block_size < 16 || block_size > kMost || (block_size & (block_size - 1)) != 0)
      c.Fail("attribute 'block_size' is {}, but must be a power of 2 and 16 or more.", block_size);
    c.ExpectElem(1, {DType::kUint8});
    c.ExpectSameElem(2, 0);
    CheckHolds(c, 1, n * blocks() * (block_size * bits / 8));
    CheckHolds(c, 2, n * blocks());
    if (c.Has(3)) {
      const bool packed = c.Elem(3) == DType::kUint8;
      if (!packed) c.ExpectSameElem(3, 0);
      CheckHolds(c, 3, n * (packed ? (blocks() * bits + 7) / 8 : blocks()));
    }
    if (c.Has(4)) {
      c.ExpectElem(4, {DType::kInt32});
      if (c.HasRank(4) && Product(c.Shape(4), 0, c.Shape(4).rank()).Differs(Dim(k)) &&
          Product(c.Shape(4), 0, c.Shape(4).rank()).Differs(Dim(blocks() * block_size)))
        c.Fail("{} has shape {}, but must be [{}].", c.InputName(4), c.Shape(4).ToString(), k);
    }
    if (c.Has(5)) {
      c.ExpectSameElem(5, 0);
      CheckHolds(c, 5, n);
    }
    c.Out(0, c.Elem(0), BlockProductShape(c, n, k));
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    const Tensor& a = c.In(0);
    Tensor& y = c.Out(0);
    if (y.size() == 0) return;
    const int64_t m = y.size() / n;
    const std::vector<float> zeros = ZeroPoints(c);
    const kernels::BlockRows rows = {
        c.In(1).data<uint8_t>(), c.In(2).data<float>(), zeros.data(), static_cast<int>(bits), block_size, blocks(), k};
    const float* bias = c.Has(5) ? c.In(5).data<float>() : nullptr;
    if (c.Has(4)) return RunGrouped(c, rows, m, bias);
    constexpr int64_t kFewRows = 4;
    if (m <= kFewRows) return RunDots(c, rows, m, bias);
    RunColumns(
        c, m, bias, [&](int64_t column, float* out) { kernels::DequantizeBlocks(rows, column, out); }, a);
  }

 private:
  int64_t blocks() const { return (k + block_size - 1) / block_size; }

  /// [n, blocks] as float, whichever way they come.
  std::vector<float> ZeroPoints(const RunContext& c) const {
    std::vector<float> out(n * blocks(), static_cast<float>(1 << (bits - 1)));
    if (!c.Has(3)) return out;
    if (c.In(3).dtype() == DType::kFloat) {
      std::copy_n(c.In(3).data<float>(), out.size(), out.begin());
      return out;
    }
    const int64_t per_byte = 8 / bits, stride = (blocks() * bits + 7) / 8;
    for (int64_t i = 0; i < n; ++i) {
      const uint8_t* row = c.In(3).data<uint8_t>() + i * stride;
      for (int64_t b = 0; b < blocks(); ++b)
        out[i * blocks() + b] = static_cast<float>(row[b / per_byte] >> (b % per_byte * bits) & ((1 << bits) - 1));
    }
    return out;
  }

  /// Few rows: bound by the reading of B, which stays packed.
  void RunDots(RunContext& c, const kernels::BlockRows& rows, int64_t m, const float* bias) const {
    const int64_t padded = blocks() * block_size, each = padded + blocks();
    auto* memory = static_cast<float*>(c.Scratch(m * each * sizeof(float)));
    for (int64_t i = 0; i < m; ++i)
      kernels::OrderForBlocks(rows, c.In(0).data<float>() + i * k, memory + i * each, memory + i * each + padded);
    c.threads().ParallelFor(n, 1 + 32768 / k, [&](int64_t begin, int64_t end) {
      for (int64_t j = begin; j < end; ++j) {
        for (int64_t i = 0; i < m; ++i) {
          const float dot = kernels::DotBlocks(rows, j, memory + i * each, memory + i * each + padded);
          c.Out(0).data<float>()[i * n + j] = dot + (bias ? bias[j] : 0);
        }
      }
    });
  }

  /// Each of B's columns written out by dequantize(column, out), a few dozen of them at a time.
  template <class F>
  void RunColumns(RunContext& c, int64_t m, const float* bias, const F& dequantize, const Tensor& a) const {
    constexpr int64_t kColumns = 64;
    static const Threads one(1);
    c.threads().ParallelFor((n + kColumns - 1) / kColumns, 1, [&](int64_t begin, int64_t end) {
      static thread_local kernels::Scratch memory;
      float* columns = memory.Reserve(kColumns * k);
      for (int64_t p = begin; p < end; ++p) {
        const int64_t first = p * kColumns, count = std::min(kColumns, n - first);
        for (int64_t j = 0; j < count; ++j) dequantize(first + j, columns + j * k);
        kernels::GemmUnpacked(m, count, k, a.data<float>(), k, columns, 1, k, c.Out(0).data<float>() + first, n,
                              {.bias = bias ? bias + first : nullptr}, one);
      }
    });
  }

  /// With g_idx: column j's i-th number has the scale and zero point of block g_idx[i].
  void RunGrouped(RunContext& c, const kernels::BlockRows& rows, int64_t m, const float* bias) const {
    const int32_t* groups = c.In(4).data<int32_t>();
    for (int64_t i = 0; i < k; ++i) {
      if (groups[i] < 0 || groups[i] >= blocks())
        c.Fail("g_idx {} is out of range for {} blocks.", groups[i], blocks());
    }
    std::vector<float> ones(blocks(), 1), none(blocks(), 0);
    const int64_t row_bytes = blocks() * (block_size * bits / 8);
    const auto dequantize = [&](int64_t column, float* out) {
      kernels::BlockRows plain = rows;
      plain.data += column * row_bytes;
      plain.scales = ones.data();
      plain.zeros = none.data();
      kernels::DequantizeBlocks(plain, 0, out);
      const float *scales = rows.scales + column * blocks(), *zeros = rows.zeros + column * blocks();
      for (int64_t i = 0; i < k; ++i) out[i] = (out[i] - zeros[groups[i]]) * scales[groups[i]];
    };
    RunColumns(c, m, bias, dequantize, c.In(0));
  }
};
extern const OpDef kMicrosoftMatMulNBits = Define<MatMulNBits>(
    {.name = "MatMulNBits", .domain = kMicrosoftDomain, .min_inputs = 3, .max_inputs = 6, .types = kFloatTypes});

}  // namespace slipway
