#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "core/memory.h"

namespace slipway::kernels {

/// `bytes` of memory aligned to 64 for weights that are packed to be used but once. When it is let go the next to ask
/// gets it, so that a run that packs all its weights touches no more than its largest ones take.
std::shared_ptr<std::byte> OnceMemory(size_t bytes);

/// Gives the system what OnceMemory keeps.
void ForgetOnceMemory();

/// Packed weights in such memory.
class OnceStore final : public WeightStore {
 public:
  std::shared_ptr<const std::byte> Block(size_t bytes, const std::function<void(std::byte*)>& fill) override {
    auto block = OnceMemory(bytes);
    fill(block.get());
    return block;
  }
};

}  // namespace slipway::kernels
