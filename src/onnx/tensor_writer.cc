#include "onnx/tensor_writer.h"

#include <sstream>

#include <protozero/varint.hpp>
#include "core/mapped_file.h"

namespace slipway::onnx {

namespace wire = field::tensor;

namespace {

constexpr size_t kLeastExternal = 1024;
constexpr size_t kLeastLarge = size_t{64} << 10;
/// So that data can be mapped and read in place.
constexpr int64_t kAlignment = 4096;
constexpr int32_t kLocationExternal = 1;

bool IsPacked(DType type) {
  return type == DType::kInt4 || type == DType::kUint4 || type == DType::kFloat4E2M1 || type == DType::kInt2 ||
         type == DType::kUint2;
}

/// Elements of 4 and 2 bits, lowest first.
std::string PackElements(const Tensor& tensor) {
  const int bits = tensor.dtype() == DType::kInt2 || tensor.dtype() == DType::kUint2 ? 2 : 4;
  const int per_byte = 8 / bits;
  const auto* elements = tensor.data<uint8_t>();
  std::string out(static_cast<size_t>((tensor.size() + per_byte - 1) / per_byte), '\0');
  for (int64_t i = 0; i < tensor.size(); ++i) {
    const int low = elements[i] & ((1 << bits) - 1);
    out[static_cast<size_t>(i / per_byte)] |= static_cast<char>(low << (i % per_byte * bits));
  }
  return out;
}

void WritePair(protozero::pbf_writer& message, const std::string& key, const std::string& value) {
  protozero::pbf_writer pair(message, wire::kExternalData);
  pair.add_string(field::pair::kKey, key);
  pair.add_string(field::pair::kValue, value);
}

/// `write` puts `bytes` of data into the file.
template <class F>
void WriteExternal(protozero::pbf_writer& message, size_t bytes, ExternalFile& file, const F& write) {
  const int64_t padding = (kAlignment - file.offset % kAlignment) % kAlignment;
  file.out->write(std::string(static_cast<size_t>(padding), '\0').data(), padding);
  write(*file.out);
  file.offset += padding;
  WritePair(message, "location", file.name);
  WritePair(message, "offset", std::to_string(file.offset));
  WritePair(message, "length", std::to_string(bytes));
  message.add_enum(wire::kDataLocation, kLocationExternal);
  file.offset += static_cast<int64_t>(bytes);
}

bool IsMade(const Tensor& tensor) { return !tensor.raw() && tensor.size() > 0; }

void WriteFields(protozero::pbf_writer& message, const std::string& name, const Tensor& tensor) {
  message.add_packed_int64(wire::kDims, tensor.shape().begin(), tensor.shape().end());
  message.add_int32(wire::kDataType, static_cast<int32_t>(tensor.dtype()));
  if (!name.empty()) message.add_string(wire::kName, name);
}

}  // namespace

bool IsLarge(const Tensor& tensor) {
  return tensor.dtype() != DType::kString && !IsPacked(tensor.dtype()) &&
         (tensor.bytes() >= kLeastLarge || IsMade(tensor));
}

void WriteData(std::ostream& out, const Tensor& tensor) {
  if (IsMade(tensor)) return static_cast<const DataSource*>(tensor.keep().get())->Write(out);
  // In parts, so that a mapped file's pages can go as soon as they are written.
  constexpr size_t kPart = size_t{8} << 20;
  const auto* data = static_cast<const char*>(tensor.raw());
  for (size_t at = 0; at < tensor.bytes(); at += kPart) {
    const size_t n = std::min(kPart, tensor.bytes() - at);
    out.write(data + at, static_cast<std::streamsize>(n));
    ReleasePages(Tensor(DType::kUint8, {static_cast<int64_t>(n)}, const_cast<char*>(data + at)));
  }
}

std::string WriteHead(const std::string& name, const Tensor& tensor) {
  std::string head;
  protozero::pbf_writer message(head);
  WriteFields(message, name, tensor);
  constexpr uint32_t kLengthDelimited = 2;
  protozero::add_varint_to_buffer(&head, wire::kRawData << 3 | kLengthDelimited);
  protozero::add_varint_to_buffer(&head, tensor.bytes());
  return head;
}

void WriteTensor(protozero::pbf_writer& message, const std::string& name, const Tensor& tensor,
                 ExternalFile* external) {
  WriteFields(message, name, tensor);
  if (tensor.dtype() == DType::kString) {
    for (const std::string& s : tensor.span<std::string>()) message.add_bytes(wire::kStringData, s);
    return;
  }
  if (external && IsLarge(tensor)) {
    return WriteExternal(message, tensor.bytes(), *external, [&](std::ostream& out) { WriteData(out, tensor); });
  }
  std::string packed;
  if (IsMade(tensor)) {
    std::ostringstream out;
    WriteData(out, tensor);
    packed = std::move(out).str();
    return message.add_bytes(wire::kRawData, packed);
  }
  std::string_view data(static_cast<const char*>(tensor.raw()), tensor.bytes());
  if (IsPacked(tensor.dtype())) data = packed = PackElements(tensor);
  if (external && data.size() >= kLeastExternal) {
    WriteExternal(message, data.size(), *external,
                  [&](std::ostream& out) { out.write(data.data(), static_cast<std::streamsize>(data.size())); });
  } else {
    message.add_bytes(wire::kRawData, data.data(), data.size());
  }
}

}  // namespace slipway::onnx
