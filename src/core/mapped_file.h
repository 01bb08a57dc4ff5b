#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "slipway/tensor.h"

namespace slipway {

/// A file in memory, read-only; pages come in as they are touched. Tensors that lie in it hold it.
class MappedFile {
 public:
  /// Throws Error(kBadFile) naming the path and the reason.
  static std::shared_ptr<const MappedFile> Open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  MappedFile(const std::byte* data, size_t size) : data_(data), size_(size) {}
  const std::byte* data_;
  size_t size_;
};

/// Whether the tensor's data lies in a mapped file, from where it comes anew when its memory is given back.
bool IsMapped(const Tensor& tensor);

/// Gives back the memory of a tensor that lies in a mapped file and will hardly be read again; does nothing to other
/// tensors. The data stays readable: it would come from the file anew.
void ReleasePages(const Tensor& tensor);

/// The same for all of the file in which the tensor lies; the first call for a file alone does something.
void ReleaseFileOnce(const Tensor& tensor);

}  // namespace slipway
