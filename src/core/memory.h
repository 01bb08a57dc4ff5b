#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>

namespace slipway {

/// `bytes` of memory aligned to 64, not initialised. From 2 MiB on it lies in huge pages where the system has them:
/// what is walked from end to end then takes a 512th of the page faults and TLB entries. Such memory is kept for a
/// while when it is freed, so that a run's outputs do not come from fresh pages each time. Null where there is none.
std::shared_ptr<std::byte> AllocateMemory(size_t bytes);

/// The same, but given back to the system when it is freed: for what is replaced by something larger, whose size will
/// not be asked for again.
std::shared_ptr<std::byte> AllocateWorkspace(size_t bytes);

/// Memory for constants in the form that kernels read them: packed panels, transformed filters.
class WeightStore {
 public:
  virtual ~WeightStore() = default;
  /// `bytes` of memory aligned to 64 that `fill` has written, in this process or in the one that compiled the model:
  /// then `fill` is not called. Blocks hold numbers only, nothing that a kernel would index with, since a file may hold
  /// anything. Throws Error(kOutOfMemory). May be called from several threads.
  virtual std::shared_ptr<const std::byte> Block(size_t bytes, const std::function<void(std::byte*)>& fill) = 0;
  /// True where blocks are asked for in the order of the nodes, as a compiled model has them: while one is made, and
  /// while one is loaded.
  virtual bool in_order() const { return false; }
  /// True where all is packed before the first run.
  virtual bool at_load() const { return in_order(); }
};

/// Weights in the memory of this process, side by side in few large pieces, which last until the last block goes.
class MemoryStore final : public WeightStore {
 public:
  explicit MemoryStore(bool at_load = false) : at_load_(at_load) {}
  std::shared_ptr<const std::byte> Block(size_t bytes, const std::function<void(std::byte*)>& fill) override;
  bool at_load() const override { return at_load_; }

 private:
  const bool at_load_;
  std::mutex mutex_;
  std::shared_ptr<std::byte> piece_;  // the one that is being filled
  size_t used_ = 0;
  size_t size_ = 0;
};

}  // namespace slipway
