#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/mapped_file.h"
#include "core/memory.h"
#include "graph/graph.h"

namespace slipway {

/// A compiled model: an optimized graph and the weights that its operators packed, in one file that is mapped and used
/// as it is. It holds for one version of Slipway and one instruction set.
struct CompiledModel {
  Model model;
  std::shared_ptr<WeightStore> store;
  std::string version, isa;   ///< what it was compiled by and for
  uint64_t packed_bytes = 0;  ///< of its weights, those that operators packed
};

/// Whether the file is a compiled model, by its first bytes.
bool IsCompiled(const MappedFile& file);

/// Throws Error(kBadFile) where the file is damaged, Error(kUnsupported) where it was compiled for something else.
CompiledModel ReadCompiled(const std::shared_ptr<const MappedFile>& file, const std::string& path);

/// Packed weights in memory, and in the order in which they were packed.
class RecordingStore final : public WeightStore {
 public:
  std::shared_ptr<const std::byte> Block(size_t bytes, const std::function<void(std::byte*)>& fill) override;
  bool in_order() const override { return true; }

  struct Packed {
    std::shared_ptr<const std::byte> data;
    size_t bytes;
  };
  const std::vector<Packed>& blocks() const { return blocks_; }

 private:
  MemoryStore memory_;
  std::vector<Packed> blocks_;
};

/// Writes a compiled model: a graph whose operators have been made and have packed their weights into `store`. Throws
/// Error(kBadFile) where the file cannot be written.
void WriteCompiled(const Model& model, const RecordingStore& store, const std::string& path);

}  // namespace slipway
