#include <cstring>
#include <limits>
#include <memory>

#include <fmt/format.h>
#include <zip.h>

#include "core/mapped_file.h"
#include "pt2/convert.h"
#include "pt2/program.h"

namespace slipway::pt2 {
namespace {

constexpr uint64_t kMostText = uint64_t{1} << 31;

/// The file as libzip reads it, which also tells where libzip last read: so the place of a stored entry is found.
struct Source {
  std::shared_ptr<const MappedFile> file;
  uint64_t at = 0;
  uint64_t last = 0;
  zip_error_t error;

  static zip_int64_t Do(void* state, void* data, zip_uint64_t length, zip_source_cmd_t command) {
    auto& s = *static_cast<Source*>(state);
    const auto bytes = s.file->bytes();
    switch (command) {
      case ZIP_SOURCE_OPEN:
        s.at = 0;
        return 0;
      case ZIP_SOURCE_READ: {
        const uint64_t n = std::min<uint64_t>(length, bytes.size() - s.at);
        std::memcpy(data, bytes.data() + s.at, n);
        s.last = s.at;
        s.at += n;
        return static_cast<zip_int64_t>(n);
      }
      case ZIP_SOURCE_SEEK: {
        const zip_int64_t to = zip_source_seek_compute_offset(s.at, bytes.size(), data, length, &s.error);
        if (to < 0) return -1;
        s.at = static_cast<uint64_t>(to);
        return 0;
      }
      case ZIP_SOURCE_TELL:
        return static_cast<zip_int64_t>(s.at);
      case ZIP_SOURCE_STAT: {
        auto* st = static_cast<zip_stat_t*>(data);
        zip_stat_init(st);
        st->size = bytes.size();
        st->valid = ZIP_STAT_SIZE;
        return sizeof(*st);
      }
      case ZIP_SOURCE_ERROR:
        return zip_error_to_data(&s.error, data, length);
      case ZIP_SOURCE_SUPPORTS:
        return zip_source_make_command_bitmap(ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT,
                                              ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE, ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL,
                                              ZIP_SOURCE_SUPPORTS, -1);
      default:
        return 0;
    }
  }
};

struct ZipClose {
  void operator()(zip_t* z) const { zip_discard(z); }
};
struct EntryClose {
  void operator()(zip_file_t* f) const { zip_fclose(f); }
};

class Archive {
 public:
  explicit Archive(const std::string& path) : path_(path) {
    source_.file = MappedFile::Open(path);
    zip_error_init(&source_.error);
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t* source = zip_source_function_create(&Source::Do, &source_, &error);
    if (source) zip_.reset(zip_open_from_source(source, ZIP_RDONLY, &error));
    if (!zip_) {
      if (source) zip_source_free(source);
      Bad(zip_error_strerror(&error));
    }
    // What torch writes lies under one folder, the archive's name: "model/models/model.json".
    const zip_int64_t count = zip_get_num_entries(zip_.get(), 0);
    for (zip_int64_t i = 0; i < count; ++i) {
      const char* raw = zip_get_name(zip_.get(), static_cast<zip_uint64_t>(i), 0);
      const std::string name = raw ? raw : "";
      constexpr std::string_view kFolder = "models/";
      const size_t at = name.find(kFolder);
      if (at == std::string::npos || !name.ends_with(".json") || (at > 0 && name[at - 1] != '/')) continue;
      models_.push_back(name);
      root_ = name.substr(0, at);
    }
    if (models_.empty()) {
      Bad("it holds no models/*.json: torch.export.save writes such files (torch 2.8 and newer)");
    }
    if (models_.size() > 1) Bad(fmt::format("it holds {} models, and one is expected", models_.size()));
  }

  const std::string& model() const { return models_[0]; }
  /// The archive's folder and the rest.
  std::string Path(std::string_view rest) const { return root_ + std::string(rest); }
  bool Has(const std::string& name) const { return zip_name_locate(zip_.get(), name.c_str(), 0) >= 0; }

  std::string Text(const std::string& name) {
    const zip_stat_t st = Stat(name);
    if (st.size > kMostText) Bad(fmt::format("'{}' is too large", name));
    const auto entry = Open(st.index, name);
    std::string text(st.size, '\0');
    Read(entry.get(), text.data(), st.size, name);
    return text;
  }

  /// An entry's bytes in place where they are stored as they are, else unpacked.
  slipway::Tensor Bytes(const std::string& name) {
    const zip_stat_t st = Stat(name);
    if (st.size == 0) return slipway::Tensor(DType::kUint8, Shape{0});
    if (st.size > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      Bad(fmt::format("'{}' is too large", name));
    const auto entry = Open(st.index, name);
    const auto file = source_.file->bytes();
    if (st.comp_method == ZIP_CM_STORE && st.encryption_method == ZIP_EM_NONE) {
      char first = 0;
      Read(entry.get(), &first, 1, name);
      const uint64_t start = source_.last;
      if (start < file.size() && st.size <= file.size() - start && file[start] == static_cast<std::byte>(first)) {
        return slipway::Tensor(DType::kUint8, Shape{static_cast<int64_t>(st.size)},
                               const_cast<std::byte*>(file.data() + start), source_.file);
      }
      Bad(fmt::format("'{}' does not lie within the file", name));
    }
    // A small file that claims to unpack to very much is a bomb.
    constexpr uint64_t kMostRatio = 1100;
    if (st.size / kMostRatio > st.comp_size)
      Bad(fmt::format("'{}' claims a size that its packed form cannot hold", name));
    slipway::Tensor t(DType::kUint8, Shape{static_cast<int64_t>(st.size)});
    Read(entry.get(), static_cast<char*>(t.raw()), st.size, name);
    return t;
  }

  [[noreturn]] void Bad(std::string_view what) const {
    throw Error(Code::kBadFile, fmt::format("'{}' is not a .pt2 archive that Slipway can read: {}.", path_, what));
  }

 private:
  zip_stat_t Stat(const std::string& name) const {
    zip_stat_t st;
    zip_stat_init(&st);
    constexpr zip_uint64_t kNeeded = ZIP_STAT_SIZE | ZIP_STAT_INDEX | ZIP_STAT_COMP_METHOD;
    if (zip_stat(zip_.get(), name.c_str(), 0, &st) != 0 || (st.valid & kNeeded) != kNeeded) {
      Bad(fmt::format("'{}' is missing", name));
    }
    return st;
  }
  std::unique_ptr<zip_file_t, EntryClose> Open(zip_uint64_t index, const std::string& name) const {
    std::unique_ptr<zip_file_t, EntryClose> f(zip_fopen_index(zip_.get(), index, 0));
    if (!f) Bad(fmt::format("'{}' cannot be read", name));
    return f;
  }
  void Read(zip_file_t* f, char* to, uint64_t bytes, const std::string& name) const {
    while (bytes > 0) {
      const zip_int64_t n = zip_fread(f, to, bytes);
      if (n <= 0) Bad(fmt::format("'{}' is cut short or damaged", name));
      to += n;
      bytes -= static_cast<uint64_t>(n);
    }
  }

  std::string path_, root_;
  std::vector<std::string> models_;
  Source source_;
  std::unique_ptr<zip_t, ZipClose> zip_;
};

/// A dense tensor from a storage: a view where the elements lie in order and aligned, else a copy.
slipway::Tensor FromStorage(const slipway::Tensor& storage, const StoredTensor& t, const Archive& archive) {
  const StoredMeta& m = t.meta;
  if (m.dtype == DType::kUndefined) {
    throw Error(Code::kUnsupported, fmt::format("weight '{}' has an element type that ONNX does not have.", t.name));
  }
  const auto bad = [&] { archive.Bad(fmt::format("weight '{}' does not fit into its data", t.name)); };
  if (m.sizes.size() != m.strides.size() || m.offset < 0 || m.sizes.size() > 64) bad();
  const auto item = static_cast<int64_t>(SizeOf(m.dtype));
  const int64_t held = storage.size() / item;
  int64_t last = m.offset, count = 1, dense = 1;
  bool in_order = true;
  for (size_t i = m.sizes.size(); i-- > 0;) {
    int64_t reach;
    if (m.sizes[i] < 0 || m.strides[i] < 0 || __builtin_mul_overflow(count, m.sizes[i], &count)) bad();
    if (m.sizes[i] == 0) continue;
    if (__builtin_mul_overflow(m.sizes[i] - 1, m.strides[i], &reach) || __builtin_add_overflow(last, reach, &last))
      bad();
    in_order &= m.sizes[i] == 1 || m.strides[i] == dense;
    if (__builtin_mul_overflow(dense, m.sizes[i], &dense)) bad();
  }
  const Shape shape{std::span<const int64_t>(m.sizes)};
  if (count == 0) return slipway::Tensor(m.dtype, shape);
  if (last >= held) bad();
  auto* start = static_cast<std::byte*>(const_cast<void*>(storage.raw())) + m.offset * item;
  if (in_order) {
    slipway::Tensor view(m.dtype, shape, start, storage.keep());
    return reinterpret_cast<uintptr_t>(start) % static_cast<uintptr_t>(item) == 0 ? view : view.Clone();
  }
  if (count > held) archive.Bad(fmt::format("weight '{}' repeats its data", t.name));
  slipway::Tensor copy(m.dtype, shape);
  auto* to = static_cast<std::byte*>(copy.raw());
  std::vector<int64_t> index(m.sizes.size(), 0);
  for (int64_t n = 0; n < count; ++n, to += item) {
    int64_t at = 0;
    for (size_t i = 0; i < index.size(); ++i) at += index[i] * m.strides[i];
    std::memcpy(to, start + at * item, item);
    for (size_t i = index.size(); i-- > 0 && ++index[i] == m.sizes[i];) index[i] = 0;
  }
  return copy;
}

}  // namespace

Program ReadArchive(const std::string& path) {
  Archive archive(path);
  Program program{.path = path};
  if (archive.Has(archive.Path("byteorder")) && archive.Text(archive.Path("byteorder")) != "little") {
    archive.Bad("its numbers are big-endian");
  }
  program.json = archive.Text(archive.model());
  std::string model = archive.model();
  model = model.substr(model.rfind('/') + 1);
  model.resize(model.size() - std::string_view(".json").size());
  std::map<std::string, std::string> holders;  // data and form -> the first tensor that has them
  for (const auto& [folder, kind] : {std::pair{"data/weights/", "weights"}, {"data/constants/", "constants"}}) {
    const std::string config = archive.Path(fmt::format("{}{}_{}_config.json", folder, model, kind));
    if (!archive.Has(config)) continue;
    for (const StoredTensor& t : ReadWeightsConfig(archive.Text(config))) {
      if (t.pickled || !t.has_meta) continue;  // an error only where the program reads it
      std::string key = fmt::format("{}{} {} {}", folder, t.path, static_cast<int>(t.meta.dtype), t.meta.offset);
      for (const auto* list : {&t.meta.sizes, &t.meta.strides}) {
        key += ";";
        for (const int64_t n : *list) key += fmt::format(" {}", n);
      }
      const auto [holder, first] = holders.try_emplace(key, t.name);
      if (first) {
        program.tensors[t.name] = FromStorage(archive.Bytes(archive.Path(folder) + t.path), t, archive);
      } else if (holder->second != t.name) {
        program.aliases[t.name] = holder->second;
      }
    }
  }
  return program;
}

}  // namespace slipway::pt2
