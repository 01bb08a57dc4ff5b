#include <dlfcn.h>

#include <algorithm>
#include <cstdarg>
#include <cstring>
#include <initializer_list>
#include <memory>

#include <fmt/format.h>

#include "ops/images/images.h"
#include "slipway/error.h"

namespace slipway::images {
namespace {

/// A system library, loaded when first needed and kept. Throws Error(kUnsupported) where there is none.
class Library {
 public:
  Library(const char* format, std::initializer_list<const char*> names) {
    for (const char* name : names) {
      if ((handle_ = dlopen(name, RTLD_NOW | RTLD_LOCAL))) return;
    }
    throw Error(Code::kUnsupported,
                fmt::format("decoding {} takes the library {}.\n  Install it (the Debian packages are libturbojpeg0, "
                            "libopenjp2-7, libtiff6 and libwebp7).",
                            format, *names.begin()));
  }
  /// A function of the library by its name and C type.
  template <class F>
  F* Get(const char* name) const {
    auto* found = reinterpret_cast<F*>(dlsym(handle_, name));
    if (!found) throw Error(Code::kUnsupported, fmt::format("an image library lacks {}.", name));
    return found;
  }

 private:
  void* handle_ = nullptr;
};

/// The three bytes that a pixel of cyan, magenta, yellow and black is in print; Adobe's files hold them inverted.
Image FromInvertedCmyk(const Image& cmyk) {
  Image out(cmyk.height, cmyk.width, 3);
  for (size_t i = 0; i < out.pixels.size(); ++i) {
    const uint8_t* p = &cmyk.pixels[i / 3 * 4];
    out.pixels[i] = static_cast<uint8_t>((p[i % 3] * p[3] + 127) / 255);
  }
  return out;
}

}  // namespace

std::optional<Image> DecodeJpeg(Bytes file) {
  static const Library library("JPEG", {"libturbojpeg.so.0", "libturbojpeg.so"});
  static auto* const make = library.Get<void*()>("tjInitDecompress");
  static auto* const destroy = library.Get<int(void*)>("tjDestroy");
  static auto* const read_header =
      library.Get<int(void*, const uint8_t*, unsigned long, int*, int*, int*, int*)>("tjDecompressHeader3");
  static auto* const decode =
      library.Get<int(void*, const uint8_t*, unsigned long, uint8_t*, int, int, int, int, int)>("tjDecompress2");
  // Values of the library's enumerations.
  constexpr int kGraySpace = 2, kCmykSpace = 3, kYcckSpace = 4, kRgb = 0, kGray = 6, kCmyk = 11, kAccurate = 4096;
  const std::unique_ptr<void, int (*)(void*)> handle(make(), destroy);
  int width = 0, height = 0, sampling = 0, space = 0;
  if (!handle || read_header(handle.get(), file.data(), file.size(), &width, &height, &sampling, &space) != 0 ||
      !IsSane(width, height))
    return std::nullopt;
  const bool inks = space == kCmykSpace || space == kYcckSpace;
  Image image(height, width, inks ? 4 : space == kGraySpace ? 1 : 3);
  const int format = inks ? kCmyk : space == kGraySpace ? kGray : kRgb;
  if (decode(handle.get(), file.data(), file.size(), image.pixels.data(), width, 0, height, format, kAccurate) != 0)
    return std::nullopt;
  return inks ? FromInvertedCmyk(image) : image;
}

std::optional<Image> DecodeWebp(Bytes file) {
  static const Library library("WebP", {"libwebp.so.7", "libwebp.so"});
  static auto* const decode = library.Get<uint8_t*(const uint8_t*, size_t, int*, int*)>("WebPDecodeRGB");
  static auto* const free = library.Get<void(void*)>("WebPFree");
  int width = 0, height = 0;
  const std::unique_ptr<uint8_t, void (*)(void*)> pixels(decode(file.data(), file.size(), &width, &height), free);
  if (!pixels || !IsSane(width, height)) return std::nullopt;
  Image image(height, width, 3);
  std::copy_n(pixels.get(), image.pixels.size(), image.pixels.data());
  return image;
}

namespace {

/// A file in memory as the libraries read it.
struct Stream {
  Bytes file;
  uint64_t at = 0;
  int64_t Read(void* to, int64_t count) {
    const auto left = at < file.size() ? static_cast<int64_t>(file.size() - at) : 0;
    const int64_t n = std::clamp<int64_t>(count, 0, left);
    if (n > 0) std::memcpy(to, file.data() + at, static_cast<size_t>(n));
    at += static_cast<uint64_t>(n);
    return n;
  }
};

int64_t TiffRead(void* stream, void* to, int64_t count) { return static_cast<Stream*>(stream)->Read(to, count); }
int64_t TiffWrite(void*, void*, int64_t) { return 0; }
uint64_t TiffSeek(void* stream, uint64_t offset, int whence) {
  auto* s = static_cast<Stream*>(stream);
  return s->at = whence == SEEK_SET ? offset : whence == SEEK_CUR ? s->at + offset : s->file.size() + offset;
}
int TiffClose(void*) { return 0; }
uint64_t TiffSize(void* stream) { return static_cast<Stream*>(stream)->file.size(); }

}  // namespace

std::optional<Image> DecodeTiff(Bytes file) {
  using Handler = void (*)(const char*, const char*, va_list);
  using Open = void*(const char*, const char*, void*, int64_t (*)(void*, void*, int64_t),
                     int64_t (*)(void*, void*, int64_t), uint64_t (*)(void*, uint64_t, int), int (*)(void*),
                     uint64_t (*)(void*), int (*)(void*, void**, uint64_t*), void (*)(void*, void*, uint64_t));
  static const Library library("TIFF", {"libtiff.so.6", "libtiff.so.5", "libtiff.so"});
  static auto* const open = library.Get<Open>("TIFFClientOpen");
  static auto* const close = library.Get<void(void*)>("TIFFClose");
  static auto* const field = library.Get<int(void*, uint32_t, ...)>("TIFFGetField");
  static auto* const decode =
      library.Get<int(void*, uint32_t, uint32_t, uint32_t*, int, int)>("TIFFReadRGBAImageOriented");
  // What is wrong with a file shows in its decoding: nothing is to be printed.
  static const bool quiet = [] {
    library.Get<Handler(Handler)>("TIFFSetErrorHandler")(nullptr);
    library.Get<Handler(Handler)>("TIFFSetWarningHandler")(nullptr);
    return true;
  }();
  static_cast<void>(quiet);
  constexpr uint32_t kWidth = 256, kHeight = 257;
  constexpr int kTopLeft = 1;
  Stream stream{.file = file};
  const std::unique_ptr<void, void (*)(void*)> tiff(
      open("image", "rm", &stream, TiffRead, TiffWrite, TiffSeek, TiffClose, TiffSize, nullptr, nullptr), close);
  uint32_t width = 0, height = 0;
  if (!tiff || !field(tiff.get(), kWidth, &width) || !field(tiff.get(), kHeight, &height) || !IsSane(width, height))
    return std::nullopt;
  std::vector<uint32_t> raster(static_cast<size_t>(width) * height);
  if (!decode(tiff.get(), width, height, raster.data(), kTopLeft, 1)) return std::nullopt;
  Image image(height, width, 3);
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<uint8_t>(raster[i / 3] >> (i % 3 * 8));
  return image;
}

namespace {

// The parts of OpenJPEG's structures that are read; it makes them itself.
struct Jpeg2000Component {
  uint32_t dx, dy, width, height, x0, y0, precision, bpp, is_signed, decoded, factor;
  int32_t* data;
  uint16_t alpha;
};
struct Jpeg2000Image {
  uint32_t x0, y0, x1, y1, count;
  int32_t space;
  Jpeg2000Component* components;
};

size_t Jpeg2000Read(void* to, size_t count, void* stream) {
  const int64_t n = static_cast<Stream*>(stream)->Read(to, static_cast<int64_t>(count));
  return n > 0 ? static_cast<size_t>(n) : static_cast<size_t>(-1);
}
int64_t Jpeg2000Skip(int64_t count, void* stream) {
  auto* s = static_cast<Stream*>(stream);
  if (count < 0 || count > static_cast<int64_t>(s->file.size() - s->at)) return -1;
  s->at += static_cast<uint64_t>(count);
  return count;
}
int Jpeg2000Seek(int64_t offset, void* stream) {
  auto* s = static_cast<Stream*>(stream);
  if (offset < 0 || offset > static_cast<int64_t>(s->file.size())) return 0;
  s->at = static_cast<uint64_t>(offset);
  return 1;
}

uint8_t SampleOf(const Jpeg2000Component& c, int64_t x, int64_t y) {
  const int64_t column = std::min<int64_t>(x / c.dx, c.width - 1), row = std::min<int64_t>(y / c.dy, c.height - 1);
  int64_t value = c.data[row * c.width + column];
  if (c.is_signed) value += int64_t{1} << (c.precision - 1);
  if (c.precision > 8) value >>= c.precision - 8;
  if (c.precision < 8) value = value * 255 / ((int64_t{1} << c.precision) - 1);
  return static_cast<uint8_t>(std::clamp<int64_t>(value, 0, 255));
}

/// Luminance and colour differences as red, green and blue, in place.
void FromLuminance(uint8_t* p) {
  const double y = p[0], blue = p[1] - 128.0, red = p[2] - 128.0;
  const double rgb[] = {y + 1.402 * red, y - 0.344136 * blue - 0.714136 * red, y + 1.772 * blue};
  for (int k = 0; k < 3; ++k) p[k] = static_cast<uint8_t>(std::clamp(rgb[k] + 0.5, 0.0, 255.0));
}

std::optional<Image> FromComponents(const Jpeg2000Image& from) {
  const int64_t width = static_cast<int64_t>(from.x1) - from.x0, height = static_cast<int64_t>(from.y1) - from.y0;
  const int channels = from.count >= 3 ? 3 : 1;
  if (from.count < 1 || !IsSane(width, height)) return std::nullopt;
  for (int k = 0; k < channels; ++k) {
    const Jpeg2000Component& c = from.components[k];
    if (!c.data || c.dx < 1 || c.dy < 1 || c.width < 1 || c.height < 1 || c.precision < 1 || c.precision > 31)
      return std::nullopt;
  }
  constexpr int kLuminance = 3;
  const bool subsampled = channels == 3 && (from.components[1].dx > 1 || from.components[1].dy > 1);
  Image image(height, width, channels);
  for (int64_t i = 0; i < width * height; ++i) {
    uint8_t* to = &image.pixels[i * channels];
    for (int k = 0; k < channels; ++k) to[k] = SampleOf(from.components[k], i % width, i / width);
    if (channels == 3 && (from.space == kLuminance || subsampled)) FromLuminance(to);
  }
  return image;
}

}  // namespace

std::optional<Image> DecodeJpeg2000(Bytes file) {
  static const Library library("JPEG 2000", {"libopenjp2.so.7", "libopenjp2.so"});
  static auto* const make = library.Get<void*(int)>("opj_create_decompress");
  static auto* const destroy = library.Get<void(void*)>("opj_destroy_codec");
  static auto* const defaults = library.Get<void(void*)>("opj_set_default_decoder_parameters");
  static auto* const set_up = library.Get<int(void*, void*)>("opj_setup_decoder");
  static auto* const make_stream = library.Get<void*(size_t, int)>("opj_stream_create");
  static auto* const destroy_stream = library.Get<void(void*)>("opj_stream_destroy");
  static auto* const set_data = library.Get<void(void*, void*, void (*)(void*))>("opj_stream_set_user_data");
  static auto* const set_length = library.Get<void(void*, uint64_t)>("opj_stream_set_user_data_length");
  static auto* const set_read =
      library.Get<void(void*, size_t (*)(void*, size_t, void*))>("opj_stream_set_read_function");
  static auto* const set_skip = library.Get<void(void*, int64_t (*)(int64_t, void*))>("opj_stream_set_skip_function");
  static auto* const set_seek = library.Get<void(void*, int (*)(int64_t, void*))>("opj_stream_set_seek_function");
  static auto* const read_header = library.Get<int(void*, void*, Jpeg2000Image**)>("opj_read_header");
  static auto* const decode = library.Get<int(void*, void*, Jpeg2000Image*)>("opj_decode");
  static auto* const destroy_image = library.Get<void(Jpeg2000Image*)>("opj_image_destroy");
  constexpr int kCodestream = 0, kBoxes = 2;
  constexpr size_t kBuffer = 1 << 20;
  Stream source{.file = file};
  const std::unique_ptr<void, void (*)(void*)> codec(make(file[0] == 0xFF ? kCodestream : kBoxes), destroy);
  const std::unique_ptr<void, void (*)(void*)> stream(make_stream(kBuffer, 1), destroy_stream);
  if (!codec || !stream) return std::nullopt;
  set_data(stream.get(), &source, nullptr);
  set_length(stream.get(), file.size());
  set_read(stream.get(), Jpeg2000Read);
  set_skip(stream.get(), Jpeg2000Skip);
  set_seek(stream.get(), Jpeg2000Seek);
  // Its parameters, twice as large as any release has made them, are all defaults.
  alignas(16) std::byte parameters[16384] = {};
  defaults(parameters);
  Jpeg2000Image* found = nullptr;
  const bool good = set_up(codec.get(), parameters) && read_header(stream.get(), codec.get(), &found);
  const std::unique_ptr<Jpeg2000Image, void (*)(Jpeg2000Image*)> image(found, destroy_image);
  if (!good || !image || !IsSane(int64_t{image->x1} - image->x0, int64_t{image->y1} - image->y0) ||
      !decode(codec.get(), stream.get(), image.get()))
    return std::nullopt;
  return FromComponents(*image);
}

}  // namespace slipway::images
