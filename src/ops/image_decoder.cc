#include <cstring>
#include <string_view>

#include "ops/images/images.h"
#include "ops/op.h"

namespace slipway {
namespace images {
namespace {

struct Format {
  std::string_view start;
  std::optional<Image> (*decode)(Bytes);
};
using namespace std::string_view_literals;
constexpr Format kFormats[] = {
    {"BM"sv, DecodeBmp},
    {"\x89PNG\r\n\x1a\n"sv, DecodePng},
    {"P1"sv, DecodePnm},
    {"P2"sv, DecodePnm},
    {"P3"sv, DecodePnm},
    {"P4"sv, DecodePnm},
    {"P5"sv, DecodePnm},
    {"P6"sv, DecodePnm},
    {"\xff\xd8\xff"sv, DecodeJpeg},
    {"\0\0\0\x0cjP  "sv, DecodeJpeg2000},
    {"\xff\x4f\xff\x51"sv, DecodeJpeg2000},
    {"II*\0"sv, DecodeTiff},
    {"MM\0*"sv, DecodeTiff},
    {"II+\0"sv, DecodeTiff},
    {"MM\0+"sv, DecodeTiff},
    {"RIFF"sv, DecodeWebp},
};

}  // namespace

std::optional<Image> Decode(Bytes file) {
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  for (const Format& format : kFormats) {
    if (text.starts_with(format.start)) return format.decode(file);
  }
  return std::nullopt;
}

}  // namespace images

/// The pixels [height, width, channels] of an image file's bytes; no pixels where it cannot be decoded. ONNX
/// ImageDecoder, since 20.
struct ImageDecoder {
  bool grey = false;
  bool reversed = false;
  static ImageDecoder Parse(const Attributes& a) {
    const std::string format = a.String("pixel_format", "RGB");
    if (format != "RGB" && format != "BGR" && format != "Grayscale") {
      throw Error(Code::kBadGraph,
                  fmt::format("attribute 'pixel_format' is '{}', but must be RGB, BGR or Grayscale.", format));
    }
    return {.grey = format == "Grayscale", .reversed = format == "BGR"};
  }

  void Infer(InferContext& c) const {
    c.ExpectRank(0, 1, 1);
    c.Out(0, DType::kUint8, {Dim::Unknown(), Dim::Unknown(), grey ? 1 : 3});
  }

  void Run(RunContext& c) const {
    const Tensor& file = c.In(0);
    std::optional<images::Image> image;
    try {
      image = images::Decode({file.data<uint8_t>(), static_cast<size_t>(file.size())});
    } catch (const Error& e) {
      c.Fail("{}", e.what());
    }
    const int channels = grey ? 1 : 3;
    if (!image) {
      c.Allocate(0, DType::kUint8, {0, 0, channels});
      return;
    }
    uint8_t* to = c.Allocate(0, DType::kUint8, {image->height, image->width, channels}).data<uint8_t>();
    const uint8_t* from = image->pixels.data();
    for (int64_t i = 0; i < image->height * image->width; ++i, from += image->channels, to += channels) {
      if (image->channels == channels && !reversed) {
        std::memcpy(to, from, channels);
      } else if (!grey) {
        for (int k = 0; k < 3; ++k) to[k] = from[image->channels == 1 ? 0 : reversed ? 2 - k : k];
      } else {
        // The luma of Rec. 601 in 16 bits' fixed point.
        to[0] = static_cast<uint8_t>((19595 * from[0] + 38470 * from[1] + 7471 * from[2] + 0x8000) >> 16);
      }
    }
  }
};
extern const OpDef kImageDecoder =
    Define<ImageDecoder>({.name = "ImageDecoder", .since = 20, .types = {DType::kUint8}});

}  // namespace slipway
