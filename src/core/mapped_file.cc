#include "core/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>
#include <utility>

#include <fmt/format.h>

namespace slipway {
namespace {

/// The mappings alive, by start: only their pages may be given back, for elsewhere that would lose data.
struct Registry {
  std::mutex mutex;
  struct File {
    size_t size;
    bool released = false;  // as a whole
  };
  std::map<const std::byte*, File> files;
  static Registry& Get() {
    static auto* registry = new Registry;
    return *registry;
  }
  /// The one in which the byte lies, or the end; the caller has the mutex.
  auto Find(const std::byte* at) {
    const auto after = files.upper_bound(at);
    if (after == files.begin()) return files.end();
    const auto file = std::prev(after);
    return at < file->first + file->second.size ? file : files.end();
  }
};

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::Open(const std::string& path) {
  const auto fail = [&](int error) -> Error {
    return Error(Code::kBadFile, fmt::format("cannot read '{}': {}", path, std::strerror(error)));
  };
  // Non-blocking, so that a pipe under a model's name does not hold the load up.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) throw fail(errno);
  struct stat info = {};
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(fd);
    throw Error(Code::kBadFile, fmt::format("cannot read '{}': it is not a regular file", path));
  }
  const auto size = static_cast<size_t>(info.st_size);
  if (size == 0) {
    close(fd);
    return std::shared_ptr<const MappedFile>(new MappedFile(nullptr, 0));
  }
  void* data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  const int error = errno;
  close(fd);
  if (data == MAP_FAILED) throw fail(error);
  const auto* start = static_cast<const std::byte*>(data);
  Registry& registry = Registry::Get();
  std::lock_guard lock(registry.mutex);
  registry.files[start] = {size};
  return std::shared_ptr<const MappedFile>(new MappedFile(start, size));
}

MappedFile::~MappedFile() {
  if (!data_) return;
  Registry& registry = Registry::Get();
  std::lock_guard lock(registry.mutex);
  registry.files.erase(data_);
  munmap(const_cast<std::byte*>(data_), size_);
}

bool IsMapped(const Tensor& tensor) {
  if (!tensor.defined() || tensor.dtype() == DType::kString) return false;
  Registry& registry = Registry::Get();
  std::lock_guard lock(registry.mutex);
  return registry.Find(static_cast<const std::byte*>(tensor.raw())) != registry.files.end();
}

void ReleasePages(const Tensor& tensor) {
  if (!tensor.defined() || tensor.dtype() == DType::kString) return;
  const auto* begin = static_cast<const std::byte*>(tensor.raw());
  Registry& registry = Registry::Get();
  std::lock_guard lock(registry.mutex);
  if (registry.Find(begin) == registry.files.end()) return;
  constexpr uintptr_t kPage = 4096;
  const uintptr_t first = (reinterpret_cast<uintptr_t>(begin) + kPage - 1) / kPage * kPage;
  const uintptr_t last = (reinterpret_cast<uintptr_t>(begin) + tensor.bytes()) / kPage * kPage;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

void ReleaseFileOnce(const Tensor& tensor) {
  if (!tensor.defined() || tensor.dtype() == DType::kString) return;
  Registry& registry = Registry::Get();
  std::lock_guard lock(registry.mutex);
  const auto file = registry.Find(static_cast<const std::byte*>(tensor.raw()));
  if (file == registry.files.end() || std::exchange(file->second.released, true)) return;
  madvise(const_cast<std::byte*>(file->first), file->second.size, MADV_DONTNEED);
}

}  // namespace slipway
