#include <bit>
#include <cstring>

#include "ops/indexing.h"

namespace slipway {
namespace {

constexpr uint32_t Scrambled(uint32_t k) { return std::rotl(k * 0xcc9e2d51u, 15) * 0x1b873593u; }

/// MurmurHash3_x86_32
uint32_t Hash(const void* data, size_t bytes, uint32_t seed) {
  const auto* p = static_cast<const unsigned char*>(data);
  uint32_t h = seed;
  size_t i = 0;
  for (; i + 4 <= bytes; i += 4) {
    uint32_t k = 0;
    for (int j = 3; j >= 0; --j) k = k << 8 | p[i + j];
    h = std::rotl(h ^ Scrambled(k), 13) * 5 + 0xe6546b64u;
  }
  uint32_t tail = 0;
  for (size_t j = bytes; j > i; --j) tail = tail << 8 | p[j - 1];
  if (i < bytes) h ^= Scrambled(tail);
  h ^= static_cast<uint32_t>(bytes);
  h = (h ^ h >> 16) * 0x85ebca6bu;
  h = (h ^ h >> 13) * 0xc2b2ae35u;
  return h ^ h >> 16;
}

}  // namespace

/// A 32-bit hash of each element. com.microsoft MurmurHash3.
struct MurmurHash3 {
  uint32_t seed = 0;
  bool positive = true;
  static MurmurHash3 Parse(const Attributes& a) {
    return {.seed = static_cast<uint32_t>(a.Int("seed", 0)), .positive = a.Int("positive", 1) != 0};
  }

  void Infer(InferContext& c) const { c.Out(0, positive ? DType::kUint32 : DType::kInt32, c.Shape(0)); }

  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    auto* out = static_cast<uint32_t*>(c.Out(0).raw());
    const size_t bytes = SizeOf(x.dtype());
    c.threads().ParallelFor(x.size(), GrainFor(32), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        if (x.dtype() == DType::kString) {
          const std::string& s = x.data<std::string>()[i];
          out[i] = Hash(s.data(), s.size(), seed);
        } else {
          out[i] = Hash(static_cast<const std::byte*>(x.raw()) + i * bytes, bytes, seed);
        }
      }
    });
  }
};
extern const OpDef kMicrosoftMurmurHash3 =
    Define<MurmurHash3>({.name = "MurmurHash3",
                         .domain = kMicrosoftDomain,
                         .types = {DType::kInt32, DType::kUint32, DType::kInt64, DType::kUint64, DType::kFloat,
                                   DType::kDouble, DType::kString}});

}  // namespace slipway
