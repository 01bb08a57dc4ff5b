#include <algorithm>
#include <bit>
#include <cstdlib>

#include "ops/images/images.h"

namespace slipway::images {
namespace {

uint32_t LittleEndian(Bytes file, size_t at, int bytes) {
  uint32_t out = 0;
  for (int i = 0; i < bytes; ++i) out |= static_cast<uint32_t>(at + i < file.size() ? file[at + i] : 0) << (8 * i);
  return out;
}

/// A colour's bits in a pixel, as 8 bits.
uint8_t Masked(uint32_t pixel, uint32_t mask) {
  if (mask == 0) return 0;
  const uint64_t top = mask >> std::countr_zero(mask);
  return static_cast<uint8_t>(((pixel & mask) >> std::countr_zero(mask)) * uint64_t{255} / top);
}

constexpr uint32_t kRunLength8 = 1, kRunLength4 = 2, kBitFields = 3, kAlphaBitFields = 6;

/// The palette indices of a run-length coded image, a byte each, in the file's order of rows.
std::vector<uint8_t> RunLengths(Bytes data, int64_t width, int64_t height, bool four_bits) {
  std::vector<uint8_t> out(static_cast<size_t>(width * height), 0);
  int64_t x = 0, y = 0;
  const auto put = [&](int value) {
    if (x < width && y < height) out[y * width + x] = static_cast<uint8_t>(value);
    ++x;
  };
  for (size_t at = 0; at + 1 < data.size() && y < height;) {
    const int count = data[at], value = data[at + 1];
    at += 2;
    if (count > 0) {
      for (int i = 0; i < count; ++i) put(four_bits ? (i % 2 ? value & 0xF : value >> 4) : value);
    } else if (value == 0) {
      x = 0;
      ++y;
    } else if (value == 1) {
      break;
    } else if (value == 2) {
      if (at + 1 >= data.size()) break;
      x += data[at];
      y += data[at + 1];
      at += 2;
    } else {
      const size_t bytes = four_bits ? (value + 1) / 2 : value;
      for (int i = 0; i < value; ++i) {
        const size_t place = at + (four_bits ? i / 2 : i);
        if (place >= data.size()) break;
        put(four_bits ? (i % 2 ? data[place] & 0xF : data[place] >> 4) : data[place]);
      }
      at += bytes + bytes % 2;
    }
  }
  return out;
}

/// Reads the numbers and comments of a PNM header.
class PnmReader {
 public:
  explicit PnmReader(Bytes file) : file_(file) {}
  size_t at = 2;

  int64_t Number() {
    while (at < file_.size() && !IsDigit(file_[at])) {
      if (file_[at] == '#') {
        while (at < file_.size() && file_[at] != '\n') ++at;
      } else {
        ++at;
      }
    }
    int64_t out = at < file_.size() ? 0 : -1;
    for (; at < file_.size() && IsDigit(file_[at]) && out < kMostPixels; ++at) out = out * 10 + (file_[at] - '0');
    return out;
  }
  /// The next digit alone: plain bitmaps need no space between theirs.
  int Digit() {
    while (at < file_.size() && !IsDigit(file_[at])) ++at;
    return at < file_.size() ? file_[at++] - '0' : -1;
  }

 private:
  static bool IsDigit(uint8_t c) { return c >= '0' && c <= '9'; }
  Bytes file_;
};

}  // namespace

std::optional<Image> DecodeBmp(Bytes file) {
  const uint32_t start = LittleEndian(file, 10, 4), header = LittleEndian(file, 14, 4);
  const bool old = header == 12;
  if (file.size() < 26 || (!old && header < 40)) return std::nullopt;
  const int64_t width = old ? LittleEndian(file, 18, 2) : static_cast<int32_t>(LittleEndian(file, 18, 4));
  const int64_t rows = old ? LittleEndian(file, 20, 2) : static_cast<int32_t>(LittleEndian(file, 22, 4));
  const auto depth = static_cast<int>(LittleEndian(file, old ? 24 : 28, 2));
  const uint32_t packing = old ? 0 : LittleEndian(file, 30, 4);
  const int64_t height = std::abs(rows);
  const bool indexed = depth == 1 || depth == 2 || depth == 4 || depth == 8;
  if (!IsSane(width, height) || start > file.size() || (!indexed && depth != 16 && depth != 24 && depth != 32))
    return std::nullopt;
  const bool run_lengths = (packing == kRunLength8 && depth == 8) || (packing == kRunLength4 && depth == 4);
  const bool fields = packing == kBitFields || packing == kAlphaBitFields;
  if (packing != 0 && !run_lengths && !(fields && !indexed && depth != 24)) return std::nullopt;
  uint32_t masks[] = {0xFF0000, 0xFF00, 0xFF};
  if (depth == 16) std::copy_n(std::initializer_list<uint32_t>{0x7C00, 0x3E0, 0x1F}.begin(), 3, masks);
  for (int k = 0; fields && k < 3; ++k) masks[k] = LittleEndian(file, 54 + 4 * k, 4);
  const size_t palette = 14 + header, entry = old ? 3 : 4;
  const Bytes data = file.subspan(start);
  const int64_t stride = (width * depth + 31) / 32 * 4;
  if (!run_lengths && static_cast<int64_t>(data.size()) < stride * (height - 1) + (width * depth + 7) / 8)
    return std::nullopt;
  if (run_lengths && width * height / 256 > static_cast<int64_t>(data.size()) + height) return std::nullopt;
  const std::vector<uint8_t> indices =
      run_lengths ? RunLengths(data, width, height, depth == 4) : std::vector<uint8_t>();
  Image image(height, width, 3);
  for (int64_t y = 0; y < height; ++y) {
    uint8_t* to = &image.pixels[(rows < 0 ? y : height - 1 - y) * width * 3];
    for (int64_t x = 0; x < width; ++x, to += 3) {
      if (indexed) {
        const int64_t bit = x * depth;
        const int index = run_lengths ? indices[y * width + x]
                                      : data[y * stride + bit / 8] >> (8 - depth - bit % 8) & ((1 << depth) - 1);
        for (int k = 0; k < 3; ++k)
          to[k] = static_cast<uint8_t>(LittleEndian(file, palette + index * entry + 2 - k, 1));
      } else {
        const uint32_t pixel = LittleEndian(data, y * stride + x * depth / 8, depth / 8);
        for (int k = 0; k < 3; ++k) to[k] = Masked(pixel, masks[k]);
      }
    }
  }
  return image;
}

std::optional<Image> DecodePnm(Bytes file) {
  PnmReader in(file);
  const int kind = file[1] - '0';
  const bool bitmap = kind == 1 || kind == 4, text = kind <= 3;
  const int64_t width = in.Number(), height = in.Number(), most = bitmap ? 1 : in.Number();
  if (!IsSane(width, height) || most < 1 || most > 65535) return std::nullopt;
  ++in.at;  // the one space after the header
  const int channels = kind == 3 || kind == 6 ? 3 : 1, bytes = most > 255 ? 2 : 1;
  const int64_t row = kind == 4 ? (width + 7) / 8 : width * channels * bytes;
  const auto left = static_cast<int64_t>(file.size()) - static_cast<int64_t>(in.at);
  if (text ? left + 1 < width * height * channels : left < row * height) return std::nullopt;
  if (text) --in.at;
  Image image(height, width, channels);
  for (size_t i = 0; i < image.pixels.size(); ++i) {
    int64_t value;
    if (text) {
      value = bitmap ? in.Digit() : in.Number();
      if (value < 0) return std::nullopt;
    } else if (bitmap) {
      const auto x = static_cast<int64_t>(i) % width, y = static_cast<int64_t>(i) / width;
      value = file[in.at + y * row + x / 8] >> (7 - x % 8) & 1;
    } else {
      const uint8_t* p = &file[in.at + i * bytes];
      value = bytes == 2 ? p[0] * 256 + p[1] : p[0];
    }
    if (bitmap) value = 1 - value;  // 1 is black
    image.pixels[i] = static_cast<uint8_t>((std::clamp<int64_t>(value, 0, most) * 255 + most / 2) / most);
  }
  return image;
}

}  // namespace slipway::images
