#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace slipway::images {

using Bytes = std::span<const uint8_t>;

/// Pixels of 8 bits a channel, rows from the top, channels last: red, green, blue, or grey alone.
struct Image {
  int64_t height = 0;
  int64_t width = 0;
  int channels = 3;
  std::vector<uint8_t> pixels;

  Image() = default;
  Image(int64_t rows, int64_t columns, int n)
      : height(rows), width(columns), channels(n), pixels(static_cast<size_t>(rows * columns * n)) {}
};

/// The image in a file's bytes, whose format its first bytes tell; nothing where they are broken or of no known format.
/// BMP, PNG and PNM are decoded here; JPEG, JPEG 2000, TIFF and WebP by the system's libraries, which are loaded when
/// first needed: throws Error(kUnsupported) where that library is not installed.
std::optional<Image> Decode(Bytes file);

/// More pixels than this are taken for a broken file.
inline constexpr int64_t kMostPixels = int64_t{1} << 28;
inline bool IsSane(int64_t width, int64_t height) {
  return width > 0 && height > 0 && width <= kMostPixels && height <= kMostPixels / width;
}

/// One format each, for bytes that begin as it does.
std::optional<Image> DecodeBmp(Bytes file);
std::optional<Image> DecodePng(Bytes file);
std::optional<Image> DecodePnm(Bytes file);
std::optional<Image> DecodeJpeg(Bytes file);
std::optional<Image> DecodeJpeg2000(Bytes file);
std::optional<Image> DecodeTiff(Bytes file);
std::optional<Image> DecodeWebp(Bytes file);

/// What a zlib stream holds, up to `most` bytes; less where it is broken or ends early.
std::vector<uint8_t> Inflate(Bytes zlib, size_t most);

}  // namespace slipway::images
