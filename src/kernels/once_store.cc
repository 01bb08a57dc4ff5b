#include "kernels/once_store.h"

#include <sys/mman.h>

#include <algorithm>
#include <mutex>
#include <new>
#include <vector>

namespace slipway::kernels {
namespace {

/// Addresses for as much as is ever wanted at a time, of which memory stands behind what was asked for so far: growing
/// touches nothing anew.
class Span {
 public:
  static constexpr size_t kSize = size_t{64} << 20;

  explicit Span(size_t size)
      : size_(size),
        memory_(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
    if (memory_ == MAP_FAILED) throw std::bad_alloc();
  }
  ~Span() { munmap(memory_, size_); }
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;

  size_t size() const { return size_; }
  /// Bytes that have been asked for so far.
  size_t populated() const { return populated_; }
  std::byte* Reserve(size_t bytes) {
    constexpr size_t kPage = 4096;
    bytes = (bytes + kPage - 1) / kPage * kPage;
    if (bytes > populated_) {
#ifdef MADV_POPULATE_WRITE
      // All at once instead of a page fault each; where the system cannot, pages come one by one.
      madvise(static_cast<std::byte*>(memory_) + populated_, bytes - populated_, MADV_POPULATE_WRITE);
#endif
      populated_ = bytes;
    }
    return static_cast<std::byte*>(memory_);
  }

 private:
  size_t size_;
  void* memory_;
  size_t populated_ = 0;
};

struct Spans {
  std::mutex mutex;
  std::vector<std::unique_ptr<Span>> free;  // the ones with the least memory first

  /// The least that has `bytes` already, else the one that has most; null where there is none.
  std::unique_ptr<Span> Take(size_t bytes) {
    if (free.empty()) return nullptr;
    auto found = std::find_if(free.begin(), free.end(), [&](const auto& span) { return span->populated() >= bytes; });
    if (found == free.end()) --found;
    std::unique_ptr<Span> span = std::move(*found);
    free.erase(found);
    return span;
  }
  void Put(std::unique_ptr<Span> span) {
    const auto place = std::find_if(free.begin(), free.end(),
                                    [&](const auto& other) { return other->populated() >= span->populated(); });
    free.insert(place, std::move(span));
  }
  static Spans& Get() {
    static auto* spans = new Spans;  // outlives whatever is freed at exit
    return *spans;
  }
};

}  // namespace

std::shared_ptr<std::byte> OnceMemory(size_t bytes) {
  Spans& spans = Spans::Get();
  std::unique_ptr<Span> span;
  if (bytes <= Span::kSize) {
    std::lock_guard lock(spans.mutex);
    span = spans.Take(bytes);
  }
  if (!span) span = std::make_unique<Span>(std::max(bytes, Span::kSize));
  std::byte* memory = span->Reserve(bytes);
  return {memory, [owned = span.release()](std::byte*) {
            std::unique_ptr<Span> back(owned);
            if (back->size() > Span::kSize) return;
            Spans& all = Spans::Get();
            std::lock_guard lock(all.mutex);
            all.Put(std::move(back));
          }};
}

void ForgetOnceMemory() {
  Spans& spans = Spans::Get();
  std::lock_guard lock(spans.mutex);
  spans.free.clear();
}

}  // namespace slipway::kernels
