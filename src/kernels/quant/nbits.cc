#include "kernels/quant/nbits.h"

#include <algorithm>

#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quant/nbits.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace slipway::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Bytes unpacked at once: their low halves make the first half of a run of `order`, their high halves the second.
constexpr int64_t kRun = 8;

/// Four bits a number: each block's sum of products times its scale, less zero point times the block's sum.
float DotFourBits(const BlockRows& b, int64_t row, const float* order, const float* sums) {
  const hn::CappedTag<float, kRun> d;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::Rebind<uint8_t, decltype(d)> db;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t bytes = b.block_size / 2;
  const uint8_t* in = b.data + row * b.blocks * bytes;
  const float* scales = b.scales + row * b.blocks;
  const float* zeros = b.zeros + row * b.blocks;
  const auto mask = hn::Set(di, 15);
  auto total = hn::Zero(d);
  float less = 0;
  for (int64_t block = 0; block < b.blocks; ++block) {
    auto low = hn::Zero(d), high = hn::Zero(d);
    for (int64_t i = 0; i < bytes; i += kRun) {
      for (int64_t j = 0; j < kRun; j += lanes) {
        const auto packed = hn::PromoteTo(di, hn::LoadU(db, in + i + j));
        low = hn::MulAdd(hn::ConvertTo(d, hn::And(packed, mask)), hn::LoadU(d, order + 2 * i + j), low);
        high = hn::MulAdd(hn::ConvertTo(d, hn::ShiftRight<4>(packed)), hn::LoadU(d, order + 2 * i + kRun + j), high);
      }
    }
    total = hn::MulAdd(hn::Add(low, high), hn::Set(d, scales[block]), total);
    less += scales[block] * zeros[block] * sums[block];
    in += bytes;
    order += b.block_size;
  }
  return hn::GetLane(hn::SumOfLanes(d, total)) - less;
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace slipway::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace slipway::kernels {

HWY_EXPORT(DotFourBits);

namespace {
constexpr int64_t kRun = 8;

int Unpacked(const uint8_t* in, int bits, int64_t i) {
  if (bits == 8) return in[i];
  const int64_t per_byte = 8 / bits;
  return in[i / per_byte] >> (i % per_byte * bits) & ((1 << bits) - 1);
}
}  // namespace

void DequantizeBlocks(const BlockRows& b, int64_t row, float* out) {
  const int64_t bytes = b.block_size * b.bits / 8;
  const uint8_t* in = b.data + row * b.blocks * bytes;
  for (int64_t block = 0; block < b.blocks; ++block, in += bytes) {
    const float scale = b.scales[row * b.blocks + block], zero = b.zeros[row * b.blocks + block];
    const int64_t first = block * b.block_size, count = std::min(b.block_size, b.k - first);
    float* to = out + first;
    if (b.bits == 4) {
      for (int64_t i = 0; i < count / 2; ++i) {
        to[2 * i] = (static_cast<float>(in[i] & 15) - zero) * scale;
        to[2 * i + 1] = (static_cast<float>(in[i] >> 4) - zero) * scale;
      }
      if (count % 2 != 0) to[count - 1] = (static_cast<float>(in[count / 2] & 15) - zero) * scale;
    } else {
      for (int64_t i = 0; i < count; ++i) to[i] = (static_cast<float>(Unpacked(in, b.bits, i)) - zero) * scale;
    }
  }
}

void OrderForBlocks(const BlockRows& b, const float* x, float* order, float* sums) {
  for (int64_t block = 0; block < b.blocks; ++block) {
    const int64_t first = block * b.block_size;
    float sum = 0;
    for (int64_t i = 0; i < b.block_size; ++i) {
      const float v = first + i < b.k ? x[first + i] : 0;
      sum += v;
      // Number 2 i of a run is the low half of byte i.
      const int64_t run = i / (2 * kRun) * 2 * kRun, at = i % (2 * kRun);
      order[first + (b.bits == 4 ? run + at / 2 + at % 2 * kRun : i)] = v;
    }
    sums[block] = sum;
  }
}

float DotBlocks(const BlockRows& b, int64_t row, const float* order, const float* sums) {
  if (b.bits == 4) {
    ChooseTarget();
    return HWY_DYNAMIC_DISPATCH(DotFourBits)(b, row, order, sums);
  }
  const int64_t bytes = b.block_size * b.bits / 8;
  const uint8_t* in = b.data + row * b.blocks * bytes;
  float total = 0;
  for (int64_t block = 0; block < b.blocks; ++block, in += bytes, order += b.block_size) {
    float lanes[8] = {};
    for (int64_t i = 0; i < b.block_size; ++i) lanes[i % 8] += static_cast<float>(Unpacked(in, b.bits, i)) * order[i];
    float sum = 0;
    for (const float v : lanes) sum += v;
    total += b.scales[row * b.blocks + block] * (sum - b.zeros[row * b.blocks + block] * sums[block]);
  }
  return total;
}

}  // namespace slipway::kernels
#endif  // HWY_ONCE
