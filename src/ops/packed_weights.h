#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "core/mapped_file.h"
#include "core/memory.h"
#include "kernels/gemm/gemm.h"
#include "kernels/gemm/gemm_once.h"
#include "kernels/once_store.h"
#include "ops/op.h"

namespace slipway {

/// A right-hand matrix [k, n] as it lies in memory: element (i, j) at data[i * row_stride + j * col_stride].
struct PlainMatrix {
  const float* data;
  int64_t k;
  int64_t n;
  int64_t row_stride;
  int64_t col_stride;
};

/// A multiple of the width of every panel: matrices side by side whose widths are multiples of it are packed apart.
inline constexpr int64_t kWidestPanel = 64;

/// A constant right-hand matrix in the form that the kernel reads, with its memory.
class PackedWeights {
 public:
  /// Packs matrices of k rows side by side; the widths of all but the last are multiples of kWidestPanel. Some rows or
  /// columns at a time are packed, as they lie in memory, and not read again: done(i, begin, end) is told of these
  /// elements of the i-th.
  template <class Done>
  void Pack(std::span<const PlainMatrix> matrices, const kernels::Packing& packing, const Done& done) {
    const int64_t piece_floats = (256 << 10) * packing.threads.count();
    const int64_t k = matrices[0].k;
    int64_t n = 0;
    for (const PlainMatrix& b : matrices) n += b.n;
    block_ = packing.store.Block(kernels::PackedBytes(k, n), [&](std::byte* memory) {
      auto* out = reinterpret_cast<float*>(memory);
      for (size_t i = 0; i < matrices.size(); out += matrices[i++].n * k) {
        const PlainMatrix& b = matrices[i];
        const bool by_rows = b.col_stride == 1;
        const int64_t count = by_rows ? k : b.n, length = std::max<int64_t>(1, by_rows ? b.n : k);
        const int64_t step = std::max(piece_floats / length / kWidestPanel * kWidestPanel, kWidestPanel);
        for (int64_t first = 0; first < count; first += step) {
          const int64_t last = std::min(count, first + step);
          if (by_rows) {
            kernels::PackMatrixRows(b.data, first, last, k, b.n, b.row_stride, b.col_stride, out, packing.threads);
          } else {
            kernels::PackMatrix(b.data + first * b.col_stride, k, last - first, b.row_stride, b.col_stride,
                                out + first * k, packing.threads);
          }
          if (by_rows || b.row_stride == 1) done(i, first * length, last * length);
        }
      }
    });
    notes_ = std::make_unique<kernels::ColumnNotes>(k, n);
    matrix_ = {.k = k, .n = n, .data = reinterpret_cast<const float*>(block_.get()), .notes = notes_.get()};
  }
  void Pack(const float* b, int64_t k, int64_t n, int64_t row_stride, int64_t col_stride,
            const kernels::Packing& packing) {
    const PlainMatrix matrix = {b, k, n, row_stride, col_stride};
    Pack({&matrix, 1}, packing, [](size_t, int64_t, int64_t) {});
  }
  explicit operator bool() const { return block_ != nullptr; }
  const kernels::PackedMatrix& matrix() const { return matrix_; }

 private:
  std::shared_ptr<const std::byte> block_;
  std::unique_ptr<kernels::ColumnNotes> notes_;
  kernels::PackedMatrix matrix_;
};

/// Whether weights wait for their second use before they are packed, as they lie in a mapped file: a process that runs
/// a model once takes no memory for a second copy of them. Small ones, which are copied when the file misaligns them,
/// do not.
inline bool MayWait(const Tensor& weights, const WeightStore& store) {
  constexpr size_t kLeastLazyBytes = 16 << 10;
  return !store.at_load() && weights.raw() && weights.bytes() >= kLeastLazyBytes && IsMapped(weights);
}

/// Before weights that waited are packed: what the first run mapped and packed is not to stand beside them.
inline void LeaveFirstRun(const Tensor& weights) {
  ReleaseFileOnce(weights);
  kernels::ForgetOnceMemory();
}

/// Matrices side by side, each a tensor [k, n], or [n, k] where they are transposed.
class SideBySide {
 public:
  SideBySide(std::vector<Tensor> parts, bool transposed) : parts_(std::move(parts)) {
    for (const Tensor& b : parts_) {
      const int64_t rows = b.shape()[0], columns = b.shape()[1];
      matrices_.push_back(transposed ? PlainMatrix{b.data<float>(), columns, rows, 1, columns}
                                     : PlainMatrix{b.data<float>(), rows, columns, columns, 1});
      n_ += matrices_.back().n;
    }
  }

  const std::vector<Tensor>& parts() const { return parts_; }
  std::span<const PlainMatrix> matrices() const { return matrices_; }
  int64_t k() const { return matrices_[0].k; }
  int64_t n() const { return n_; }

  /// y = epilogue(a b), a [m, k] with rows k apart, y with rows n apart.
  void Multiply(int64_t m, const float* a, float* y, const kernels::Epilogue& epilogue, const Threads& threads) const {
    kernels::Epilogue e = epilogue;
    const bool strassen = kernels::StrassenDepth(m, n_, k(), {}, threads) > 0;
    for (const PlainMatrix& b : matrices_) {
      kernels::GemmOnce(m, b.n, b.k, a, b.k, b.data, b.row_stride, b.col_stride, y, n_, e, threads, strassen);
      y += b.n;
      e = e.From(b.n);
    }
  }

 private:
  std::vector<Tensor> parts_;
  std::vector<PlainMatrix> matrices_;
  int64_t n_ = 0;
};

/// Constant right-hand matrices side by side that are packed when they are used for the second time, or at once where
/// they may not wait.
class LazyWeights {
 public:
  LazyWeights(SideBySide b, const kernels::Packing& packing)
      : k_(b.k()), n_(b.n()), b_(std::move(b)), store_(packing.store) {
    const auto& parts = b_->parts();
    if (std::all_of(parts.begin(), parts.end(), [&](const Tensor& t) { return MayWait(t, store_); })) return;
    Pack(packing.threads);
    b_.reset();
  }

  /// y = epilogue(a b), a [m, k] with rows k apart, y with rows n apart.
  void Multiply(int64_t m, const float* a, float* y, const kernels::Epilogue& epilogue, const Threads& threads) {
    if (!ready_.load(std::memory_order_acquire)) {
      if (!used_.exchange(true)) {
        b_->Multiply(m, a, y, epilogue, threads);
        return;
      }
      std::lock_guard lock(mutex_);
      if (!ready_.load(std::memory_order_relaxed)) {
        for (const Tensor& b : b_->parts()) LeaveFirstRun(b);
        Pack(threads);
        Release();
      }
    }
    kernels::Gemm(m, a, k_, packed_.matrix(), y, n_, epilogue, threads);
  }

 private:
  void Release() const {
    for (const Tensor& b : b_->parts()) ReleasePages(b);
  }

  void Pack(const Threads& threads) {
    // A large matrix gives its pages back as it goes, so that there are never two of it.
    packed_.Pack(b_->matrices(), {threads, store_}, [&](size_t i, int64_t begin, int64_t end) {
      if (!IsMapped(b_->parts()[i])) return;
      auto* data = const_cast<float*>(b_->matrices()[i].data);
      ReleasePages(Tensor(DType::kFloat, {end - begin}, data + begin));
    });
    ready_.store(true, std::memory_order_release);
  }

  const int64_t k_, n_;
  std::optional<SideBySide> b_;
  WeightStore& store_;
  std::atomic<bool> used_ = false;
  std::atomic<bool> ready_ = false;
  std::mutex mutex_;
  PackedWeights packed_;
};

}  // namespace slipway
