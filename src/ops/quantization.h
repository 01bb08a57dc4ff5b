#pragma once

#include <algorithm>
#include <cstdint>

#include "ops/op.h"

namespace slipway {

inline constexpr TypeSet kQuantizedTypes =
    TypeSet{DType::kInt8,       DType::kUint8,          DType::kInt16,     DType::kUint16,       DType::kInt4,
            DType::kUint4,      DType::kInt2,           DType::kUint2,     DType::kFloat8E4M3FN, DType::kFloat8E4M3FNUZ,
            DType::kFloat8E5M2, DType::kFloat8E5M2FNUZ, DType::kFloat4E2M1};
inline constexpr TypeSet kByteTypes = {DType::kInt8, DType::kUint8};

/// How elements share scales: for the whole tensor, along an axis, or in blocks of an axis.
struct Granularity {
  int64_t axis = 1;
  int64_t block_size = 0;

  static Granularity Parse(const Attributes& a);
  /// Fail()s where the shapes of inputs `scale` and `zero` (which may be left out) do not fit input 0's.
  void Check(const InferContext& c, int scale, int zero) const;
};

/// A tensor as lines of elements that lie together. A line has one scale, or one for each element.
class ScaleLines {
 public:
  ScaleLines(const Granularity& g, const Shape& x, const Shape& scale);

  struct Line {
    int64_t begin;  ///< its first element
    int64_t length;
    int64_t scale;  ///< its first scale
  };
  bool scale_each() const { return each_; }
  int64_t count() const { return count_; }
  int64_t length() const { return length_; }
  Line At(int64_t i) const {
    switch (kind_) {
      case Kind::kTensor:
        return {i * length_, std::min(length_, size_ - i * length_), 0};
      case Kind::kAxis:
        return {i * length_, length_, i % axis_};
      case Kind::kLastAxis:
        return {i * length_, length_, 0};
      case Kind::kLastBlocks: {
        const int64_t first = i % blocks_ * block_;
        return {i / blocks_ * axis_ + first, std::min(block_, axis_ - first), i};
      }
      case Kind::kBlocks:
        return {i * length_, length_, (i / axis_ * blocks_ + i % axis_ / block_) * length_};
    }
    return {};
  }

 private:
  enum class Kind : uint8_t { kTensor, kAxis, kLastAxis, kLastBlocks, kBlocks };
  Kind kind_ = Kind::kTensor;
  bool each_ = false;
  int64_t count_ = 0, length_ = 0, size_ = 0, axis_ = 1, block_ = 1, blocks_ = 1;
};

}  // namespace slipway
