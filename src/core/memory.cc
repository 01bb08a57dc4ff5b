#include "core/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "slipway/error.h"

namespace slipway {
namespace {

constexpr size_t kLine = 64;
constexpr size_t kHugePage = size_t{2} << 20;

constexpr size_t RoundUp(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

/// Large pieces that were freed, the latest last.
class Kept {
 public:
  void* Take(size_t bytes) {
    std::lock_guard lock(mutex_);
    const auto found = std::find_if(pieces_.rbegin(), pieces_.rend(), [&](const auto& p) { return p.first == bytes; });
    if (found == pieces_.rend()) return nullptr;
    void* memory = found->second;
    total_ -= bytes;
    pieces_.erase(std::next(found).base());
    return memory;
  }
  void Put(size_t bytes, void* memory) {
    std::vector<void*> gone;
    {
      std::lock_guard lock(mutex_);
      pieces_.emplace_back(bytes, memory);
      total_ += bytes;
      while (total_ > kMost) {
        total_ -= pieces_.front().first;
        gone.push_back(pieces_.front().second);
        pieces_.erase(pieces_.begin());
      }
    }
    for (void* piece : gone) std::free(piece);
  }
  void Clear() {
    std::lock_guard lock(mutex_);
    for (const auto& [bytes, memory] : pieces_) std::free(memory);
    pieces_.clear();
    total_ = 0;
  }
  static Kept& Get() {
    static auto* kept = new Kept;  // outlives whatever is freed at exit
    return *kept;
  }

 private:
  static constexpr size_t kMost = size_t{64} << 20;

  std::mutex mutex_;
  std::vector<std::pair<size_t, void*>> pieces_;
  size_t total_ = 0;
};

std::shared_ptr<std::byte> Allocate(size_t bytes, bool keep) {
  constexpr size_t kSmall = 512;
  if (bytes <= kSmall) {  // one plain allocation with the count of owners: a fraction of what an aligned one costs
    const auto block = std::make_shared_for_overwrite<std::byte[]>(bytes + kLine);
    const auto start = reinterpret_cast<uintptr_t>(block.get());
    return {block, block.get() + (RoundUp(start, kLine) - start)};
  }
  if (bytes < kHugePage) {
    void* memory = std::aligned_alloc(kLine, RoundUp(std::max<size_t>(bytes, 1), kLine));
    return {static_cast<std::byte*>(memory), [](std::byte* p) { std::free(p); }};
  }
  if (bytes > SIZE_MAX / 2) return nullptr;
  constexpr size_t kPage = 4096;
  // What is left over behind the last whole huge page costs a whole one, or a page fault for each small one.
  const bool whole = bytes % kHugePage >= kHugePage / 8 * 7;
  const size_t rounded = RoundUp(bytes, whole ? kHugePage : kPage);
  Kept& kept = Kept::Get();
  void* memory = kept.Take(rounded);
  if (!memory) {
    memory = std::aligned_alloc(kHugePage, rounded);
    if (!memory) {
      kept.Clear();
      memory = std::aligned_alloc(kHugePage, rounded);
    }
    if (!memory) return nullptr;
    madvise(memory, rounded / kHugePage * kHugePage, MADV_HUGEPAGE);
  }
  if (!keep) return {static_cast<std::byte*>(memory), [](std::byte* p) { std::free(p); }};
  return {static_cast<std::byte*>(memory), [rounded, &kept](std::byte* p) { kept.Put(rounded, p); }};
}

}  // namespace

std::shared_ptr<std::byte> AllocateMemory(size_t bytes) { return Allocate(bytes, true); }

std::shared_ptr<std::byte> AllocateWorkspace(size_t bytes) { return Allocate(bytes, false); }

std::shared_ptr<const std::byte> MemoryStore::Block(size_t bytes, const std::function<void(std::byte*)>& fill) {
  std::shared_ptr<std::byte> block;
  {
    std::lock_guard lock(mutex_);
    bytes = RoundUp(std::max<size_t>(bytes, 1), kLine);
    if (bytes > size_ - used_) {
      // Pages that are never touched cost nothing.
      constexpr size_t kLeast = size_t{64} << 10, kMost = size_t{32} << 20;
      const size_t size = std::max(bytes, std::clamp(size_ * 2, kLeast, kMost));
      piece_ = AllocateMemory(size);
      if (!piece_) {
        size_ = used_ = 0;
        throw Error(Code::kOutOfMemory, fmt::format("no memory for {} bytes of packed weights", bytes));
      }
      size_ = size;
      used_ = 0;
    }
    block = {piece_, piece_.get() + used_};
    used_ += bytes;
  }
  fill(block.get());
  return block;
}

}  // namespace slipway
