#include <algorithm>
#include <array>

#include "ops/images/images.h"

namespace slipway::images {
namespace {

/// Bits of a byte string, lowest first; past the end come zeros, and ok() is false.
class BitReader {
 public:
  explicit BitReader(Bytes bytes) : bytes_(bytes) {}
  bool ok() const { return ok_; }
  uint32_t Get(int n) {
    while (count_ < n) {
      if (at_ == bytes_.size()) {
        ok_ = false;
        return 0;
      }
      held_ |= static_cast<uint64_t>(bytes_[at_++]) << count_;
      count_ += 8;
    }
    const auto out = static_cast<uint32_t>(held_ & ((uint64_t{1} << n) - 1));
    held_ >>= n;
    count_ -= n;
    return out;
  }
  void ToByte() { Get(count_ % 8); }

 private:
  Bytes bytes_;
  size_t at_ = 0;
  uint64_t held_ = 0;
  int count_ = 0;
  bool ok_ = true;
};

constexpr int kMostBits = 15;

/// A canonical Huffman code: how many codes there are of each length, and their symbols in order.
struct Code {
  std::array<uint16_t, kMostBits + 1> counts = {};
  std::vector<uint16_t> symbols;

  explicit Code(std::span<const uint8_t> lengths) : symbols(lengths.size()) {
    for (uint8_t n : lengths) ++counts[n];
    counts[0] = 0;
    std::array<uint16_t, kMostBits + 2> at = {};
    for (int i = 1; i <= kMostBits; ++i) at[i + 1] = static_cast<uint16_t>(at[i] + counts[i]);
    for (size_t s = 0; s < lengths.size(); ++s) {
      if (lengths[s]) symbols[at[lengths[s]]++] = static_cast<uint16_t>(s);
    }
  }

  /// The next symbol; -1 where no code fits.
  int Read(BitReader& in) const {
    int code = 0, first = 0, index = 0;
    for (int length = 1; length <= kMostBits && in.ok(); ++length) {
      code |= static_cast<int>(in.Get(1));
      const int count = counts[length];
      if (code - count < first) return symbols[index + code - first];
      index += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    return -1;
  }
};

constexpr uint16_t kLengthBase[] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                    31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
constexpr uint8_t kLengthBits[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                   2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
constexpr uint16_t kDistanceBase[] = {1,    2,    3,    4,    5,    7,    9,    13,    17,    25,
                                      33,   49,   65,   97,   129,  193,  257,  385,   513,   769,
                                      1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
constexpr int kLengths = 29, kDistances = 30;

/// False at the end of what can be read.
bool Block(BitReader& in, const Code& literals, const Code& distances, size_t most, std::vector<uint8_t>& out) {
  while (in.ok() && out.size() < most) {
    const int symbol = literals.Read(in);
    if (symbol == 256) return true;
    if (symbol < 0 || symbol - 257 >= kLengths) return false;
    if (symbol < 256) {
      out.push_back(static_cast<uint8_t>(symbol));
      continue;
    }
    size_t length = kLengthBase[symbol - 257] + in.Get(kLengthBits[symbol - 257]);
    const int code = distances.Read(in);
    if (code < 0 || code >= kDistances) return false;
    const size_t distance = kDistanceBase[code] + in.Get(code < 4 ? 0 : code / 2 - 1);
    if (distance > out.size()) return false;
    for (; length > 0 && out.size() < most; --length) out.push_back(out[out.size() - distance]);
  }
  return false;
}

bool Dynamic(BitReader& in, size_t most, std::vector<uint8_t>& out) {
  const size_t literals = in.Get(5) + 257, distances = in.Get(5) + 1, codes = in.Get(4) + 4;
  static constexpr uint8_t kOrder[] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
  std::array<uint8_t, 19> code_lengths = {};
  for (size_t i = 0; i < codes; ++i) code_lengths[kOrder[i]] = static_cast<uint8_t>(in.Get(3));
  const Code code(code_lengths);
  std::vector<uint8_t> lengths;
  while (lengths.size() < literals + distances) {
    const int symbol = code.Read(in);
    if (symbol < 0) return false;
    if (symbol < 16) {
      lengths.push_back(static_cast<uint8_t>(symbol));
      continue;
    }
    if (symbol == 16 && lengths.empty()) return false;
    const uint8_t value = symbol == 16 ? lengths.back() : 0;
    const uint32_t times = symbol == 16 ? in.Get(2) + 3 : symbol == 17 ? in.Get(3) + 3 : in.Get(7) + 11;
    lengths.insert(lengths.end(), times, value);
  }
  lengths.resize(literals + distances);
  const std::span<const uint8_t> all(lengths);
  return Block(in, Code(all.first(literals)), Code(all.subspan(literals)), most, out);
}

bool Fixed(BitReader& in, size_t most, std::vector<uint8_t>& out) {
  std::array<uint8_t, 288> lengths;
  for (int i = 0; i < 288; ++i) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
  std::array<uint8_t, 30> distances;
  distances.fill(5);
  return Block(in, Code(lengths), Code(distances), most, out);
}

bool Stored(BitReader& in, size_t most, std::vector<uint8_t>& out) {
  in.ToByte();
  const uint32_t n = in.Get(16);
  if (in.Get(16) != (~n & 0xFFFF)) return false;
  for (uint32_t i = 0; i < n && in.ok() && out.size() < most; ++i) out.push_back(static_cast<uint8_t>(in.Get(8)));
  return in.ok();
}

}  // namespace

std::vector<uint8_t> Inflate(Bytes zlib, size_t most) {
  std::vector<uint8_t> out;
  constexpr size_t kHeader = 2;
  if (zlib.size() < kHeader || (zlib[0] & 0xF) != 8 || (zlib[0] * 256 + zlib[1]) % 31 != 0 || (zlib[1] & 0x20))
    return out;
  BitReader in(zlib.subspan(kHeader));
  for (bool last = false, good = true; !last && good && in.ok() && out.size() < most;) {
    last = in.Get(1) != 0;
    switch (in.Get(2)) {
      case 0:
        good = Stored(in, most, out);
        break;
      case 1:
        good = Fixed(in, most, out);
        break;
      case 2:
        good = Dynamic(in, most, out);
        break;
      default:
        good = false;
    }
  }
  return out;
}

}  // namespace slipway::images
