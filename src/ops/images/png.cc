#include <cstdlib>
#include <cstring>

#include "ops/images/images.h"

namespace slipway::images {
namespace {

uint32_t BigEndian(const uint8_t* p) {
  return static_cast<uint32_t>(p[0]) << 24 | static_cast<uint32_t>(p[1]) << 16 | static_cast<uint32_t>(p[2]) << 8 |
         p[3];
}

struct Header {
  int64_t width = 0, height = 0;
  int depth = 0, color = 0;
  bool interlaced = false;

  /// Samples a pixel; 0 for a colour type that there is not.
  int samples() const {
    switch (color) {
      case 0:
      case 3:
        return 1;
      case 2:
        return 3;
      case 4:
        return 2;
      case 6:
        return 4;
      default:
        return 0;
    }
  }
  bool valid() const {
    const bool small = depth == 1 || depth == 2 || depth == 4;
    const bool deep = depth == 16 && color != 3;
    return IsSane(width, height) && samples() > 0 && (depth == 8 || deep || (small && (color == 0 || color == 3)));
  }
  int64_t RowBytes(int64_t columns) const { return (columns * samples() * depth + 7) / 8; }
};

/// Undoes a row's filter; `above` is the row before it, `step` the bytes of one pixel.
bool Unfilter(int filter, const uint8_t* above, int64_t n, int64_t step, uint8_t* row) {
  for (int64_t i = 0; i < n; ++i) {
    const int left = i < step ? 0 : row[i - step], up = above[i], corner = i < step ? 0 : above[i - step];
    int guess = 0;
    if (filter == 1) guess = left;
    if (filter == 2) guess = up;
    if (filter == 3) guess = (left + up) / 2;
    if (filter == 4) {
      const int a = std::abs(up - corner), b = std::abs(left - corner), c = std::abs(left + up - 2 * corner);
      guess = a <= b && a <= c ? left : b <= c ? up : corner;
    }
    row[i] = static_cast<uint8_t>(row[i] + guess);
  }
  return filter <= 4;
}

/// The k-th sample of a row as 8 bits; a palette's index as it is.
int SampleOf(const Header& h, const uint8_t* row, int64_t k) {
  if (h.depth == 8) return row[k];
  if (h.depth == 16) return row[2 * k];
  const int64_t bit = k * h.depth;
  const int value = row[bit / 8] >> (8 - h.depth - bit % 8) & ((1 << h.depth) - 1);
  return h.color == 3 ? value : value * 255 / ((1 << h.depth) - 1);
}

struct Pass {
  int x, y, dx, dy;
};
constexpr Pass kWhole[] = {{0, 0, 1, 1}};
constexpr Pass kAdam7[] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                           {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};

}  // namespace

std::optional<Image> DecodePng(Bytes file) {
  Header h;
  std::vector<uint8_t> data;
  Bytes palette;
  for (size_t at = 8; at + 12 <= file.size();) {
    const size_t size = BigEndian(&file[at]);
    if (size > file.size() - at - 12) break;
    const char* type = reinterpret_cast<const char*>(&file[at + 4]);
    const Bytes body = file.subspan(at + 8, size);
    at += 12 + size;
    if (std::memcmp(type, "IHDR", 4) == 0 && size == 13) {
      h = {BigEndian(&body[0]), BigEndian(&body[4]), body[8], body[9], body[12] != 0};
    } else if (std::memcmp(type, "PLTE", 4) == 0) {
      palette = body;
    } else if (std::memcmp(type, "IDAT", 4) == 0) {
      data.insert(data.end(), body.begin(), body.end());
    } else if (std::memcmp(type, "IEND", 4) == 0) {
      break;
    }
  }
  if (!h.valid()) return std::nullopt;
  const std::span<const Pass> passes = h.interlaced ? std::span<const Pass>(kAdam7) : std::span<const Pass>(kWhole);
  size_t want = 0;
  const auto columns_of = [&](const Pass& p) { return (h.width - p.x + p.dx - 1) / p.dx; };
  const auto rows_of = [&](const Pass& p) { return (h.height - p.y + p.dy - 1) / p.dy; };
  for (const Pass& p : passes) {
    if (columns_of(p) > 0) want += static_cast<size_t>(rows_of(p) * (1 + h.RowBytes(columns_of(p))));
  }
  // Deflate packs no more than some thousandfold: a header that claims more is broken, and not worth the memory.
  if (want / 1100 > data.size()) return std::nullopt;
  std::vector<uint8_t> raw = Inflate(data, want);
  if (raw.size() < want) return std::nullopt;
  Image image(h.height, h.width, h.color == 0 || h.color == 4 ? 1 : 3);
  uint8_t* row = raw.data();
  for (const Pass& p : passes) {
    const int64_t columns = columns_of(p), rows = rows_of(p), bytes = h.RowBytes(columns);
    if (columns <= 0) continue;
    std::vector<uint8_t> none(bytes, 0);
    const uint8_t* above = none.data();
    for (int64_t y = 0; y < rows; ++y, row += 1 + bytes) {
      if (!Unfilter(row[0], above, bytes, std::max(1, h.samples() * h.depth / 8), row + 1)) return std::nullopt;
      above = row + 1;
      for (int64_t x = 0; x < columns; ++x) {
        uint8_t* to = &image.pixels[((p.y + y * p.dy) * h.width + p.x + x * p.dx) * image.channels];
        for (int k = 0; k < image.channels; ++k) {
          int value = SampleOf(h, row + 1, h.color == 3 ? x : x * h.samples() + k);
          if (h.color == 3) {
            const size_t entry = static_cast<size_t>(value) * 3 + k;
            value = entry < palette.size() ? palette[entry] : 0;
          }
          to[k] = static_cast<uint8_t>(value);
        }
      }
    }
  }
  return image;
}

}  // namespace slipway::images
