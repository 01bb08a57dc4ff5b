#include "session/compiled.h"

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "kernels/targets.h"
#include "onnx/reader.h"
#include "onnx/writer.h"
#include "slipway/version.h"

namespace slipway {
namespace {

/// What a file begins with. Offsets count from its start; numbers are as the CPU has them, which the magic tells too.
struct Header {
  uint64_t magic;
  char version[16];  ///< of Slipway: a packed form may change with any
  char isa[16];
  uint64_t graph_offset, graph_bytes;
  uint64_t table_offset, table_count;
};
struct Entry {
  uint64_t offset, bytes;
};

constexpr uint64_t kMagic = 0x0179'6177'7069'6c73;  // "slipway\1"
constexpr uint64_t kPage = 4096;
constexpr uint64_t kLine = 64;

template <size_t N>
void SetText(char (&to)[N], std::string_view text) {
  std::memset(to, 0, N);
  text.copy(to, N - 1);
}

/// The blocks of a file, handed out in the order in which they were packed.
class MappedStore final : public WeightStore {
 public:
  MappedStore(std::shared_ptr<const MappedFile> file, std::vector<Entry> entries)
      : file_(std::move(file)), entries_(std::move(entries)) {}

  std::shared_ptr<const std::byte> Block(size_t bytes, const std::function<void(std::byte*)>& fill) override {
    const size_t i = next_.fetch_add(1);
    // What is packed after the load (from weights that the file has as they are) is not in the file.
    if (i >= entries_.size()) return memory_.Block(bytes, fill);
    const Entry& entry = entries_[i];
    if (entry.bytes != bytes) {
      throw Error(Code::kBadFile, fmt::format("the compiled model has {} bytes where an operator wants {} of packed "
                                              "weights.\n  Compile it again.",
                                              entry.bytes, bytes));
    }
    return {file_, file_->bytes().data() + entry.offset};
  }

  /// Until the last block is handed out.
  bool in_order() const override { return next_.load() < entries_.size(); }

 private:
  std::shared_ptr<const MappedFile> file_;
  std::vector<Entry> entries_;
  std::atomic<size_t> next_ = 0;
  MemoryStore memory_;
};

/// A file that is written from front to back.
class Output {
 public:
  explicit Output(const std::string& path) : path_(path), file_(path + ".part", std::ios::binary) {}
  std::ostream& stream() { return file_; }

  /// Writes at the next multiple of `alignment`, and gives the offset.
  uint64_t Append(const void* data, size_t bytes, uint64_t alignment, uint64_t at) {
    const uint64_t start = (at + alignment - 1) / alignment * alignment;
    const std::string zeros(start - at, '\0');
    file_.write(zeros.data(), static_cast<std::streamsize>(zeros.size()));
    file_.write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes));
    return start;
  }

  /// Puts the header in its place and the file under its name.
  void Finish(const Header& header) {
    file_.seekp(0);
    file_.write(reinterpret_cast<const char*>(&header), sizeof(header));
    file_.close();
    std::error_code error;
    if (file_) std::filesystem::rename(path_ + ".part", path_, error);
    if (file_ && !error) return;
    std::error_code ignored;
    std::filesystem::remove(path_ + ".part", ignored);
    throw Error(Code::kBadFile, fmt::format("cannot write '{}'.", path_));
  }

 private:
  std::string path_;
  std::ofstream file_;
};

}  // namespace

bool IsCompiled(const MappedFile& file) {
  return file.bytes().size() >= sizeof(kMagic) && std::memcmp(file.bytes().data(), &kMagic, sizeof(kMagic)) == 0;
}

CompiledModel ReadCompiled(const std::shared_ptr<const MappedFile>& file, const std::string& path) {
  const std::span<const std::byte> bytes = file->bytes();
  const auto damaged = [] { return Error(Code::kBadFile, "the compiled model is damaged.\n  Compile it again."); };
  Header header;
  if (bytes.size() < sizeof(header)) throw damaged();
  std::memcpy(&header, bytes.data(), sizeof(header));
  header.version[sizeof(header.version) - 1] = header.isa[sizeof(header.isa) - 1] = '\0';
  kernels::ChooseTarget();
  const std::string_view isa = kernels::IsaName();
  if (header.isa != isa || header.version != std::string_view(Version())) {
    throw Error(
        Code::kUnsupported,
        fmt::format("the model was compiled by Slipway {} for {}, but this is {} on {}.\n  Compile it again here.",
                    header.version, header.isa, Version(), isa));
  }
  const auto inside = [&](uint64_t offset, uint64_t size) {
    return offset <= bytes.size() && size <= bytes.size() - offset;
  };
  if (!inside(header.graph_offset, header.graph_bytes) || header.table_count > bytes.size() / sizeof(Entry) ||
      !inside(header.table_offset, header.table_count * sizeof(Entry)))
    throw damaged();
  std::vector<Entry> entries(header.table_count);
  if (!entries.empty()) {
    std::memcpy(entries.data(), bytes.data() + header.table_offset, entries.size() * sizeof(Entry));
  }
  for (const Entry& e : entries) {
    if (!inside(e.offset, e.bytes) || e.offset % kLine != 0) throw damaged();
  }
  const std::string_view graph(reinterpret_cast<const char*>(bytes.data()) + header.graph_offset, header.graph_bytes);
  CompiledModel compiled{.model = ReadCompiledGraph(graph, file), .version = header.version, .isa = header.isa};
  for (const Entry& e : entries) compiled.packed_bytes += e.bytes;
  compiled.store = std::make_shared<MappedStore>(file, std::move(entries));
  compiled.model.path = path;
  return compiled;
}

std::shared_ptr<const std::byte> RecordingStore::Block(size_t bytes, const std::function<void(std::byte*)>& fill) {
  return blocks_.emplace_back(memory_.Block(bytes, fill), bytes).data;
}

void WriteCompiled(const Model& model, const RecordingStore& store, const std::string& path) {
  Output out(path);
  Header header{.magic = kMagic};
  SetText(header.version, Version());
  SetText(header.isa, kernels::IsaName());
  uint64_t at = out.Append(&header, sizeof(header), kLine, 0) + sizeof(header);
  std::vector<Entry> entries;
  for (const RecordingStore::Packed& block : store.blocks()) {
    // Large ones on pages of their own, so that reading one brings in nothing else.
    const uint64_t start = out.Append(block.data.get(), block.bytes, block.bytes < kPage ? kLine : kPage, at);
    entries.push_back({start, block.bytes});
    at = start + block.bytes;
  }
  auto offset = static_cast<int64_t>(at);
  const std::string graph = WriteCompiledGraph(model, out.stream(), &offset);
  header.graph_bytes = graph.size();
  header.graph_offset = out.Append(graph.data(), graph.size(), kLine, static_cast<uint64_t>(offset));
  header.table_count = entries.size();
  header.table_offset =
      out.Append(entries.data(), entries.size() * sizeof(Entry), kLine, header.graph_offset + graph.size());
  out.Finish(header);
}

}  // namespace slipway
