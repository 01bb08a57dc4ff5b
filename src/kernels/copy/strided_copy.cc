#include "kernels/copy/strided_copy.h"

#include <algorithm>
#include <cstring>

#include "core/dtype_visit.h"

namespace slipway::kernels {
namespace {

constexpr int64_t kGrainBytes = 64 << 10;  // Copying less than this on a second thread costs more than it saves.

struct CopyAxis {
  int64_t size;
  int64_t from;
  int64_t to;
};

/// The axes without those of size 1, and with neighbours that are one run in both made one.
std::vector<CopyAxis> MergedAxes(std::span<const int64_t> shape, std::span<const int64_t> from,
                                 std::span<const int64_t> to) {
  std::vector<CopyAxis> axes;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 1) continue;
    const CopyAxis axis = {shape[i], from[i], to[i]};
    if (!axes.empty() && axes.back().from == axis.from * axis.size && axes.back().to == axis.to * axis.size) {
      axes.back() = {axes.back().size * axis.size, axis.from, axis.to};
    } else {
      axes.push_back(axis);
    }
  }
  return axes;
}

template <class T>
void CopyRun(const T* from, T* to, int64_t n) {
  if constexpr (std::is_trivially_copyable_v<T>) {
    std::memcpy(to, from, n * sizeof(T));
  } else {
    std::copy_n(from, n, to);
  }
}

template <class T>
void CopyRow(const T* from, int64_t from_stride, T* to, int64_t to_stride, int64_t n) {
  if (to_stride == 1 && from_stride == 1) return CopyRun(from, to, n);
  if (to_stride == 1 && from_stride == 0) {
    std::fill_n(to, n, *from);
    return;
  }
  for (int64_t i = 0; i < n; ++i) to[i * to_stride] = from[i * from_stride];
}

#if defined(__GNUC__) && !defined(__clang__)
#define SLIPWAY_HAS_VECTOR_SHUFFLE 1
#endif

#ifdef SLIPWAY_HAS_VECTOR_SHUFFLE
/// A 4 x 4 block of 4-byte elements, exchanged in registers: strides in elements between rows.
void TransposeFour(const uint32_t* from, int64_t from_stride, uint32_t* to, int64_t to_stride) {
  typedef uint32_t Vec __attribute__((vector_size(16)));
  Vec r[4];
  for (int i = 0; i < 4; ++i) std::memcpy(&r[i], from + i * from_stride, 16);
  const Vec low01 = __builtin_shuffle(r[0], r[1], Vec{0, 4, 1, 5});
  const Vec low23 = __builtin_shuffle(r[2], r[3], Vec{0, 4, 1, 5});
  const Vec high01 = __builtin_shuffle(r[0], r[1], Vec{2, 6, 3, 7});
  const Vec high23 = __builtin_shuffle(r[2], r[3], Vec{2, 6, 3, 7});
  const Vec out[4] = {
      __builtin_shuffle(low01, low23, Vec{0, 1, 4, 5}), __builtin_shuffle(low01, low23, Vec{2, 3, 6, 7}),
      __builtin_shuffle(high01, high23, Vec{0, 1, 4, 5}), __builtin_shuffle(high01, high23, Vec{2, 3, 6, 7})};
  for (int i = 0; i < 4; ++i) std::memcpy(to + i * to_stride, &out[i], 16);
}

/// The same of 8 x 8 elements of 2 bytes.
void TransposeEight(const uint16_t* from, int64_t from_stride, uint16_t* to, int64_t to_stride) {
  typedef uint16_t Vec __attribute__((vector_size(16)));
  typedef uint32_t Pairs __attribute__((vector_size(16)));
  typedef uint64_t Fours __attribute__((vector_size(16)));
  Pairs low[4], high[4];  // of two rows, interleaved
  for (int i = 0; i < 4; ++i) {
    Vec a, b;
    std::memcpy(&a, from + 2 * i * from_stride, 16);
    std::memcpy(&b, from + (2 * i + 1) * from_stride, 16);
    low[i] = (Pairs)__builtin_shuffle(a, b, Vec{0, 8, 1, 9, 2, 10, 3, 11});
    high[i] = (Pairs)__builtin_shuffle(a, b, Vec{4, 12, 5, 13, 6, 14, 7, 15});
  }
  for (int half = 0; half < 2; ++half) {
    const Pairs* part = half == 0 ? low : high;
    for (int quarter = 0; quarter < 2; ++quarter) {
      const Pairs mask = quarter == 0 ? Pairs{0, 4, 1, 5} : Pairs{2, 6, 3, 7};
      const auto upper = (Fours)__builtin_shuffle(part[0], part[1], mask);
      const auto lower = (Fours)__builtin_shuffle(part[2], part[3], mask);
      const Fours first = {upper[0], lower[0]}, second = {upper[1], lower[1]};
      uint16_t* row = to + (4 * half + 2 * quarter) * to_stride;
      std::memcpy(row, &first, 16);
      std::memcpy(row + to_stride, &second, 16);
    }
  }
}
#endif

/// to[r * to_stride + c] = from[c * from_stride + r]: rows of `to` are columns of `from`.
template <class T>
void TransposeBlock(const T* from, int64_t from_stride, T* to, int64_t to_stride, int64_t rows, int64_t columns) {
  int64_t r = 0;
#ifdef SLIPWAY_HAS_VECTOR_SHUFFLE
  if constexpr (std::is_same_v<T, uint32_t>) {
    for (; r + 4 <= rows; r += 4) {
      int64_t c = 0;
      for (; c + 4 <= columns; c += 4)
        TransposeFour(from + c * from_stride + r, from_stride, to + r * to_stride + c, to_stride);
      for (; c < columns; ++c) {
        for (int64_t i = r; i < r + 4; ++i) to[i * to_stride + c] = from[c * from_stride + i];
      }
    }
  }
  if constexpr (std::is_same_v<T, uint16_t>) {
    for (; r + 8 <= rows; r += 8) {
      int64_t c = 0;
      for (; c + 8 <= columns; c += 8)
        TransposeEight(from + c * from_stride + r, from_stride, to + r * to_stride + c, to_stride);
      for (; c < columns; ++c) {
        for (int64_t i = r; i < r + 8; ++i) to[i * to_stride + c] = from[c * from_stride + i];
      }
    }
  }
#endif
  for (; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) to[r * to_stride + c] = from[c * from_stride + r];
  }
}

template <class T>
class Copier {
 public:
  Copier(std::vector<CopyAxis> axes, const T* from, T* to) : from_(from), to_(to), axes_(std::move(axes)) {
    if (axes_.empty()) axes_.push_back({1, 1, 1});
    const CopyAxis& inner = axes_.back();
    if (inner.to == 1 && inner.from != 1 && inner.from != 0) {
      for (size_t i = 0; i + 1 < axes_.size(); ++i) {
        if (axes_[i].from != 1) continue;
        row_axis_ = axes_[i];
        blocked_ = true;
        axes_.erase(axes_.begin() + static_cast<int64_t>(i));
        break;
      }
    }
    inner_ = axes_.back();
    axes_.pop_back();
    if (blocked_) {
      // One more outer axis walks over the rows in steps of a block.
      axes_.push_back({(row_axis_.size + kBlock - 1) / kBlock, kBlock * row_axis_.from, kBlock * row_axis_.to});
    }
  }

  void Run(const Threads& threads) const {
    int64_t rows = 1;
    for (const CopyAxis& a : axes_) rows *= a.size;
    const int64_t row_bytes = inner_.size * static_cast<int64_t>(sizeof(T)) * (blocked_ ? kBlock : 1);
    if (rows == 1 && !blocked_) {
      threads.ParallelFor(inner_.size, std::max<int64_t>(1, kGrainBytes / static_cast<int64_t>(sizeof(T))),
                          [&](int64_t b, int64_t e) {
                            CopyRow(from_ + b * inner_.from, inner_.from, to_ + b * inner_.to, inner_.to, e - b);
                          });
      return;
    }
    threads.ParallelFor(rows, std::max<int64_t>(1, kGrainBytes / std::max<int64_t>(1, row_bytes)),
                        [&](int64_t begin, int64_t end) { RunRows(begin, end); });
  }

 private:
  static constexpr int64_t kBlock = std::max<int64_t>(16, 64 / static_cast<int64_t>(sizeof(T)));

  void RunRows(int64_t begin, int64_t end) const {
    const int n = static_cast<int>(axes_.size());
    std::vector<int64_t> index(n);
    int64_t from = 0, to = 0;
    for (int64_t i = n - 1, rest = begin; i >= 0; --i) {
      index[i] = rest % axes_[i].size;
      rest /= axes_[i].size;
      from += index[i] * axes_[i].from;
      to += index[i] * axes_[i].to;
    }
    for (int64_t row = begin; row < end; ++row) {
      if (blocked_) {
        Block(from_ + from, to_ + to, std::min(kBlock, row_axis_.size - index[n - 1] * kBlock));
      } else {
        CopyRow(from_ + from, inner_.from, to_ + to, inner_.to, inner_.size);
      }
      for (int i = n - 1; i >= 0; --i) {
        from += axes_[i].from;
        to += axes_[i].to;
        if (++index[i] < axes_[i].size) break;
        from -= axes_[i].from * axes_[i].size;
        to -= axes_[i].to * axes_[i].size;
        index[i] = 0;
      }
    }
  }

  void Block(const T* from, T* to, int64_t rows) const {
    for (int64_t c = 0; c < inner_.size; c += kBlock) {
      TransposeBlock(from + c * inner_.from, inner_.from, to + c, row_axis_.to, rows,
                     std::min(kBlock, inner_.size - c));
    }
  }

  const T* from_;
  T* to_;
  std::vector<CopyAxis> axes_;  // outer ones
  CopyAxis inner_ = {};
  CopyAxis row_axis_ = {};  // where blocked_: dense in `from`, as inner_ is in `to`
  bool blocked_ = false;
};

}  // namespace

std::vector<int64_t> DenseStrides(std::span<const int64_t> shape) {
  std::vector<int64_t> strides(shape.size());
  int64_t stride = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= std::max<int64_t>(1, shape[i]);
  }
  return strides;
}

void StridedCopy(DType type, std::span<const int64_t> shape, const void* from, std::span<const int64_t> from_strides,
                 void* to, std::span<const int64_t> to_strides, const Threads& threads) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return;
  VisitBySize(type, [&]<class T>() {
    Copier<T>(MergedAxes(shape, from_strides, to_strides), static_cast<const T*>(from), static_cast<T*>(to))
        .Run(threads);
  });
}

void CopyElements(DType type, const void* from, void* to, int64_t count, const Threads& threads) {
  const int64_t one = 1;
  StridedCopy(type, {&count, 1}, from, {&one, 1}, to, {&one, 1}, threads);
}

void FillElements(DType type, const void* value, void* to, int64_t count, const Threads& threads) {
  const int64_t zero = 0, one = 1;
  StridedCopy(type, {&count, 1}, value, {&zero, 1}, to, {&one, 1}, threads);
}

}  // namespace slipway::kernels
