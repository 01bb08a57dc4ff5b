#include "onnx/tensor_reader.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include <fmt/format.h>

#include "core/dtype_visit.h"

namespace slipway::onnx {

namespace wire = field::tensor;

struct TensorReader::Fields {
  std::string name;
  DType dtype = DType::kUndefined;
  Shape shape;
  int64_t size = 1;
  std::optional<Bytes> raw;
  bool external = false;
  std::map<std::string, std::string> location;
  Bytes message;

  [[noreturn]] void Fail(const std::string& what) const {
    throw Error(Code::kBadGraph, fmt::format("tensor '{}': {}", name, what));
  }
};

namespace {

/// Raw data that its type's alignment does not suit is copied up to this size; larger tensors stay in the file, where
/// everything that reads weights (packing, row copies, SIMD) does so without assuming alignment.
constexpr size_t kCopyMisaligned = 16 << 10;

/// Elements of 6, 4 or 2 bits, lowest first, one to a byte; sign-extended for signed types.
void Unpack(DType type, std::span<const uint8_t> packed, int64_t n, uint8_t* out) {
  const int bits = FileBits(type);
  const bool is_signed = type == DType::kInt4 || type == DType::kInt2;
  for (int64_t i = 0; i < n; ++i) {
    const auto at = static_cast<size_t>(i * bits / 8);
    const int next = at + 1 < packed.size() ? packed[at + 1] : 0;
    const auto low = static_cast<uint8_t>((packed[at] | next << 8) >> (i * bits % 8));
    const auto high = static_cast<uint8_t>(low << (8 - bits));
    out[i] = is_signed ? static_cast<uint8_t>(static_cast<int8_t>(high) >> (8 - bits))
                       : static_cast<uint8_t>(high >> (8 - bits));
  }
}

/// In memory a bool is 0 or 1, which files do not promise.
Tensor Booleans(const Shape& shape, Bytes raw) {
  Tensor t(DType::kBool, shape);
  std::transform(raw.begin(), raw.end(), t.data<bool>(), [](char c) { return c != 0; });
  return t;
}

/// The values of a repeated number, packed or one by one.
template <class T, class Range>
void AppendAll(std::vector<T>& out, Range range) {
  for (auto v : range) out.push_back(static_cast<T>(v));
}

template <class T>
std::vector<T> ReadNumbers(Bytes message, int tag) {
  std::vector<T> out;
  auto reader = Read(message);
  while (reader.next()) {
    if (static_cast<int>(reader.tag()) != tag) {
      reader.skip();
      continue;
    }
    const bool packed = reader.wire_type() == protozero::pbf_wire_type::length_delimited;
    if constexpr (std::is_same_v<T, float>) {
      packed ? AppendAll(out, reader.get_packed_float()) : out.push_back(reader.get_float());
    } else if constexpr (std::is_same_v<T, double>) {
      packed ? AppendAll(out, reader.get_packed_double()) : out.push_back(reader.get_double());
    } else if constexpr (std::is_same_v<T, uint64_t>) {
      packed ? AppendAll(out, reader.get_packed_uint64()) : out.push_back(reader.get_uint64());
    } else {
      packed ? AppendAll(out, reader.get_packed_int64()) : out.push_back(static_cast<T>(reader.get_int64()));
    }
  }
  return out;
}

/// The product of the sizes; -1 where one is negative or the product of those that are not 0 passes `most`: other code
/// multiplies some of the axes alone.
int64_t CountElements(const std::vector<int64_t>& dims, int64_t most) {
  int64_t size = 1;
  bool empty = false;
  for (int64_t d : dims) {
    if (d < 0 || (d > 0 && size > most / d)) return -1;
    if (d > 0) size *= d;
    empty |= d == 0;
  }
  return empty ? 0 : size;
}

int64_t ParseOffset(const std::string& text, const char* what, const std::string& name) {
  int64_t value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) {
    throw Error(Code::kBadGraph,
                fmt::format("tensor '{}': the {} of its external data is '{}', not a number.", name, what, text));
  }
  return value;
}

}  // namespace

std::string TensorReader::NameOf(Bytes tensor) {
  auto reader = Read(tensor);
  std::string name;
  while (reader.next()) {
    if (reader.tag() == wire::kName) {
      name = reader.get_string();
    } else {
      reader.skip();
    }
  }
  return name;
}

TensorReader::Fields TensorReader::ReadFields(Bytes tensor) const {
  Fields f;
  f.name = NameOf(tensor);
  f.message = tensor;
  std::vector<int64_t> dims = ReadNumbers<int64_t>(tensor, wire::kDims);
  auto reader = Read(tensor);
  while (reader.next()) {
    switch (reader.tag()) {
      case wire::kDataType: {
        const int32_t type = reader.get_int32();
        if (type <= 0 || type >= kNumDTypes) f.Fail(fmt::format("element type {} is not one of ONNX's.", type));
        f.dtype = static_cast<DType>(type);
        break;
      }
      case wire::kSegment:
        f.Fail("is stored in segments, which ONNX has given up.");
      case wire::kRawData:
        f.raw = View(reader.get_view());
        break;
      case wire::kDataLocation:
        f.external = reader.get_enum() == 1;
        break;
      case wire::kExternalData: {
        auto entry = Read(View(reader.get_view()));
        std::string key, value;
        while (entry.next()) {
          if (entry.tag() == field::pair::kKey) {
            key = entry.get_string();
          } else if (entry.tag() == field::pair::kValue) {
            value = entry.get_string();
          } else {
            entry.skip();
          }
        }
        f.location[key] = value;
        break;
      }
      default:
        reader.skip();
    }
  }
  if (f.dtype == DType::kUndefined) f.Fail("has no element type.");
  f.size = CountElements(dims, int64_t{1} << 46);
  if (f.size < 0) f.Fail("has an axis of negative size, or claims more elements than memory can hold.");
  f.shape = Shape(std::span<const int64_t>(dims));
  return f;
}

Tensor TensorReader::FromRaw(const Fields& f, Bytes raw, const std::shared_ptr<const void>& keep) const {
  if (f.dtype == DType::kString) f.Fail("strings cannot be stored as raw data.");
  const int bits = FileBits(f.dtype);
  const auto want = static_cast<uint64_t>((f.size * bits + 7) / 8);
  if (raw.size() != want) {
    f.Fail(fmt::format("{} {} needs {} bytes of data, but there are {}.", Name(f.dtype), f.shape.ToString(), want,
                       raw.size()));
  }
  if (bits < 8) {
    Tensor t(f.dtype, f.shape);
    Unpack(f.dtype, {reinterpret_cast<const uint8_t*>(raw.data()), raw.size()}, f.size, t.data<uint8_t>());
    return t;
  }
  const size_t alignment = std::min<size_t>(SizeOf(f.dtype), 8);
  const bool aligned = reinterpret_cast<uintptr_t>(raw.data()) % alignment == 0;
  if (f.dtype == DType::kBool) return Booleans(f.shape, raw);
  if (aligned || raw.size() > kCopyMisaligned) return Tensor(f.dtype, f.shape, const_cast<char*>(raw.data()), keep);
  Tensor t(f.dtype, f.shape);
  if (!raw.empty()) std::memcpy(t.raw(), raw.data(), raw.size());
  return t;
}

Tensor TensorReader::FromExternal(const Fields& f) {
  if (compiled_) {
    if (f.location.empty() && f.dtype != DType::kString) return Tensor(f.dtype, f.shape, nullptr);
    return FromFile(f, compiled_, "the compiled model");
  }
  namespace fs = std::filesystem;
  const auto found = f.location.find("location");
  const std::string name = found == f.location.end() ? "" : found->second;
  if (name.empty() || name.find('\0') != std::string::npos) f.Fail("its external data names no file.");
  if (folder_.empty()) f.Fail("has external data, but the model was not loaded from a folder.");
  const fs::path path(name);
  if (path.is_absolute() || name.find('\\') != std::string::npos)
    f.Fail(fmt::format("external data '{}' must be a relative path.", name));
  for (const fs::path& part : path) {
    if (part == "..") f.Fail(fmt::format("external data '{}' leads out of the model's folder.", name));
  }
  auto& file = files_[name];
  if (!file) {
    try {
      file = MappedFile::Open((fs::path(folder_) / path).string());
    } catch (const Error& e) {
      throw Error(Code::kBadFile, fmt::format("tensor '{}': {}", f.name, e.what()));
    }
  }
  return FromFile(f, file, name);
}

Tensor TensorReader::FromFile(const Fields& f, const std::shared_ptr<const MappedFile>& file,
                              const std::string& name) const {
  const auto get = [&](const char* key, int64_t otherwise) {
    const auto it = f.location.find(key);
    return it == f.location.end() ? otherwise : ParseOffset(it->second, key, f.name);
  };
  const auto available = static_cast<int64_t>(file->bytes().size());
  const int64_t offset = get("offset", 0);
  const int64_t want = (f.size * FileBits(f.dtype) + 7) / 8;
  const int64_t length = get("length", want);
  if (offset > available || length > available - offset) {
    f.Fail(fmt::format("wants {} bytes from {} of '{}', which has {}.", length, offset, name, available));
  }
  const auto* start = reinterpret_cast<const char*>(file->bytes().data()) + offset;
  return FromRaw(f, Bytes(start, static_cast<size_t>(length)), file);
}

namespace {

template <class T, class Wire>
Tensor FromNumbers(DType dtype, const Shape& shape, const std::vector<Wire>& values) {
  Tensor t(dtype, shape);
  for (size_t i = 0; i < values.size(); ++i) t.data<T>()[i] = static_cast<T>(values[i]);
  return t;
}

Tensor FromStrings(Bytes message, const Shape& shape, int64_t size) {
  std::vector<std::string> strings;
  auto reader = Read(message);
  while (reader.next()) {
    if (reader.tag() == wire::kStringData) {
      strings.push_back(reader.get_string());
    } else {
      reader.skip();
    }
  }
  if (static_cast<int64_t>(strings.size()) != size) throw strings.size();
  Tensor t(DType::kString, shape);
  std::move(strings.begin(), strings.end(), t.data<std::string>());
  return t;
}

}  // namespace

Tensor TensorReader::ReadTensor(Bytes tensor) {
  const Fields f = ReadFields(tensor);
  if (f.external) return FromExternal(f);
  if (f.raw) return FromRaw(f, *f.raw, keep_);

  const auto check = [&](size_t have, int64_t want) {
    if (static_cast<int64_t>(have) == want) return;
    f.Fail(fmt::format("{} {} needs {} values, but there are {}.", Name(f.dtype), f.shape.ToString(), want, have));
  };
  const auto numbers = [&]<class Wire>(int tag, int64_t want) {
    auto values = ReadNumbers<Wire>(f.message, tag);
    check(values.size(), want);
    return values;
  };
  switch (f.dtype) {
    case DType::kFloat:
      return FromNumbers<float>(f.dtype, f.shape, numbers.operator()<float>(wire::kFloatData, f.size));
    case DType::kComplex64:
      return Tensor(f.dtype, f.shape,
                    FromNumbers<float>(DType::kFloat, {f.size * 2},
                                       numbers.operator()<float>(wire::kFloatData, f.size * 2))
                        .raw())
          .Clone();
    case DType::kDouble:
      return FromNumbers<double>(f.dtype, f.shape, numbers.operator()<double>(wire::kDoubleData, f.size));
    case DType::kComplex128:
      return Tensor(f.dtype, f.shape,
                    FromNumbers<double>(DType::kDouble, {f.size * 2},
                                        numbers.operator()<double>(wire::kDoubleData, f.size * 2))
                        .raw())
          .Clone();
    case DType::kInt64:
      return FromNumbers<int64_t>(f.dtype, f.shape, numbers.operator()<int64_t>(wire::kInt64Data, f.size));
    case DType::kUint32:
    case DType::kUint64: {
      const auto values = numbers.operator()<uint64_t>(wire::kUint64Data, f.size);
      return f.dtype == DType::kUint32 ? FromNumbers<uint32_t>(f.dtype, f.shape, values)
                                       : FromNumbers<uint64_t>(f.dtype, f.shape, values);
    }
    case DType::kString:
      try {
        return FromStrings(f.message, f.shape, f.size);
      } catch (size_t have) {
        check(have, f.size);
        throw;
      }
    default:
      break;
  }
  // Everything narrower comes as int32: the value of an integer, the bits of a float; 4 and 2 bits packed to bytes.
  const int bits = FileBits(f.dtype);
  const bool is_packed = bits == 4 || bits == 2;
  auto values = numbers.operator()<int64_t>(wire::kInt32Data, is_packed ? (f.size * bits + 7) / 8 : f.size);
  if (bits == 6) {
    for (int64_t& v : values) v &= 0x3F;
  }
  if (is_packed) {
    const std::vector<uint8_t> packed(values.begin(), values.end());
    Tensor t(f.dtype, f.shape);
    Unpack(f.dtype, packed, f.size, t.data<uint8_t>());
    return t;
  }
  if (f.dtype == DType::kBool) return FromNumbers<bool>(f.dtype, f.shape, values);
  switch (SizeOf(f.dtype)) {
    case 1:
      return FromNumbers<uint8_t>(f.dtype, f.shape, values);
    case 2:
      return FromNumbers<uint16_t>(f.dtype, f.shape, values);
    default:
      return FromNumbers<uint32_t>(f.dtype, f.shape, values);
  }
}

Tensor TensorReader::ReadSparse(Bytes sparse) {
  Bytes values_message, indices_message;
  auto reader = Read(sparse);
  while (reader.next()) {
    if (reader.tag() == field::sparse::kValues) {
      values_message = View(reader.get_view());
    } else if (reader.tag() == field::sparse::kIndices) {
      indices_message = View(reader.get_view());
    } else {
      reader.skip();
    }
  }
  const std::string name = NameOf(values_message);
  const auto fail = [&](const std::string& what) {
    return Error(Code::kBadGraph, fmt::format("sparse tensor '{}': {}", name, what));
  };
  const Tensor values = ReadTensor(values_message);
  const Tensor indices = ReadTensor(indices_message);
  const auto dims = ReadNumbers<int64_t>(sparse, field::sparse::kDims);
  const auto element = static_cast<int64_t>(SizeOf(values.dtype()));
  // A dense copy is made, so what the few bytes of a file may claim is bounded, for all of its tensors together.
  const int64_t size = CountElements(dims, dense_budget_ / element);
  if (size < 0) throw fail("its sizes are negative or too large.");
  dense_budget_ -= size * element;
  const auto rank = static_cast<int64_t>(dims.size());
  const int64_t n = values.size();
  const bool flat = indices.shape().rank() == 1;
  if (values.shape().rank() != 1 || indices.dtype() != DType::kInt64 || indices.size() != (flat ? n : n * rank)) {
    throw fail("values want shape [n] and indices int64 [n] or [n, rank].");
  }
  Tensor dense(values.dtype(), Shape(std::span<const int64_t>(dims)));
  VisitBySize(values.dtype(), [&]<class T>() {
    std::fill_n(dense.data<T>(), size, T{});
    for (int64_t i = 0; i < n; ++i) {
      int64_t at = 0;
      for (int64_t a = 0; a < (flat ? 1 : rank); ++a) {
        const int64_t index = indices.data<int64_t>()[flat ? i : i * rank + a];
        const int64_t bound = flat ? size : dims[a];
        if (index < 0 || index >= bound) throw fail(fmt::format("index {} is outside of [0, {}).", index, bound));
        at = flat ? index : at * dims[a] + index;
      }
      dense.data<T>()[at] = values.data<T>()[i];
    }
  });
  return dense;
}

}  // namespace slipway::onnx
