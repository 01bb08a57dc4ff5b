#include "slipway/tensor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "core/memory.h"

namespace slipway {
namespace {

// More than any machine has: refused here, as an allocator may promise it and the first write then end the process.
constexpr uint64_t kMaxBytes = uint64_t{1} << 46;

[[noreturn]] void ThrowOutOfMemory(DType type, const Shape& shape, uint64_t bytes) {
  throw Error(Code::kOutOfMemory,
              fmt::format("cannot allocate {} bytes for a {} tensor of shape {}", bytes, Name(type), shape.ToString()));
}

/// The bytes of a tensor, checked: a zero axis makes it empty, but the others must still multiply to an int64.
uint64_t CheckedBytes(DType type, const Shape& shape) {
  if (SizeOf(type) == 0) throw Error(Code::kInvalidArgument, "a tensor needs an element type");
  auto bytes = static_cast<int64_t>(SizeOf(type));
  bool empty = false;
  for (const int64_t dim : shape) {
    if (dim < 0) {
      throw Error(Code::kInvalidArgument,
                  fmt::format("negative axis in the shape {} of a {} tensor", shape.ToString(), Name(type)));
    }
    empty |= dim == 0;
    if (__builtin_mul_overflow(bytes, std::max<int64_t>(dim, 1), &bytes)) {
      throw Error(Code::kInvalidArgument, fmt::format("a {} tensor of shape {} has more bytes than an int64 can count",
                                                      Name(type), shape.ToString()));
    }
  }
  return empty ? 0 : static_cast<uint64_t>(bytes);
}

}  // namespace

void Shape::Assign(const int64_t* dims, size_t rank) {
  // Made before the old one goes: `dims` may point into it.
  std::unique_ptr<int64_t[]> heap;
  if (rank > kInline) heap = std::make_unique_for_overwrite<int64_t[]>(rank);
  std::copy_n(dims, rank, heap ? heap.get() : inline_);
  heap_ = std::move(heap);
  rank_ = rank;
}

void Shape::push_back(int64_t dim) { insert(rank(), dim); }

void Shape::insert(int axis, int64_t dim) {
  const auto at = static_cast<size_t>(axis);
  if (rank_ < kInline) {
    std::copy_backward(inline_ + at, inline_ + rank_, inline_ + rank_ + 1);
    inline_[at] = dim;
  } else {
    auto heap = std::make_unique_for_overwrite<int64_t[]>(rank_ + 1);
    std::copy_n(data(), at, heap.get());
    heap[at] = dim;
    std::copy_n(data() + at, rank_ - at, heap.get() + at + 1);
    heap_ = std::move(heap);
  }
  ++rank_;
}

void Shape::erase(int axis) {
  int64_t* dims = data();
  std::copy(dims + axis + 1, dims + rank_, dims + axis);
  --rank_;
  if (heap_ && rank_ <= kInline) {
    std::copy_n(heap_.get(), rank_, inline_);
    heap_.reset();
  }
}

std::string Shape::ToString() const { return fmt::format("[{}]", fmt::join(begin(), end(), ", ")); }

Tensor::Tensor(DType type, Shape shape) : type_(type), shape_(std::move(shape)) {
  const uint64_t bytes = CheckedBytes(type_, shape_);
  if (bytes > kMaxBytes) ThrowOutOfMemory(type_, shape_, bytes);
  // An empty tensor has a pointer too, so that raw() is null only where there is no tensor.
  const auto memory = AllocateMemory(bytes);
  if (!memory) ThrowOutOfMemory(type_, shape_, bytes);
  data_ = memory.get();
  keep_ = memory;
  if (type_ != DType::kString) return;
  auto* strings = static_cast<std::string*>(data_);
  std::uninitialized_value_construct_n(strings, size());
  keep_ = std::shared_ptr<const void>(data_, [memory, n = size()](const void* data) {
    std::destroy_n(static_cast<std::string*>(const_cast<void*>(data)), n);
  });
}

Tensor Tensor::Clone() const {
  if (!defined()) return {};
  Tensor copy(type_, shape_);
  if (type_ == DType::kString) {
    std::copy_n(data<std::string>(), size(), copy.data<std::string>());
  } else if (copy.bytes() != 0) {
    std::memcpy(copy.data_, data_, copy.bytes());
  }
  return copy;
}

}  // namespace slipway
