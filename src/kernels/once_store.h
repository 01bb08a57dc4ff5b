#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include <new>

#include "core/memory.h"

namespace slipway::kernels {

/// For weights that are packed to be used but once: each block goes back to the allocator with its last owner, for the
/// next such weights to take.
class OnceStore final : public WeightStore {
 public:
  std::shared_ptr<const std::byte> Block(size_t bytes, const std::function<void(std::byte*)>& fill) override {
    auto block = AllocateWorkspace(bytes);
    if (!block) throw std::bad_alloc();
    fill(block.get());
    return block;
  }
};

}  // namespace slipway::kernels
