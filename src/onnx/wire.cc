#include "onnx/wire.h"

#include <vector>

#include "slipway/error.h"

namespace slipway::onnx {
namespace {

constexpr uint64_t kStartGroup = 3, kEndGroup = 4;

/// Moves `at` behind the group whose first tag it stands before; groups may lie in it.
void SkipGroup(const char** at, const char* end) {
  std::vector<uint64_t> open;  // the fields' numbers
  do {
    if (*at == end) ThrowDamaged();
    const uint64_t tag = protozero::decode_varint(at, end);
    if (tag >> 3 == 0) ThrowDamaged();
    switch (tag & 7) {
      case 0:
        protozero::decode_varint(at, end);
        break;
      case 1:
        if (end - *at < 8) ThrowDamaged();
        *at += 8;
        break;
      case 2: {
        const uint64_t length = protozero::decode_varint(at, end);
        if (length > static_cast<uint64_t>(end - *at)) ThrowDamaged();
        *at += length;
        break;
      }
      case kStartGroup:
        open.push_back(tag >> 3);
        break;
      case kEndGroup:
        if (open.back() != tag >> 3) ThrowDamaged();
        open.pop_back();
        break;
      case 5:
        if (end - *at < 4) ThrowDamaged();
        *at += 4;
        break;
      default:
        ThrowDamaged();
    }
  } while (!open.empty());
}

}  // namespace

void ThrowDamaged() { throw Error(Code::kBadFile, "the file is damaged, or not an ONNX model."); }

bool Reader::next() {
  const protozero::data_view rest = data();
  const char* at = rest.data();
  const char* const end = at + rest.size();
  while (at != end) {
    const char* tag_end = at;
    if ((protozero::decode_varint(&tag_end, end) & 7) != kStartGroup) break;
    SkipGroup(&at, end);
  }
  if (at != rest.data()) *this = Reader(at, static_cast<size_t>(end - at));
  return pbf_reader::next();
}

}  // namespace slipway::onnx
