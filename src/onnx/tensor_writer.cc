#include "onnx/tensor_writer.h"

namespace slipway::onnx {

namespace wire = field::tensor;

namespace {

constexpr size_t kLeastExternal = 1024;
/// So that data can be mapped and read in place.
constexpr int64_t kAlignment = 4096;
constexpr int32_t kLocationExternal = 1;

/// Elements of 6, 4 and 2 bits, lowest first.
std::string PackElements(const Tensor& tensor) {
  const int bits = FileBits(tensor.dtype());
  const auto* elements = tensor.data<uint8_t>();
  std::string out(static_cast<size_t>((tensor.size() * bits + 7) / 8), '\0');
  for (int64_t i = 0; i < tensor.size(); ++i) {
    const auto at = static_cast<size_t>(i * bits / 8);
    const int word = (elements[i] & ((1 << bits) - 1)) << (i * bits % 8);
    out[at] |= static_cast<char>(word);
    if (word > 0xFF) out[at + 1] |= static_cast<char>(word >> 8);
  }
  return out;
}

void WritePair(protozero::pbf_writer& message, const std::string& key, const std::string& value) {
  protozero::pbf_writer pair(message, wire::kExternalData);
  pair.add_string(field::pair::kKey, key);
  pair.add_string(field::pair::kValue, value);
}

void WriteExternal(protozero::pbf_writer& message, std::string_view data, ExternalFile& file) {
  const int64_t padding = (kAlignment - file.offset % kAlignment) % kAlignment;
  file.out->write(std::string(static_cast<size_t>(padding), '\0').data(), padding);
  file.out->write(data.data(), static_cast<std::streamsize>(data.size()));
  file.offset += padding;
  WritePair(message, "location", file.name);
  WritePair(message, "offset", std::to_string(file.offset));
  WritePair(message, "length", std::to_string(data.size()));
  message.add_enum(wire::kDataLocation, kLocationExternal);
  file.offset += static_cast<int64_t>(data.size());
}

}  // namespace

void WriteTensor(protozero::pbf_writer& message, const std::string& name, const Tensor& tensor,
                 ExternalFile* external) {
  message.add_packed_int64(wire::kDims, tensor.shape().begin(), tensor.shape().end());
  message.add_int32(wire::kDataType, static_cast<int32_t>(tensor.dtype()));
  if (!name.empty()) message.add_string(wire::kName, name);
  if (tensor.dtype() == DType::kString) {
    for (const std::string& s : tensor.span<std::string>()) message.add_bytes(wire::kStringData, s);
    return;
  }
  std::string packed;
  std::string_view data(static_cast<const char*>(tensor.raw()), tensor.bytes());
  if (FileBits(tensor.dtype()) < 8) data = packed = PackElements(tensor);
  if (external && data.size() >= kLeastExternal) {
    WriteExternal(message, data, *external);
  } else {
    message.add_bytes(wire::kRawData, data.data(), data.size());
  }
}

}  // namespace slipway::onnx
