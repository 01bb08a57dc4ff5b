#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "slipway/tensor.h"

namespace slipway {

/// The elements of an image of any number of axes that one sampled point is made of, and their weights. Built axis by
/// axis, outermost first; an index of -1 counts as zero, and is gone after Finish.
template <class C>
class Taps {
 public:
  explicit Taps(int64_t most) : index_(most), weight_(most) {}
  int64_t size() const { return size_; }
  int64_t index(int64_t i) const { return index_[i]; }
  C weight(int64_t i) const { return weight_[i]; }

  void Start() {
    size_ = 1;
    index_[0] = 0;
    weight_[0] = 1;
  }
  /// Another axis of `size` elements: of those at `at` the weights are `weight`.
  void Add(int64_t size, int64_t n, const int64_t* at, const C* weight) {
    for (int64_t i = size_; i-- > 0;) {
      const int64_t base = index_[i];
      const C w = weight_[i];
      for (int64_t k = n; k-- > 0;) {
        index_[i * n + k] = base < 0 || at[k] < 0 ? -1 : base * size + at[k];
        weight_[i * n + k] = w * weight[k];
      }
    }
    size_ *= n;
  }
  /// The same for a point between two elements; those outside count as zero.
  void AddLinear(int64_t size, C x) {
    if (!(x > -1 && x < static_cast<C>(size))) x = -2;
    const auto low = static_cast<int64_t>(std::floor(x));
    const C above = x - static_cast<C>(low);
    const int64_t at[] = {low < 0 ? -1 : low, low + 1 >= size ? -1 : low + 1};
    const C weight[] = {1 - above, above};
    Add(size, 2, at, weight);
  }

  void Finish() {
    int64_t kept = 0;
    for (int64_t i = 0; i < size_; ++i) {
      if (index_[i] < 0) continue;
      index_[kept] = index_[i];
      weight_[kept++] = weight_[i];
    }
    size_ = kept;
  }

 private:
  int64_t size_ = 0;
  std::vector<int64_t> index_;
  std::vector<C> weight_;
};

/// The taps of some points together, to be read from one image after the other.
template <class C>
class TapBlock {
 public:
  /// For so many points of at most so many taps.
  TapBlock(int64_t points, int64_t most)
      : most_(most), count_(points), square_(points), index_(most * points), weight_(most * points) {}
  int64_t points() const { return static_cast<int64_t>(count_.size()); }

  void Set(int64_t p, const Taps<C>& taps) {
    count_[p] = taps.size();
    square_[p] = taps.size() == 4 && taps.index(1) == taps.index(0) + 1 && taps.index(3) == taps.index(2) + 1;
    for (int64_t t = 0; t < taps.size(); ++t) {
      index_[p * most_ + t] = taps.index(t);
      weight_[p * most_ + t] = taps.weight(t);
    }
  }
  /// What the first n points are of an image.
  void Sample(const C* image, int64_t n, C* out) const {
    for (int64_t p = 0; p < n; ++p) {
      const int64_t* at = &index_[p * most_];
      const C* w = &weight_[p * most_];
      if (square_[p]) {  // between four pixels, of which two lie side by side twice
        C x[4];
        std::memcpy(x, image + at[0], 2 * sizeof(C));
        std::memcpy(x + 2, image + at[2], 2 * sizeof(C));
        out[p] = (w[0] * x[0] + w[1] * x[1]) + (w[2] * x[2] + w[3] * x[3]);
        continue;
      }
      C sum = 0;
      for (int64_t t = 0; t < count_[p]; ++t) sum += w[t] * image[at[t]];
      out[p] = sum;
    }
  }

 private:
  int64_t most_;
  std::vector<int64_t> count_;
  std::vector<uint8_t> square_;
  std::vector<int64_t> index_;
  std::vector<C> weight_;
};

}  // namespace slipway
