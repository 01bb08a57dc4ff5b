#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/epilogue.h"
#include "thread/pool.h"

namespace slipway::kernels {

/// How products of bytes are summed. Each gives the same integers.
enum class DotForm : uint8_t {
  kPairs,  ///< bytes widened to 16 bits, two products an instruction and lane: any CPU
  kVnni,   ///< four products: AVX-512 VNNI
};
/// The quickest for the instruction set that kernels run on.
DotForm BestDotForm();

/// A right-hand matrix [k, n] of 8-bit integers in the form that the kernel reads.
struct PackedIntMatrix {
  int64_t k = 0;
  int64_t n = 0;
  DotForm form = DotForm::kPairs;
  bool is_signed = true;          ///< what was packed; the packed form is signed, unsigned bytes less 128
  const int32_t* sums = nullptr;  ///< of each packed column
  const void* data = nullptr;
};

/// Bytes that PackIntMatrix writes.
size_t PackedIntBytes(int64_t k, int64_t n, DotForm form);

/// Packs b, whose byte (i, j) lies at b[i * row_stride + j * col_stride], into `out` (64-byte aligned).
PackedIntMatrix PackIntMatrix(const uint8_t* b, bool is_signed, int64_t k, int64_t n, int64_t row_stride,
                              int64_t col_stride, void* out, const Threads& threads, DotForm form = BestDotForm());

/// The matrix that PackIntMatrix wrote to `packed`.
PackedIntMatrix PackedIntAt(const void* packed, bool is_signed, int64_t k, int64_t n, DotForm form = BestDotForm());

/// The left-hand matrix: bytes in rows `stride` apart, or what a subclass makes of something else (an image's windows).
class ByteRows {
 public:
  virtual ~ByteRows() = default;
  /// Writes rows [row, row + rows), k bytes each, to `out`, `stride` apart. Called from several threads at once.
  virtual void Read(int64_t row, int64_t rows, uint8_t* out, int64_t stride) const = 0;
};
class ByteArrayRows final : public ByteRows {
 public:
  ByteArrayRows(const void* data, int64_t k, int64_t stride)
      : data_(static_cast<const uint8_t*>(data)), k_(k), stride_(stride) {}
  void Read(int64_t row, int64_t rows, uint8_t* out, int64_t stride) const override;

 private:
  const uint8_t* data_;
  int64_t k_, stride_;
};

/// Numbers of which there is one in all, or one a row or column.
template <class T>
struct OneOrMany {
  const T* data = nullptr;  ///< null: zero
  bool many = false;
  T At(int64_t i) const { return data == nullptr ? T{} : data[many ? i : 0]; }
};

/// What becomes of sums[i, j] = sum over k of (a - a_zero[i]) * (b - b_zero[j]) + bias[j], which are exact modulo 2^32.
struct IntResult {
  enum class Kind : uint8_t {
    kInt32,  ///< the sums
    kFloat,  ///< activation(sum * scale[j] + epilogue.bias[j] + epilogue.residual[i, j])
    kUint8,  ///< saturate(round(sum * scale[j]) + zero), ties to even, the product in double
    kInt8,
  };
  Kind kind = Kind::kInt32;
  void* data = nullptr;  ///< rows of n elements, `stride` apart
  int64_t stride = 0;
  OneOrMany<int32_t> a_zero;
  OneOrMany<int32_t> b_zero;
  const int32_t* bias = nullptr;
  OneOrMany<float> scale;
  Epilogue epilogue;  ///< its scale is not used
  int32_t zero = 0;
};

/// a [m, k] times b, into `result`. Splits over threads by itself.
void IntGemm(int64_t m, const ByteRows& a, bool a_is_signed, const PackedIntMatrix& b, const IntResult& result,
             const Threads& threads);

}  // namespace slipway::kernels
