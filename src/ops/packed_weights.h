#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <utility>

#include "core/mapped_file.h"
#include "core/memory.h"
#include "kernels/gemm/gemm.h"
#include "ops/op.h"

namespace slipway {

/// A constant right-hand matrix in the form that the kernel reads, with its memory.
class PackedWeights {
 public:
  /// Packs [k, n], whose element (i, j) lies at b[i * row_stride + j * col_stride]. Where columns lie in one piece, so
  /// that a few of them at a time are packed and not read again, done(begin, end) is told of them.
  template <class Done>
  void Pack(const float* b, int64_t k, int64_t n, int64_t row_stride, int64_t col_stride,
            const kernels::Packing& packing, const Done& done) {
    constexpr int64_t kPieceFloats = 4 << 20;
    constexpr int64_t kWidest = 64;  // a multiple of every panel's width
    const int64_t some = row_stride == 1 ? kPieceFloats / std::max<int64_t>(1, k) / kWidest * kWidest : n;
    const int64_t step = std::max(some, kWidest);
    block_ = packing.store.Block(kernels::PackedBytes(k, n), [&](std::byte* memory) {
      auto* out = reinterpret_cast<float*>(memory);
      for (int64_t j = 0; j < n; j += step) {
        const int64_t end = std::min(n, j + step);
        kernels::PackMatrix(b + j * col_stride, k, end - j, row_stride, col_stride, out + j * k, packing.threads);
        if (row_stride == 1) done(j, end);
      }
    });
    notes_ = std::make_unique<kernels::ColumnNotes>(k, n);
    matrix_ = {.k = k, .n = n, .data = reinterpret_cast<const float*>(block_.get()), .notes = notes_.get()};
  }
  void Pack(const float* b, int64_t k, int64_t n, int64_t row_stride, int64_t col_stride,
            const kernels::Packing& packing) {
    Pack(b, k, n, row_stride, col_stride, packing, [](int64_t, int64_t) {});
  }
  explicit operator bool() const { return block_ != nullptr; }
  const kernels::PackedMatrix& matrix() const { return matrix_; }

 private:
  std::shared_ptr<const std::byte> block_;
  std::unique_ptr<kernels::ColumnNotes> notes_;
  kernels::PackedMatrix matrix_;
};

/// Weights under this size are not worth waiting for: the system maps a file's pages sixteen at a time, so that those
/// of small neighbours stay behind.
inline bool MayWait(const Tensor& weights, const WeightStore& store) {
  constexpr size_t kLeastLazyBytes = 512 << 10;
  return !store.at_load() && weights.raw() && weights.bytes() >= kLeastLazyBytes && IsMapped(weights);
}

/// A constant right-hand matrix that is packed when it is used for the second time: a process that runs a model once
/// takes no memory for a second copy of its weights, which lie in the file as they are. Those that do not lie in a
/// file, or that are packed already in a compiled model, are packed at once.
class LazyWeights {
 public:
  /// `b` holds [k, n], whose element (i, j) lies at b[i * row_stride + j * col_stride].
  LazyWeights(Tensor b, int64_t k, int64_t n, int64_t row_stride, int64_t col_stride, const kernels::Packing& packing)
      : b_(std::move(b)), k_(k), n_(n), row_stride_(row_stride), col_stride_(col_stride), store_(packing.store) {
    if (MayWait(b_, packing.store)) return;
    Pack(packing.threads);
    b_ = {};
  }

  /// y = epilogue(a b), a [m, k] with rows k apart, y with rows n apart.
  void Multiply(int64_t m, const float* a, float* y, const kernels::Epilogue& epilogue, const Threads& threads) {
    if (!ready_.load(std::memory_order_acquire)) {
      if (!used_.exchange(true)) {
        kernels::GemmUnpacked(m, n_, k_, a, k_, b_.data<float>(), row_stride_, col_stride_, y, n_, epilogue, threads);
        ReleasePages(b_);
        return;
      }
      std::lock_guard lock(mutex_);
      if (!ready_.load(std::memory_order_relaxed)) {
        Pack(threads);
        ReleasePages(b_);
      }
    }
    kernels::Gemm(m, a, k_, packed_.matrix(), y, n_, epilogue, threads);
  }

 private:
  void Pack(const Threads& threads) {
    const float* b = b_.data<float>();
    // A large matrix gives its pages back as it goes, so that there are never two of it.
    packed_.Pack(b, k_, n_, row_stride_, col_stride_, {threads, store_}, [&](int64_t begin, int64_t end) {
      if (IsMapped(b_)) ReleasePages(Tensor(DType::kFloat, {(end - begin) * k_}, const_cast<float*>(b) + begin * k_));
    });
    ready_.store(true, std::memory_order_release);
  }

  Tensor b_;
  const int64_t k_, n_, row_stride_, col_stride_;
  WeightStore& store_;
  std::atomic<bool> used_ = false;
  std::atomic<bool> ready_ = false;
  std::mutex mutex_;
  PackedWeights packed_;
};

}  // namespace slipway
