#include "tools/npy.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <fstream>
#include <limits>
#include <string_view>
#include <vector>

namespace slipway {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kMaxHeader = 1 << 20;

struct TypeCode {
  std::string_view code;  // without the byte order
  DType type;
};
constexpr TypeCode kCodes[] = {
    {"f4", DType::kFloat},     {"f8", DType::kDouble},      {"f2", DType::kFloat16}, {"b1", DType::kBool},
    {"i1", DType::kInt8},      {"i2", DType::kInt16},       {"i4", DType::kInt32},   {"i8", DType::kInt64},
    {"u1", DType::kUint8},     {"u2", DType::kUint16},      {"u4", DType::kUint32},  {"u8", DType::kUint64},
    {"c8", DType::kComplex64}, {"c16", DType::kComplex128},
};

struct Header {
  std::string descr;
  bool fortran = false;
  Shape shape;
};

[[noreturn]] void Fail(const std::string& path, const std::string& message) {
  throw Error(Code::kBadFile, path + ": " + message);
}

/// The header is a Python dictionary with three known keys.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& path) : text_(text), path_(path) {}

  Header Parse() {
    Header header;
    Expect('{');
    while (!Take('}')) {
      const std::string key = String();
      Expect(':');
      if (key == "descr") {
        if (Peek() != '\'' && Peek() != '"') Fail(path_, "holds records; only plain arrays can be read.");
        header.descr = String();
      } else if (key == "fortran_order") {
        header.fortran = Bool();
      } else if (key == "shape") {
        header.shape = Tuple();
      } else {
        Bad();
      }
      Take(',');
    }
    return header;
  }

 private:
  [[noreturn]] void Bad() const { Fail(path_, "is not a .npy file: its header cannot be read."); }
  char Peek() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool Take(char c) {
    if (Peek() != c) return false;
    ++at_;
    return true;
  }
  void Expect(char c) {
    if (!Take(c)) Bad();
  }
  std::string String() {
    const char quote = Peek();
    if (quote != '\'' && quote != '"') Bad();
    const size_t end = text_.find(quote, ++at_);
    if (end == std::string_view::npos) Bad();
    std::string out(text_.substr(at_, end - at_));
    at_ = end + 1;
    return out;
  }
  bool Bool() {
    Peek();
    for (const std::string_view word : {"True", "False"}) {
      if (!text_.substr(at_).starts_with(word)) continue;
      at_ += word.size();
      return word == "True";
    }
    Bad();
  }
  Shape Tuple() {
    Shape shape;
    Expect('(');
    while (!Take(')')) {
      Peek();
      int64_t size = 0;
      const char* end = text_.data() + text_.size();
      const auto [stop, error] = std::from_chars(text_.data() + at_, end, size);
      if (error != std::errc() || size < 0) Bad();
      at_ = stop - text_.data();
      if (shape.rank() == 64) Bad();
      shape.push_back(size);
      Take(',');
    }
    return shape;
  }

  std::string_view text_;
  const std::string& path_;
  size_t at_ = 0;
};

DType TypeOfDescr(const std::string& path, const std::string& descr, DType wanted) {
  const std::string_view code = std::string_view(descr).substr(std::min<size_t>(1, descr.size()));
  for (const TypeCode& c : kCodes) {
    if (c.code == code) return c.type;
  }
  if (code.starts_with("U") || code.starts_with("S") || code == "O") {
    Fail(path,
         fmt::format("holds strings or objects (NumPy type '{}'); only numbers and booleans can be read.", descr));
  }
  const bool raw = code == "V1" || code == "V2";
  if (raw && wanted != DType::kUndefined && wanted != DType::kString &&
      SizeOf(wanted) == static_cast<size_t>(code[1] - '0')) {
    return wanted;
  }
  Fail(path, fmt::format("holds NumPy type '{}', which is none of a tensor's.", descr));
}

void SwapBytes(Tensor& t) {
  const bool complex = t.dtype() == DType::kComplex64 || t.dtype() == DType::kComplex128;
  const size_t word = SizeOf(t.dtype()) / (complex ? 2 : 1);
  auto* bytes = static_cast<char*>(t.raw());
  for (size_t i = 0; i < t.bytes(); i += word) std::reverse(bytes + i, bytes + i + word);
}

/// The data lies with the first axis innermost; the result has the last one there.
Tensor FromFortran(const Tensor& from) {
  Tensor to(from.dtype(), from.shape());
  const Shape& shape = from.shape();
  const size_t width = SizeOf(from.dtype());
  std::vector<int64_t> index(shape.rank());
  for (int64_t i = 0; i < from.size(); ++i) {
    int64_t at = 0;
    for (int axis = shape.rank() - 1; axis >= 0; --axis) at = at * shape[axis] + index[axis];
    std::memcpy(static_cast<char*>(to.raw()) + i * width, static_cast<const char*>(from.raw()) + at * width, width);
    for (int axis = shape.rank() - 1; axis >= 0 && ++index[axis] == shape[axis]; --axis) index[axis] = 0;
  }
  return to;
}

std::string ReadHeader(std::ifstream& file, const std::string& path) {
  char start[8] = {};
  if (!file.read(start, sizeof start) || std::string_view(start, kMagic.size()) != kMagic) {
    Fail(path, "is not a .npy file. Save one array with numpy.save().");
  }
  const int version = start[6];
  if (version < 1 || version > 3) Fail(path, fmt::format("has .npy format {}; 1 to 3 can be read.", version));
  unsigned char length[4] = {};
  if (!file.read(reinterpret_cast<char*>(length), version == 1 ? 2 : 4)) Fail(path, "is cut short.");
  const size_t size = length[0] | length[1] << 8 | length[2] << 16 | static_cast<size_t>(length[3]) << 24;
  if (size > kMaxHeader) Fail(path, "is not a .npy file: its header is too long.");
  std::string text(size, '\0');
  if (!file.read(text.data(), static_cast<std::streamsize>(size))) Fail(path, "is cut short.");
  return text;
}

/// The bytes that the header promises, checked before anything is allocated.
void CheckSize(std::ifstream& file, const std::string& path, const Shape& shape, DType type) {
  const auto here = file.tellg();
  file.seekg(0, std::ios::end);
  const uint64_t have = static_cast<uint64_t>(file.tellg() - here);
  file.seekg(here);
  uint64_t want = SizeOf(type);
  for (const int64_t size : shape) {
    if (__builtin_mul_overflow(want, static_cast<uint64_t>(size), &want)) want = std::numeric_limits<uint64_t>::max();
    if (size == 0) {
      want = 0;
      break;
    }
  }
  if (have < want)
    Fail(path, fmt::format("is cut short: {} {} needs {} bytes, it has {}.", Name(type), shape.ToString(), want, have));
}

}  // namespace

Tensor ReadNpy(const std::string& path, DType wanted) {
  std::ifstream file(path, std::ios::binary);
  if (!file) Fail(path, "cannot be opened.");
  const std::string text = ReadHeader(file, path);
  const Header header = HeaderParser(text, path).Parse();
  const DType type = TypeOfDescr(path, header.descr, wanted);
  CheckSize(file, path, header.shape, type);
  Tensor tensor(type, header.shape);
  if (!file.read(static_cast<char*>(tensor.raw()), static_cast<std::streamsize>(tensor.bytes())))
    Fail(path, "cannot be read.");
  if (header.descr[0] == '>') SwapBytes(tensor);
  return header.fortran && header.shape.rank() > 1 ? FromFortran(tensor) : tensor;
}

void WriteNpy(const std::string& path, const Tensor& tensor) {
  if (tensor.dtype() == DType::kString || !tensor.defined()) {
    throw Error(Code::kUnsupported, path + ": a tensor of strings cannot be written as .npy.");
  }
  const size_t width = SizeOf(tensor.dtype());
  std::string descr = fmt::format("|V{}", width);
  for (const TypeCode& c : kCodes) {
    if (c.type == tensor.dtype()) descr = (width == 1 ? "|" : "<") + std::string(c.code);
  }
  std::string shape;
  for (const int64_t size : tensor.shape()) shape += fmt::format("{}, ", size);
  if (tensor.shape().rank() > 1) shape.resize(shape.size() - 2);
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", descr, shape);
  // The data starts at a multiple of 64 bytes, so that it can be mapped.
  const size_t long_form = header.size() + 64 > 0xffff;
  const size_t fixed = kMagic.size() + 2 + (long_form ? 4 : 2);
  header.append(63 - (fixed + header.size()) % 64, ' ');
  header += '\n';
  std::string start(kMagic);
  start += {static_cast<char>(long_form ? 2 : 1), '\0'};
  for (size_t i = 0, n = header.size(); i < (long_form ? 4u : 2u); ++i, n >>= 8) start += static_cast<char>(n & 0xff);
  std::ofstream file(path, std::ios::binary);
  file << start << header;
  file.write(static_cast<const char*>(tensor.raw()), static_cast<std::streamsize>(tensor.bytes()));
  file.close();
  if (!file) Fail(path, "cannot be written.");
}

}  // namespace slipway
