#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "kernels/epilogue.h"
#include "thread/pool.h"

namespace slipway::kernels {

/// What products have seen of the columns of a packed [k, n] matrix, so that the next ones need not look: whether those
/// of a few neighbours are of like magnitude within a block of k. Used from any thread.
class ColumnNotes {
 public:
  enum Note : uint8_t { kUnknown, kEven, kUneven };
  static constexpr int64_t kBlockK = 768;  ///< the deepest block

  ColumnNotes(int64_t k, int64_t n)
      : blocks_(k / kBlockK + 1), notes_(std::make_unique<std::atomic<Note>[]>((n / kFewest + 1) * blocks_)) {}
  std::atomic<Note>& At(int64_t neighbours, int64_t block) { return notes_[neighbours * blocks_ + block]; }

 private:
  static constexpr int64_t kFewest = 4;  ///< neighbours, of all instruction sets

  int64_t blocks_;
  std::unique_ptr<std::atomic<Note>[]> notes_;
};

/// A right-hand matrix [k, n] rearranged for the kernel of this CPU: panels of a few vectors of columns, each
/// panel k rows deep, columns past n filled with zeros. The layout depends on the ISA chosen at start-up.
struct PackedMatrix {
  int64_t k = 0;
  int64_t n = 0;
  const float* data = nullptr;   ///< 64-byte aligned; owned by whoever allocated PackedBytes(k, n)
  const float* next = nullptr;   ///< what the next product reads, fetched meanwhile; null: unknown
  ColumnNotes* notes = nullptr;  ///< or null: every product looks
  /// Whether products take Strassen's step: as the whole of which this is a part, or never. By default they choose.
  std::optional<bool> strassen;
};

/// Bytes that PackMatrix writes for a [k, n] matrix.
size_t PackedBytes(int64_t k, int64_t n);

/// Packs b, whose element (i, j) lies at b[i * row_stride + j * col_stride] (so a transposed matrix needs no copy
/// first), into `out` (64-byte aligned, PackedBytes(k, n)).
PackedMatrix PackMatrix(const float* b, int64_t k, int64_t n, int64_t row_stride, int64_t col_stride, float* out,
                        const Threads& threads);

/// The part of that which is rows [first, last) of b, so that a matrix may be packed piece by piece.
void PackMatrixRows(const float* b, int64_t first, int64_t last, int64_t k, int64_t n, int64_t row_stride,
                    int64_t col_stride, float* out, const Threads& threads);

/// How deep Gemm cuts k in a product that takes Strassen's step; 0: it does not take it.
int64_t StrassenDepth(int64_t m, int64_t n, int64_t k, std::optional<bool> strassen, const Threads& threads);

/// Where the rows of the left-hand matrix come from, when they are not one strided array: an implicit im2col, a
/// gather, a dequantization. Called from several threads at once.
class RowSource {
 public:
  virtual ~RowSource() = default;
  /// Writes rows [row, row + rows) and columns [col, col + cols) of the matrix to `out`, row-major, `stride` apart.
  virtual void Read(int64_t row, int64_t rows, int64_t col, int64_t cols, float* out, int64_t stride) const = 0;
};

/// Rows that lie in an image in place, where they overlap: row r is `segments` runs of `length` elements, the first at
/// data + r * row_stride, each segment_stride behind the one before; k = segments * length.
struct WindowRows {
  const float* data;
  int64_t row_stride;
  int64_t segments;
  int64_t length;
  int64_t segment_stride;
};

/// c[m, n] (rows ldc apart) = epilogue(a[m, k] (rows lda apart) x b). a may not overlap c.
/// k = 0 gives epilogue(0). Splits over threads by itself; m = 1 takes a matrix-vector path that reads b once. Large
/// products take one step of Strassen's algorithm, an eighth fewer multiplications: rounding errors are then 1.4 times
/// the plain ones (root mean square, as measured), and the number of threads may change the last bits.
void Gemm(int64_t m, const float* a, int64_t lda, const PackedMatrix& b, float* c, int64_t ldc,
          const Epilogue& epilogue, const Threads& threads);
void Gemm(int64_t m, const RowSource& a, const PackedMatrix& b, float* c, int64_t ldc, const Epilogue& epilogue,
          const Threads& threads);
/// On the calling thread alone. k is not cut up: it is for the few hundred columns of a window.
void Gemm(int64_t m, const WindowRows& a, const PackedMatrix& b, float* c, int64_t ldc, const Epilogue& epilogue);

/// The same for a right-hand matrix that is not packed beforehand (both operands are activations); b's element (i, j)
/// lies at b[i * b_row_stride + j * b_col_stride]. Packs panels of b as it goes, in scratch memory that threads keep.
void GemmUnpacked(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t b_row_stride,
                  int64_t b_col_stride, float* c, int64_t ldc, const Epilogue& epilogue, const Threads& threads);

}  // namespace slipway::kernels
