#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace slipway::kernels {

/// Memory that a thread keeps from call to call, so that a steady state allocates nothing.
class Scratch {
 public:
  /// At least `count` floats, 64-byte aligned; what was there before is lost when it has to grow.
  float* Reserve(size_t count) {
    if (count > count_) {
      const size_t bytes = (count * sizeof(float) + kAlign - 1) / kAlign * kAlign;
      count_ = 0;
      memory_.reset(static_cast<float*>(std::aligned_alloc(kAlign, bytes)));
      if (!memory_) throw std::bad_alloc();
      count_ = bytes / sizeof(float);
    }
    return memory_.get();
  }

 private:
  static constexpr size_t kAlign = 64;
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  std::unique_ptr<float, Free> memory_;
  size_t count_ = 0;
};

}  // namespace slipway::kernels
