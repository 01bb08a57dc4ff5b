#include <algorithm>

#include "kernels/gemm/gemm.h"
#include "kernels/gemm/scratch.h"
#include "ops/in_float.h"
#include "ops/microsoft/block_weights.h"

namespace slipway {
namespace {

/// What the 16 codes of bitsandbytes' two types of 4 bits stand for, as parts of a block's largest magnitude.
constexpr float kFloat4[16] = {0, 0.0052083333f,  0.66666667f,  1,  0.33333333f,  0.5f,  0.16666667f,  0.25f,
                               0, -0.0052083333f, -0.66666667f, -1, -0.33333333f, -0.5f, -0.16666667f, -0.25f};
constexpr float kNormal4[16] = {
    -1,         -0.6961928f, -0.52507305f, -0.39491749f, -0.28444138f, -0.18477343f, -0.09105004f, 0,
    0.0795803f, 0.1609302f,  0.2461123f,   0.33791524f,  0.44070983f,  0.562617f,    0.72295684f,  1};

}  // namespace

/// Y = A B^T with B [N, K] of 4 bits a number, two in a byte, the first above; each `block_size` of them, row after
/// row, are parts of a number of absmax. com.microsoft MatMulBnb4.
struct MatMulBnb4 {
  int64_t k = 0, n = 0, block_size = 0;
  const float* codes = nullptr;

  static MatMulBnb4 Parse(const Attributes& a) {
    a.Int("training_mode", 0);
    const int64_t type = a.RequiredInt("quant_type");
    if (type != 0 && type != 1)
      throw Error(Code::kBadGraph, fmt::format("attribute 'quant_type' is {}, but must be 0 (FP4) or 1 (NF4)", type));
    if (a.Int("transB", 1) != 1) throw Error(Code::kUnsupported, "attribute 'transB' is not 1");
    return {.k = a.RequiredInt("K"),
            .n = a.RequiredInt("N"),
            .block_size = a.RequiredInt("block_size"),
            .codes = type == 0 ? kFloat4 : kNormal4};
  }

  void Infer(InferContext& c) const {
    constexpr int64_t kMost = int64_t{1} << 31;
    if (k < 1 || n < 1 || k > kMost || n > kMost)
      c.Fail("attributes 'K' and 'N' are {} and {}, but must be 1 or more.", k, n);
    if (block_size < 1 || block_size > kMost)
      c.Fail("attribute 'block_size' is {}, but must be 1 or more.", block_size);
    c.ExpectElem(1, {DType::kUint8});
    c.ExpectSameElem(2, 0);
    CheckHolds(c, 1, (n * k + 1) / 2);
    CheckHolds(c, 2, (n * k - 1) / block_size + 1);
    c.Out(0, c.Elem(0), BlockProductShape(c, n, k));
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    const Tensor& a = c.In(0);
    Tensor& y = c.Out(0);
    if (y.size() == 0) return;
    constexpr int64_t kColumns = 64;
    static const Threads one(1);
    c.threads().ParallelFor((n + kColumns - 1) / kColumns, 1, [&](int64_t begin, int64_t end) {
      static thread_local kernels::Scratch memory;
      float* rows = memory.Reserve(kColumns * k);
      for (int64_t p = begin; p < end; ++p) {
        const int64_t first = p * kColumns, count = std::min(kColumns, n - first);
        Dequantize(c, first * k, count * k, rows);
        kernels::GemmUnpacked(y.size() / n, count, k, a.data<float>(), k, rows, 1, k, y.data<float>() + first, n, {},
                              one);
      }
    });
  }

 private:
  void Dequantize(const RunContext& c, int64_t first, int64_t count, float* out) const {
    const uint8_t* bytes = c.In(1).data<uint8_t>();
    const float* most = c.In(2).data<float>();
    for (int64_t i = first; i < first + count;) {
      const int64_t block = i / block_size, end = std::min(first + count, (block + 1) * block_size);
      for (; i < end; ++i) *out++ = codes[bytes[i / 2] >> (i % 2 ? 0 : 4) & 15] * most[block];
    }
  }
};
extern const OpDef kMicrosoftMatMulBnb4 =
    Define<MatMulBnb4>({.name = "MatMulBnb4",
                        .domain = kMicrosoftDomain,
                        .min_inputs = 3,
                        .max_inputs = 3,
                        .types = {DType::kFloat, DType::kFloat16, DType::kBFloat16}});

}  // namespace slipway
