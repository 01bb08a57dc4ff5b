#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "kernels/copy/sample.h"
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
  /// For so many points of at most so many taps; a row of the image has `row` elements.
  TapBlock(int64_t points, int64_t most, int64_t row)
      : most_(most),
        row_(row),
        corner_(points),
        square_(4 * points),
        count_(points),
        index_(most * points),
        weight_(most * points) {}

  void Clear() { odd_.clear(); }
  void Set(int64_t p, const Taps<C>& taps) {
    corner_[p] = 0;
    std::fill_n(&square_[4 * p], 4, C(0));
    odd_.push_back(p);
    count_[p] = taps.size();
    for (int64_t t = 0; t < taps.size(); ++t) {
      index_[p * most_ + t] = taps.index(t);
      weight_[p * most_ + t] = taps.weight(t);
    }
  }
  /// A point of two axes between four pixels; whether it is one.
  bool SetSquare(int64_t p, int64_t rows, C y, C x) {
    const bool inside = y >= 0 && y < static_cast<C>(rows - 1) && x >= 0 && x < static_cast<C>(row_ - 1);
    if (!inside) return false;
    // 32 bits, which one instruction converts: an image that is larger would need more than 16 GiB.
    const auto top = static_cast<int32_t>(y), left = static_cast<int32_t>(x);
    const C below = y - static_cast<C>(top), right = x - static_cast<C>(left);
    corner_[p] = top * row_ + left;
    C* w = &square_[4 * p];
    w[0] = (1 - below) * (1 - right);
    w[1] = (1 - below) * right;
    w[2] = below * (1 - right);
    w[3] = below * right;
    return true;
  }
  /// What the first n points, all set since Clear(), are of an image of `size` elements.
  void Sample(const C* image, int64_t n, C* out) const {
    if (static_cast<int64_t>(odd_.size()) < n) Squares(image, n, out);
    for (const int64_t p : odd_) {
      const int64_t* at = &index_[p * most_];
      const C* w = &weight_[p * most_];
      C sum = 0;
      for (int64_t t = 0; t < count_[p]; ++t) sum += w[t] * image[at[t]];
      out[p] = sum;
    }
  }

 private:
  void Squares(const C* image, int64_t n, C* out) const {
    if constexpr (std::is_same_v<C, float>) {
      kernels::SampleSquares(image, row_, corner_.data(), square_.data(), n, out);
    } else {
      for (int64_t p = 0; p < n; ++p) {
        const C *top = image + corner_[p], *bottom = top + row_, *w = &square_[4 * p];
        out[p] = (w[0] * top[0] + w[1] * top[1]) + (w[2] * bottom[0] + w[3] * bottom[1]);
      }
    }
  }

  int64_t most_, row_;
  std::vector<int64_t> corner_;  ///< the first of a point's four pixels
  std::vector<C> square_;        ///< their weights
  std::vector<int64_t> odd_;     ///< points that are not between four pixels
  std::vector<int64_t> count_;
  std::vector<int64_t> index_;
  std::vector<C> weight_;
};

}  // namespace slipway
