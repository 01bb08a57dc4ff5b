#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "slipway/dtypes.h"
#include "slipway/error.h"

namespace slipway {

/// The sizes of a tensor's axes, outermost first. Up to six axes are held without an allocation.
class SLIPWAY_EXPORT Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) { Assign(dims.begin(), dims.size()); }
  explicit Shape(std::span<const int64_t> dims) { Assign(dims.data(), dims.size()); }
  Shape(const Shape& other) { Assign(other.data(), other.rank_); }
  Shape(Shape&& other) noexcept : rank_(other.rank_), inline_(), heap_(std::move(other.heap_)) {
    std::copy_n(other.inline_, kInline, inline_);
    other.rank_ = 0;
  }
  Shape& operator=(const Shape& other) {
    if (this != &other) Assign(other.data(), other.rank_);
    return *this;
  }
  Shape& operator=(Shape&& other) noexcept {
    rank_ = std::exchange(other.rank_, 0);
    std::copy_n(other.inline_, kInline, inline_);
    heap_ = std::move(other.heap_);
    return *this;
  }

  int rank() const { return static_cast<int>(rank_); }
  bool empty() const { return rank_ == 0; }
  int64_t operator[](int axis) const { return data()[axis]; }
  int64_t& operator[](int axis) { return data()[axis]; }
  /// The size of an axis counted from the end: Back(0) is the last.
  int64_t Back(int from_end) const { return data()[static_cast<int>(rank_) - 1 - from_end]; }
  const int64_t* begin() const { return data(); }
  const int64_t* end() const { return data() + rank_; }
  const int64_t* data() const { return heap_ ? heap_.get() : inline_; }
  int64_t* data() { return heap_ ? heap_.get() : inline_; }
  operator std::span<const int64_t>() const { return {data(), rank_}; }

  void push_back(int64_t dim);
  void insert(int axis, int64_t dim);
  void erase(int axis);

  /// The number of elements; 1 for a scalar. Shapes in tensors are checked when made, so this cannot overflow.
  int64_t size() const { return SizeFrom(0); }
  /// The product of the axes from `axis` on, or of the axes before it.
  int64_t SizeFrom(int axis) const {
    int64_t n = 1;
    for (int i = axis; i < rank(); ++i) n *= data()[i];
    return n;
  }
  int64_t SizeTo(int axis) const {
    int64_t n = 1;
    for (int i = 0; i < axis; ++i) n *= data()[i];
    return n;
  }
  bool operator==(const Shape& other) const {
    return rank_ == other.rank_ && std::equal(begin(), end(), other.begin());
  }
  /// "[2, 3]"
  std::string ToString() const;

 private:
  static constexpr size_t kInline = 6;
  void Assign(const int64_t* dims, size_t rank);

  size_t rank_ = 0;
  int64_t inline_[kInline] = {};
  std::unique_ptr<int64_t[]> heap_;
};

/// A dense array in row-major order. Copies share the data; the data is freed with the last of them.
class SLIPWAY_EXPORT Tensor {
 public:
  /// No tensor: dtype() is kUndefined.
  Tensor() = default;
  /// Allocates; elements are not initialised, strings are empty. Throws Error(kOutOfMemory) where that fails,
  /// Error(kInvalidArgument) for a negative axis or more bytes than an int64 can count.
  Tensor(DType type, Shape shape);
  /// Refers to memory of the caller's; `keep` is held as long as a copy of the tensor lives (null: the caller
  /// answers for it).
  Tensor(DType type, Shape shape, void* data, std::shared_ptr<const void> keep = nullptr)
      : type_(type), shape_(std::move(shape)), data_(data), keep_(std::move(keep)) {}

  template <class T>
  static Tensor From(Shape shape, std::span<const T> values);
  template <class T>
  static Tensor From(Shape shape, std::initializer_list<T> values) {
    return From<T>(std::move(shape), std::span<const T>(values.begin(), values.size()));
  }

  bool defined() const { return type_ != DType::kUndefined; }
  DType dtype() const { return type_; }
  const Shape& shape() const { return shape_; }
  int64_t size() const { return shape_.size(); }
  size_t bytes() const { return static_cast<size_t>(size()) * SizeOf(type_); }
  const std::shared_ptr<const void>& keep() const { return keep_; }

  const void* raw() const { return data_; }
  void* raw() { return data_; }
  /// The elements; the caller has checked dtype().
  template <class T>
  const T* data() const {
    return static_cast<const T*>(data_);
  }
  template <class T>
  T* data() {
    return static_cast<T*>(data_);
  }
  template <class T>
  std::span<const T> span() const {
    return {data<T>(), static_cast<size_t>(size())};
  }

  /// The same data under another shape of the same size.
  Tensor Reshaped(Shape shape) const { return Tensor(type_, std::move(shape), data_, keep_); }
  /// A copy that shares nothing.
  Tensor Clone() const;

 private:
  DType type_ = DType::kUndefined;
  Shape shape_;
  void* data_ = nullptr;
  std::shared_ptr<const void> keep_;
};

template <class T>
Tensor Tensor::From(Shape shape, std::span<const T> values) {
  Tensor t(kDTypeOf<T>, std::move(shape));
  if (static_cast<size_t>(t.size()) != values.size()) {
    throw Error(Code::kInvalidArgument,
                "Tensor::From: " + std::to_string(values.size()) + " values for shape " + t.shape().ToString());
  }
  std::copy(values.begin(), values.end(), t.template data<T>());
  return t;
}

}  // namespace slipway
